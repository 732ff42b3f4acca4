"""Frames that look clipped: what a net paints of other values than its contract says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeanim.runtime.golden import Golden, load_golden

if TYPE_CHECKING:
    from edgeanim.graph.load import Model

_CLIPPED = 0.25
"""A share of all values, beyond that in the pictures shown, by which frames look clipped."""


def clipped_share(golden: Golden) -> float | None:
    """How much of the golden frames lies at the ends of the value range, if that is so much more
    than of the pictures shown that they look clipped: drift is not seen there."""
    scene = golden.scene
    seen = scene.driver if scene.still is None else scene.still
    share = _at_the_ends(golden.frames)
    of_seen = 0.0 if seen is None else _at_the_ends(np.asarray(seen))
    return share if share - of_seen >= _CLIPPED else None


def clipping_in_words(model: Model, golden: Path) -> str | None:
    """What to do where much of what the model paints lies at the ends of its value range, and
    nothing in the graph keeps it there: of a net that paints -1..1, taken for 0..1, half is black,
    of one that paints 0..255 nearly all is white, and drift in it is not seen. `None` elsewhere."""
    from edgeanim.graph.reading.picture_ranges import bounded_range
    from edgeanim.graph.reading.read import read_onnx

    for graph in model.graphs:
        spec = graph.spec.output("frame")
        if spec is None or spec.range is None or bounded_range(read_onnx(graph.path), spec.name):
            continue
        if (share := clipped_share(load_golden(golden))) is not None:
            low, high = spec.range
            return (
                f"{share:.0%} of {spec.name!r} lies at the ends of its value range, "
                f"{low:g}..{high:g}, or beyond, where drift is not seen. If the net paints other "
                "values (-1..1 or 0..255, say), give these to `export --range`, or correct the "
                "`range` in its model.toml, which `inspect --save-contract` writes."
            )
    return None


def _at_the_ends(pictures: NDArray[np.uint8]) -> float:
    return float(((pictures == 0) | (pictures == 255)).mean())
