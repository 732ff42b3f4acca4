"""A triangle mesh over a mask, bent as rigidly as possible (Sorkine and Alexa 2007, in the plane).

Some vertices are handles whose places are given; the others follow so that every vertex' ring of
neighbours is turned rather than sheared. All frames are solved together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_TRIANGLES = 254
"""Triangles are the parts of a `FrameSequence`, which numbers them in a byte."""
_FINEST = 8.0
_HOLD, _DRAG = 1e3, 1e-6
_ROUNDS = 8


@dataclass(frozen=True)
class Mesh:
    """`points` [V, 2] pixels (x, y); `triangles` int [K, 3]; the first `handles` points are
    handles."""

    points: Points
    triangles: NDArray[np.int64]
    handles: int


def build_mesh(mask: Mask, handles: Points) -> Mesh:
    """A mesh of at most `MAX_TRIANGLES` over `mask`, with `handles` [N, 2] among its vertices."""
    import cv2

    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[:, 0].astype(np.float64)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    # With two triangles to a cell of this spacing, the most that are allowed cover the area.
    spacing = max(_FINEST, float(np.sqrt(mask.sum() * 2 / (0.87 * MAX_TRIANGLES))))
    while True:
        points = _sample(outline, depth, handles, spacing)
        triangles = _triangulate(points, mask)
        if len(triangles) <= MAX_TRIANGLES:
            return _without_strays(points, triangles, len(handles))
        spacing *= 1.08


def deform(mesh: Mesh, targets: Points, guess: Points) -> Points:
    """Vertices [T, V, 2] with the handles at `targets` [T, N, 2], starting from `guess` [T, V, 2].

    Alternates between the best rotation of each vertex' ring (closed form in the plane) and the
    best places for these rotations (one linear system, the same for all frames).
    """
    i, j = _half_edges(mesh.triangles)
    count = len(mesh.points)
    laplacian = np.zeros((count, count))
    laplacian[i, j] = -1
    laplacian[np.arange(count), np.arange(count)] = -laplacian.sum(1)
    # What hangs on no handle stays at its guess.
    hold = np.full(count, _DRAG)
    hold[: mesh.handles] = _HOLD
    solve = np.linalg.inv(laplacian + np.diag(hold))
    rings, first = np.unique(i, return_index=True)  # half-edges are sorted by their vertex
    edge = _complex(mesh.points[i] - mesh.points[j])
    places = _complex(guess)
    places[:, : mesh.handles] = _complex(targets)
    wanted = places * hold
    turn = np.ones_like(places)
    for _ in range(_ROUNDS):
        now = places[:, i] - places[:, j]
        turn[:, rings] = np.add.reduceat(now * edge.conj(), first, axis=1)
        turn /= np.maximum(np.abs(turn), 1e-12)
        rigid = 0.5 * (turn[:, i] + turn[:, j]) * edge
        load = wanted.copy()
        load[:, rings] += np.add.reduceat(rigid, first, axis=1)
        places = load @ solve.T
    return np.stack([places.real, places.imag], axis=-1)


def triangle_transforms(mesh: Mesh, places: Points) -> NDArray[np.float32]:
    """The affine map of each triangle from rest to `places` [T, V, 2]: [T, K, 2, 3].

    A triangle that has all but collapsed keeps a tenth of its width, so that every map can be
    inverted.
    """
    rest, now = mesh.points[None, mesh.triangles], places[:, mesh.triangles]
    linear = _sides(now) @ np.linalg.inv(_sides(rest))
    u, scale, v = np.linalg.svd(linear)
    linear = (u * np.maximum(scale, 0.1)[..., None, :]) @ v
    shift = now.mean(-2) - (linear @ rest.mean(-2)[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=-1).astype(np.float32)


def _sample(outline: Points, depth: NDArray[np.float32], handles: Points, spacing: float) -> Points:
    """Handles, then the outline, then a staggered grid inside, none too close to one before."""
    steps = np.linalg.norm(np.diff(outline, axis=0, append=outline[:1]), axis=1).cumsum()
    edge = outline[np.searchsorted(steps, np.arange(0, steps[-1], spacing))]
    height, width = depth.shape
    rows = np.arange(0, height, spacing * 0.87)
    grid = np.array(
        [
            (x, y)
            for k, y in enumerate(rows)
            for x in np.arange((k % 2) * spacing / 2, width, spacing)
            if depth[int(y), int(x)] > spacing * 0.5
        ]
    ).reshape(-1, 2)
    kept = list(handles)
    for candidates, distance in ((edge, 0.35), (grid, 0.6)):
        for point in candidates:
            if np.linalg.norm(np.array(kept) - point, axis=1).min() > distance * spacing:
                kept.append(point)
    return np.array(kept)


def _triangulate(points: Points, mask: Mask) -> NDArray[np.int64]:
    """Delaunay triangles whose middle lies inside the mask."""
    import cv2

    height, width = mask.shape
    plane = cv2.Subdiv2D((-1, -1, width + 2, height + 2))
    index: dict[tuple[float, float], int] = {}
    for number, (x, y) in enumerate(points.astype(np.float32)):
        plane.insert((float(x), float(y)))
        index.setdefault((float(x), float(y)), number)
    found = []
    for row in plane.getTriangleList():
        places = [(float(row[k]), float(row[k + 1])) for k in (0, 2, 4)]
        if not all(place in index for place in places):
            continue  # a corner of the plane itself
        corners = [index[place] for place in places]
        middle = np.rint(points[corners].mean(0)).astype(int)
        if mask[middle[1], middle[0]] and abs(np.linalg.det(_sides(points[corners]))) > 2:
            found.append(corners)
    return np.array(found, np.int64).reshape(-1, 3)


def _without_strays(points: Points, triangles: NDArray[np.int64], handles: int) -> Mesh:
    """Drop vertices that no triangle uses, but no handle: a handle may hold nothing."""
    used = np.zeros(len(points), bool)
    used[triangles] = True
    used[:handles] = True
    number = np.cumsum(used) - 1
    return Mesh(points[used], number[triangles], handles)


def _half_edges(triangles: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    both = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    return both[:, 0], both[:, 1]


def _sides(corners: Points) -> Points:
    """Two sides of each triangle as columns [..., 2, 2]."""
    sides: Points = np.stack(
        [corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]], axis=-1
    )
    return sides


def _complex(points: Points) -> NDArray[np.complex128]:
    result: NDArray[np.complex128] = points[..., 0] + 1j * points[..., 1]
    return result
