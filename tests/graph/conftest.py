"""How the tests of this part write graphs down, and how they compare two of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.graph.queries import graph_inputs
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.reference import Reference, deviation, inputs_for
from tests.onnx_text import parsed


@pytest.fixture(scope="session")
def graph() -> Callable[..., Any]:
    """`graph("float[1,3,8,8] x", "float[1,3,8,8] y", "y = Relu (x)", weights={...}) -> ModelProto`.

    The body is ONNX's own text syntax; weights are arrays, or shapes to fill at random.
    """

    def make(
        inputs: str,
        outputs: str,
        body: str,
        weights: Mapping[str, Any] | None = None,
        opset: int = 18,
    ) -> Any:
        text = f"g ({inputs}) => ({outputs}) {{ {body} }}"
        model = parsed(text, weights, opset=opset, spread=0.4, seed=3)
        for i, node in enumerate(model.graph.node):
            node.name = node.name or f"node{i}"
        return model

    return make


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """Writes a model to a file of its own."""

    def write(model: Any) -> Path:
        path = tmp_path_factory.mktemp("onnx") / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture(scope="session")
def style_feeds(style_model: Path) -> Mapping[str, Any]:
    """A picture and the style of the first painting, by the names that the net's inputs have."""
    style = np.load(style_model.with_name("style_bottleneck.npy"))[:1]
    picture = np.random.default_rng(0).uniform(0, 1, (1, 384, 384, 3)).astype(np.float32)
    names = [value.name for value in graph_inputs(read_onnx(style_model))]
    return dict(zip(names, (picture, style), strict=True))


@pytest.fixture(scope="session")
def difference() -> Callable[..., float]:
    """The largest deviation between two models over one set of inputs (random, or given)."""

    def compare(one: Any, other: Any, inputs: Mapping[str, Any] | None = None) -> float:
        feeds = dict(inputs) if inputs is not None else inputs_for(one)
        wanted, made = Reference(one).run(feeds), Reference(other).run(feeds)
        assert set(wanted) == set(made)
        return max(deviation(wanted[name], made[name]) for name in wanted)

    return compare
