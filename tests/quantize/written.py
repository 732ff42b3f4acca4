"""Graphs from `image` to `result`, written in ONNX's own text syntax."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import Array
from tests.onnx_text import parsed

CLIPPED = """
first = Conv <pads = [1, 1, 1, 1]> (image, w0)
clipped = Clip (first, low, high)
result = Conv <pads = [1, 1, 1, 1]> (clipped, w1)
"""

TWO_KERNELS = {"w0": (16, 3, 3, 3), "w1": (3, 16, 3, 3)}

RECURRENT = pytest.mark.parametrize(
    ("op", "gates"), [("LSTM", ""), ("GRU", ""), ("GRU", ", linear_before_reset = 1")]
)


def written(
    folder: Path,
    body: str,
    weights: Mapping[str, tuple[int, ...] | list[float] | Array],
    shapes: Mapping[str, list[int]] | None = None,
) -> Path:
    """A graph from `image` to `result`, both 64x64; weights are shapes to fill, or their values.
    `shapes` are constants for its Reshapes."""
    import onnx

    picture = "float[1,3,64,64]"
    stored = {
        name: given if isinstance(given, tuple) else np.array(given, np.float32)
        for name, given in weights.items()
    }
    stored |= {name: np.array(sizes, np.int64) for name, sizes in (shapes or {}).items()}
    text = f"g ({picture} image) => ({picture} result) {{ {body} }}"
    model = parsed(text, stored, opset=20, spread=0.2)
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    return path


def as_numbers(path: Path, *names: str) -> Path:
    """The graph with those of its weights that hold one number as numbers without an axis."""
    import onnx

    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name in names:
            del tensor.dims[:]
    onnx.save(model, str(path))
    return path


def with_recurrent(tmp_path: Path, op: str, gates: str, steps: int) -> Path:
    """A net that joins a picture's features and what `op` makes of its pixels in so many steps."""
    rows, width = 8 * {"LSTM": 4, "GRU": 3}[op], 3 * 64 * 64 // steps
    return written(
        tmp_path,
        f"""t = Reshape (image, steps)
           y, last = {op} <hidden_size = 8{gates}> (t, w, r)
           v = Reshape (last, pixel)
           e = Expand (v, wide)
           a = Conv <pads = [1,1,1,1]> (image, wa)
           c = Concat <axis = 1> (a, e)
           result = Conv <pads = [1,1,1,1]> (c, wr)""",
        {"w": (1, rows, width), "r": (1, rows, 8), "wa": (8, 3, 3, 3), "wr": (3, 16, 3, 3)},
        {"steps": [steps, 1, width], "pixel": [1, 8, 1, 1], "wide": [1, 8, 64, 64]},
    )
