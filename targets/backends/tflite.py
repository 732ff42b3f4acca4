"""TFLite on the CPU: ai-edge-litert, or the outdated tflite-runtime where only that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgeanim.core.artifact import (
    FLOAT32,
    Array,
    CompiledGraph,
    FloatPrecision,
    GraphArtifact,
)
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, MissingComponent, disk_errors
from edgeanim.core.files import inside, write_bytes
from edgeanim.targets.backends.base import (
    Availability,
    Interface,
    OpProfile,
    Session,
    SessionOptions,
)
from edgeanim.targets.checks import (
    check_artifact,
    check_files,
    check_inputs,
    check_ran,
    check_settings,
    choose,
    own_session,
    runtime_errors,
    unlike_contract,
)
from edgeanim.targets.io_numbers import decoded, encoded
from edgeanim.targets.profile import summarize
from edgeanim.targets.tflite_graph import (
    OUTDATED,
    FileTensor,
    delegated_parts,
    executed_ops,
    file_tensors,
    find_runtime,
    has_8_bit_ops,
    open_interpreter,
)

if TYPE_CHECKING:
    from edgeanim.targets.board import Board

_SETTINGS = ("xnnpack",)
_SWITCH = {"on": True, "off": False}
_OUTDATED_NOTE = (
    "tflite-runtime stopped at 2.14 and its INT8 is several times slower than its successor's: "
    "install edgeanim[tflite] if this machine can."
)


class TfLite:
    """Settings: `xnnpack` (on, off) for the accelerated kernels that the runtime has by default."""

    name: ClassVar[str] = "tflite"
    extra: ClassVar[str] = "tflite"
    int8_scheme: ClassVar[str | None] = "tflite-int8"
    floats: ClassVar[tuple[FloatPrecision, ...]] = (FLOAT32,)
    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)
    # XNNPACK's tiles of float32 are two vectors wide on AVX2 and on Arm.
    output_vectors: ClassVar[int] = 2
    through_torch: ClassVar[Literal[True]] = True

    def available(self) -> Availability:
        try:
            _, runtime = find_runtime()
        except MissingComponent as error:
            return Availability(reason=error.what)
        outdated = runtime == OUTDATED
        version = metadata.version(runtime.package)
        return Availability(
            version=f"{runtime.package} {version}" if outdated else version,
            note=_OUTDATED_NOTE if outdated else None,
        )

    def accepts(self, scheme: str) -> bool:
        return scheme in (FLOAT32, self.int8_scheme)

    def get_ready(self) -> None:
        from edgeanim.targets import litert

        litert.get_ready()

    def compile(self, artifact: GraphArtifact, board: Board, out: Path) -> CompiledGraph:
        check_artifact(artifact, self)
        path = inside(out, f"{artifact.spec.name}.tflite")
        if artifact.scheme == FLOAT32:
            from edgeanim.targets.litert import convert

            convert(artifact.path, artifact.spec, path)
        else:
            with disk_errors(artifact.path):
                write_bytes(path, artifact.path.read_bytes())
        graph = self.describe(path, artifact)
        self.load(graph, SessionOptions(settings=board.backend(self.name).settings)).close()
        return graph

    def describe(self, path: Path, artifact: GraphArtifact) -> CompiledGraph:
        """The compiled file `path` of `artifact`: whose tensor is whose, and in what layout."""
        interpreter = open_interpreter(path)
        spec = artifact.spec
        inputs = _match(spec.inputs, file_tensors(interpreter, "input"), path)
        outputs = _match(spec.outputs, file_tensors(interpreter, "output"), path)
        return CompiledGraph(
            backend=self.name,
            precision=artifact.precision,
            scheme=artifact.scheme,
            spec=replace(
                spec,
                inputs=tuple(tensor for tensor, _ in inputs),
                outputs=tuple(tensor for tensor, _ in outputs),
            ),
            files=(path,),
            bindings={tensor.name: name for tensor, name in (*inputs, *outputs)},
            floats=artifact.floats,
        )

    def load(self, graph: CompiledGraph, options: SessionOptions) -> Session:
        check_settings(self.name, options.settings, _SETTINGS)
        check_files(graph, self)
        return _TfLiteSession(graph, options)

    def interface(self, path: Path) -> Interface:
        interpreter = open_interpreter(path)
        return Interface(
            inputs=tuple(file_tensors(interpreter, "input")),
            outputs=tuple(file_tensors(interpreter, "output")),
            precision="int8" if has_8_bit_ops(interpreter) else "float32",
        )

    def executed_precision(self, session: Session) -> OpProfile:
        return own_session(session, _TfLiteSession).op_profile()


def _match(
    tensors: Sequence[TensorSpec], found: Sequence[FileTensor], path: Path
) -> list[tuple[TensorSpec, str]]:
    """Each contract tensor in the layout of the file, with the file's name for it.

    A converted file calls its tensors `args_0`, `output_0` and so on, in the order of the contract.
    """
    if len(tensors) != len(found):
        raise BadInput(f"{len(tensors)} tensors are meant, the file has {len(found)}.", where=path)
    by_name = {name: tensor for tensor in found for name in (tensor.argument, tensor.name) if name}
    matched = []
    for position, tensor in enumerate(tensors):
        generic = (tensor.name, f"args_{position}", f"output_{position}")
        there = next((by_name[name] for name in generic if name in by_name), found[position])
        layouts = (tensor.in_layout("NHWC"), tensor)
        fitting = next((spec for spec in layouts if spec.shape == there.shape), None)
        if fitting is None:
            raise BadInput(
                f"{tensor.name!r} should have the shape {list(layouts[0].shape)}; "
                f"the file has {list(there.shape)}.",
                where=path,
            )
        matched.append((fitting, there.name))
    return matched


class _TfLiteSession:
    """An interpreter whose tensors are set and got by index."""

    def __init__(self, graph: CompiledGraph, options: SessionOptions) -> None:
        self.spec: GraphSpec = graph.spec
        path = graph.files[0]
        self._interpreter = open_interpreter(
            path,
            threads=options.threads,
            xnnpack=choose(TfLite.name, "xnnpack", options.settings.get("xnnpack", "on"), _SWITCH),
        )
        self._inputs = _found(graph.spec.inputs, graph, self._interpreter, "input", path)
        self._outputs = _found(graph.spec.outputs, graph, self._interpreter, "output", path)
        self._runs = 0

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = check_inputs(self.spec, inputs)
        with runtime_errors("TFLite could not run it", self.spec.name):
            for there, array in zip(self._inputs, arrays, strict=True):
                self._interpreter.set_tensor(there.index, encoded(there.numbers, array))
            self._interpreter.invoke()
            self._runs += 1
            return {
                tensor.name: decoded(there.numbers, self._interpreter.get_tensor(there.index))
                for tensor, there in zip(self.spec.outputs, self._outputs, strict=True)
            }

    def close(self) -> None:
        self._interpreter = None

    def op_profile(self) -> OpProfile:
        check_ran(self._runs > 0)
        ops = executed_ops(self._interpreter)
        taken = delegated_parts(self._interpreter)
        return summarize(
            ops,
            basis="macs",
            detail="TFLite's Python interpreter times no ops. Shares are of multiply-accumulates, "
            "with one for each output element of every other op. The precision is that of the "
            f"tensors which the loaded graph allocated; XNNPACK took {taken} parts of it.",
        )


def _found(
    tensors: Sequence[TensorSpec], graph: CompiledGraph, interpreter: Any, side: str, path: Path
) -> list[FileTensor]:
    """Each contract tensor in the file, checked against its shape and type there."""
    found = {tensor.name: tensor for tensor in file_tensors(interpreter, side)}
    chosen = []
    for tensor in tensors:
        there = found.get(graph.bindings.get(tensor.name, tensor.name))
        if there is None or there.shape != tensor.shape or not there.is_known:
            has = "nothing" if there is None else f"{there.dtype} {list(there.shape)}"
            raise unlike_contract(tensor, has, path)
        chosen.append(there)
    return chosen


BACKEND = TfLite()
