"""Values looked up by their places or put there, and the warp."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import FULL, I64, Case

CASES: dict[str, Case] = {
    "gather": (
        "float[1,8,3,12] y, float[1,8,12] z",
        "y = Gather <axis=2> (x, some) \n z = Gather <axis=2> (x, last)",
        {"some": np.array([7, 0, 2], I64), "last": np.array(-1, I64)}, 18),
    "gather by several axes": (
        "float[1,2,3,10,12] y, float[1,8,4,12] z",
        """y = Gather <axis=1> (x, some)
           a = ArgMax <axis=1, keepdims=0> (x)
           i = Slice (a, starts, ends, axes)
           r = Reshape (i, flat)
           z = Gather <axis=2> (x, r)""",
        {"some": np.array([[7, 0, -2], [1, 1, -8]], I64),
         "starts": np.array([0, 0], I64), "ends": np.array([2, 2], I64),
         "axes": np.array([1, 2], I64), "flat": np.array([4], I64)}, 18),
    "scatter": (
        "float[1,8,10,12] y, float[1,8,10,12] z",
        """n = Neg (x)
           t = Transpose <perm=[3,1,2,0]> (n)
           h = Slice (t, starts, ends)
           s = ScatterND (t, columns, h)
           y = Transpose <perm=[3,1,2,0]> (s)
           z = ScatterND (x, places, rows)""",
        {"starts": np.array([0], I64), "ends": np.array([3], I64),
         "columns": np.array([[1], [-1], [4]], I64),
         "places": np.array([[[0, 2], [0, -8]]], I64), "rows": (1, 2, 10, 12)}, 18),
    "gather of rows": (
        "float[1,10,12,5] y, float[2,3,12] z, float[1,10,12,7] v",
        """a = ArgMax <axis=1, keepdims=0> (x)
           i = Unsqueeze (a, last)
           y = GatherND (palette, i)
           z = GatherND (x, places)
           j = Concat <axis=3> (i, i)
           v = GatherND (cube, j)""",
        {"last": np.array([3], I64), "palette": (8, 5), "cube": (8, 9, 7),
         "places": np.array([[[0, 1, 2], [0, -1, 3], [0, 0, 0]],
                             [[0, 7, 9], [0, 2, -1], [-1, 4, 4]]], I64)}, 18),
    "looked up from the end": (
        "float[1,8,10,1] y", "y = GatherElements <axis=-1> (x, last)",
        {"last": np.full((1, 8, 10, 1), -1, I64)}, 18),
    "one index for all": (
        "float[80,5] y",
        """r = Reshape (x, rows)
           m = ReduceMean (x)
           i = Cast <to=7> (m)
           j = Reshape (i, one)
           e = Expand (j, many)
           y = GatherElements <axis=1> (r, e)""",
        {"rows": np.array([80, 12], I64), "one": np.array([1, 1], I64),
         "many": np.array([80, 5], I64)}, 18),
    "one of many": (
        "float[1,10,8,12] z",
        """a = ArgMax <axis=1, keepdims=0> (x)
           b = Sub (a, eight)
           z = OneHot <axis=2> (b, eight, ends)""",
        {"eight": np.array(8, I64), "ends": np.array([-1, 2], np.float32)}, 18),
    "one hot of places outside": (
        "float[1,10,8,12] y",
        """a = ArgMax <axis=1, keepdims=0> (x)
           b = Add (a, four)
           z = OneHot <axis=2> (b, eight, ends)
           y = Relu (z)""",
        {"four": np.array(4, I64), "eight": np.array(8, I64), "ends": np.array([0, 2], np.float32)},
        18),
    "scatter of elements": (
        FULL, "n = Neg (x) \n h = Slice (n, none, two, axis) \n "
        "y = ScatterElements <axis=-2> (x, places, h)",
        {"none": np.array([0], I64), "two": np.array([2], I64), "axis": np.array([2], I64),
         "places": np.tile(np.array([[3], [-1]], I64), (1, 8, 1, 12))}, 18),
    "sums of what falls on one place": (
        "float[1,8,10,12] y, float[10,12] z",
        """a = ArgMax <axis=3> (x)
           e = Expand (a, whole)
           y = ScatterElements <axis=3, reduction="add"> (x, e, x)
           p = Reshape (a, pairs)
           q = Mod (p, ten)
           n = ReduceMean (x, first)
           m = Reshape (n, map)
           u = Slice (m, none, one, rows)
           v = Expand (u, forty)
           w = Reshape (v, flat)
           z = ScatterND <reduction="add"> (m, q, w)""",
        {"whole": np.array([1, 8, 10, 12], I64), "pairs": np.array([40, 2], I64),
         "ten": np.array(10, I64), "first": np.array([0, 1], I64), "map": np.array([10, 12], I64),
         "none": np.array([0, 0], I64), "one": np.array([1, 1], I64), "rows": np.array([0, 1], I64),
         "forty": np.array([40, 1], I64), "flat": np.array([40], I64)}, 18),
    "warp": (FULL, "g = Tanh (grid) \n y = GridSample (x, g)", {"grid": (1, 10, 12, 2)}, 18),
}  # fmt: skip
