"""Torch to ONNX: what is written computes what the module does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, GateFailed
from edgeanim.graph.pytorch.from_torch import export_onnx
from edgeanim.graph.reference import Reference

pytestmark = pytest.mark.usefixtures("operators_read_once")


class Sample(nn.Module):
    """Two inputs, two outputs, the ops of a small animator."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(6, 8)

    def forward(
        self, picture: torch.Tensor, motion: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.relu(self.norm(self.conv(picture)))
        features = features + self.linear(motion).mean(1)[:, :, None, None]
        mask = torch.softmax(features.flatten(2), -1).reshape(features.shape)
        grown = nn.functional.interpolate(features, scale_factor=2, mode="nearest")
        return torch.tanh(grown), mask


def spec_of(frame_size: int = 16) -> GraphSpec:
    return GraphSpec(
        "sample",
        "sample.onnx",
        "frame",
        (
            TensorSpec("picture", "driving_frame", (1, 3, 16, 16), "NCHW", range=(0.0, 1.0)),
            TensorSpec("motion", "condition:motion", (1, 5, 6)),
        ),
        (
            TensorSpec("grown", "feature:grown", (1, 8, frame_size, frame_size), "NCHW"),
            TensorSpec("mask", "mask", (1, 8, 8, 8), "NCHW"),
        ),
    )


def test_export_has_the_names_of_the_spec_and_passes_the_gate(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Sample()
    path = tmp_path / "sample.onnx"

    error = export_onnx(module, spec_of(), path)

    assert error <= 1e-5
    assert module.training, "the caller's mode is left as it was"
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["picture", "motion"]
    assert [value.name for value in graph.output] == ["grown", "mask"]
    assert {node.op_type for node in graph.node}.isdisjoint({"Shape", "BatchNormalization"})
    assert [file.name for file in tmp_path.iterdir()] == ["sample.onnx"], "weights lie inline"


def test_equal_modules_give_equal_bytes_without_any_path(tmp_path: Path) -> None:
    for name in "ab":
        torch.manual_seed(0)
        export_onnx(Sample(), spec_of(), tmp_path / name)
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    assert b"site-packages" not in data
    assert b".py" not in data


class Again(nn.Module):
    """Gives its picture, and what it makes of it twice."""

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = torch.sigmoid(3 * picture)
        return made, picture, made.detach()


def test_outputs_that_are_inputs_or_other_outputs_are_exported(tmp_path: Path) -> None:
    """As the frame that a net keeps for the next run is."""
    shape, names = (1, 3, 8, 8), ("frame", "kept", "again")
    outputs = tuple(TensorSpec(name, f"state:{name}", shape) for name in names)
    given = (TensorSpec("picture", "driving_frame", shape, "NCHW", range=(0.0, 1.0)),)
    spec = GraphSpec("again", "again.onnx", "frame", given, outputs)
    path = tmp_path / "again.onnx"

    assert export_onnx(Again(), spec, path) <= 1e-5

    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["picture"]
    assert [value.name for value in graph.output] == list(names)


def test_a_module_that_differs_from_its_graph_is_refused(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + (0.0 if torch.compiler.is_exporting() else 0.5)

    picture = TensorSpec("picture", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0))
    spec = GraphSpec(
        "noisy", "noisy.onnx", "frame", (picture,), (TensorSpec("out", "frame", (1, 3, 8, 8)),)
    )
    with pytest.raises(GateFailed, match=r"noisy: The exported output 'out' differs .* 3\.3\de-01"):
        export_onnx(Noisy(), spec, tmp_path / "noisy.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_draws_noise_is_told_so(tmp_path: Path) -> None:
    """And not that its graph differs from it, as any two runs of it do."""

    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.randn_like(x)

    picture = TensorSpec("picture", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0))
    out = TensorSpec("out", "frame", (1, 3, 8, 8))
    spec = GraphSpec("noise", "noise.onnx", "frame", (picture,), (out,))
    with pytest.raises(BadInput, match=r"noise: The op RandomNormalLike .* draws other numbers"):
        export_onnx(Noise(), spec, tmp_path / "noise.onnx")
    assert not list(tmp_path.iterdir())


def test_a_shape_other_than_the_contracts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="'grown' is \\[1, 8, 16, 16\\]; its contract says"):
        export_onnx(Sample(), spec_of(frame_size=32), tmp_path / "sample.onnx")


def test_ctrl_c_during_an_export_is_no_fault_of_the_module(tmp_path: Path) -> None:
    """Native code that it reaches makes an error of its own of it, and PyTorch one of that."""

    class Interrupted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
            raise RuntimeError("a callback failed") from KeyboardInterrupt()

    picture = TensorSpec("picture", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0))
    out = TensorSpec("out", "frame", (1, 3, 8, 8))
    spec = GraphSpec("stopped", "stopped.onnx", "frame", (picture,), (out,))
    with pytest.raises(KeyboardInterrupt):
        export_onnx(Interrupted(), spec, tmp_path / "stopped.onnx")
    assert not list(tmp_path.iterdir())


