"""`edgeanim export`: what is written computes what the module does, and says what it is for."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor, nn

from edgeanim.api import export
from edgeanim.cli.export import command
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec, load_contract
from edgeanim.core.errors import BadInput, EdgeanimError, GateFailed, UsageError
from edgeanim.graph.load import load_model

pytestmark = pytest.mark.usefixtures("operators_read_once")

MY_NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.Sigmoid())

print("what a module prints")
graphs = {"net": net()}
number = 3
"""


class Net(nn.Module):
    """An image-to-image net that knows where its values lie."""

    def __init__(self, activation: nn.Module | None = None, style: bool = False) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.outer = nn.Conv2d(8, 3, 1)
        self.activation = activation or nn.Tanh()
        self.style = nn.Linear(4, 8) if style else None

    def forward(self, picture: Tensor, style: Tensor | None = None) -> Tensor:
        x = self.inner(picture)
        if self.style is not None:
            x = x + self.style(style)[:, :, None, None]
        return self.activation(self.outer(x))


class Encoder(nn.Module):
    def forward(self, still: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(still, 4)


class Painter(nn.Module):
    def forward(self, features: Tensor, driving: Tensor) -> Tensor:
        return nn.functional.interpolate(features, scale_factor=4.0, mode="nearest") * driving


SIZE = (1, 3, 16, 16)
TWO_GRAPHS = Contract(
    "two",
    (
        GraphSpec(
            "encode",
            "encode.onnx",
            "once",
            (TensorSpec("still", "still", SIZE, "NCHW", range=(0.0, 1.0)),),
            (TensorSpec("s4", "feature:s4", (1, 3, 4, 4), "NCHW"),),
        ),
        GraphSpec(
            "paint",
            "paint.onnx",
            "frame",
            (
                TensorSpec("s4", "feature:s4", (1, 3, 4, 4), "NCHW"),
                TensorSpec("driving", "driving_frame", SIZE, "NCHW", range=(0.0, 1.0)),
            ),
            (TensorSpec("made", "frame", SIZE, "NCHW", range=(0.0, 1.0)),),
        ),
    ),
)


def ran(path: Path, **inputs: Tensor) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})


def test_one_module_becomes_a_model_that_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Net().train()
    exported = export(net, shapes={"picture": SIZE}, out=tmp_path / "my net")
    assert net.training, "it is left as it was"
    model = load_model(exported.folder)
    assert model.contract == exported.contract
    (graph,) = model.graphs
    (given,), (made,) = graph.spec.inputs, graph.spec.outputs
    assert (graph.spec.name, given.name, made.name) == ("my_net", "picture", "frame")
    assert (given.role, made.role, given.range, made.range) == (
        "driving_frame", "frame", (-1.0, 1.0), (-1.0, 1.0),
    )  # fmt: skip
    picture = torch.rand(SIZE)
    with torch.no_grad():
        want = net.eval()(picture)
    np.testing.assert_allclose(ran(graph.path, picture=picture)[0], want, atol=1e-5)
    assert exported.deviations["my_net"] < 1e-5


@pytest.mark.parametrize(
    ("activation", "given", "found"),
    [
        (nn.Sigmoid(), None, (0.0, 1.0)),
        (nn.Identity(), None, (0.0, 1.0)),
        (nn.Identity(), (-1.0, 1.0), (-1.0, 1.0)),
        (nn.Tanh(), (0.0, 255.0), (0.0, 255.0)),
    ],
)
def test_the_values_are_those_given_or_of_the_last_op(
    activation: nn.Module, given: tuple[float, float] | None, found: Any, tmp_path: Path
) -> None:
    net = Net(activation)
    made = export(net, shapes={"picture": SIZE}, values=given, out=tmp_path / "net")
    assert made.contract.graphs[0].outputs[0].range == found
    assert load_contract(tmp_path / "net") == made.contract


def test_a_further_input_is_a_condition(tmp_path: Path) -> None:
    shapes = {"picture": SIZE, "style": (1, 4)}
    made = export(Net(style=True), shapes=shapes, out=tmp_path / "net")
    roles = {tensor.name: tensor.role for tensor in made.contract.graphs[0].inputs}
    assert roles == {"picture": "driving_frame", "style": "condition:style"}


