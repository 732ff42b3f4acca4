"""One contract for all backends, ours and others', in every precision that they have."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import Array, CompiledGraph, FloatPrecision, GraphArtifact
from edgeanim.core.contract import GraphSpec
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.parsing import to_plain
from edgeanim.targets.backends import SessionOptions, backend_names, get_backend
from edgeanim.targets.backends.onnxruntime import native_options
from edgeanim.targets.board import load_board
from tests.targets.contract_inputs import SIZE, Case, inputs_for

# The fake backend computes nothing, and so has no parity to show.
COMPUTES = [name for name in backend_names() if name != "null"]

CHANNELS_INNERMOST = ("openvino", "tflite")


def result_of(spec: GraphSpec, outputs: dict[str, Array]) -> Array:
    (tensor,) = spec.outputs
    array = outputs[tensor.name]
    return array.transpose(0, 3, 1, 2) if tensor.layout == "NHWC" else array


def in_nchw(spec: GraphSpec) -> GraphSpec:
    """A compiled graph's spec with the layout that its ONNX had."""
    inputs, outputs = (
        tuple(tensor.in_layout("NCHW") for tensor in tensors)
        for tensors in (spec.inputs, spec.outputs)
    )
    return replace(spec, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize("name", COMPUTES)
def test_float_agrees_with_the_reference(
    name: str,
    compiled: Callable[..., CompiledGraph],
    reference: Callable[[dict[str, Array]], Array],
) -> None:
    graph = compiled(name, "float32")
    session = get_backend(name).load(graph, SessionOptions())
    for seed in range(3):
        inputs = inputs_for(graph.spec, seed)
        picture = {"image": np.random.default_rng(seed).random((1, 3, SIZE, SIZE), np.float32)}
        got = result_of(graph.spec, session.run(inputs))
        assert np.abs(got - reference(picture)).max() <= 1e-4


@pytest.mark.parametrize("name", COMPUTES)
def test_graphs_may_lie_where_names_are_not_utf8(
    name: str,
    compiled: Callable[..., CompiledGraph],
    reference: Callable[[dict[str, Array]], Array],
    tiny: Path,
    tmp_path: Path,
) -> None:
    """As they do in a store below such a folder."""
    backend = get_backend(name)
    odd = tmp_path / os.fsdecode(b"odd\xff")
    odd.mkdir()
    source = shutil.copy(tiny, odd / "tiny.onnx")
    artifact = GraphArtifact(in_nchw(compiled(name).spec), Path(source))
    graph = backend.compile(artifact, load_board("local"), odd / "compiled")
    session = backend.load(graph, SessionOptions())
    picture = {"image": np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)}
    got = result_of(graph.spec, session.run(inputs_for(graph.spec, 0)))
    assert np.abs(got - reference(picture)).max() <= 1e-4


@pytest.mark.parametrize("name", COMPUTES)
def test_features_that_graphs_hand_on_may_have_the_layout_of_the_backend(
    name: str,
    compiled: Callable[..., CompiledGraph],
    reference: Callable[[dict[str, Array]], Array],
    tiny: Path,
    tmp_path: Path,
) -> None:
    backend, plain = get_backend(name), in_nchw(compiled(name).spec)
    inputs, outputs = (
        tuple(replace(tensor, role=f"feature:{tensor.name}") for tensor in tensors)
        for tensors in (plain.inputs, plain.outputs)
    )
    spec = replace(plain, inputs=inputs, outputs=outputs)
    graph = backend.compile(GraphArtifact(spec, tiny), load_board("local"), tmp_path)
    layout = "NHWC" if name in CHANNELS_INNERMOST else "NCHW"
    assert {t.layout for t in (*graph.spec.inputs, *graph.spec.outputs)} == {layout}
    session = backend.load(graph, SessionOptions())
    picture = {"image": np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)}
    got = result_of(graph.spec, session.run(inputs_for(graph.spec)))
    assert np.abs(got - reference(picture)).max() <= 1e-4


HALVES = [(n, each) for n in COMPUTES for each in get_backend(n).floats if each != "float32"]


