"""The instance norm of a finished picture becomes one over [N, C, H W].

The numbers are the same and lie in the same places. OpenVINO lays pictures out channels-last, where
with three channels most lanes idle and scale and shift take longer than the sums; three axes it
keeps in rows. With more channels that costs more than it gains. `instance_norm` undoes it where a
graph is to be read, not run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each

MOST_CHANNELS = 4


def rewrite(model: Any) -> int:
    """Returns the number of norms flattened."""
    return rewrite_each(model, _flatten)


def _flatten(graph: Editor, node: Any) -> bool:
    shape = graph.shapes.get(node.output[0], ())
    if node.op_type != "InstanceNormalization" or len(shape) != 4 or shape[1] > MOST_CHANNELS:
        return False
    result = node.output[0]
    flat, full = (
        graph.constant(np.array(sizes, np.int64), near=result)
        for sizes in ((*shape[:2], -1), shape)
    )
    node.input[0] = graph.add("Reshape", [node.input[0], flat], near=result)
    node.output[0] = graph.fresh(f"{result}/flat")
    graph.reindex(node)
    graph.add("Reshape", [node.output[0], full], near=result, output=result)
    return True
