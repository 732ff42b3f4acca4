"""What a case is: an op, or a few, of one input `x`."""

from __future__ import annotations

from typing import Any

import numpy as np

X = "float[1,8,10,12] x"
FULL = "float[1,8,10,12] y"
I64 = np.int64

Case = tuple[str, str, dict[str, Any], int]
"""The outputs, the body, its weights (arrays, or shapes to fill at random), and the opset."""
