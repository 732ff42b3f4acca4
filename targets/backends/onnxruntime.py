"""ONNX Runtime on the CPU: float32 ONNX, and INT8 as QDQ pairs that it fuses into QLinear ops."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from edgeanim.core.artifact import (
    FLOAT32,
    Array,
    CompiledGraph,
    FloatPrecision,
    GraphArtifact,
)
from edgeanim.core.contract import GraphSpec
from edgeanim.core.errors import BadInput, MissingComponent, disk_errors, first_line
from edgeanim.core.files import atomic_path, inside
from edgeanim.core.native import native_name
from edgeanim.core.packages import require
from edgeanim.core.quiet import quiet
from edgeanim.core.scratch import scratch_folder
from edgeanim.targets.backends.base import (
    Availability,
    Interface,
    NodeTime,
    OpProfile,
    Port,
    Session,
    SessionOptions,
)
from edgeanim.targets.checks import (
    check_artifact,
    check_files,
    check_inputs,
    check_profiled,
    check_settings,
    choose,
    own_session,
    runtime_errors,
    unlike_contract,
)
from edgeanim.targets.io_numbers import decoded, encoded, numbers_of
from edgeanim.targets.lowering import lowered_for_onnxruntime
from edgeanim.targets.ort_trace import TracedNode, read_trace
from edgeanim.targets.overflow import fill_8_bits
from edgeanim.targets.profile import summarize

if TYPE_CHECKING:
    from edgeanim.targets.board import Board

# What TensorRT wants; slower here than float32, but the same numbers.
_SIGNED = "tensorrt-qdq"
_SWITCH = {"on": "1", "off": "0"}
_OUTSIDE = "Out of range value in index tensor"
"""What ONNX Runtime says of a look-up outside. A lowered warp has none, but of NaN."""
# It rounds the kernel of a convolution that is in float by itself, if only the values around it are
# in 8 bits: what was kept in float would not be.
_OWN_ROUNDING = "WeightBiasQuantization"
_LEVELS = ("all", "extended", "basic", "off")
_SETTINGS = ("optimization", "spinning", "arena")
_INT8_OPS = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv"),
    *("QLinearMatMul", "ConvInteger", "MatMulInteger", "QGemm"),
)
_NUMPY = {"float": "float32", "double": "float64"}


class OnnxRuntime:
    """Settings: `optimization` (all, extended, basic, off), `spinning` and `arena` (on, off)."""

    name: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str] = "onnxruntime"
    int8_scheme: ClassVar[str | None] = "onnx-qdq"
    floats: ClassVar[tuple[FloatPrecision, ...]] = (FLOAT32,)
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def available(self) -> Availability:
        try:
            ort = _runtime()
        except MissingComponent as error:
            return Availability(reason=error.what)
        if "CPUExecutionProvider" not in ort.get_available_providers():
            return Availability(reason="This build of ONNX Runtime has no CPU provider.")
        return Availability(version=ort.__version__)

    def accepts(self, scheme: str) -> bool:
        return scheme in (FLOAT32, self.int8_scheme, _SIGNED)

    def compile(self, artifact: GraphArtifact, board: Board, out: Path) -> CompiledGraph:
        check_artifact(artifact, self)
        path = inside(out, f"{artifact.spec.name}.onnx")
        model = lowered_for_onnxruntime(artifact.path)
        with atomic_path(path) as partial:
            partial.write_bytes(model.SerializeToString())
        graph = replace(
            CompiledGraph.unchanged(self.name, artifact, path),
            needs_vnni=artifact.scheme == self.int8_scheme and fill_8_bits(_int8_weights(model)),
        )
        # Loading it here names an op that this runtime lacks now, not on the board.
        self.load(graph, SessionOptions(settings=board.backend(self.name).settings)).close()
        return graph

    def load(self, graph: CompiledGraph, options: SessionOptions) -> Session:
        check_settings(self.name, options.settings, _SETTINGS)
        check_files(graph, self)
        return _OnnxSession(_runtime(), graph, options)

    def interface(self, path: Path) -> Interface:
        ort = _runtime()
        session = _create(ort, path, native_options(ort, SessionOptions()))
        return Interface(
            inputs=tuple(_port(node, path) for node in session.get_inputs()),
            outputs=tuple(_port(node, path) for node in session.get_outputs()),
            precision="int8" if _names_an_int8_op(path) else "float32",
        )

    def executed_precision(self, session: Session) -> OpProfile:
        return own_session(session, _OnnxSession).op_profile()

    def node_times(self, session: Session) -> tuple[NodeTime, ...]:
        nodes = own_session(session, _OnnxSession).nodes()
        return tuple(NodeTime((node.name,), node.op.kind, node.op.cost) for node in nodes)


def _runtime() -> Any:
    require(f"The backend {OnnxRuntime.name!r}", "onnxruntime", extra=OnnxRuntime.extra)
    import onnxruntime as ort

    ort.disable_telemetry_events()
    return ort


class _OnnxSession:
    """A loaded graph. With profiling on, the runtime writes its trace into a temporary folder."""

    def __init__(self, ort: Any, graph: CompiledGraph, options: SessionOptions) -> None:
        self.spec: GraphSpec = graph.spec
        self._forget_trace: Callable[[], object] | None = None
        self._nodes: list[TracedNode] | None = None
        session_options = native_options(ort, options)
        if options.profile:
            held = ExitStack()
            folder = held.enter_context(scratch_folder("trace"))
            # Also for a session that is dropped, or open when the process ends.
            self._forget_trace = weakref.finalize(self, held.close)
            session_options.enable_profiling = True
            session_options.profile_file_prefix = str(folder / "trace")
        path = graph.files[0]
        try:
            self._session = _create(ort, path, session_options)
            self._inputs = _bound(graph.spec.inputs, graph, self._session.get_inputs(), path)
            self._outputs = _bound(graph.spec.outputs, graph, self._session.get_outputs(), path)
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = check_inputs(self.spec, inputs)
        feed = {
            port.name: encoded(port.numbers, array)
            for port, array in zip(self._inputs, arrays, strict=True)
        }
        name = self.spec.name
        with runtime_errors("ONNX Runtime could not run it", name), _lookups_told(name):
            results = self._session.run([port.name for port in self._outputs], feed)
        return {
            tensor.name: decoded(port.numbers, made)
            for tensor, port, made in zip(self.spec.outputs, self._outputs, results, strict=True)
        }

    def close(self) -> None:
        self._session = None
        if self._forget_trace is not None:
            self._forget_trace()
            self._forget_trace = None

    def op_profile(self) -> OpProfile:
        """What executed; see `nodes`."""
        return summarize(
            [node.op for node in self.nodes()],
            basis="time",
            detail="ONNX Runtime's own trace: the median kernel time of each op after graph "
            "optimisation.",
        )

    def nodes(self) -> list[TracedNode]:
        """Ends the runtime's own profiling at the first call; later runs are not counted."""
        if self._nodes is None:
            check_profiled(self._forget_trace is not None and self._session is not None)
            trace = Path(self._session.end_profiling())
            self._nodes = read_trace(json.loads(trace.read_text(encoding="utf-8")))
        return self._nodes


