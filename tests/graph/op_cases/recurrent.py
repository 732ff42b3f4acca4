"""LSTM, GRU and RNN."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import I64, Case

CASES: dict[str, Case] = {
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
}  # fmt: skip
