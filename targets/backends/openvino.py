"""OpenVINO on the CPU: float32 in true float32, bfloat16 and float16 where the processor multiplies
them, and INT8 from NNCF's FakeQuantize graphs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import (
    FLOAT32,
    Array,
    CompiledGraph,
    FloatPrecision,
    GraphArtifact,
)
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed, MissingComponent
from edgeanim.core.files import inside
from edgeanim.core.packages import require
from edgeanim.core.quiet import quiet
from edgeanim.core.signals import own_signal_stack
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
    check_ran,
    check_settings,
    own_session,
    runtime_errors,
    unlike_contract,
)
from edgeanim.targets.io_numbers import Numbers, encoded, numbers_of
from edgeanim.targets.lowering import lowered_for_openvino
from edgeanim.targets.openvino_ir import save_ir, with_features_innermost
from edgeanim.targets.openvino_reading import read_model
from edgeanim.targets.openvino_skips import settings_for
from edgeanim.targets.openvino_trace import executed
from edgeanim.targets.overflow import fill_8_bits
from edgeanim.targets.profile import ExecutedOp, summarize

if TYPE_CHECKING:
    from edgeanim.targets.board import Board

_PRECISION = "INFERENCE_PRECISION_HINT"
_HINTS: Mapping[FloatPrecision, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_CAPABILITIES = {"bfloat16": "BF16", "float16": "FP16"}
_PINNING = "ENABLE_CPU_PINNING"
_SETTINGS = (
    _PINNING,
    "ENABLE_HYPER_THREADING",
    "SCHEDULING_CORE_TYPE",
    "CPU_DENORMALS_OPTIMIZATION",
)


class OpenVino:
    """Settings: OpenVINO's own property names.

    Left to itself, OpenVINO computes in bf16 or fp16 wherever the processor has it. Here a graph
    computes in the floats that it was compiled for, and in no others: where the processor does not
    have them, `load` raises `DeviceFailed`.
    """

    name: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    int8_scheme: ClassVar[str | None] = "openvino-int8"
    floats: ClassVar[tuple[FloatPrecision, ...]] = tuple(_HINTS)
    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".bin")

    def available(self) -> Availability:
        try:
            ov = _runtime()
            with own_signal_stack(), quiet():
                devices = ov.Core().available_devices
        except MissingComponent as error:
            return Availability(reason=error.what)
        except RuntimeError as error:
            return Availability(reason=f"OpenVINO does not start: {error}")
        if "CPU" not in devices:
            return Availability(reason="This build of OpenVINO has no CPU plugin.")
        return Availability(version=str(ov.__version__).split("-")[0])

    def accepts(self, scheme: str) -> bool:
        return scheme in (FLOAT32, self.int8_scheme)

    def compile(self, artifact: GraphArtifact, board: Board, out: Path) -> CompiledGraph:
        check_artifact(artifact, self)
        ov, path = _runtime(), artifact.path
        lowered = lowered_for_openvino(path) if path.suffix == ".onnx" else None
        with runtime_errors("OpenVINO cannot read this graph", path, damaged=True), quiet():
            model = read_model(lowered, path) if lowered else ov.Core().read_model(str(path))
        bindings = {
            **_bindings(artifact.spec.inputs, model.inputs, path),
            **_bindings(artifact.spec.outputs, model.outputs, path),
        }
        needs_vnni = artifact.scheme == self.int8_scheme and fill_8_bits(_int8_weights(model))
        model, spec = with_features_innermost(model, artifact.spec, bindings)
        xml = inside(out, f"{artifact.spec.name}.xml")
        save_ir(model, xml)
        graph = CompiledGraph(
            backend=self.name,
            precision=artifact.precision,
            scheme=artifact.scheme,
            spec=spec,
            files=(xml, xml.with_suffix(".bin")),
            bindings=bindings,
            floats=artifact.floats,
            needs_vnni=needs_vnni,
        )
        # Compiling it here names an op that this runtime lacks now, not on the board; in float32,
        # since the board may have floats that this machine has not.
        options = SessionOptions(settings=board.backend(self.name).settings)
        self.load(replace(graph, floats=FLOAT32), options).close()
        return graph

    def load(self, graph: CompiledGraph, options: SessionOptions) -> Session:
        check_settings(self.name, options.settings, _SETTINGS)
        check_files(graph, self)
        return _OpenVinoSession(_runtime(), graph, options)

    def interface(self, path: Path) -> Interface:
        with runtime_errors("This is not a usable OpenVINO graph", path, damaged=True), quiet():
            model = _runtime().Core().read_model(str(path))
        quantized = any(_is_quantized(node) for node in model.get_ops())
        return Interface(
            inputs=tuple(_port(port, path) for port in model.inputs),
            outputs=tuple(_port(port, path) for port in model.outputs),
            precision="int8" if quantized else "float32",
        )

    def executed_precision(self, session: Session) -> OpProfile:
        return own_session(session, _OpenVinoSession).op_profile()

    def node_times(self, session: Session) -> tuple[NodeTime, ...]:
        nodes = own_session(session, _OpenVinoSession).nodes()
        return tuple(NodeTime(tuple(names.split(",")), op.kind, op.cost) for names, op in nodes)


def _runtime() -> Any:
    require(f"The backend {OpenVino.name!r}", "openvino", extra=OpenVino.extra)
    import openvino

    return openvino


def _int8_weights(model: Any) -> Iterator[NDArray[Any]]:
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "i8":
            yield node.data


def capabilities(core: Any) -> Collection[str]:
    """What OpenVINO says that this processor computes in, in its own words."""
    with quiet():
        found: Collection[str] = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def _check_capable(core: Any, graph: CompiledGraph) -> None:
    """`DeviceFailed` if this processor has not the graph's floats: OpenVINO would take others."""
    if graph.floats != FLOAT32 and _CAPABILITIES[graph.floats] not in capabilities(core):
        raise DeviceFailed(
            f"OpenVINO does not compute in {graph.floats} on this processor.",
            where=graph.spec.name,
            hint="Use the float32 or the INT8 variant.",
        )


