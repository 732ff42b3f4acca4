"""Matrix products, attention, the grid of an affine warp, and Fourier transforms."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import I64, Case

CASES: dict[str, Case] = {
    "gemm with a number for each row": (
        "float[12,12] y", "r = Reshape (x, rows) \n y = Gemm (r, w, b)",
        {"rows": np.array([12, 80], I64), "w": (80, 12), "b": (12, 1)}, 18),
    "gemm": (
        "float[1,5] y",
        """p = GlobalAveragePool (x)
           f = Flatten (p)
           y = Gemm <transB=1, alpha=0.5, beta=2.0> (f, w, b)""",
        {"w": (5, 8), "b": (5,)}, 18),
    "matmul einsum": (
        "float[1,8,10,10] y, float[1,8] z, float[1,8,10,5] v",
        """t = Transpose <perm=[0,1,3,2]> (x)
           y = MatMul (x, t)
           z = Einsum <equation="bchw->bc"> (x)
           v = MatMul (x, w)""",
        {"w": (12, 5)}, 18),
    "attention": (
        "float[1,10,8] y",
        """s = Reshape (x, rows)
           t = Transpose <perm=[0,2,1]> (s)
           y = Attention <q_num_heads=2, kv_num_heads=2> (t, t, t)""",
        {"rows": np.array([1, 8, -1], I64)}, 23),
    "affine grids": (
        "float[1,10,12,2] y, float[2,10,12,2] z, float[1,3,4,5,3] v",
        """a = Slice (x, none, one, axes)
           b = Reshape (a, rows)
           y = AffineGrid <align_corners=1> (b, size)
           c = Slice (x, none, two, axes)
           d = Reshape (c, rows)
           z = AffineGrid (d, sizes)
           e = Reshape (c, planes)
           v = AffineGrid (e, volume)""",
        {"none": np.array([0, 0, 0], I64), "axes": np.array([1, 2, 3], I64),
         "one": np.array([1, 2, 3], I64), "two": np.array([1, 2, 6], I64),
         "rows": np.array([-1, 2, 3], I64), "planes": np.array([1, 3, 4], I64),
         "size": np.array([1, 8, 10, 12], I64), "sizes": np.array([2, 8, 10, 12], I64),
         "volume": np.array([1, 8, 3, 4, 5], I64)}, 20),
    "fourier transforms there and back": (
        "float[1,8,10,7,2] y, float[1,8,10,12] z",
        """a = Unsqueeze (x, last)
           b = DFT <onesided=1> (a, , three)
           y = DFT (b, , two)
           c = Mul (y, scales)
           d = DFT <inverse=1> (c, , two)
           e = DFT <inverse=1, onesided=1> (d, length, three)
           z = Squeeze (e, last)""",
        {"last": np.array([4], I64), "three": np.array(3, I64), "two": np.array(2, I64),
         "length": np.array(12, I64), "scales": (8, 10, 7, 1)}, 20),
}  # fmt: skip
