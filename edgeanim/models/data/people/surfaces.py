"""The surfaces of a body: grids of vertices, painted, and cut into patches whose motion is known.

A dataset knows motion as one affine transform for each part of a character (see `puppets`). A
surface bends, so it is cut into patches small enough for that. All patches of a surface lie flat
in one chart, whose y axis runs along the surface as a sprite's does: down the limb, crown to chin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.people.geometry import Floats, angles, quad_corners

ATLAS = 256
"""Side of a surface's texture in pixels, whatever its size."""
CHART = 100.0
"""Units of a chart to a head."""
_NARROWEST = 0.08
"""Of a patch that is seen from its edge: what is left of its width, so that its transform can be
inverted."""


@dataclass(frozen=True)
class Surface:
    """`texture` float32 [ATLAS, ATLAS, 3], RGB 0..255: rings down, segments across, the front in
    the middle. `patch` [rings, segments] is the number of the patch that each quad belongs to, and
    `regions` names the region of each patch."""

    name: str
    texture: NDArray[np.float32]
    patch: NDArray[np.int64]
    regions: tuple[str, ...]


def cut(
    name: str,
    texture: NDArray[np.float32],
    rings: int,
    columns: Sequence[float],
    segments: int,
    rows: Sequence[str],
) -> Surface:
    """A surface of `rings` x `segments` quads in patches: as many rows as there are regions in
    `rows`, in columns between the angles `columns`."""
    edges = angles(segments)
    middles = (edges[1:] + edges[:-1]) / 2
    column = np.searchsorted(np.asarray(columns)[1:-1], middles)
    across = len(columns) - 1
    row = np.arange(rings) * len(rows) // rings
    regions = tuple(region for region in rows for _ in range(across))
    return Surface(name, texture, row[:, None] * across + column[None], regions)


def front_columns(count: int) -> list[float]:
    """Edges of `count` columns of patches over the front half of a surface, and one on each side of
    its back."""
    return [-np.pi, *np.linspace(-np.pi / 2, np.pi / 2, count + 1), np.pi]


def even_columns(count: int) -> list[float]:
    """Edges of `count` columns of patches, all of one width."""
    return [float(edge) for edge in np.linspace(-np.pi, np.pi, count + 1)]


class Chart:
    """How a surface's patches lie flat, told by its `vertices` [R + 1, S + 1, 3] in some pose."""

    def __init__(self, surface: Surface, vertices: Floats) -> None:
        segments = surface.patch.shape[1]
        girth = np.linalg.norm(np.diff(vertices, axis=1), axis=-1).mean(1) * segments
        steps = np.linalg.norm(np.diff(vertices, axis=0), axis=-1).mean(1)
        down = np.concatenate([[0], np.cumsum(steps)])
        over = np.linspace(-0.5, 0.5, segments + 1) * np.median(girth)
        flat = np.stack(np.broadcast_arrays(over[None, :], down[:, None]), axis=-1) * CHART
        numbers = range(len(surface.regions))
        self._quads = [np.nonzero(surface.patch == number) for number in numbers]
        self._flat = self._by_patch(flat)
        self._fits = [np.linalg.pinv(np.column_stack([at, np.ones(len(at))])) for at in self._flat]

    def transforms(self, seen: Floats, zoom: float) -> Floats:
        """The affine map of each patch [P, 2, 3] from the chart to pixels, by least squares, where
        the vertices are `seen` [R + 1, S + 1, 2]; `zoom` is how many pixels a head is tall."""
        found = np.empty((len(self._quads), 2, 3))
        patches = zip(self._by_patch(seen), self._flat, self._fits, strict=True)
        for number, (places, flat, fit) in enumerate(patches):
            linear = widened((fit @ places).T[:, :2], _NARROWEST * zoom / CHART)
            found[number, :, :2] = linear
            found[number, :, 2] = places.mean(0) - linear @ flat.mean(0)
        return found

    def _by_patch(self, grid: Floats) -> list[Floats]:
        """Of a grid of vertices [R + 1, S + 1, 2] the corners of each patch's quads [4 Q, 2]."""
        corners = quad_corners(grid)
        return [corners[quads].reshape(-1, 2) for quads in self._quads]


def widened(linear: Floats, least: float) -> Floats:
    """The matrix [2, 2] with no singular value below `least`."""
    left, scales, right = np.linalg.svd(linear)
    matrix: Floats = (left * np.maximum(scales, least)) @ right
    return matrix
