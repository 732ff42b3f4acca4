"""What the machine that this runs on is: read from Linux's own files, below any root folder."""

from __future__ import annotations

import os
import platform
from collections.abc import Container, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

ROOT = Path("/")
_ARCHES = {"AMD64": "x86_64", "arm64": "aarch64"}
_VNNI = {"avx512_vnni", "avx_vnni"}
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
# Without AVX-512's: runtimes have no convolutions for it, and OpenVINO's float16 takes longer there
# than its float32.
_FLOAT16 = {"amx_fp16", "asimdhp"}
# On these it depends what a runtime computes fast.
_TELLING = (
    *("asimddp", "asimdhp", "i8mm", "bf16"),
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16"),
    *("amx_int8", "amx_bf16", "amx_fp16"),
)
# cgroup v1 says "no limit" with the largest number of pages that fits into 63 bits.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Machine:
    """`cores` and `memory_mb` are what this process may use: affinity and cgroup limits count.

    `model` is the board's or processor's own name, `governor` that of the first core; `None`
    where the machine does not say.
    """

    arch: str
    cores: int
    memory_mb: int
    cpu_features: tuple[str, ...]
    model: str | None = None
    governor: str | None = None

    @property
    def saturates_u8s8(self) -> bool:
        """Whether 8-bit multiply-add overflows: x86 without VNNI sums pairs in 16 bits."""
        return self.arch == "x86_64" and not _VNNI & set(self.cpu_features)

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether bfloat16 products are made in hardware; elsewhere they are slow."""
        return bool(_BFLOAT16 & set(self.cpu_features))

    @property
    def multiplies_float16(self) -> bool:
        """The same of float16, where runtimes make use of it."""
        return bool(_FLOAT16 & set(self.cpu_features))


def read_machine(
    root: Path = ROOT, *, arch: str | None = None, affinity: int | None = None
) -> Machine:
    """The machine whose `/proc` and `/sys` lie below `root`.

    `arch` and `affinity` (number of cores) stand in for what only the running system can say.
    """
    machine = arch or platform.machine()
    cores = affinity or len(os.sched_getaffinity(0))
    info = _cpuinfo(root)
    quota = _cpu_quota(root)
    memory = [_meminfo_bytes(root), *_memory_limits(root)]
    return Machine(
        arch=_ARCHES.get(machine, machine),
        cores=max(1, min(cores, ceil(quota))) if quota else cores,
        memory_mb=max(1, min(memory) >> 20),
        cpu_features=tuple(sorted((info.get("flags") or info.get("Features") or "").split())),
        model=_first(root / "proc/device-tree/model") or info.get("model name"),
        governor=_first(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


def telling_features(features: Container[str]) -> list[str]:
    """Those of a processor's features, of which Linux names a hundred, on which it depends what the
    runtimes compute fast."""
    return [feature for feature in _TELLING if feature in features]


def special_sensors(root: Path = ROOT) -> tuple[str, ...]:
    """The sensors that this machine has beyond those of any Linux."""
    found: list[str] = []
    if any(root.glob("sys/class/powercap/intel-rapl:*")):
        found.append("rapl")
    if (_first(root / "proc/device-tree/model") or "").startswith("Raspberry Pi"):
        found.append("raspberry_pi")
    if (root / "etc/nv_tegra_release").exists():
        found += ["jetson", "tegrastats", "ina3221"]
    if (root / "dev/nvidiactl").exists():
        found.append("nvidia")
    return tuple(found)


def _first(path: Path) -> str | None:
    """The file's text without its end of line; `None` if it cannot be read or is empty."""
    try:
        return path.read_text(errors="replace").strip(" \n\0") or None
    except (OSError, ValueError):
        return None


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first value of each key of `/proc/cpuinfo`."""
    values: dict[str, str] = {}
    for line in (_first(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    return values


def _meminfo_bytes(root: Path) -> int:
    for line in (_first(root / "proc/meminfo") or "").splitlines():
        key, _, value = line.partition(":")
        size = value.removesuffix("kB").strip()
        if key == "MemTotal" and size.isdecimal():
            return int(size) << 10
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup and of those above it, for v2 and for v1."""
    base = root / "sys/fs/cgroup"
    for line in (_first(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # v1 mounts controllers that belong together as one folder, "cpu,cpuacct".
        top = base / controllers
        group = top / place.strip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _memory_limits(root: Path) -> Iterator[int]:
    for group in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            value = _first(group / name)
            if value is not None and value.isdecimal() and int(value) < _NO_LIMIT:
                yield int(value)


def _cpu_quota(root: Path) -> float | None:
    """The smallest number of cores that a cgroup on the way up allows."""
    quotas = []
    for group in _groups(root, "cpu"):
        both = (_first(group / "cpu.max") or "").split() or [
            _first(group / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")
        ]
        if len(both) == 2 and all(part.isdecimal() for part in both) and int(both[1]):
            quotas.append(int(both[0]) / int(both[1]))
    return min(quotas, default=None)
