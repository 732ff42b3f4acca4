"""The library: one documented function per command, and the types that they take and raise. Imports
nothing until one is used.

from edgeanim.api import quantize
quantize("model.onnx", calib="photos/", out="int8/")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeanim.benchmarks.result import load_report
    from edgeanim.core.errors import (
        BadInput,
        DeviceFailed,
        EdgeanimError,
        GateFailed,
        MissingComponent,
        UsageError,
    )
    from edgeanim.core.progress import Progress
    from edgeanim.core.recipe import DistilSpec, PruneSpec, QuantizeSpec, load_recipe
    from edgeanim.core.store import Store
    from edgeanim.pipeline.animate import animate
    from edgeanim.pipeline.bench import bench
    from edgeanim.pipeline.compare import compare
    from edgeanim.pipeline.compile import compile  # noqa: A004
    from edgeanim.pipeline.dataset import import_dataset, make_dataset, show_dataset
    from edgeanim.pipeline.demo import demo
    from edgeanim.pipeline.deploy import deploy
    from edgeanim.pipeline.evaluate import evaluate
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
    from edgeanim.pipeline.sign import sign
    from edgeanim.pipeline.training import adapt, train
    from edgeanim.report.table import table
    from edgeanim.report.verdict import verdict

__all__ = [
    "BadInput",
    "DeviceFailed",
    "DistilSpec",
    "EdgeanimError",
    "GateFailed",
    "MissingComponent",
    "Progress",
    "PruneSpec",
    "QuantizeSpec",
    "Store",
    "UsageError",
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
    "load_recipe",
    "load_report",
    "make_dataset",
    "modules",
    "motions",
    "optimize",
    "project",
    "prune",
    "quantize",
    "set_up_emulation",
    "show_dataset",
    "sign",
    "table",
    "train",
    "verdict",
]

_HOMES = {
    "BadInput": "core.errors",
    "DeviceFailed": "core.errors",
    "DistilSpec": "core.recipe",
    "EdgeanimError": "core.errors",
    "GateFailed": "core.errors",
    "MissingComponent": "core.errors",
    "Progress": "core.progress",
    "PruneSpec": "core.recipe",
    "QuantizeSpec": "core.recipe",
    "Store": "core.store",
    "UsageError": "core.errors",
    "adapt": "pipeline.training",
    "backends": "pipeline.machine",
    "bench_on": "pipeline.on",
    "boards": "pipeline.machine",
    "doctor": "pipeline.machine",
    "doctor_on": "pipeline.on",
    "emulate_bundle": "pipeline.on_emulated",
    "emulated_processors": "pipeline.on_emulated",
    "extract_motion": "pipeline.motion",
    "import_dataset": "pipeline.dataset",
    "load_recipe": "core.recipe",
    "load_report": "benchmarks.result",
    "make_dataset": "pipeline.dataset",
    "motions": "pipeline.motion",
    "set_up_emulation": "pipeline.on_emulated",
    "show_dataset": "pipeline.dataset",
    "table": "report.table",
    "train": "pipeline.training",
    "verdict": "report.verdict",
}
"""Where a name is whose module is not `pipeline.NAME`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'edgeanim.api' has no attribute {name!r}")
    module = importlib.import_module(f"edgeanim.{_HOMES.get(name, f'pipeline.{name}')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return list(__all__)
