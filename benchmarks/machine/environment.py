"""The machine and its software, as recorded in every report."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from edgeanim.benchmarks.machine.circumstances import Environment
from edgeanim.core.files import canonical_json, sha256_bytes
from edgeanim.core.store import tool_versions
from edgeanim.targets.board import LOCAL, load_board
from edgeanim.targets.machine import read_machine

# The packages whose version can change a figure.
PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "openvino",
    "ai-edge-litert",
    "tflite-runtime",
)


def describe(root: Path = Path("/")) -> Environment:
    """This machine now. `root` stands in for the file system's root in tests."""
    machine = load_board(LOCAL)
    cpu_model = _cpu_model(root)
    # Whole gigabytes: what the kernel keeps for itself changes with every update.
    memory_gb = round(machine.memory_mb / 1024)
    hardware = [cpu_model, machine.arch, machine.cpu_features, machine.cores, memory_gb]
    libc, version = platform.libc_ver()
    packages = {name: v for name, v in tool_versions(*PACKAGES).items() if v != "absent"}
    return Environment(
        machine=sha256_bytes(canonical_json(hardware).encode())[:16],
        cpu_model=cpu_model,
        arch=machine.arch,
        cpu_features=machine.cpu_features,
        cores=machine.cores,
        memory_mb=machine.memory_mb,
        governor=read_machine(root).governor,
        kernel=platform.release(),
        libc=f"{libc} {version}".strip() or None,
        python=sys.version.split()[0],
        packages=packages,
        load_1m=_load(root),
    )


def _cpu_model(root: Path) -> str | None:
    """The processor's name; on Arm boards, which have none there, the board's."""
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    model = _text(root / "proc/device-tree/model")
    return model.rstrip("\0") if model else None


def _load(root: Path) -> float | None:
    text = _text(root / "proc/loadavg")
    return float(text.split()[0]) if text else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None