def _bindings(tensors: tuple[TensorSpec, ...], ports: Any, path: Path) -> dict[str, str]:
    """Contract name to the file's name: the same where the file knows it, else by position among
    those that are left."""
    if len(ports) != len(tensors):
        raise BadInput(f"{len(tensors)} tensors are meant, the file has {len(ports)}.", where=path)
    known = {name for port in ports for name in port.get_names()}
    names = {tensor.name for tensor in tensors}
    left = (port.get_any_name() for port in ports if names.isdisjoint(port.get_names()))
    return {t.name: t.name if t.name in known else next(left) for t in tensors}


class _OpenVinoSession:
    """A compiled model with one infer request, whose output tensors are reused by each run."""

    @own_signal_stack()
    def __init__(self, ov: Any, graph: CompiledGraph, options: SessionOptions) -> None:
        self.spec: GraphSpec = graph.spec
        path = graph.files[0]
        core = ov.Core()
        _check_capable(core, graph)
        with runtime_errors("This is not a usable OpenVINO graph", path, damaged=True), quiet():
            model = core.read_model(str(path))
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(options.threads),
            _PRECISION: _HINTS[graph.floats],
            "PERF_COUNT": "YES" if options.profile else "NO",
            **({_PINNING: "NO"} if options.beside_others else {}),
            **settings_for(model),
            **options.settings,
        }
        with runtime_errors("OpenVINO refuses this graph", path), quiet():
            self._model = core.compile_model(model, "CPU", config)
            self._request = self._model.create_infer_request()
        self._profiled = options.profile
        self._runs = 0
        ports = _ports(graph.spec.inputs, graph, self._model.inputs, path)
        self._inputs = [
            _Input(ov, self._request, port, numbers, tensor.shape)
            for (port, numbers), tensor in zip(ports, graph.spec.inputs, strict=True)
        ]
        # Bound for good: results are then neither looked up nor wrapped anew in every run.
        self._results: dict[str, Array] = {}
        self._coded: dict[str, Numbers] = {}
        ports = _ports(graph.spec.outputs, graph, self._model.outputs, path)
        for tensor, (port, numbers) in zip(graph.spec.outputs, ports, strict=True):
            result = _tensor_for(ov, numbers, tensor.shape)
            self._request.set_output_tensor(port, result)
            self._results[tensor.name] = result.data
            if numbers is not None:
                self._coded[tensor.name] = numbers

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = check_inputs(self.spec, inputs)
        with runtime_errors("OpenVINO could not run it", self.spec.name):
            for taker, array in zip(self._inputs, arrays, strict=True):
                taker.take(array)
            self._request.infer(share_outputs=True)
            self._runs += 1
            floats = {
                name: numbers.decode(self._results[name]) for name, numbers in self._coded.items()
            }
            return {**self._results, **floats}

    def close(self) -> None:
        self._request = None
        self._model = None
        self._results, self._inputs = {}, []

    def op_profile(self) -> OpProfile:
        return summarize(
            [op for _, op in self.nodes()],
            basis="time",
            detail="OpenVINO's execution graph: mean time of each node in whole microseconds, "
            "the precision of its kernel. Fused ops count with the op that they were fused into.",
        )

    def nodes(self) -> list[tuple[str, ExecutedOp]]:
        """The nodes that did work: what each is, and the ops in it by name, joined by commas."""
        check_profiled(self._profiled)
        check_ran(self._runs > 0)
        found = []
        for node in self._model.get_runtime_model().get_ordered_ops():
            info = {key: str(node.rt_info[key].value) for key in node.rt_info.keys()}  # noqa: SIM118
            op = executed(info)
            if op is not None:
                found.append((info.get("originalLayersNames", ""), op))
        return found