@pytest.mark.parametrize(("name", "floats"), HALVES)
def test_half_floats_are_near_float32_but_not_it(
    name: str, floats: str, compiled: Callable[..., CompiledGraph]
) -> None:
    results = {}
    for precision in ("float32", floats):
        graph = compiled(name, precision)
        assert graph.precision == precision
        session = get_backend(name).load(graph, SessionOptions())
        results[precision] = result_of(graph.spec, session.run(inputs_for(graph.spec)))
    difference = np.abs(results[floats] - results["float32"])
    assert 0 < difference.max() < 0.05


@pytest.mark.parametrize(("name", "floats"), HALVES)
def test_floats_that_the_processor_has_not_are_refused(
    name: str,
    floats: FloatPrecision,
    compiled: Callable[..., CompiledGraph],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked for bfloat16 on a processor without it, OpenVINO takes float32 and says nothing."""
    graph, backend = replace(compiled(name), floats=floats), get_backend(name)
    if floats in load_board("local").backend(name).floats(backend.floats):
        backend.load(graph, SessionOptions()).close()
    monkeypatch.setattr(f"edgeanim.targets.backends.{name}.capabilities", lambda _core: ())
    with pytest.raises(DeviceFailed, match=f"does not compute in {floats}"):
        backend.load(graph, SessionOptions())


@pytest.mark.parametrize("name", backend_names())
def test_floats_that_a_backend_does_not_know_are_refused(
    name: str, compiled: Callable[..., CompiledGraph], tiny: Path, tmp_path: Path
) -> None:
    backend, graph = get_backend(name), compiled(name)
    assert backend.floats[0] == "float32"
    for floats in {"bfloat16", "float16"} - set(backend.floats):
        with pytest.raises(UsageError, match=f"does not compute in {floats}"):
            backend.load(replace(graph, floats=floats), SessionOptions())
        with pytest.raises(UsageError, match=f"does not compute in {floats}"):
            artifact = GraphArtifact(graph.spec, tiny, floats=floats)
            backend.compile(artifact, load_board("local"), tmp_path)


@pytest.mark.parametrize("name", [n for n in COMPUTES if get_backend(n).int8_scheme])
def test_int8_is_near_float_but_not_it(name: str, compiled: Callable[..., CompiledGraph]) -> None:
    results = {}
    for precision in ("float32", "int8"):
        graph = compiled(name, precision)
        session = get_backend(name).load(graph, SessionOptions())
        results[precision] = result_of(graph.spec, session.run(inputs_for(graph.spec)))
    difference = np.abs(results["int8"] - results["float32"])
    assert 1e-4 < difference.max() < 0.2
    assert difference.mean() < 0.02


def test_outputs_have_the_names_shapes_and_dtype_of_the_spec(case: Case) -> None:
    backend, graph = case
    session = backend.load(graph, SessionOptions())
    outputs = session.run(inputs_for(session.spec))
    assert session.spec == graph.spec
    assert set(graph.bindings) == {"image", "result"}
    assert [(n, a.shape, a.dtype) for n, a in outputs.items()] == [
        (t.name, t.shape, np.dtype(np.float32)) for t in session.spec.outputs
    ]
    assert [t.role for t in session.spec.inputs] == ["driving_frame"]
    assert session.spec.inputs[0].size == (SIZE, SIZE)


def test_the_same_input_gives_the_same_output(case: Case) -> None:
    backend, graph = case
    session = backend.load(graph, SessionOptions())
    first = result_of(graph.spec, session.run(inputs_for(graph.spec, 1))).copy()
    other = result_of(graph.spec, session.run(inputs_for(graph.spec, 2))).copy()
    again = result_of(graph.spec, session.run(inputs_for(graph.spec, 1)))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_inputs_are_not_changed(case: Case) -> None:
    backend, graph = case
    session = backend.load(graph, SessionOptions())
    inputs = inputs_for(graph.spec)
    before = {name: array.copy() for name, array in inputs.items()}
    session.run(inputs)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])


def test_every_run_sees_its_inputs_as_they_are_now(case: Case) -> None:
    """Whatever a session keeps bound: an array changed in place, another one, and one that may
    not be written to while what it is a view of changes."""
    backend, graph = case
    session = backend.load(graph, SessionOptions())
    (tensor,) = graph.spec.inputs

    def run(array: Array) -> Array:
        return result_of(graph.spec, session.run({tensor.name: array})).copy()

    one, two = (inputs_for(graph.spec, seed)[tensor.name] for seed in (1, 2))
    want_one, want_two = run(one), run(two)
    changing = one.copy()
    np.testing.assert_array_equal(run(changing), want_one)
    for values, want in ((two, want_two), (one, want_one), (two, want_two)):
        changing[:] = values
        np.testing.assert_array_equal(run(changing), want)
    locked = changing.view()
    locked.flags.writeable = False
    np.testing.assert_array_equal(run(locked), want_two)
    changing[:] = one
    np.testing.assert_array_equal(run(locked), want_one)
    np.testing.assert_array_equal(run(two), want_two)


def test_a_view_that_is_not_contiguous_is_taken(case: Case) -> None:
    backend, graph = case
    session = backend.load(graph, SessionOptions())
    (tensor,) = graph.spec.inputs
    array = inputs_for(graph.spec)[tensor.name]
    want = result_of(graph.spec, session.run({tensor.name: array})).copy()
    backwards = np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    assert not backwards.flags.c_contiguous
    np.testing.assert_array_equal(
        result_of(graph.spec, session.run({tensor.name: backwards})), want
    )


def test_two_sessions_at_once_do_not_disturb_each_other(case: Case) -> None:
    backend, graph = case
    one, two = (backend.load(graph, SessionOptions()) for _ in range(2))
    from_one = result_of(graph.spec, one.run(inputs_for(graph.spec, 1)))
    kept = from_one.copy()
    two.run(inputs_for(graph.spec, 2))
    np.testing.assert_array_equal(from_one, kept)
    two.close()
    np.testing.assert_array_equal(result_of(graph.spec, one.run(inputs_for(graph.spec, 1))), kept)


@pytest.mark.parametrize(("settings", "spins"), [({}, "0"), ({"spinning": "on"}, "1")])
def test_onnxruntimes_threads_do_not_spin_while_they_wait_unless_asked_to(
    settings: dict[str, str], spins: str
) -> None:
    made = native_options(pytest.importorskip("onnxruntime"), SessionOptions(settings=settings))
    assert made.get_session_config_entry("session.intra_op.allow_spinning") == spins


def test_more_threads_give_the_same_picture(case: Case) -> None:
    backend, graph = case
    inputs = inputs_for(graph.spec)
    one, two = (
        result_of(graph.spec, backend.load(graph, SessionOptions(threads=n)).run(inputs)).copy()
        for n in (1, 2)
    )
    assert np.abs(one - two).max() <= 1e-5


@pytest.mark.parametrize(
    ("wrong", "error", "names"),
    [
        (lambda _: {}, UsageError, "image"),
        (lambda a: {"image": a, "extra": a}, UsageError, "extra"),
        (lambda a: {"imag": a}, UsageError, "image"),
        (lambda a: {"image": a.astype(np.float64)}, BadInput, "float64"),
        (lambda a: {"image": (a * 255).astype(np.uint8)}, BadInput, "uint8"),
        (lambda a: {"image": a[:, :-1]}, BadInput, "shape"),
        (lambda a: {"image": a[0]}, BadInput, "shape"),
        (lambda a: {"image": a.tolist()}, BadInput, "list"),
    ],
    ids=["none", "extra", "misspelt", "float64", "uint8", "cut", "no-batch", "list"],
)
def test_wrong_inputs_are_refused_by_name(
    case: Case, wrong: Callable[[Array], dict[str, Array]], error: type[Exception], names: str
) -> None:
    backend, graph = case
    session = backend.load(graph, SessionOptions())
    (array,) = inputs_for(graph.spec).values()
    with pytest.raises(error, match=names):
        session.run(wrong(array))
    session.run(inputs_for(graph.spec))


def test_an_unknown_setting_is_refused_by_name(case: Case) -> None:
    backend, graph = case
    with pytest.raises(BadInput, match="no setting 'turbo'"):
        backend.load(graph, SessionOptions(settings={"turbo": "on"}))


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "noise", "text", "folder"])
def test_a_damaged_file_is_bad_input(case: Case, damage: str, tmp_path: Path) -> None:
    backend, graph = case
    path = tmp_path / graph.files[0].name
    content = graph.files[0].read_bytes()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        noise = np.random.default_rng(0).bytes(len(content))
        made = {"empty": b"", "truncated": content[: len(content) // 2], "noise": noise}
        path.write_bytes(made.get(damage, b"This is not a graph at all.\n"))
    for companion in graph.files[1:]:
        (tmp_path / companion.name).write_bytes(companion.read_bytes())
    with pytest.raises(BadInput, match=path.name):
        backend.load(
            replace(graph, files=(path, *(tmp_path / f.name for f in graph.files[1:]))),
            SessionOptions(),
        )


def test_a_missing_or_cut_companion_file_is_bad_input(case: Case, tmp_path: Path) -> None:
    backend, graph = case
    if len(graph.files) < 2:
        pytest.skip("one file only")
    main, other = (tmp_path / file.name for file in graph.files)
    main.write_bytes(graph.files[0].read_bytes())
    cut = replace(graph, files=(main, other))
    with pytest.raises(BadInput):
        backend.load(cut, SessionOptions())
    other.write_bytes(graph.files[1].read_bytes()[:100])
    with pytest.raises(BadInput):
        backend.load(cut, SessionOptions())


def test_a_file_with_another_interface_than_its_spec_is_refused(case: Case) -> None:
    backend, graph = case
    (tensor,) = graph.spec.inputs
    other = replace(graph.spec, inputs=(replace(tensor, shape=(1, 5, 7, 9)),))
    with pytest.raises(BadInput):
        backend.load(replace(graph, spec=other), SessionOptions())


def test_another_backends_graph_is_refused(case: Case) -> None:
    backend, graph = case
    with pytest.raises(UsageError, match="elsewhere"):
        backend.load(replace(graph, backend="elsewhere"), SessionOptions())


def test_a_scheme_it_does_not_accept_is_refused(case: Case, tiny: Path, tmp_path: Path) -> None:
    backend, graph = case
    assert backend.accepts("float32")
    assert backend.accepts(graph.scheme)
    assert not backend.accepts("int3")
    artifact = GraphArtifact(graph.spec, tiny, scheme="int3")
    with pytest.raises(UsageError, match="int3"):
        backend.compile(artifact, load_board("local"), tmp_path)


def test_executed_precision_accounts_for_everything(case: Case) -> None:
    backend, graph = case
    session = backend.load(graph, SessionOptions(profile=True))
    for seed in range(24):  # shares are of microseconds, and others run beside
        session.run(inputs_for(graph.spec, seed))
    profile = backend.executed_precision(session)
    assert profile == backend.executed_precision(session)
    assert profile.int8 + profile.float_ + profile.convert + profile.layout == pytest.approx(1)
    assert sum(row.share for row in profile.ops) == pytest.approx(1)
    assert all(0 <= row.share <= 1 and row.count >= 1 for row in profile.ops)
    assert {row.kind for row in profile.ops} <= {"compute", "convert", "layout"}
    assert profile.basis in ("time", "macs", "ops")
    assert profile.detail
    assert json.loads(json.dumps(to_plain(profile)))["basis"] == profile.basis
    if graph.precision == "int8":
        assert profile.int8 > 0.5
        # By time, what takes less than half a microsecond in so small a net is not seen.
        assert profile.convert > 0 or profile.basis == "time"
    else:
        assert profile.int8 == profile.convert == 0
        assert {row.precision for row in profile.ops} <= {"float32", graph.floats}
        assert any(row.precision == graph.floats for row in profile.ops)
    session.close()


def test_nothing_is_said_of_what_was_never_run(case: Case) -> None:
    backend, graph = case
    if backend.name == "null":
        pytest.skip("has nothing to say in either case")
    with pytest.raises(UsageError, match="Run the session"):
        backend.executed_precision(backend.load(graph, SessionOptions(profile=True)))
    with pytest.raises(UsageError, match="another backend"):
        backend.executed_precision(get_backend("null").load(_null(graph), SessionOptions()))


def _null(graph: CompiledGraph) -> CompiledGraph:
    folder = graph.files[0].parent
    artifact = GraphArtifact(graph.spec, graph.files[0])
    return get_backend("null").compile(artifact, load_board("local"), folder)
