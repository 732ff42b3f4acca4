"""The same function in a form that runs faster: what is done before compiling and quantising.

Only exact algebra, float rounding apart; inputs, outputs and the names of convolutions stay. Which
rewrites there are, and when each pays, is said in its own file in `rewrites`.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.normalize import normalize
from edgeanim.graph.rewrites import identity, norm_scale, packing, transposed, upsampled

LANES = packing.LANES


def restructure(model: Any, *, lanes: int = LANES) -> Any:
    """A restructured copy of a `ModelProto`, for vectors of `lanes` float32 numbers.

    `BadInput` if its opset cannot be raised.
    """
    made = normalize(model)
    norm_scale.rewrite(made)
    upsampled.rewrite(made)
    transposed.rewrite(made)
    packing.rewrite(made, lanes=lanes)
    identity.rewrite(made)
    return made
