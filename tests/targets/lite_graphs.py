"""Graphs in ONNX's own text, brought to TFLite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.targets import litert
from edgeanim.targets.tflite_graph import open_interpreter
from tests.onnx_text import parsed

WEIGHED = {"wa": (4, 3, 1, 1), "wb": (3, 4, 1, 1)}
"""The weights of what `weighed` makes."""


def weighed(vector: str) -> str:
    """A map `a` between convolutions whose channels are scaled by what is made of their means `f`
    and of `m`, what these have to do with each other."""
    return f"""g (float[1,3,8,12] x) => (float[1,3,8,12] y)
        <int64[2] last = {{2,3}}>
        {{
            a = Conv (x, wa)
            p = GlobalAveragePool (a)
            f = Flatten (p)
            t = Transpose <perm=[1,0]> (f)
            m = MatMul (t, f)
            v = {vector}
            s = Unsqueeze (v, last)
            [weigh] b = Mul (a, s)
            y = Conv (b, wb)
        }}"""


def convert(
    folder: Path, graph: str, weights: Mapping[str, Any] | None = None, *, plain: str = ""
) -> Path:
    """The TFLite file made of a graph in ONNX's own text; the converter's gate compares the two.
    Weights are arrays, or shapes to fill at random; the ends named in `plain` are no maps."""
    model = parsed(graph, weights)
    source = folder / "graph.onnx"
    onnx.save(model, str(source))
    inputs, outputs = (
        tuple(
            TensorSpec(
                end.name,
                f"condition:{end.name}",
                tuple(dim.dim_value for dim in end.type.tensor_type.shape.dim),
                "plain" if end.name in plain.split() else "NCHW",
            )
            for end in ends
        )
        for ends in (model.graph.input, model.graph.output)
    )
    made = folder / "graph.tflite"
    litert.convert(source, GraphSpec("graph", source.name, "frame", inputs, outputs), made)
    return made


def ops_of(file: Path) -> set[str]:
    return {op["op_name"] for op in open_interpreter(file)._get_ops_details()}
