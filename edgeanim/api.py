"""The library: one documented function per command, and the types that they take, return and
raise. Imports nothing until one is used.

from edgeanim.api import quantize
quantize("model.onnx", calib="photos/", out="int8/")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeanim.benchmarks.emulation import Emulation
    from edgeanim.benchmarks.projection import Projected
    from edgeanim.benchmarks.results.compare import Comparison, FailedOn
    from edgeanim.benchmarks.results.result import Report, load_report
    from edgeanim.core.contract import Contract
    from edgeanim.core.errors import (
        BadInput,
        DeviceFailed,
        EdgeanimError,
        GateFailed,
        MissingComponent,
        UsageError,
    )
    from edgeanim.core.limit import DriftLimit
    from edgeanim.core.progress import Progress
    from edgeanim.core.recipe import DistilSpec, PruneSpec, QuantizeSpec, Recipe, load_recipe
    from edgeanim.core.store import Store
    from edgeanim.graph.inspect import ModelInfo
    from edgeanim.models.dataset.form import Manifest
    from edgeanim.models.evaluation.score import Score
    from edgeanim.pipeline.animate import Animated, animate
    from edgeanim.pipeline.bench import bench
    from edgeanim.pipeline.compare import compare
    from edgeanim.pipeline.compile import Compiled, compile  # noqa: A004
    from edgeanim.pipeline.dataset import DatasetSummary, import_dataset, make_dataset, show_dataset
    from edgeanim.pipeline.demo import Demo, demo
    from edgeanim.pipeline.evaluate import Evaluation, evaluate
    from edgeanim.pipeline.export import Exported, export
    from edgeanim.pipeline.inspect import inspect
    from edgeanim.pipeline.inspect_bundle import BundleInfo
    from edgeanim.pipeline.machine import BackendRow, backends, boards, doctor
    from edgeanim.pipeline.modules import modules
    from edgeanim.pipeline.motion import StoredMotion, extract_motion, load_motion, motions
    from edgeanim.pipeline.on.bench import Placed, bench_on
    from edgeanim.pipeline.on.deploy import Deployed, deploy
    from edgeanim.pipeline.on.doctor import doctor_on
    from edgeanim.pipeline.on.emulated import (
        EmulatedProcessor,
        emulate_bundle,
        emulated_processors,
        set_up_emulation,
    )
    from edgeanim.pipeline.open_player import BundlePlayer, open_player
    from edgeanim.pipeline.optimize import optimize
    from edgeanim.pipeline.project import project
    from edgeanim.pipeline.prune import Pruned, prune
    from edgeanim.pipeline.quantize import Quantized, quantize
    from edgeanim.pipeline.search.outcome import Optimized, Unreachable
    from edgeanim.pipeline.sign import Signed, sign
    from edgeanim.pipeline.training import Adapted, adapt, train
    from edgeanim.report.table import table
    from edgeanim.report.verdict import Choice, choose, verdict
    from edgeanim.runtime.motion import MotionTrack
    from edgeanim.targets.board import Board
    from edgeanim.targets.doctor import Diagnosis
    from edgeanim.targets.on.emulator_setup import Step

__all__ = [
    "Adapted",
    "Animated",
    "BackendRow",
    "BadInput",
    "Board",
    "BundleInfo",
    "BundlePlayer",
    "Choice",
    "Comparison",
    "Compiled",
    "Contract",
    "DatasetSummary",
    "Demo",
    "Deployed",
    "DeviceFailed",
    "Diagnosis",
    "DistilSpec",
    "DriftLimit",
    "EdgeanimError",
    "EmulatedProcessor",
    "Emulation",
    "Evaluation",
    "Exported",
    "FailedOn",
    "GateFailed",
    "Manifest",
    "MissingComponent",
    "ModelInfo",
    "MotionTrack",
    "Optimized",
    "Placed",
    "Progress",
    "Projected",
    "PruneSpec",
    "Pruned",
    "QuantizeSpec",
    "Quantized",
    "Recipe",
    "Report",
    "Score",
    "Signed",
    "Step",
    "Store",
    "StoredMotion",
    "Unreachable",
    "UsageError",
    "adapt",
    "animate",
    "backends",
    "bench",
    "bench_on",
    "boards",
    "choose",
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
    "load_motion",
    "load_recipe",
    "load_report",
    "make_dataset",
    "modules",
    "motions",
    "open_player",
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
    "Adapted": "pipeline.training",
    "Animated": "pipeline.animate",
    "BackendRow": "pipeline.machine",
    "BadInput": "core.errors",
    "Board": "targets.board",
    "BundleInfo": "pipeline.inspect_bundle",
    "BundlePlayer": "pipeline.open_player",
    "Choice": "report.verdict",
    "Comparison": "benchmarks.results.compare",
    "Compiled": "pipeline.compile",
    "Contract": "core.contract",
    "DatasetSummary": "pipeline.dataset",
    "Demo": "pipeline.demo",
    "Deployed": "pipeline.on.deploy",
    "DeviceFailed": "core.errors",
    "Diagnosis": "targets.doctor",
    "DistilSpec": "core.recipe",
    "DriftLimit": "core.limit",
    "EdgeanimError": "core.errors",
    "EmulatedProcessor": "pipeline.on.emulated",
    "Emulation": "benchmarks.emulation",
    "Evaluation": "pipeline.evaluate",
    "Exported": "pipeline.export",
    "FailedOn": "benchmarks.results.compare",
    "GateFailed": "core.errors",
    "Manifest": "models.dataset.form",
    "MissingComponent": "core.errors",
    "ModelInfo": "graph.inspect",
    "MotionTrack": "runtime.motion",
    "Optimized": "pipeline.search.outcome",
    "Placed": "pipeline.on.bench",
    "Progress": "core.progress",
    "Projected": "benchmarks.projection",
    "PruneSpec": "core.recipe",
    "Pruned": "pipeline.prune",
    "QuantizeSpec": "core.recipe",
    "Quantized": "pipeline.quantize",
    "Recipe": "core.recipe",
    "Report": "benchmarks.results.result",
    "Score": "models.evaluation.score",
    "Signed": "pipeline.sign",
    "Step": "targets.on.emulator_setup",
    "Store": "core.store",
    "StoredMotion": "pipeline.motion",
    "Unreachable": "pipeline.search.outcome",
    "UsageError": "core.errors",
    "adapt": "pipeline.training",
    "backends": "pipeline.machine",
    "bench_on": "pipeline.on.bench",
    "boards": "pipeline.machine",
    "choose": "report.verdict",
    "deploy": "pipeline.on.deploy",
    "doctor": "pipeline.machine",
    "doctor_on": "pipeline.on.doctor",
    "emulate_bundle": "pipeline.on.emulated",
    "emulated_processors": "pipeline.on.emulated",
    "extract_motion": "pipeline.motion",
    "import_dataset": "pipeline.dataset",
    "load_motion": "pipeline.motion",
    "load_recipe": "core.recipe",
    "load_report": "benchmarks.results.result",
    "make_dataset": "pipeline.dataset",
    "motions": "pipeline.motion",
    "set_up_emulation": "pipeline.on.emulated",
    "show_dataset": "pipeline.dataset",
    "table": "report.table",
    "train": "pipeline.training",
    "verdict": "report.verdict",
}
"""Where a name is whose module is not `pipeline.NAME`."""


if not TYPE_CHECKING:  # else a checker takes any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'edgeanim.api' has no attribute {name!r}")
        module = importlib.import_module(f"edgeanim.{_HOMES.get(name, f'pipeline.{name}')}")
        return getattr(module, name)


def __dir__() -> list[str]:
    return list(__all__)
