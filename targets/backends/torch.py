"""PyTorch, eager, on the CPU or an NVIDIA GPU: float32 only, the baseline that every model has.

It is a reference for reports, not a runtime for boards: it needs PyTorch and the ONNX importer. Its
file is the ONNX graph, which is brought over, and held against ONNX Runtime, whenever it is loaded.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgeanim.core.artifact import (
    FLOAT32,
    Array,
    CompiledGraph,
    FloatPrecision,
    GraphArtifact,
)
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.core.files import inside, write_bytes
from edgeanim.core.packages import installed, require
from edgeanim.core.quiet import quiet
from edgeanim.targets.backends.base import Availability, OpProfile, Session, SessionOptions
from edgeanim.targets.checks import (
    check_artifact,
    check_files,
    check_inputs,
    check_profiled,
    check_ran,
    check_settings,
    choose,
    own_session,
    runtime_errors,
)
from edgeanim.targets.profile import COMPUTE, LAYOUT, ExecutedOp, summarize

if TYPE_CHECKING:
    from pathlib import Path

    from edgeanim.targets.board import Board

_DEVICES = {"cpu": "cpu", "cuda": "cuda"}
_PACKAGES = ("torch", "onnx", "onnxruntime")
_FOR_NO_BOARD = "The float32 reference: for no board."
_LAYOUTS = ("permute", "transpose", "contiguous", "copy_", "clone", "_to_copy", "to", "reorder")


class Torch:
    """Setting: `device` (cpu, cuda). On a GPU, TF32 is off: float32 means float32."""

    name: ClassVar[str] = "torch"
    extra: ClassVar[str] = "compress"
    int8_scheme: ClassVar[str | None] = None
    floats: ClassVar[tuple[FloatPrecision, ...]] = (FLOAT32,)
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    through_torch: ClassVar[Literal[True]] = True

    def available(self) -> Availability:
        # Importing PyTorch takes seconds; whoever lists the backends should not wait for it.
        if missing := [name for name in _PACKAGES if not installed(name)]:
            reason = f"The package {missing[0]!r} is not installed."
            return Availability(reason=reason, note=_FOR_NO_BOARD)
        return Availability(version=importlib.metadata.version("torch"), note=_FOR_NO_BOARD)

    def accepts(self, scheme: str) -> bool:
        return scheme == FLOAT32

    def compile(self, artifact: GraphArtifact, board: Board, out: Path) -> CompiledGraph:
        check_artifact(artifact, self)
        require(f"The backend {self.name!r}", *_PACKAGES, extra=self.extra)
        from edgeanim.graph.reading.read import read_onnx

        path = inside(out, f"{artifact.spec.name}.onnx")
        # With its weights inline: external ones would stay behind.
        write_bytes(path, read_onnx(artifact.path).SerializeToString(deterministic=True))
        graph = CompiledGraph.unchanged(self.name, artifact, path)
        # Loading it here names an op that cannot be brought over now, not later.
        self.load(graph, SessionOptions(settings=board.backend(self.name).settings)).close()
        return graph

    def load(self, graph: CompiledGraph, options: SessionOptions) -> Session:
        check_settings(self.name, options.settings, ("device",))
        check_files(graph, self)
        device = choose(self.name, "device", options.settings.get("device", "cpu"), _DEVICES)
        require(f"The backend {self.name!r}", *_PACKAGES, extra=self.extra)
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceFailed(
                "PyTorch finds no NVIDIA GPU here.",
                hint="Install a build of PyTorch with CUDA, or set device = 'cpu'.",
            )
        return _TorchSession(torch, graph, device, options)

    def executed_precision(self, session: Session) -> OpProfile:
        return own_session(session, _TorchSession).op_profile()


class _TorchSession:
    """A loaded graph. The number of threads is that of the whole process: PyTorch has no other."""

    def __init__(
        self, torch: Any, graph: CompiledGraph, device: str, options: SessionOptions
    ) -> None:
        from edgeanim.graph.pytorch.to_torch import import_torch

        self.spec: GraphSpec = graph.spec
        self._torch, self._device = torch, device
        path = graph.files[0]
        with quiet():
            imported = import_torch(path)
        self._inputs = [_index(imported.input_names, t, graph, path) for t in graph.spec.inputs]
        self._outputs = [_index(imported.output_names, t, graph, path) for t in graph.spec.outputs]
        for tensor, index in zip(graph.spec.inputs, self._inputs, strict=True):
            if imported.input_shapes[index] != tensor.shape:
                raise BadInput(
                    f"{tensor.name!r} should be {list(tensor.shape)}; "
                    f"the file has {list(imported.input_shapes[index])}.",
                    where=path,
                )
        torch.set_num_threads(options.threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        with runtime_errors("PyTorch cannot place it", path):
            self._module: Any = imported.module.to(device)
        self._profiling = options.profile
        self._executed: list[ExecutedOp] = []
        self._runs = 0

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = check_inputs(self.spec, inputs)
        with runtime_errors("PyTorch could not run it", self.spec.name):
            made = self._profiled(arrays) if self._profiling else self._forward(arrays)
        return {
            tensor.name: made[index]
            for tensor, index in zip(self.spec.outputs, self._outputs, strict=True)
        }

    def close(self) -> None:
        self._module = None

    def op_profile(self) -> OpProfile:
        """What the runs so far executed, by PyTorch's own profiler."""
        check_profiled(self._profiling)
        check_ran(self._runs > 0)
        detail = f"PyTorch's own profile of {self._runs} runs on the {self._device}."
        return summarize(self._executed, basis="time", detail=detail, runs=self._runs)

    def _forward(self, arrays: list[Array]) -> list[Array]:
        torch = self._torch
        given: list[Any] = [None] * len(arrays)
        for index, array in zip(self._inputs, arrays, strict=True):
            given[index] = torch.from_numpy(array).to(self._device)
        with torch.inference_mode():
            made = self._module(*given)
        # Fetching the outputs waits for the GPU.
        return [value.cpu().numpy() for value in made]

    def _profiled(self, arrays: list[Array]) -> list[Array]:
        profiler = self._torch.profiler
        activities = [profiler.ProfilerActivity.CPU]
        if self._device == "cuda":
            activities.append(profiler.ProfilerActivity.CUDA)
        with quiet(), profiler.profile(activities=activities) as profile:
            made = self._forward(arrays)
        on_gpu = self._device == "cuda"
        for event in profile.key_averages():
            cost = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            if cost > 0:
                name = event.key.removeprefix("aten::")
                kind = LAYOUT if name in _LAYOUTS else COMPUTE
                share = cost / event.count
                self._executed += [ExecutedOp(name, FLOAT32, kind, share)] * event.count
        self._runs += 1
        return made


def _index(names: tuple[str, ...], tensor: TensorSpec, graph: CompiledGraph, path: Path) -> int:
    name = graph.bindings.get(tensor.name, tensor.name)
    if name not in names:
        raise BadInput(f"The file has no {name!r}, which is to be {tensor.name!r}.", where=path)
    return names.index(name)


BACKEND = Torch()
