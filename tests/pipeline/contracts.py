"""What small nets of 16x24 pixels take and give: one plays pictures, one takes a style as well, and
one moves a still."""

from __future__ import annotations

from edgeanim.core.contract import Contract, GraphSpec, TensorSpec

PICTURE = TensorSpec("image", "driving_frame", (1, 3, 16, 24), "NCHW", range=(0.0, 1.0))
STYLE = TensorSpec("net/style", "condition:net_style", (1, 4))
RESULT = TensorSpec("result", "frame", (1, 3, 16, 24), "NCHW", range=(0.0, 1.0))
PLAIN = Contract("plain", (GraphSpec("net", "net.onnx", "frame", (PICTURE,), (RESULT,)),))
STYLED = Contract("styled", (GraphSpec("net", "net.onnx", "frame", (PICTURE, STYLE), (RESULT,)),))
STILL = TensorSpec("still", "still", (1, 3, 16, 24), "NCHW", range=(0.0, 1.0))
MOTION = TensorSpec("motion", "motion:driving", (1, 2, 6))
MOVING = Contract("moving", (GraphSpec("net", "net.onnx", "frame", (STILL, MOTION), (RESULT,)),))
