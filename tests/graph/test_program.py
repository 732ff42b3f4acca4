"""Exported programs (.pt2): what they compute is kept, and nothing in them is run."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeanim.api import animate, bench
from edgeanim.core.errors import BadInput, GateFailed
from edgeanim.graph.pytorch.program import load_program
from edgeanim.pipeline.export import export
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.work import Work

torch = pytest.importorskip("torch")
nn = torch.nn

Edit = Callable[[dict[str, bytes]], None]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 3, 3, padding=1)
        self.register_buffer("mean", torch.rand(1, 3, 1, 1))

    def forward(self, image: Any) -> Any:
        return torch.sigmoid(self.last(torch.relu(self.norm(self.first(image - self.mean)))))


class Steps(nn.Module):
    def forward(self, image: Any, state: Any) -> Any:
        state = 0.5 * state + image.mean(1, keepdim=True)
        return torch.sigmoid(image * state), state


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def saved(net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.rand(1, 3, 16, 24),)), path)
    return path


def edited(path: Path, out: Path, edit: Edit) -> Path:
    """A copy with other members, by their names below the root."""
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    edit(members)
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"net/{name}", data)
    return out


def graph_edited(change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(members: dict[str, bytes]) -> None:
        program = json.loads(members["models/model.json"])
        change(program)
        members["models/model.json"] = json.dumps(program).encode()

    return edit


def test_a_program_computes_what_its_module_did(net: Any, saved: Path) -> None:
    program = load_program(saved)
    image = torch.rand(1, 3, 16, 24)
    assert program.shapes == {"image": (1, 3, 16, 24)}
    with torch.no_grad():
        assert torch.allclose(program.module(image), net(image), atol=1e-6)


def test_a_program_is_a_model_and_is_called_like_its_file(saved: Path) -> None:
    model = open_model(saved, Work.on("local"))
    assert model.contract.name == "net"
    (graph,) = model.graphs
    assert [tensor.role for tensor in graph.spec.inputs] == ["driving_frame"]
    assert [tensor.role for tensor in graph.spec.outputs] == ["frame"]


def test_commands_that_play_say_how_it_is_compiled(saved: Path) -> None:
    for call in (lambda: bench(saved), lambda: animate(saved, out="x.gif", drive="wave")):
        with pytest.raises(BadInput, match=r"not compiled yet.*edgeanim compile"):
            call()


def test_outputs_are_named_on_export(tmp_path: Path) -> None:
    given_ = (torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 16))
    torch.export.save(torch.export.export(Steps(), given_), tmp_path / "steps.pt2")
    made = export(tmp_path / "steps.pt2", out=tmp_path / "net", outputs=("frame", "next"))
    roles = [tensor.role for tensor in made.contract.graphs[0].outputs]
    assert roles == ["frame", "state:state"]


class Mischief:
    """Unpickled, it leaves a file behind."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