@pytest.mark.parametrize(
    ("shapes", "hint"),
    [
        ({"mel": (1, 1, 80, 16), "face": (1, 6, 16, 16)}, r"'face' seems to hold 2 pictures"),
        (
            {"one": SIZE, "other": SIZE},
            r"Call the one that is animated .*`state:previous`.* --contract`\.",
        ),
        ({"maps": (1, 45, 8, 8)}, r"--contract`\."),
    ],
)
def test_inputs_that_tell_too_little_are_told_what_would_help(
    shapes: dict[str, tuple[int, ...]], hint: str, tmp_path: Path
) -> None:
    class Painted(nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            return torch.zeros(SIZE) + inputs[0].mean()

    with pytest.raises(BadInput, match=hint):
        export(Painted(), shapes=shapes, out=tmp_path / "net")


def test_each_graph_of_a_contract_has_its_module(tmp_path: Path) -> None:
    modules = {"paint": Painter(), "encode": Encoder()}
    made = export(modules, contract=TWO_GRAPHS, out=tmp_path / "net")
    assert load_model(made.folder).contract == TWO_GRAPHS
    assert set(made.deviations) == {"encode", "paint"}
    still, driving = torch.rand(SIZE), torch.rand(SIZE)
    (features,) = ran(made.folder / "encode.onnx", still=still)
    (frame,) = ran(made.folder / "paint.onnx", s4=torch.from_numpy(features), driving=driving)
    np.testing.assert_allclose(frame, Painter()(Encoder()(still), driving), atol=1e-6)


class Returning(nn.Module):
    """Returns what a function makes of the picture."""

    def __init__(self, what: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.what = what

    def forward(self, picture: Tensor) -> object:
        return self.what(picture)


def leave(_: Tensor) -> None:
    sys.exit(0)


def choosing(picture: Tensor) -> Tensor:
    return picture if float(picture.mean()) > 0.5 else -picture


ONE = {"shapes": {"picture": SIZE}}
PAINTS = TWO_GRAPHS.graphs[1]
ONE_GRAPH = Contract("one", (replace(PAINTS, inputs=PAINTS.inputs[1:]),))
IN_TOML = replace(ONE_GRAPH, graphs=(replace(ONE_GRAPH.graphs[0], file="model.toml"),))


@pytest.mark.parametrize(
    ("module", "options", "error", "says"),
    [
        (Net(), {}, UsageError, "shapes of its inputs"),
        (Net(), {"shapes": {"picture": (1, 4, 16, 16)}}, BadInput, "does not take"),
        (Net(), {"shapes": {"picture": (2, 3, 16, 16)}}, BadInput, "one in a batch"),
        (Net(), {"shapes": {"picture": (1, 3, 0, 16)}}, UsageError, "These are not shapes"),
        (Net().double(), ONE, BadInput, r"call \.float"),
        ("net", ONE, UsageError, "no torch"),
        (Returning(lambda x: {"frame": x}), ONE, BadInput, "tuple of tensors"),
        (Returning(lambda x: x.double()), ONE, BadInput, "returns torch.float64"),
        (Returning(lambda x: (x.sin(), x.mean())), ONE, BadInput, "has no axis"),
        (Returning(leave), ONE, BadInput, "ended the program"),
        (Returning(choosing), ONE, BadInput, "data-dependent"),
        (Net(), {**ONE, "outputs": ("a", "b")}, UsageError, "returns 1"),
        (Net(), {**ONE, "outputs": "picture"}, UsageError, "two tensors are called 'picture'"),
        (Net(), {**ONE, "contract": TWO_GRAPHS}, UsageError, "contract says"),
        (Net(), {**ONE, "tolerance": float("nan")}, UsageError, "tolerance"),
        (Net(), {**ONE, "tolerance": 1e-12}, GateFailed, "limit.*Rounding .* --tolerance 1e-0"),
        (Net(), {"contract": TWO_GRAPHS}, UsageError, "encode, paint"),
        ({"paint": Painter()}, {"contract": TWO_GRAPHS}, UsageError, "encode, paint; given are"),
        ({1: Net(), "a": Net()}, {"contract": TWO_GRAPHS}, UsageError, "given are 1, a"),
        (Returning(lambda x: (x.sin(), x.cos())), {"contract": ONE_GRAPH}, BadInput, "returns 2"),
        (Returning(lambda _: None), {"contract": ONE_GRAPH}, BadInput, "tuple of tensors"),
        (Net(), {"contract": IN_TOML}, UsageError, "does not end in .onnx"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(
    module: Any, options: dict[str, Any], error: type[EdgeanimError], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says) as told:
        export(module, out=tmp_path / "net", **options)
    assert ".partial" not in str(told.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("given", "made"), [("conv2d", "relu"), ("inner.0.weight", "val_0")])
def test_names_that_the_graph_has_already_are_given_to_its_ends(
    given: str, made: str, tmp_path: Path
) -> None:
    net = Net()
    export(net, shapes={given: SIZE}, outputs=made, out=tmp_path / "net")
    picture = torch.rand(SIZE)
    with torch.no_grad():
        want = net.eval()(picture)
    np.testing.assert_allclose(
        ran(tmp_path / "net" / "net.onnx", **{given: picture})[0], want, atol=1e-5
    )


def test_parts_of_a_module_keep_their_modes(tmp_path: Path) -> None:
    net = Net().train()
    net.inner[1].eval()  # a frozen norm
    export(net, **ONE, out=tmp_path / "net")
    assert (net.training, net.inner[0].training, net.inner[1].training) == (True, True, False)


def test_an_input_may_be_called_frame(tmp_path: Path) -> None:
    export(Net(), shapes={"frame": SIZE}, out=tmp_path / "net")
    (graph,) = load_contract(tmp_path / "net").graphs
    assert {t.name: t.role for t in (*graph.inputs, *graph.outputs)} == {
        "frame": "driving_frame",
        "frame_out": "frame",
    }


def test_a_clamp_without_an_end_tells_no_interval(tmp_path: Path) -> None:
    made = export(
        Returning(lambda x: x.sin().clamp(0.0, float("inf"))), **ONE, out=tmp_path / "net"
    )
    assert load_model(made.folder).contract.graphs[0].outputs[0].range == (0.0, 1.0)


def test_the_working_folder_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (".", "..", tmp_path):
        with pytest.raises(UsageError, match="folder in which the command runs"):
            export(Net(), **ONE, out=out)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"diary\.txt"):
        export(Net(), shapes={"picture": SIZE}, out=tmp_path)


def script(folder: Path, *args: object) -> subprocess.CompletedProcess[str]:
    """`edgeanim export` as the console script, which has not the working folder on its path."""
    (folder / "mynet.py").write_text(MY_NET)
    path = shutil.which("edgeanim", path=str(Path(sys.executable).parent))
    assert path is not None
    return subprocess.run(
        [path, "export", *map(str, args)],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with modules to export that no other test has imported."""
    (tmp_path / "mynet.py").write_text(MY_NET)
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("mynet", "leaves"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def test_the_command_finds_a_module_here_and_gives_it_weights(tmp_path: Path) -> None:
    scope: dict[str, Any] = {}
    exec(MY_NET, scope)  # the very file that the command imports
    net = scope["net"]()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    done = script(
        tmp_path, "mynet:net", "--weights", "net.safetensors", "--shape", "image=1x3x16x16",
        "-o", "out", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["contract"]["graphs"][0]["inputs"][0]["range"] == [0.0, 1.0]
    picture = torch.rand(SIZE)
    with torch.no_grad():
        want = net(picture)
    np.testing.assert_allclose(
        ran(tmp_path / "out" / "out.onnx", image=picture)[0], want, atol=1e-5
    )


@pytest.mark.usefixtures("here")
def test_the_command_takes_the_tolerance_that_it_asks_for() -> None:
    args = ["mynet:net", "--shape", "image=1x3x16x16", "-o", "out", "--tolerance"]
    refused = CliRunner().invoke(command, [*args, "1e-12"])
    assert isinstance(refused.exception, GateFailed)
    asked = str(refused.exception).split("--tolerance ")[1].rstrip(".")
    assert CliRunner().invoke(command, [*args, asked]).exit_code == 0


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("mynet",), 2, "mynet:UNet"),
        (("..:net",), 2, "mynet:UNet"),
        (("mynet:absent", "--shape", "image=1x3x16x16"), 3, "no attribute 'absent'"),
        (("absent:net", "--shape", "image=1x3x16x16"), 3, "'absent'. Run this in the folder"),
        (("mynet.py:net", "--shape", "image=1x3x16x16"), 3, "not its file: mynet:net"),
        (("src/mynet.py:net", "--shape", "image=1x3x16x16"), 3, "not its file: mynet:net"),
        (("mynet:number", "--shape", "image=1x3x16x16"), 3, "not a torch.nn.Module"),
        (("leaves:net", "--shape", "image=1x3x16x16"), 3, "SystemExit"),
        (("mynet:net", "--shape", "image"), 2, "image=1x3x256x256"),
        (("mynet:net", "--shape", "image=1x3x16x16", "--range", "1..0"), 2, "not a range"),
        (("mynet:net", "--shape", "image=1x3x9x9", "--weights", "mynet.py"), 3, "safetensors"),
        (("mynet:graphs", "--contract", "absent.toml"), 3, "No such file"),
        (("mynet:graphs", "--contract", "m.toml", "--weights", "w"), 2, "for one module"),
    ],
)
def test_the_command_tells_what_is_wrong(
    args: tuple[str, ...], code: int, says: str, here: Path
) -> None:
    done = CliRunner().invoke(command, [*args, "-o", "out"])
    assert isinstance(done.exception, EdgeanimError), done.exception
    assert (done.exception.exit_code, says in str(done.exception)) == (code, True), done.exception
    assert not (here / "out").exists()
