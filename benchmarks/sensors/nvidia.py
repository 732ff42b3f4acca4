"""NVIDIA GPUs by NVML, the library that comes with the driver: load, clocks, heat, power, limits.

Source: NVIDIA's NVML API reference. It is called through ctypes, so nothing has to be installed.
What a GPU does not support (power on some laptops, energy before Volta) is missing. Jetsons have an
NVML from JetPack 7 on; before that, see `jetson`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from edgeanim.benchmarks.host import Host, Unreadable
from edgeanim.benchmarks.sensors.base import Sensor, Texts, Values

LIBRARY = "libnvidia-ml.so.1"
_OK = 0
_NAME_BYTES = 96
_SM_CLOCK, _MEMORY_CLOCK, _GPU_TEMPERATURE = 1, 2, 0
# Bits of nvmlDeviceGetCurrentClocksThrottleReasons that mean less speed than could be had.
_LIMITS = {
    0x04: "the_power_limit",
    0x08: "a_hardware_slowdown",
    0x20: "heat",
    0x40: "heat_by_hardware",
    0x80: "the_power_brake",
}


class _Utilization(ctypes.Structure):
    """`nvmlUtilization_t`: percent of time in which a kernel ran, and memory was accessed."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`, in bytes."""

    _fields_ = tuple((name, ctypes.c_ulonglong) for name in ("total", "free", "used"))


class NvidiaSensor(Sensor):
    """Values named `nvidia.N.…` by the GPU's index."""

    name: ClassVar[str] = "nvidia"

    def __init__(self, host: Host | None = None) -> None:
        super().__init__(host)
        self._library: ctypes.CDLL | None = None
        self._gpus: list[ctypes.c_void_p] = []

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (
            ("GPU load", self._load),
            ("GPU memory", self._memory),
            ("GPU temperature", lambda: self._each("temp_c", self._temperature)),
            ("GPU power", lambda: self._each("power_w", self._power)),
            ("GPU energy", lambda: self._each("energy_j", self._energy)),
            ("GPU clock", lambda: self._each("freq_mhz", lambda g: self._clock(g, _SM_CLOCK))),
            (
                "GPU memory clock",
                lambda: self._each("memory_freq_mhz", lambda g: self._clock(g, _MEMORY_CLOCK)),
            ),
            ("GPU clock limits", self._limits),
        )

    def settings(self) -> Sequence[tuple[str, Callable[[], Texts]]]:
        return (("GPU name", self._names),)

    def close(self) -> None:
        if self._library is not None:
            self._library.nvmlShutdown()
        self._library, self._gpus = None, []

    def _open(self) -> ctypes.CDLL:
        if self._library is not None:
            return self._library
        library = self.host.library(LIBRARY)
        _call(library, "nvmlInit_v2")
        try:
            gpus = _gpus_of(library)
        except Unreadable:
            library.nvmlShutdown()
            raise
        self._library, self._gpus = library, gpus
        return library

    def _found(self) -> Iterator[tuple[str, ctypes.c_void_p]]:
        self._open()
        if not self._gpus:
            raise Unreadable("NVML sees no GPU")
        for index, gpu in enumerate(self._gpus):
            yield f"nvidia.{index}", gpu

    def _each(self, name: str, read: Callable[[ctypes.c_void_p], float]) -> Values:
        return {f"{gpu}.{name}": read(handle) for gpu, handle in self._found()}

    def _ask(self, function: str, gpu: ctypes.c_void_p, *arguments: object) -> None:
        """Call `function` of NVML, whose last argument is where the answer goes."""
        *inputs, answer = arguments
        _call(self._open(), function, gpu, *inputs, ctypes.byref(answer))  # type: ignore[arg-type]

    def _load(self) -> Values:
        values: Values = {}
        for name, gpu in self._found():
            used = _Utilization()
            self._ask("nvmlDeviceGetUtilizationRates", gpu, used)
            values[f"{name}.load_percent"] = float(used.gpu)
            values[f"{name}.memory_load_percent"] = float(used.memory)
        return values

    def _memory(self) -> Values:
        values: Values = {}
        for name, gpu in self._found():
            memory = _Memory()
            self._ask("nvmlDeviceGetMemoryInfo", gpu, memory)
            values[f"{name}.memory_used_mb"] = memory.used / (1 << 20)
            values[f"{name}.memory_total_mb"] = memory.total / (1 << 20)
        return values

    def _temperature(self, gpu: ctypes.c_void_p) -> float:
        celsius = ctypes.c_uint()
        self._ask("nvmlDeviceGetTemperature", gpu, ctypes.c_uint(_GPU_TEMPERATURE), celsius)
        return float(celsius.value)

    def _power(self, gpu: ctypes.c_void_p) -> float:
        milliwatts = ctypes.c_uint()
        self._ask("nvmlDeviceGetPowerUsage", gpu, milliwatts)
        return milliwatts.value / 1e3

    def _energy(self, gpu: ctypes.c_void_p) -> float:
        millijoules = ctypes.c_ulonglong()
        self._ask("nvmlDeviceGetTotalEnergyConsumption", gpu, millijoules)
        return millijoules.value / 1e3

    def _clock(self, gpu: ctypes.c_void_p, which: int) -> float:
        megahertz = ctypes.c_uint()
        self._ask("nvmlDeviceGetClockInfo", gpu, ctypes.c_uint(which), megahertz)
        return float(megahertz.value)

    def _limits(self) -> Values:
        values: Values = {}
        for name, gpu in self._found():
            bits = ctypes.c_ulonglong()
            self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", gpu, bits)
            for bit, cause in _LIMITS.items():
                values[f"{name}.limited_by_{cause}_now"] = float(bool(bits.value & bit))
        return values

    def _names(self) -> Texts:
        names: Texts = {}
        for name, gpu in self._found():
            text = ctypes.create_string_buffer(_NAME_BYTES)
            length = ctypes.c_uint(_NAME_BYTES)
            _call(self._open(), "nvmlDeviceGetName", gpu, text, length)
            names[name] = text.value.decode(errors="replace")
        return names


def _gpus_of(library: ctypes.CDLL) -> list[ctypes.c_void_p]:
    count, gpus = ctypes.c_uint(), []
    _call(library, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    for index in range(count.value):
        gpu = ctypes.c_void_p()
        _call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(gpu))
        gpus.append(gpu)
    return gpus


def _call(library: ctypes.CDLL, function: str, *arguments: object) -> None:
    """Call a `function` of NVML; `Unreadable` if it fails, or if this NVML has none of the name, as
    that of a Jetson may."""
    call = getattr(library, function, None)
    if call is None:
        raise Unreadable(f"this NVML has no {function}")
    status = call(*arguments)
    if status != _OK:
        raise Unreadable(f"{function} answered with error {status}")


SENSOR = NvidiaSensor
