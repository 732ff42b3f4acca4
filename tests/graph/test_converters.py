"""Each op's converter: ONNX Runtime's numbers, and back to ONNX again."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
import torch

from edgeanim.core.errors import BadInput
from edgeanim.core.quiet import quiet
from edgeanim.graph.to_torch import import_torch

X = "float[1,8,10,12] x"
FULL = "float[1,8,10,12] y"
I64 = np.int64

# One line each: outputs, body, weights, opset. The gate of `import_torch` is the comparison.
OPS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "conv grouped": (FULL, "y = Conv <group=4, pads=[1,1,1,1]> (x, w)", {"w": (8, 2, 3, 3)}, 18),
    "conv dilated": (
        "float[1,4,6,8] y", "y = Conv <dilations=[2,2]> (x, w, b)",
        {"w": (4, 8, 3, 3), "b": (4,)}, 18),
    "conv unequal pads": (
        "float[1,4,11,13] y", "y = Conv <pads=[0,1,2,1]> (x, w)", {"w": (4, 8, 2, 2)}, 18),
    "conv computed weight": (
        FULL, "v = Tanh (w) \n m = ReduceMean (x) \n u = Mul (v, m) \n y = Conv (x, u)",
        {"w": (8, 8, 1, 1)}, 18),
    "conv transpose": (
        "float[1,6,20,24] y",
        "y = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (x, w, b)",
        {"w": (8, 6, 3, 3), "b": (6,)}, 18),
    "conv transpose unequal": (
        "float[1,6,20,24] y", "y = ConvTranspose <strides=[2,2], pads=[0,0,1,1]> (x, w)",
        {"w": (8, 6, 3, 3)}, 18),
    "conv transpose to a size": (
        "float[1,6,20,23] y", "y = ConvTranspose <strides=[2,2], output_shape=[20,23]> (x, w)",
        {"w": (8, 6, 3, 4)}, 18),
    "conv transpose of the same size": (
        "float[1,6,20,24] y", """y = ConvTranspose <strides=[2,2], auto_pad="SAME_UPPER"> (x, w)""",
        {"w": (8, 6, 3, 3)}, 18),
    "conv transpose with more below": (
        "float[1,6,21,24] y",
        "y = ConvTranspose <strides=[2,2], pads=[1,1,0,0], output_padding=[1,0]> (x, w)",
        {"w": (8, 6, 3, 3)}, 18),
    "batch norm": (
        FULL, "r = Relu (x) \n y = BatchNormalization (r, a, b, c, d)",
        {"a": (8,), "b": (8,), "c": (8,), "d": np.ones(8, np.float32)}, 18),
    "batch norm of a vector": (
        "float[1,8] y",
        """m = ReduceMean <keepdims=0> (x, axes)
           y = BatchNormalization (m, a, b, c, d)""",
        {"axes": np.array([2, 3], I64), "a": (8,), "b": (8,), "c": (8,),
         "d": np.ones(8, np.float32)}, 18),
    "instance norm": (FULL, "y = InstanceNormalization (x, a, b)", {"a": (8,), "b": (8,)}, 18),
    "instance norm of a pixel": (
        "float[1,8,1,1] y", "p = GlobalAveragePool (x) \n y = InstanceNormalization (p, a, b)",
        {"a": (8,), "b": (8,)}, 18),
    "layer norm": (FULL, "y = LayerNormalization (x, a, b)", {"a": (12,), "b": (12,)}, 18),
    "group norm": (
        FULL, "y = GroupNormalization <num_groups=2> (x, a, b)", {"a": (8,), "b": (8,)}, 21),
    "activations": (
        FULL,
        """a = LeakyRelu <alpha=0.3> (x)
           b = HardSwish (a)
           c = HardSigmoid (b)
           d = Elu (c)
           e = Softplus (d)
           f = PRelu (e, slope)
           g = Clip (f, , six)
           y = Erf (g)""",
        {"slope": (8, 1, 1), "six": np.array(0.6, np.float32)}, 18),
    "slopes of other ranks": (
        "float[1,8,120] y, float[1,8,10,3,4] z, float[1,8] v",
        """a = Reshape (x, line)
           y = PRelu (a, one)
           b = Reshape (x, volume)
           z = PRelu (b, two)
           c = ReduceMean <keepdims=0> (x, axes)
           v = PRelu (c, none)""",
        {"one": (8, 1), "two": (1, 8, 1, 1, 1), "none": (8,), "line": np.array([1, 8, 120], I64),
         "volume": np.array([1, 8, 10, 3, 4], I64), "axes": np.array([2, 3], I64)}, 18),
    "number first": (
        FULL,
        """a = Greater (half, x)
           b = And (true, a)
           c = Equal (half, x)
           d = Or (b, c)
           e = Where (d, x, half)
           y = Sub (half, e)""",
        {"half": np.array(0.5, np.float32), "true": np.array(True)}, 18),
    "whole numbers clipped": (
        "float[1,10,12] y",
        """i = ArgMax <axis=1, keepdims=0> (x)
           c = Clip (i, low, high)
           y = Gather (t, c)""",
        {"low": np.array(1, I64), "high": np.array(5, I64), "t": (8,)}, 18),
    "gelu": (FULL, 'y = Gelu <approximate="tanh"> (x)', {}, 20),
    "arithmetic": (
        FULL,
        """a = Mul (x, v)
           b = Add (a, v)
           c = Sub (one, b)
           d = Abs (c)
           e = Sqrt (d)
           f = Div (e, v)
           g = Pow (f, two)
           h = Exp (x)
           i = Max (g, h, x)
           j = Neg (i)
           y = Min (j, x)""",
        {"v": (8, 1, 1), "one": np.array(1.0, np.float32), "two": np.array([2.0], np.float32)}, 18),
    "where": (FULL, "c = Greater (x, zero) \n y = Where (c, x, zero)",
              {"zero": np.array(0, np.float32)}, 18),
    "softmax": (FULL, "y = Softmax <axis=1> (x)", {}, 18),
    "one value as two outputs": (
        "float[1,8,10,12] y, float[1,8,10,12] z", "y = Tanh (x) \n z = Identity (y)", {}, 18),
    "many axes": (
        "float[1,3,1,2,2,10,12] y, float[1,2,2,2,5,2,12] z",
        """m = Slice (x, starts, ends, axes)
           f = Reshape (m, features)
           r = Reshape (x, kernels)
           s = Softmax <axis=2> (r)
           p = Mul (s, f)
           t = Add (p, p)
           y = ReduceMax (t, second)
           l = Reshape (x, split)
           o = LogSoftmax <axis=-4> (l)
           z = Sub (two, o)""",
        {"kernels": np.array([1, 1, 2, 2, 2, 10, 12], I64),
         "features": np.array([1, 3, 2, 1, 1, 10, 12], I64),
         "split": np.array([1, 2, 2, 2, 5, 2, 12], I64), "starts": np.array([0], I64),
         "ends": np.array([6], I64), "axes": np.array([1], I64),
         "second": np.array([2], I64), "two": np.array(2, np.float32)}, 18),
    "reductions": (
        "float[1,8,1,12] y, float[1,8] z",
        "y = ReduceMean (x, rows) \n z = ReduceSum <keepdims=0> (x, both)",
        {"rows": np.array([2], I64), "both": np.array([-1, -2], I64)}, 18),
    "reductions old": (
        "float[1,8,1,1] y, float[8,12] z",
        "y = ReduceMax <axes=[2,3]> (x) \n z = ReduceL2 <axes=[0,2], keepdims=0> (x)", {}, 17),
    "concat split": (
        "float[1,10,10,12] y",
        "a, b = Split <axis=1> (x, sizes) \n y = Concat <axis=1> (b, a, b)",
        {"sizes": np.array([6, 2], I64)}, 18),
    "slice": (
        "float[1,3,10,6] y", "y = Slice (x, starts, ends, axes, steps)",
        {"starts": np.array([1, -1000], I64), "ends": np.array([4, 1000], I64),
         "axes": np.array([1, 3], I64), "steps": np.array([1, 2], I64)}, 18),
    "slice flip": (
        FULL, "y = Slice (x, starts, ends, axes, steps)",
        {"starts": np.array([-1], I64), "ends": np.array([-1000], I64),
         "axes": np.array([3], I64), "steps": np.array([-1], I64)}, 18),
    "reshape transpose": (
        "float[1,12,80] y",
        "r = Reshape (x, s) \n t = Transpose <perm=[0,3,1,2]> (r) \n y = Reshape (t, u)",
        {"s": np.array([0, 8, -1, 12], I64), "u": np.array([1, 12, 80], I64)}, 18),
    "squeeze unsqueeze": (
        "float[1,8,1,1,1] y",
        """p = GlobalAveragePool (x)
           s = Squeeze (p, last)
           u = Unsqueeze (s, axes)
           y = Relu (u)""",
        {"last": np.array([2, 3], I64), "axes": np.array([2, 3, -1], I64)}, 18),
    "expand tile": (
        "float[1,8,10,24] y",
        "m = ReduceMean <axes=[3]> (x) \n e = Expand (m, s) \n t = Tile (e, r) \n y = Relu (t)",
        {"s": np.array([1, 8, 10, 12], I64), "r": np.array([1, 1, 1, 2], I64)}, 17),
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
    "positions": (
        FULL,
        """a = ArgMax <axis=1> (x)
           b = ArgMin <axis=3, keepdims=0> (x)
           c = Cast <to=1> (a)
           d = Cast <to=1> (b)
           e = Unsqueeze (d, last)
           y = Add (c, e)""",
        {"last": np.array([3], I64)}, 18),
    "pads": (
        "float[1,8,20,22] y",
        """r = Pad <mode="reflect"> (x, p)
           e = Pad <mode="edge"> (r, p)
           c = Pad (e, q, value, axes)
           y = Tanh (c)""",
        {"p": np.array([0, 0, 1, 2, 0, 0, 3, 1], I64), "q": np.array([1, 3, 1, 1], I64),
         "value": np.array(0.7, np.float32), "axes": np.array([2, 3], I64)}, 18),
    "pools": (
        "float[1,8,5,6] y, float[1,8,5,6] z",
        """y = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x)
           z = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x)""", {}, 18),
    "pools unequal": (
        "float[1,8,5,6] y, float[1,8,5,6] z",
        """y = MaxPool <kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER"> (x)
           z = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1],
                            count_include_pad=1> (x)""", {}, 18),
    "pools of other ranks": (
        "float[1,2,2,5,6] y, float[1,2,4,4,12] z, float[1,8,60] v, float[1,8,61] w",
        """r = Reshape (x, deep)
           y = MaxPool <kernel_shape=[2,3,3], strides=[2,2,2], pads=[0,1,1,0,1,1]> (r)
           z = AveragePool <kernel_shape=[1,3,1], strides=[1,3,1], pads=[0,1,0,0,1,0]> (r)
           s = Reshape (x, flat)
           v = AveragePool <kernel_shape=[2], strides=[2]> (s)
           w = MaxPool <kernel_shape=[2], strides=[2], pads=[1,1]> (s)""",
        {"deep": np.array([1, 2, 4, 10, 12], I64), "flat": np.array([1, 8, 120], I64)}, 18),
    "resize volumes": (
        "float[1,2,4,20,24] y, float[1,2,2,10,12] z, float[1,2,8,15,12] v, float[1,2,6,10,12] w",
        """r = Reshape (x, deep)
           y = Resize <mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric"> (r, , planes)
           z = Resize <mode="nearest"> (r, , , thin)
           v = Resize <mode="linear"> (r, , , sizes)
           w = Resize <mode="linear", coordinate_transformation_mode="align_corners">
               (r, , , thick)""",
        {"deep": np.array([1, 2, 4, 10, 12], I64),
         "planes": np.array([1, 1, 1, 2, 2], np.float32),
         "thin": np.array([1, 2, 2, 10, 12], I64), "sizes": np.array([1, 2, 8, 15, 12], I64),
         "thick": np.array([1, 2, 6, 10, 12], I64)}, 18),
    "resize nearest": (
        "float[1,8,20,24] y",
        """y = Resize <mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric"> (x, , scales)""",
        {"scales": np.array([1, 1, 2, 2], np.float32)}, 18),
    "resize linear": (
        "float[1,8,15,18] y", 'y = Resize <mode="linear"> (x, , , sizes)',
        {"sizes": np.array([1, 8, 15, 18], I64)}, 18),
    "resize aligned": (
        "float[1,8,20,24] y",
        """y = Resize <mode="linear", coordinate_transformation_mode="align_corners">
               (x, , scales)""",
        {"scales": np.array([1, 1, 2, 2], np.float32)}, 18),
    "depth to space": (
        "float[1,2,20,24] y, float[1,2,20,24] z, float[1,32,5,6] w",
        """y = DepthToSpace <blocksize=2> (x)
           z = DepthToSpace <blocksize=2, mode="CRD"> (x)
           w = SpaceToDepth <blocksize=2> (x)""", {}, 18),
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
    "symmetric resizing": (
        "float[1,8,15,18] y",
        '''y = Resize <mode="cubic", coordinate_transformation_mode="half_pixel_symmetric">
               (x, , scales)''',
        {"scales": np.array([1, 1, 1.5, 1.5], np.float32)}, 19),
    "vector flattened": (
        "float[8,1] y", "m = ReduceMean <keepdims=0> (x, axes) \n y = Flatten (m)",
        {"axes": np.array([0, 2, 3], I64)}, 18),
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
    "wide pads that count": (
        "float[1,8,12,14] y",
        "y = AveragePool <kernel_shape=[3,3], pads=[2,2,2,2], count_include_pad=1> (x)", {}, 18),
    "defined by others, stored scale": (
        FULL, "y = RMSNormalization <axis=2> (x, w)", {"w": (10, 12)}, 23),
    "defined by others": (FULL, "a = ThresholdedRelu (x) \n b = Selu (a) \n y = Swish (b)", {}, 24),
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
    "whole numbers divided": (
        "float[1,10,12] y",
        """a = ArgMax <axis=1, keepdims=0> (x)
           n = Neg (x)
           b = ArgMax <axis=1, keepdims=0> (n)
           c = Add (b, one)
           m = Neg (a)
           d = Div (m, c)
           r = Mod (m, three)
           e = Add (d, r)
           f = Cast <to=1> (e)
           y = Mod <fmod=1> (f, half)""",
        {"one": np.array(1, I64), "three": np.array(3, I64),
         "half": np.array(1.5, np.float32)}, 18),
    "mean of several": (FULL, "a = Neg (x) \n b = Exp (x) \n y = Mean (x, a, b)", {}, 18),
    "dropout and its mask": (
        "float[1,8,10,12] y, float[1,8,10,12] z, float[1,8,10,12] v",
        """y, m = Dropout (x)
           z = Cast <to=1> (m)
           v = Dropout (x, half, no)""",
        {"half": np.array(0.5, np.float32), "no": np.array(False)}, 18),
    "layer norm repeated": (
        "float[1,8,10,12] y, float[1,8,10,12] z",
        """y = LayerNormalization <axis=2> (x, row, column)
           z = LayerNormalization <axis=1> (x, channels)""",
        {"row": (12,), "column": (10, 1), "channels": (8, 1, 1)}, 18),
    "resize from the corner": (
        "float[1,8,20,36] y, float[1,8,5,4] z, float[1,8,20,6] v, float[1,2,8,5,12] w",
        """y = Resize <mode="linear", coordinate_transformation_mode="asymmetric"> (x, , , up)
           z = Resize <mode="linear", coordinate_transformation_mode="asymmetric"> (x, , , down)
           v = Resize <mode="linear", coordinate_transformation_mode="asymmetric"> (x, , , both)
           r = Reshape (x, deep)
           w = Resize <mode="linear", coordinate_transformation_mode="asymmetric">
               (r, , , volume)""",
        {"up": np.array([1, 8, 20, 36], I64), "down": np.array([1, 8, 5, 4], I64),
         "both": np.array([1, 8, 20, 6], I64), "deep": np.array([1, 2, 4, 10, 12], I64),
         "volume": np.array([1, 2, 8, 5, 12], I64)}, 18),
    "unequal pads that do not count": (
        "float[1,8,5,6] y, float[1,8,10,12] z, float[1,8,4,5] v",
        """y = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]> (x)
           z = AveragePool <kernel_shape=[2,2], auto_pad="SAME_UPPER"> (x)
           v = AveragePool <kernel_shape=[3,3], strides=[3,3], pads=[1,1,0,0], ceil_mode=1> (x)
        """, {}, 18),
    "reductions of no axes": (
        "float[1,8,10,12] y, float[1,8,10,12] z",
        """y = ReduceL2 <noop_with_empty_axes=1> (x)
           a = ReduceLogSum <noop_with_empty_axes=1> (y)
           z = ReduceMax <noop_with_empty_axes=1> (a)""", {}, 18),
    "reductions of functions": (
        "float[1,1,10,12] y, float[1,8,1,12] z, float[1,8,10] v, float[1,8,1,1] w",
        """y = ReduceL1 <axes=[1]> (x)
           z = ReduceSumSquare <axes=[2]> (x)
           v = ReduceLogSumExp <axes=[3], keepdims=0> (x)
           e = Exp (x)
           w = ReduceLogSum <axes=[2,3]> (e)""", {}, 17),
    "sums up to each place": (
        "float[1,8,10,12] y, float[1,8,10,12] z",
        "y = CumSum (x, last) \n z = CumSum <reverse=1> (x, second)",
        {"last": np.array(-1, I64), "second": np.array(1, I64)}, 18),
    "windows put together": (
        "float[1,8,10,12] y, float[1,10,14,14] z",
        """r = Reshape (x, tiles)
           y = Col2Im <strides=[5,4]> (r, size, window)
           s = Reshape (x, some)
           z = Col2Im <strides=[5,2], pads=[0,1,0,1], dilations=[2,1]> (s, larger, three)""",
        {"tiles": np.array([1, 160, 6], I64), "size": np.array([10, 12], I64),
         "window": np.array([5, 4], I64), "some": np.array([1, 60, 16], I64),
         "larger": np.array([14, 14], I64), "three": np.array([3, 2], I64)}, 18),
    "conv transpose computed": (
        "float[1,6,20,24] y, float[1,6,21,25] z",
        """t = Tanh (w)
           m = ReduceMean (x)
           u = Mul (t, m)
           y = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (x, u, b)
           z = ConvTranspose <strides=[2,2]> (x, u)""",
        {"w": (8, 6, 3, 3), "b": (6,)}, 18),
    "old activations": (
        FULL,
        """a = Selu <alpha=1.2> (x)
           b = ThresholdedRelu <alpha=0.3> (a)
           c = Sub (x, b)
           d = Atan (c)
           e = Sqrt (d)
           f = IsNaN (e)
           y = Where (f, x, e)""", {}, 17),
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
    "lstm both ways": (
        "float[8,2,10,6] y, float[2,10,6] h, float[2,10,6] c",
        """s = Reshape (x, steps)
           y, h, c = LSTM <hidden_size=6, direction="bidirectional"> (s, w, r, b)""",
        {"steps": np.array([8, 10, 12], I64), "w": (2, 24, 12), "r": (2, 24, 6), "b": (2, 48)}, 18),
    "lstm carried on": (
        "float[8,1,10,6] y, float[1,10,6] c",
        """s = Reshape (x, steps)
           a = Slice (s, none, one, axis)
           k = Slice (a, none, six, last)
           y, h, c = LSTM <hidden_size=6, activations=["Sigmoid","Tanh","Relu"]>
               (s, w, r, , lengths, zeros, k)""",
        {"steps": np.array([8, 10, 12], I64), "w": (1, 24, 12), "r": (1, 24, 6),
         "none": np.array([0], I64), "one": np.array([1], I64), "six": np.array([6], I64),
         "axis": np.array([0], I64), "last": np.array([2], I64),
         "lengths": np.full(10, 8, np.int32), "zeros": np.zeros((1, 10, 6), np.float32)}, 18),
    "gru": (
        "float[8,1,10,6] y, float[1,10,6] h, float[8,1,10,6] z, float[1,10,6] v",
        """s = Reshape (x, steps)
           y, h = GRU <hidden_size=6, linear_before_reset=1> (s, w, r, b)
           z, v = GRU <hidden_size=6, direction="reverse"> (s, w, r, b, , h)""",
        {"steps": np.array([8, 10, 12], I64), "w": (1, 18, 12), "r": (1, 18, 6), "b": (1, 36)}, 18),
    "rnn": (
        "float[1,10,6] h, float[8,2,10,6] z",
        """s = Reshape (x, steps)
           y, h = RNN <hidden_size=6> (s, w, r)
           z = RNN <hidden_size=6, direction="bidirectional", activations=["Relu","Tanh"]>
               (s, w2, r2)""",
        {"steps": np.array([8, 10, 12], I64), "w": (1, 6, 12), "r": (1, 6, 6),
         "w2": (2, 6, 12), "r2": (2, 6, 6)}, 18),
    "warp": (FULL, "g = Tanh (grid) \n y = GridSample (x, g)", {"grid": (1, 10, 12, 2)}, 18),
}  # fmt: skip


