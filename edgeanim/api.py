"""The library: one documented function per command. Imports nothing until one is used.

from edgeanim.api import quantize
quantize("model.onnx", calib="photos/", out="int8/")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeanim.pipeline.animate import animate
    from edgeanim.pipeline.bench import bench
    from edgeanim.pipeline.compare import compare
    from edgeanim.pipeline.compile import compile  # noqa: A004
    from edgeanim.pipeline.dataset import import_dataset, make_dataset, show_dataset
    from edgeanim.pipeline.demo import demo
    from edgeanim.pipeline.deploy import deploy
    from edgeanim.pipeline.export import export
    from edgeanim.pipeline.inspect import inspect
    from edgeanim.pipeline.machine import backends, boards, doctor
    from edgeanim.pipeline.modules import modules
    from edgeanim.pipeline.motion import extract_motion, motions
    from edgeanim.pipeline.on import bench_on, doctor_on
    from edgeanim.pipeline.on_emulated import (
        emulate_bundle,
        emulated_processors,
        set_up_emulation,
    )
    from edgeanim.pipeline.optimize import optimize
    from edgeanim.pipeline.project import project
    from edgeanim.pipeline.prune import prune
    from edgeanim.pipeline.quantize import quantize
    from edgeanim.pipeline.training import adapt, evaluate, train

__all__ = [
    "adapt",
    "animate",
    "backends",
    "bench",
    "bench_on",
    "boards",
    "compare",
    "compile",
    "demo",
    "deploy",
    "doctor",
    "doctor_on",
    "emulate_bundle",
    "emulated_processors",
    "evaluate",
    "export",
    "extract_motion",
    "import_dataset",
    "inspect",
    "make_dataset",
    "modules",
    "motions",
    "optimize",
    "project",
    "prune",
    "quantize",
    "set_up_emulation",
    "show_dataset",
    "train",
]

_HOMES = {
    "adapt": "training",
    "backends": "machine",
    "bench_on": "on",
    "boards": "machine",
    "doctor": "machine",
    "doctor_on": "on",
    "emulate_bundle": "on_emulated",
    "emulated_processors": "on_emulated",
    "evaluate": "training",
    "extract_motion": "motion",
    "import_dataset": "dataset",
    "make_dataset": "dataset",
    "motions": "motion",
    "set_up_emulation": "on_emulated",
    "show_dataset": "dataset",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'edgeanim.api' has no attribute {name!r}")
    module = importlib.import_module(f"edgeanim.pipeline.{_HOMES.get(name, name)}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return list(__all__)