def test_nothing_in_a_program_is_unpickled_or_run(saved: Path, tmp_path: Path) -> None:
    trace = tmp_path / "was_here"
    code = f"__import__('pathlib').Path({str(trace)!r}).touch()"

    def edit(members: dict[str, bytes]) -> None:
        members["data/sample_inputs/model.pt"] = pickle.dumps(Mischief(trace))
        members["data/constants/opaque_obj_0"] = pickle.dumps(Mischief(trace))
        members["extra/note"] = b"kept out"
        program = json.loads(members["models/model.json"])
        program["guards_code"] = [code]
        program["range_constraints"] = {code: {"min_val": 0, "max_val": 1}}
        for node in program["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {"source_fn_stack": code, "nn_module_stack": code}
        members["models/model.json"] = json.dumps(program).encode()

    program = load_program(edited(saved, tmp_path / "evil.pt2", edit))
    program.module(torch.rand(1, 3, 16, 24))
    assert not trace.exists()


def _spec(kind: str, context: object) -> Edit:
    def change(program: dict[str, Any]) -> None:
        leaf = {"type": None, "context": None, "children_spec": []}
        spec = [1, {"type": kind, "context": context, "children_spec": [leaf]}]
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["out_spec"] = json.dumps(spec)

    return graph_edited(change)


@pytest.mark.parametrize(
    "edit",
    [
        _spec(
            "collections.defaultdict",
            {
                "default_factory_module": "lies_beside_it",
                "default_factory_name": "open",
                "dict_context": ["out"],
            },
        ),
        _spec(
            "builtins.dict",
            json.dumps([{"__enum__": True, "fqn": "lies_beside_it:Kind", "name": "ONE"}]),
        ),
    ],
)
def test_no_module_is_imported_that_a_program_names(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit
) -> None:
    trace = tmp_path / "was_here"
    (tmp_path / "lies_beside_it.py").write_text(f"open({str(trace)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput, match="no plain container"):
        load_program(edited(saved, tmp_path / "evil.pt2", edit))
    assert not trace.exists()


def test_a_program_may_give_a_mapping(tmp_path: Path) -> None:
    class Named(nn.Module):
        def forward(self, image: Any) -> Any:
            return {"out": [image + 1, image]}

    program = torch.export.export(Named(), (torch.rand(1, 3, 8, 8),))
    torch.export.save(program, tmp_path / "named.pt2")
    load_program(tmp_path / "named.pt2")


def _op(name: str) -> Edit:
    def change(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = name

    return graph_edited(change)


def _size(value: object) -> Edit:
    def change(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["tensor_values"]["image"]["sizes"][0] = value

    return graph_edited(change)


def _weight(key: str, value: object) -> Edit:
    def edit(members: dict[str, bytes]) -> None:
        name = "data/weights/model_weights_config.json"
        config = json.loads(members[name])
        config["config"]["mean"][key] = value
        members[name] = json.dumps(config).encode()

    return edit


def _argument(value: dict[str, Any]) -> Edit:
    def change(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = value

    return graph_edited(change)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_op("torch.hub.load"), "torch.hub.load is not one of PyTorch's own ops"),
        (_op("torch.ops.higher_order.wrap_with_set_grad_enabled"), "turns gradients off in a part"),
        (_op("torch.ops.aten.from_file.default"), "from_file.default is not one"),
        (_op("_operator.attrgetter"), "attrgetter is not one"),
        (_op("torch.ops.aten.no_such_op.default"), "PyTorch cannot read this program"),
        (_size({"as_expr": {"expr_str": "exit()"}}), "has dynamic shapes or numbers"),
        (_size({"as_int": -1}), "PyTorch cannot read this program|does not take"),
        (_argument({"as_graph": {"name": "g"}}), "no plain graph: it holds a value 'graph'"),
        (_argument({"as_custom_obj": {"name": "o"}}), "'custom_obj'"),
        (_weight("use_pickle", True), "mean is stored as a pickle, which is never opened"),
        (_weight("path_name", "../../etc"), "The file of mean has no plain name"),
        (_weight("path_name", "weight_99"), "This archive lacks net/data/weights/weight_99"),
        (lambda m: m.pop("models/model.json"), "no exported program|not an exported program"),
        (lambda m: m.pop("archive_format"), "not an exported program"),
        (lambda m: m.update({"models/two.json": b"{}"}), "holds 2 programs, not one"),
        (lambda m: m.update({"models/model.json": b"[1]"}), "is no mapping"),
        (lambda m: m.update({"models/model.json": b"{}"}), "has no graph"),
        (lambda m: m.update({"models/model.json": b"\xff"}), "cannot be read"),
        (lambda m: m.pop("data/weights/model_weights_config.json"), "lacks net/data/weights"),
    ],
)
def test_what_is_no_plain_program_is_refused_by_name(
    saved: Path, tmp_path: Path, edit: Edit, said: str
) -> None:
    path = edited(saved, tmp_path / "net.pt2", edit)
    with pytest.raises(BadInput, match=said):
        export(path, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_open_shapes_are_refused(net: Any, tmp_path: Path) -> None:
    shapes = {"image": {2: torch.export.Dim.AUTO}}
    program = torch.export.export(net, (torch.rand(1, 3, 16, 24),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "open.pt2")
    with pytest.raises(BadInput, match=r"Export it for fixed shapes"):
        load_program(tmp_path / "open.pt2")


def test_half_floats_are_refused_by_name(tmp_path: Path) -> None:
    half = nn.Conv2d(3, 3, 1).half()
    program = torch.export.export(half, (torch.rand(1, 3, 8, 8).half(),))
    torch.export.save(program, tmp_path / "half.pt2")
    with pytest.raises(BadInput, match=r"^\S*half\.pt2: This program computes in float16"):
        load_program(tmp_path / "half.pt2")


def test_a_net_that_is_no_picture_names_the_command_that_takes_a_contract(tmp_path: Path) -> None:
    program = torch.export.export(nn.Linear(4, 4), (torch.rand(1, 4),))
    torch.export.save(program, tmp_path / "linear.pt2")
    with pytest.raises(BadInput, match=r"linear.pt2.*edgeanim export --contract"):
        open_model(tmp_path / "linear.pt2", Work.on("local"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_bad_input(saved: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 2)) == 0
    path = tmp_path / "damaged.pt2"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))] if cut else whole)
    try:
        program = load_program(path)
        export(path, out=tmp_path / "out", tolerance=1e3)
    except (BadInput, GateFailed):
        return
    assert list(program.shapes)
