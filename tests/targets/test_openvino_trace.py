"""What OpenVINO says of a node, as it says it, and what that counts as."""

from __future__ import annotations

import pytest

from edgeanim.targets.openvino_trace import executed
from edgeanim.targets.profile import COMPUTE, CONVERT, INT8, LAYOUT, ExecutedOp


def node(op: str, runs_in: str, gives: str, layers: str, time: str = "3") -> dict[str, str]:
    return {
        "layerType": op,
        "runtimePrecision": runs_in,
        "outputPrecisions": gives,
        "originalLayersNames": layers,
        "execTimeMcs": time,
    }


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (node("Subgraph", "f32", "u8", "image/fq"), ("float32", CONVERT)),
        (node("Subgraph", "f32", "u8", "add,act,act/fq"), ("float32", COMPUTE)),
        (node("Eltwise", "bf16", "i8", "fq"), ("bfloat16", CONVERT)),
        (node("FakeQuantize", "f32", "f32", "a,b"), ("float32", CONVERT)),
        (node("Convert", "u8", "f32", "x"), (INT8, CONVERT)),
        (node("Reorder", "f32", "u8", ""), ("float32", CONVERT)),
        (node("Reorder", "u8", "u8", ""), (INT8, LAYOUT)),
        (node("Transpose", "f32", "f32", "t"), ("float32", LAYOUT)),
        (node("Convolution", "u8", "f32", "conv,result"), (INT8, COMPUTE)),
        (node("Convolution", "i8", "u8,f32", "conv,act/fq"), (INT8, COMPUTE)),
        (node("Gather", "i32", "i32", "g"), ("i32", COMPUTE)),
    ],
)
def test_a_node_computes_converts_or_lays_out(
    info: dict[str, str], expected: tuple[str, str]
) -> None:
    precision, kind = expected
    assert executed(info) == ExecutedOp(info["layerType"], precision, kind, 3.0)


@pytest.mark.parametrize(
    "info",
    [
        node("Const", "i8", "i8", "weights"),
        node("Input", "f32", "f32", "image"),
        node("Output", "f32", "f32", "result", time="7"),
        node("Reshape", "f32", "f32", "bias", time="not_executed"),
        {},
    ],
)
def test_what_did_no_work_is_no_op(info: dict[str, str]) -> None:
    assert executed(info) is None
