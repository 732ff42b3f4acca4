"""What a session of the backends' contract is fed with."""

from __future__ import annotations

import numpy as np

from edgeanim.core.artifact import Array, CompiledGraph
from edgeanim.core.contract import GraphSpec
from edgeanim.targets.backends import Backend

Case = tuple[Backend, CompiledGraph]
SIZE = 64


def inputs_for(spec: GraphSpec, seed: int = 0) -> dict[str, Array]:
    """The same picture in 0..1, whatever layout `spec` wants it in."""
    picture = np.random.default_rng(seed).random((1, 3, SIZE, SIZE), dtype=np.float32)
    (tensor,) = spec.inputs
    if tensor.layout == "NHWC":
        picture = np.ascontiguousarray(picture.transpose(0, 2, 3, 1))
    return {tensor.name: picture}