def native_options(ort: Any, options: SessionOptions) -> Any:
    """`options` as an `onnxruntime.SessionOptions`; `ort` is that module."""
    settings = options.settings
    levels = dict(
        zip(
            _LEVELS,
            (
                ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
                ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
                ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
                ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
            ),
            strict=True,
        )
    )
    name = OnnxRuntime.name
    made = ort.SessionOptions()
    made.intra_op_num_threads = options.threads
    made.inter_op_num_threads = 1
    made.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    made.log_severity_level = 4
    level = settings.get("optimization", "all")
    made.graph_optimization_level = choose(name, "optimization", level, levels)
    # Spinning wins microseconds and burns a small board's whole thermal budget between frames.
    spinning = choose(name, "spinning", settings.get("spinning", "off"), _SWITCH)
    made.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    made.enable_cpu_mem_arena = choose(name, "arena", settings.get("arena", "on"), _SWITCH) == "1"
    return made


def _create(ort: Any, path: Path, options: Any) -> Any:
    """A session; a file that does not parse is `BadInput`, one that is refused `DeviceFailed`."""
    errors = ort.capi.onnxruntime_pybind11_state
    with runtime_errors("ONNX Runtime refuses this graph", path):
        try:
            with native_name(path) as name, quiet():
                return ort.InferenceSession(
                    name,
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=[_OWN_ROUNDING],
                )
        except (
            errors.InvalidProtobuf,
            errors.InvalidGraph,
            errors.NoModel,
            errors.Fail,
            errors.InvalidArgument,
        ) as error:
            raise BadInput(
                f"This is not a usable ONNX graph: {first_line(error)}", where=path
            ) from error


def _bound(tensors: Any, graph: CompiledGraph, found: Any, path: Path) -> list[Port]:
    """Each contract tensor in the file, checked against its shape and type there."""
    there = {node.name: node for node in found}
    ports = []
    for tensor in tensors:
        node = there.get(graph.bindings.get(tensor.name, tensor.name))
        port = None if node is None or tuple(node.shape) != tensor.shape else _port(node, path)
        if port is None or not port.is_known:
            has = "nothing" if node is None else f"{node.type} {node.shape}"
            raise unlike_contract(tensor, has, path)
        ports.append(port)
    return ports


def _port(node: Any, path: Path) -> Port:
    if not node.shape or not all(isinstance(size, int) and size > 0 for size in node.shape):
        raise BadInput(
            f"The shape {node.shape} of {node.name!r} is not fixed.",
            where=path,
            hint="Export the model with a fixed shape, [1] for a single number.",
        )
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    dtype = _NUMPY.get(kind, kind)
    return Port(node.name, tuple(node.shape), dtype, numbers_of(dtype))


def _int8_weights(model: Any) -> Iterator[NDArray[Any]]:
    from onnx import TensorProto, numpy_helper

    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.INT8:
            yield numpy_helper.to_array(tensor)


def _names_an_int8_op(path: Path) -> bool:
    """Whether a node of the file is of a quantised op, told from the protobuf's bytes.

    A board has no ONNX package to parse it with. `op_type` is field 4 of a node: a tag byte, the
    length, the name.
    """
    with disk_errors(path):
        content = path.read_bytes()
    return any(b"\x22" + bytes([len(op)]) + op.encode() in content for op in _INT8_OPS)


@contextmanager
def _lookups_told(where: str) -> Iterator[None]:
    """A look-up outside is the graph's fault, and not that of what runs it: `BadInput`."""
    try:
        yield
    except Exception as error:
        if _OUTSIDE not in str(error):
            raise
        raise BadInput(
            "A warp in this graph, or another look-up, has positions that are NaN or outside.",
            where=where,
            hint="Look for a division by zero, or a logarithm of it. PyTorch's exporter drops what "
            "is added against that if it is 1e-8 or less; `edgeanim export` keeps it.",
        ) from error


BACKEND = OnnxRuntime()