class _Input:
    """An input of a request. What changes from run to run is copied into memory that stays bound,
    since binding takes some 30 us; an array that comes again (the features of a still, say) is
    bound itself and then costs nothing. What is to be other numbers is always copied."""

    def __init__(
        self, ov: Any, request: Any, port: int, numbers: Numbers | None, shape: tuple[int, ...]
    ) -> None:
        self._tensor, self._request, self._port = ov.Tensor, request, port
        self._numbers = numbers
        self._own = _tensor_for(ov, numbers, shape)
        self._memory: NDArray[Any] = self._own.data
        self._before: Array | None = None
        self._shared = True

    def take(self, array: Array) -> None:
        again, self._before = array is self._before and self._numbers is None, array
        if again and not self._shared:
            self._request.set_input_tensor(self._port, self._tensor(array, shared_memory=True))
        elif not again and self._shared:
            self._request.set_input_tensor(self._port, self._own)
        self._shared = again
        if not again:
            self._memory[:] = encoded(self._numbers, array)


def _tensor_for(ov: Any, numbers: Numbers | None, shape: tuple[int, ...]) -> Any:
    """Memory for an input or output of a graph."""
    kind = ov.Type.f32 if numbers is None else ov.Type(np.dtype(numbers.dtype))
    return ov.Tensor(kind, ov.Shape(shape))


def _ports(
    tensors: tuple[TensorSpec, ...], graph: CompiledGraph, ports: Any, path: Path
) -> list[tuple[int, Numbers | None]]:
    """The position of each contract tensor, checked against shape and type in the file, and what
    the numbers there stand for."""
    positions = []
    for tensor in tensors:
        name = graph.bindings.get(tensor.name, tensor.name)
        index = next((i for i, port in enumerate(ports) if name in port.get_names()), None)
        if index is None:
            raise BadInput(f"The file has no tensor {name!r}.", where=path)
        port = ports[index]
        shape, kind = port.partial_shape, port.element_type.get_type_name()
        numbers = numbers_of(np.dtype(port.element_type.to_dtype()).name)
        known = kind == "f32" or numbers is not None
        if not known or not shape.is_static or tuple(shape.to_shape()) != tensor.shape:
            raise unlike_contract(tensor, f"{kind} {shape}", path)
        positions.append((index, numbers))
    return positions


def _is_quantized(node: Any) -> bool:
    """A FakeQuantize, or weights that are stored in 8 bits."""
    if node.get_type_name() == "Constant":
        kind = node.get_element_type().get_type_name()
        return kind in ("i8", "u8") and len(node.get_output_shape(0)) > 1
    return bool(node.get_type_name() == "FakeQuantize")


def _port(port: Any, path: Path) -> Port:
    shape = port.partial_shape
    if not shape.is_static:
        raise BadInput(
            f"The shape {shape} of {port.get_any_name()!r} is not fixed.",
            where=path,
            hint="Fix the dynamic axes when converting the model.",
        )
    dtype = np.dtype(port.element_type.to_dtype()).name
    return Port(port.get_any_name(), tuple(shape.to_shape()), dtype, numbers_of(dtype))


BACKEND = OpenVino()
