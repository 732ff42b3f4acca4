"""NVIDIA GPUs by NVML, the library that comes with the driver: load, clocks, heat, power, limits.

Source: NVIDIA's NVML API reference. It is called through ctypes, so nothing has to be installed.
What a GPU does not support (power on some laptops, energy before Volta) is missing. Jetsons have an
NVML from JetPack 7 on; before that, see `jetson`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Host, Unreadable
from edgeanim.benchmarks.machine.sensors.base import Sensor, Texts, Values

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
        """Of each GPU by itself: what one does not know says nothing of another."""
        asked = {
            "load": self._load,
            "memory": self._memory,
            "temperature": self._temperature,
            "power": self._power,
            "energy": self._energy,
            "clock": self._clock,
            "memory clock": self._memory_clock,
            "clock limits": self._limits,
        }
        return [
            (f"{self._called(index)} {what}", partial(read, index))
            for index in self._indices()
            for what, read in asked.items()
        ]

    def settings(self) -> Sequence[tuple[str, Callable[[], Texts]]]:
        return [(f"{self._called(i)} name", partial(self._name, i)) for i in self._indices()]

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

    def _indices(self) -> range:
        """Those of all GPUs; one that cannot be asked, and says why, if there is none."""
        with suppress(Unreadable):
            self._open()
        return range(max(1, len(self._gpus)))

    def _called(self, index: int) -> str:
        return f"GPU {index}" if len(self._gpus) > 1 else "GPU"

    def _ask(self, index: int, function: str, *arguments: object) -> None:
        """Call `function` of NVML for a GPU; the last argument is where the answer goes."""
        *inputs, answer = arguments
        self._call(index, function, *inputs, ctypes.byref(answer))  # type: ignore[arg-type]

    def _call(self, index: int, function: str, *arguments: object) -> None:
        library = self._open()
        if not self._gpus:
            raise Unreadable("NVML sees no GPU")
        _call(library, function, self._gpus[index], *arguments)

    def _load(self, index: int) -> Values:
        used = _Utilization()
        self._ask(index, "nvmlDeviceGetUtilizationRates", used)
        return _named(index, load_percent=used.gpu, memory_load_percent=used.memory)

    def _memory(self, index: int) -> Values:
        memory = _Memory()
        self._ask(index, "nvmlDeviceGetMemoryInfo", memory)
        used, total = (size / (1 << 20) for size in (memory.used, memory.total))
        return _named(index, memory_used_mb=used, memory_total_mb=total)

    def _temperature(self, index: int) -> Values:
        celsius = ctypes.c_uint()
        self._ask(index, "nvmlDeviceGetTemperature", ctypes.c_uint(_GPU_TEMPERATURE), celsius)
        return _named(index, temp_c=celsius.value)

    def _power(self, index: int) -> Values:
        milliwatts = ctypes.c_uint()
        self._ask(index, "nvmlDeviceGetPowerUsage", milliwatts)
        return _named(index, power_w=milliwatts.value / 1e3)

    def _energy(self, index: int) -> Values:
        millijoules = ctypes.c_ulonglong()
        self._ask(index, "nvmlDeviceGetTotalEnergyConsumption", millijoules)
        return _named(index, energy_j=millijoules.value / 1e3)

    def _clock(self, index: int) -> Values:
        return _named(index, freq_mhz=self._megahertz(index, _SM_CLOCK))

    def _memory_clock(self, index: int) -> Values:
        return _named(index, memory_freq_mhz=self._megahertz(index, _MEMORY_CLOCK))

    def _megahertz(self, index: int, which: int) -> float:
        megahertz = ctypes.c_uint()
        self._ask(index, "nvmlDeviceGetClockInfo", ctypes.c_uint(which), megahertz)
        return megahertz.value

    def _limits(self, index: int) -> Values:
        bits = ctypes.c_ulonglong()
        self._ask(index, "nvmlDeviceGetCurrentClocksThrottleReasons", bits)
        limited = {f"limited_by_{by}_now": bool(bits.value & bit) for bit, by in _LIMITS.items()}
        return _named(index, **limited)

    def _name(self, index: int) -> Texts:
        text = ctypes.create_string_buffer(_NAME_BYTES)
        self._call(index, "nvmlDeviceGetName", text, ctypes.c_uint(_NAME_BYTES))
        return {f"nvidia.{index}": text.value.decode(errors="replace")}


def _named(index: int, **values: float) -> Values:
    return {f"nvidia.{index}.{name}": float(value) for name, value in values.items()}


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
