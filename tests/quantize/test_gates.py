"""Gates in ONNX Runtime's INT8: which are computed in 8 bits, and that the runtime does so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeanim import api
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.quantize.onnx_nodes import shaped
from edgeanim.quantize.runtimes.gates import find_gates, gate_ranges
from tests.graph.applied import optimised
from tests.onnx_text import parsed

PICTURE = "(float[1,3,32,32] image) => (float[1,3,32,32] result)"
GATES = {
    "silu": "g = Sigmoid (c) \n y = Mul (c, g)",
    "silu, the other way round": "g = Sigmoid (c) \n y = Mul (g, c)",
    "hard swish": "g = HardSigmoid <alpha = 0.1666667, beta = 0.5> (c) \n y = Mul (c, g)",
    "excite": "m = GlobalAveragePool (c) \n s = Conv (m, squeeze) \n g = Sigmoid (s) \n"
    "y = Mul (c, g)",
    "spatial": "s = Conv <pads = [1,1,1,1]> (c, one) \n g = Sigmoid (s) \n y = Mul (c, g)",
}
OTHERS = {
    "of a gate as large": "o = Conv <pads = [1,1,1,1]> (image, inner) \n g = Sigmoid (o) \n"
    "y = Mul (c, g)",
    "of no gate": "g = Tanh (c) \n y = Mul (c, g)",
    "of the gate alone": "g = Sigmoid (c) \n y = Mul (g, g)",
}


def net(body: str) -> Any:
    """Three convolutions with `body`, from `c` to `y`, between the first two."""
    graph = f"""net {PICTURE} {{
            c = Conv <pads = [1,1,1,1]> (image, inner)
            {body}
            d = Conv <pads = [1,1,1,1]> (y, middle)
            result = Conv <pads = [1,1,1,1]> (d, outer)
        }}"""
    rng = np.random.default_rng(0)
    always = {"inner": (16, 3, 3, 3), "middle": (16, 16, 3, 3), "outer": (3, 16, 3, 3)}
    shapes = always | {"one": (1, 16, 3, 3), "squeeze": (16, 16, 1, 1)}
    weights = {
        name: rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
        for name, shape in shapes.items()
        if name in always or name in body
    }
    model = parsed(graph, weights, opset=17)
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def quantized(model: Any, photos: Path, folder: Path, backend: str = "onnxruntime") -> Path:
    onnx.save(model, str(folder / "net.onnx"))
    made = api.quantize(
        folder / "net.onnx", calib=photos, out=folder / "int8", backends=backend, max_drift=0.05,
        store=Store(folder / "store"), spec=QuantizeSpec(samples=6),
    )  # fmt: skip
    assert made.variants[0].drift.drift_mean < 0.01
    (file,) = (folder / "int8" / "int8").rglob("*.onnx")
    return file


@pytest.mark.parametrize("body", GATES.values(), ids=GATES.keys())
def test_the_product_with_a_gate_is_glue(body: str) -> None:
    assert "y" in find_gates(shaped(net(body)))


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS.keys())
def test_other_products_are_not(body: str) -> None:
    assert not find_gates(shaped(net(body)))


def test_a_sigmoid_that_something_else_reads_stays_in_float() -> None:
    body = "g = Sigmoid (c) \n p = Mul (c, g) \n y = Add (p, g)"
    assert find_gates(shaped(net(body))) == {"p"}


def test_ranges_of_other_sigmoids_are_measured() -> None:
    body = "g = Sigmoid (c) \n p = Mul (c, g) \n o = Sigmoid (p) \n y = Add (p, o)"
    assert gate_ranges(shaped(net(body))).keys() == {"g"}


def test_a_silu_runs_in_8_bits(photos: Path, tmp_path: Path) -> None:
    file = quantized(net(GATES["silu"]), photos, tmp_path)
    assert optimised(onnx.load(str(file)), tmp_path).keys() >= {"QLinearSigmoid", "QLinearMul"}


def test_a_hard_swish_runs_in_8_bits(photos: Path, tmp_path: Path) -> None:
    file = quantized(net(GATES["hard swish"]), photos, tmp_path)
    assert optimised(onnx.load(str(file)), tmp_path).keys() >= {"QLinearLeakyRelu", "QLinearMul"}


@pytest.mark.parametrize("gate", ["hard swish", "excite", "spatial"])
def test_what_a_gate_weighs_stays_in_8_bits(gate: str, photos: Path, tmp_path: Path) -> None:
    file = quantized(net(GATES[gate]), photos, tmp_path)
    ops = optimised(onnx.load(str(file)), tmp_path)
    assert "QLinearMul" in ops
    assert "Mul" not in ops
