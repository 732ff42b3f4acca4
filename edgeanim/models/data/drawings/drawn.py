"""Sequences of drawings: rigged by their joints, moved by motion capture, all of it known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import must_exist
from edgeanim.models.data.drawings.bvh import Capture, read_bvh
from edgeanim.models.data.drawings.drawing import FILES, Drawing, is_drawing, read_drawing
from edgeanim.models.data.drawings.retarget import BodyMotion, retarget
from edgeanim.models.data.drawings.rigs import SHARPNESS, Rig, make_rig
from edgeanim.models.data.drawings.sketches import make_sketch
from edgeanim.models.data.puppets.keyposes import free_motion
from edgeanim.models.data.puppets.puppet import (
    NO_PART,
    SIZE,
    Frame,
    homogeneous,
    lay_over,
    on_canvas,
)
from edgeanim.models.data.puppets.sprites import background
from edgeanim.models.data.sequences import FrameSequence, Parts

_SOLID = 127
_SHORTEST = 1e-6


def drawing_sequence(
    folder: Path,
    bvh: Path,
    seed: int,
    moments: int = 8,
    *,
    drawing_in: Callable[[Path], Drawing] = read_drawing,
    capture_in: Callable[[Path], Capture] = read_bvh,
) -> FrameSequence:
    """The drawing in `folder` performing the captured motion `bvh`; the same one for a seed.

    Frame 0 is the drawing as it was drawn; then follow `moments` pairs of a frame and the one
    before it (1/24 s), spread over the motion: 1 + 2 * moments frames. The seed chooses the place
    and size on the canvas, the moments, which way sideways limbs point, and for half of the seeds
    a backdrop other than the drawing's own paper. `BadInput` for files that cannot be used.
    `drawing_in` and `capture_in` read them; who makes many sequences of one may keep it.
    """
    # Drawings and motions of one seed differ in place and backdrop too.
    names = f"{folder.name} {bvh.stem}".encode("utf-8", "surrogateescape")
    rng = np.random.default_rng([seed, 11, *names])
    motion = retarget(capture_in(bvh), ahead_is_right=bool(rng.uniform() < 0.5))
    return perform(f"{folder.name} {bvh.stem} {seed}", drawing_in(folder), motion, rng, moments)


def sketch_sequence(
    seed: int, moments: int = 8, captures: tuple[Capture, ...] = ()
) -> FrameSequence:
    """The sketch of this seed in a motion through random poses; frames as of `drawing_sequence`.

    With `captures`, half of the sketches perform one of those instead.
    """
    rng = np.random.default_rng([seed, 32])
    if captures and rng.uniform() < 0.5:
        capture = captures[int(rng.integers(len(captures)))]
        motion = retarget(capture, ahead_is_right=bool(rng.uniform() < 0.5))
    else:
        motion = free_motion(rng)
    return perform(f"sketch {seed}", make_sketch(seed), motion, rng, moments)


def perform(
    name: str, drawing: Drawing, motion: BodyMotion, rng: np.random.Generator, moments: int
) -> FrameSequence:
    """The drawing at rest, then `moments` times of the motion, each with the frame before it."""
    rig = make_rig(drawing, rng)
    backdrop = background(rng, SIZE) if rng.uniform() < 0.5 else rig.backdrop
    starts = (np.arange(moments) + rng.uniform(0, 1, moments)) / moments
    last = np.clip((starts * len(motion)).astype(int), 1, None)
    indices = np.stack([last - 1, last], axis=1).reshape(-1)
    order = _order(rig, motion)
    rest = np.tile(np.eye(3, dtype=np.float32)[:2], (1, len(rig.regions), 1, 1))
    transforms = np.concatenate([rest, rig.pose(motion.at(indices))])
    frames = [render_rig(rig, moves, order, backdrop) for moves in transforms]
    return FrameSequence(
        name,
        np.stack([frame.picture for frame in frames]),
        (0, *(i if i % 2 else i - 1 for i in range(1, len(frames)))),
        Parts(
            np.stack([frame.parts for frame in frames]),
            _pointing_along_bones(rig, transforms),
            rig.regions,
            np.zeros(len(rig.regions), np.uint8),
        ),
    )


def drawing_folders(folder: Path) -> tuple[Path, ...]:
    """The drawings below `folder` by name, or itself if it is one; `BadInput` if there is none."""
    must_exist(folder)
    with disk_errors(folder):
        if is_drawing(folder):
            return (folder,)
        found = tuple(sorted(filter(is_drawing, folder.iterdir()))) if folder.is_dir() else ()
    if not found:
        raise BadInput(
            f"There are no drawings ({', '.join(FILES)}) here.",
            where=folder,
            hint="Give a folder with these files, or one with such folders in it.",
        )
    return found


def render_rig(
    rig: Rig,
    transforms: NDArray[np.float32],
    order: tuple[tuple[int, ...], ...],
    backdrop: NDArray[np.uint8],
) -> Frame:
    """One frame: the triangles at `transforms` [K, 2, 3], layer by layer as `order` lists them."""
    picture = backdrop.copy()
    shown = np.full((SIZE, SIZE), NO_PART, np.uint8)
    corners = rig.mesh.points[rig.mesh.triangles]
    places = np.einsum("kij,kcj->kci", transforms[:, :, :2], corners) + transforms[:, None, :, 2]
    back = np.linalg.inv(homogeneous(transforms))[:, :2].astype(np.float32)
    for layer in order:
        _paint(picture, shown, rig.picture, layer, places, back)
    return Frame(picture, shown, transforms)


def _paint(
    picture: NDArray[np.uint8],
    shown: NDArray[np.uint8],
    source: NDArray[np.uint8],
    layer: tuple[int, ...],
    places: NDArray[np.float64],
    back: NDArray[np.float32],
) -> None:
    """Draw the triangles of a layer over what is there."""
    import cv2

    low, high = on_canvas(places[list(layer)].reshape(-1, 2))
    if (high <= low).any():
        return
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    part = np.full_like(shown[window], NO_PART)
    for index in layer:
        points = np.rint((places[index] - low) * 16).astype(np.int32)
        cv2.fillConvexPoly(part, points, int(index), shift=4)
    covered = part != NO_PART
    rows, columns = np.mgrid[window].astype(np.float32)
    moves = back[np.minimum(part, len(back) - 1)]
    x, y = (moves[..., k, 0] * columns + moves[..., k, 1] * rows + moves[..., k, 2] for k in (0, 1))
    middle = (SHARPNESS - 1) / 2
    patch = cv2.remap(source, x * SHARPNESS + middle, y * SHARPNESS + middle, cv2.INTER_LINEAR)
    alpha = patch[:, :, 3:] * covered[:, :, None]
    lay_over(picture[window], patch[:, :, :3], alpha)
    solid = alpha[:, :, 0] > _SOLID
    shown[window][solid] = part[solid]


def _order(rig: Rig, motion: BodyMotion) -> tuple[tuple[int, ...], ...]:
    """Triangles by layer, back to front: arms behind, legs, torso and head, arms before."""
    depth = {"thigh": 1, "shin": 1, "torso": 2, "head": 3}
    for side, front in motion.front.items():
        depth |= {f"upper arm {side}": 4 if front else 0, f"forearm {side}": 5 if front else 0}
    layers: list[list[int]] = [[] for _ in range(6)]
    for triangle, bone in enumerate(rig.bone_of):
        name = rig.bones[bone].name
        layers[depth[name] if name in depth else depth[name.split()[0]]].append(triangle)
    return tuple(tuple(layer) for layer in layers if layer)


def _pointing_along_bones(rig: Rig, transforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same transforms from axes whose y points down each triangle's bone, as in a puppet's
    sprites: down the limb, from crown to chin."""
    turns = []
    for bone in rig.bones:
        x, y = (bone.end - bone.start) * (-1 if bone.name in ("torso", "head") else 1)
        length = float(np.hypot(x, y))
        if length < _SHORTEST:
            x, y, length = 0.0, 1.0, 1.0  # joints in one place point nowhere: down
        turns.append([[y / length, x / length, 0], [-x / length, y / length, 0], [0, 0, 1]])
    own = np.array(turns)[rig.bone_of]
    result: NDArray[np.float32] = (homogeneous(transforms) @ own)[:, :, :2].astype(np.float32)
    return result