@pytest.mark.parametrize("case", OPS)
def test_each_op_equals_onnx_runtime_and_exports(graph: Any, save: Any, case: str) -> None:
    outputs, body, weights, opset = OPS[case]
    imported = import_torch(save(graph(X, outputs, body, weights, opset)), tolerance=1e-5)
    assert imported.error <= 1e-5
    assert all(parameter.is_contiguous() for parameter in imported.module.parameters())
    example = imported.example()
    with quiet():
        program = torch.export.export(imported.module, example)
    with torch.no_grad():
        wanted, made = imported.module(*example), program.module()(*example)
    for one, other in zip(wanted, made, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert_gradients_alike(imported.module, example)


def assert_gradients_alike(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> None:
    """That training would see the same whichever way values lie in memory: PyTorch 2.13's own
    backward pass of an instance norm does not, if what comes back to it is channels-last."""

    def gradients(layout: torch.memory_format) -> list[torch.Tensor]:
        def laid(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor

        given = [laid(tensor).requires_grad_() for tensor in example]
        made = [tensor for tensor in module(*given) if tensor.requires_grad]
        rng = torch.Generator().manual_seed(0)
        back = [laid(torch.randn(tensor.shape, generator=rng)) for tensor in made]
        learned = [*given, *module.parameters()]
        found = torch.autograd.grad(made, learned, back, allow_unused=True) if made else []
        return [torch.zeros(()) if each is None else each for each in found]

    layouts = (torch.contiguous_format, torch.channels_last)
    for one, other in zip(*map(gradients, layouts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def test_squares_and_cubes_are_products(graph: Any, save: Any) -> None:
    outputs = "float[1,8,10,12] y, float[1,8,10,12] z"
    model = graph(X, outputs, "y = Pow (x, two) \n z = Pow (x, three)", weights={
        "two": np.array(2, np.float32), "three": np.array([3], np.float32)})  # fmt: skip
    imported = import_torch(save(model), tolerance=1e-5)
    called = {node.target for node in imported.module.graph.nodes if node.op == "call_function"}
    assert called == {operator.mul}


@pytest.mark.parametrize(
    ("how", "sizes", "why"),
    [
        ("LSTM <hidden_size=4, clip=1.0> (s, w, r)", (8, 10), "its clip is 1.0"),
        ("LSTM <hidden_size=4> (s, w, r, , , , , p)", (8, 10), "peepholes"),
        ("LSTM <hidden_size=4> (s, w, r, , lengths)", (8, 2), "of several lengths"),
        ("LSTM <hidden_size=4> (s, w, r)", (320, 3), "320 steps, and at most 256"),
        (
            'LSTM <hidden_size=4, activations=["HardSigmoid","Tanh","Tanh"]> (s, w, r)',
            (8, 10),
            "Hardsigmoid",
        ),
    ],
)
def test_what_a_recurrent_op_does_besides_is_refused(
    graph: Any, save: Any, how: str, sizes: tuple[int, int], why: str
) -> None:
    length, count = sizes
    width = 960 // length // count
    model = graph(
        X, f"float[{length},1,{count},4] y", f"s = Reshape (x, steps) \n y = {how}",
        {"steps": np.array([length, count, width], I64), "w": (1, 16, width), "r": (1, 16, 4),
         "p": (1, 12), "lengths": np.array([8, 5], np.int32)},
    )  # fmt: skip
    with pytest.raises(BadInput, match=why):
        import_torch(save(model))
