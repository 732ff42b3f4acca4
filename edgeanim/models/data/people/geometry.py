"""Lines in space and the surfaces that are swept along them.

Axes are the picture's, and the third points to the camera: x to the right, y down, z out of the
picture. Lengths are in heads, from chin to crown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def turned(yaw: float, pitch: float, roll: float) -> Floats:
    """The rotation [3, 3] by these angles in radians: to the right, upwards, clockwise."""
    (sin_y, cos_y), (sin_p, cos_p), (sin_r, cos_r) = (
        (np.sin(angle), np.cos(angle)) for angle in (yaw, pitch, roll)
    )
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    about_x = np.array([[1, 0, 0], [0, cos_p, -sin_p], [0, sin_p, cos_p]])
    about_z = np.array([[cos_r, -sin_r, 0], [sin_r, cos_r, 0], [0, 0, 1]])
    rotation: Floats = about_y @ about_x @ about_z
    return rotation


def between(one: Floats, other: Floats, share: float) -> Floats:
    """The rotation nearest to the mean of two, of which `one` counts for `share`."""
    left, _, right = np.linalg.svd(one * share + other * (1 - share))
    rotation: Floats = left @ right
    return rotation


def unit(vector: Floats) -> Floats:
    """The vector [3], one long."""
    scaled: Floats = vector / max(float(np.linalg.norm(vector)), 1e-6)
    return scaled


def across(vector: Floats, axis: Floats) -> Floats:
    """What of a vector is perpendicular to the unit vector `axis`."""
    left: Floats = vector - axis * float(vector @ axis)
    return left


def ramp(values: Floats, low: float, high: float) -> Floats:
    """0 up to `low`, 1 from `high` on, smooth between; falls where `high` is below `low`."""
    share = np.clip((values - low) / (high - low), 0, 1)
    smooth: Floats = share * share * (3 - 2 * share)
    return smooth


def bump(x: NDArray[Any], wide: float, y: NDArray[Any], high: float) -> NDArray[Any]:
    """1 where x and y are 0, falling off round it."""
    bump: NDArray[Any] = np.exp(-((x / wide) ** 2) - (y / high) ** 2)
    return bump


def angles(segments: int) -> Floats:
    """The angles [segments + 1] round a surface: from its back, by its front (0), to its back."""
    return np.linspace(-np.pi, np.pi, segments + 1)


def quad_corners(grid: Floats) -> Floats:
    """The corners of each quad [R, S, 4, ...] of a grid [R + 1, S + 1, ...]: round, from the upper
    left."""
    return np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2)


def sweep(
    centres: Floats,
    sideways: Floats,
    forward: Floats,
    radii: Floats,
    segments: int,
    boxy: float = 1.0,
) -> Floats:
    """Ellipses round a line: vertices [R, segments + 1, 3], the last of a ring being its first.

    `centres` [R, 3], the axes `sideways` and `forward` [R, 3], and `radii` [R, 2] along those. With
    `boxy` below 1 they bulge towards their corners.
    """
    angle = angles(segments)
    sin, cos = (np.sign(wave) * np.abs(wave) ** boxy for wave in (np.sin(angle), np.cos(angle)))
    vertices: Floats = (
        centres[:, None]
        + radii[:, :1, None] * sin[None, :, None] * sideways[:, None]
        + radii[:, 1:, None] * cos[None, :, None] * forward[:, None]
    )
    return vertices


def tube(
    points: Sequence[Floats],
    radii: Sequence[tuple[float, float]],
    rings: int,
    segments: int,
    sideways: Floats,
    *,
    closed: bool = False,
) -> Floats:
    """A limb through `points`, each with its two radii, as `sweep` gives it with `rings` rings.

    Bends are rounded. `sideways` is the first ring's axis, or near it; the others follow without
    twist. The limb's first end is closed, and with `closed` its last.
    """
    corners, widths = np.array(points), np.array(radii, np.float64)
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    steps = np.linspace(0, at[-1], rings)
    centres = np.stack([np.interp(steps, at, corners[:, axis]) for axis in range(3)], axis=1)
    centres[1:-1] = 0.25 * centres[:-2] + 0.5 * centres[1:-1] + 0.25 * centres[2:]
    sizes = np.stack([np.interp(steps, at, widths[:, axis]) for axis in range(2)], axis=1)
    sizes[0] *= 0.25
    sizes[1] *= 0.8
    if closed:
        sizes[-1] *= 0.3
    along = np.gradient(centres, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    axes = np.empty_like(centres)
    axis = np.asarray(sideways, np.float64)
    for ring in range(rings):
        axis = across(axis, along[ring])
        if np.linalg.norm(axis) < 0.05:  # the limb has turned into its own axis
            axis = np.cross(along[ring], [0.0, 0.0, 1.0])
        axis = axis / np.linalg.norm(axis)
        axes[ring] = axis
    return sweep(centres, axes, np.cross(axes, along), sizes, segments)
