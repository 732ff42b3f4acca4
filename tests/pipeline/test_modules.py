"""`edgeanim.api.modules`: a model comes into PyTorch, learns there, and goes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeanim.api import export, modules, prune
from edgeanim.core.errors import BadInput
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.load import load_model

pytestmark = pytest.mark.usefixtures("operators_read_once")


def outputs(path: Path, picture: torch.Tensor) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    made: np.ndarray = session.run(None, {session.get_inputs()[0].name: picture.numpy()})[0]
    return made


def test_a_pruned_model_learns_in_a_training_of_ones_own_and_goes_back(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    pruned = prune(
        tiny_onnx(size=32, channels=32),
        out=tmp_path / "pruned",
        calib=photos,
        spec=PruneSpec(ratio=0.5, rounds=1, steps=0),
    )
    model = load_model(pruned.folder)
    (graph,) = model.graphs
    nets = modules(pruned.folder)
    (net,) = nets.values()
    picture = torch.rand(graph.spec.inputs[0].shape)
    with torch.no_grad():
        np.testing.assert_allclose(net(picture)[0], outputs(graph.path, picture), atol=1e-5)
    assert list(nets) == [graph.spec.name]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    several = torch.rand(3, *picture.shape[1:])
    losses = []
    for _ in range(20):
        loss = (net(several)[0] - 0.9).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]

    back = export(nets, contract=pruned.folder / "model.toml", out=tmp_path / "trained")

    (trained,) = load_model(back.folder).graphs
    assert trained.spec == graph.spec
    with torch.no_grad():
        np.testing.assert_allclose(net(picture)[0], outputs(trained.path, picture), atol=1e-5)
    assert np.abs(outputs(trained.path, picture) - outputs(graph.path, picture)).mean() > 0.01


class Painter(torch.nn.Module):
    """Takes its inputs in another order than a file made of it would name them."""

    def forward(self, still: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(still * style[:, :3, None, None] - style[:, 3:, None, None])


def test_inputs_come_in_the_order_of_the_contract(tmp_path: Path) -> None:
    shapes = {"still": (1, 3, 8, 8), "style": (1, 6)}
    folder = export(Painter(), shapes=shapes, out=tmp_path / "paint").folder
    (net,) = modules(folder).values()
    (graph,) = load_model(folder).graphs
    given = {name: torch.rand(shape) for name, shape in shapes.items()}
    with torch.no_grad():
        made = net(*(given[tensor.name] for tensor in graph.spec.inputs))
        wanted = Painter()(**given)
    np.testing.assert_allclose(made[0], wanted, atol=1e-6)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no model")
    with pytest.raises(BadInput):
        modules(tmp_path / "net.onnx")
