"""DepthToSpace becomes two transpositions, for ONNX Runtime, whose own takes twice as long.

First the columns of all blocks are interleaved, then their rows. The way back, SpaceToDepth, is
faster as it is.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of moves written out; those of several pictures at once stay."""
    return rewrite_each(model, _write_out)


def _write_out(graph: Editor, node: Any) -> bool:
    """[1, b b C, H, W] to [1, C, b H, b W]; only mode DCR, where the block comes first."""
    shape = graph.shapes.get(node.input[0], ()) if node.op_type == "DepthToSpace" else ()
    given = attributes(node)
    if len(shape) != 4 or shape[0] != 1 or given.get("mode", "DCR") != "DCR":
        return False
    block, (_, channels, height, width) = given["blocksize"], shape
    kept, near = channels // block**2, node.output[0]
    x = graph.reshaped(node.input[0], (block, block, kept, height, width), near=near)
    x = graph.add("Transpose", [x], near=near, perm=[0, 2, 3, 4, 1])
    x = graph.reshaped(x, (block, kept, height, width * block), near=near)
    x = graph.add("Transpose", [x], near=near, perm=[1, 2, 0, 3])
    x = graph.reshaped(x, (1, kept, height * block, width * block), near=near)
    graph.replace(node, x)
    return True