class Normed(nn.Module):
    """What face and voice encoders end in; the norm of everything has no axes."""

    def forward(self, whole: torch.Tensor, parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        squares = parts.pow(2).mean(1, keepdim=True)
        return whole / (whole.norm() + 1e-9), parts * torch.rsqrt(squares + 1e-8)


def test_what_keeps_zeros_from_becoming_nan_is_kept(tmp_path: Path) -> None:
    tensors = [TensorSpec(name, f"condition:{name}", (1, 4)) for name in ("whole", "parts")]
    made = [TensorSpec(name, f"feature:{name}", (1, 4)) for name in ("a", "b")]
    spec = GraphSpec("normed", "normed.onnx", "frame", tuple(tensors), tuple(made))
    path = tmp_path / "normed.onnx"

    export_onnx(Normed(), spec, path)

    zeros = np.zeros((1, 4), np.float32)
    results = Reference(onnx.load(path), where="normed").run({"whole": zeros, "parts": zeros})
    assert all(np.array_equal(value, zeros) for value in results.values())
    assert "Sum" not in {node.op_type for node in onnx.load(path).graph.node}


def test_data_dependent_control_flow_is_a_clear_error(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if bool(x.sum() > 0) else -x

    picture = TensorSpec("picture", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0))
    out = TensorSpec("out", "frame", (1, 3, 8, 8))
    spec = GraphSpec("branching", "branching.onnx", "frame", (picture,), (out,))
    with pytest.raises(BadInput, match="cannot be exported to ONNX"):
        export_onnx(Branching(), spec, tmp_path / "branching.onnx")


def test_an_op_that_onnx_does_not_have_is_named(tmp_path: Path) -> None:
    """Shapes and control flow were said to be at fault."""

    class Values(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvalsh(x)

    picture = TensorSpec("picture", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0))
    out = TensorSpec("out", "frame", (1, 3, 8))
    spec = GraphSpec("values", "values.onnx", "frame", (picture,), (out,))
    with pytest.raises(BadInput, match=r"no form of aten\._linalg_eigh\..*in other ops"):
        export_onnx(Values(), spec, tmp_path / "values.onnx")


class Inverse(nn.Module):
    """The first is of the kind that a thin-plate spline has, with little on its diagonal."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spline = (x + x.mT) * (1 - torch.eye(x.shape[-1])) + 0.01
        return torch.inverse(spline) + torch.linalg.inv(x)


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 5, 2, 2), (3, 3), (1, 2, 3, 8, 8)])
def test_inverses_of_small_matrices_are_exported(tmp_path: Path, shape: tuple[int, ...]) -> None:
    matrices = TensorSpec("x", "condition:x", shape, range=(-1.0, 1.0))
    spec = GraphSpec(
        "inverse", "inverse.onnx", "frame", (matrices,), (TensorSpec("y", "feature:y", shape),)
    )
    assert export_onnx(Inverse(), spec, tmp_path / "inverse.onnx") < 1e-5


def test_grid_sample_exports(tmp_path: Path) -> None:
    class Warp(nn.Module):
        def forward(self, picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
            return nn.functional.grid_sample(
                picture, flow, align_corners=False, padding_mode="border"
            )

    spec = GraphSpec(
        "warp",
        "warp.onnx",
        "frame",
        (
            TensorSpec("picture", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0)),
            TensorSpec("flow", "condition:flow", (1, 8, 8, 2), range=(-1.2, 1.2)),
        ),
        (TensorSpec("out", "frame", (1, 3, 8, 8), "NCHW"),),
    )
    assert export_onnx(Warp(), spec, tmp_path / "warp.onnx") <= 1e-5
    assert np.isin("GridSample", [n.op_type for n in onnx.load(tmp_path / "warp.onnx").graph.node])
