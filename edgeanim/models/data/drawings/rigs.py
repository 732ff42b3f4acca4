"""A drawing on the canvas, cut into a mesh and hung on its bones, to be posed by a motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput
from edgeanim.models.data.drawings.drawing import Drawing
from edgeanim.models.data.drawings.mesh import Mesh, Points, build_mesh, deform, triangle_transforms
from edgeanim.models.data.drawings.retarget import SIDES, BodyMotion
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.regions import REGIONS

SHARPNESS = 2
"""Pixels of the rig's picture along a canvas pixel: a warped limb stays as sharp as a still one."""
_GROWN = 2
_PARENTS = {"head": "torso"} | {
    f"{bone} {side}": parent if parent == "torso" else f"{parent} {side}"
    for side in SIDES
    for bone, parent in (
        ("upper arm", "torso"),
        ("forearm", "upper arm"),
        ("thigh", "torso"),
        ("shin", "thigh"),
    )
}
_ENDS = {
    "upper arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "hand"),
    "thigh": ("hip", "knee"),
    "shin": ("knee", "foot"),
}
_REACH = {"forearm": 1.6, "shin": 1.4, "head": 2.0}
_NECK = 0.4
_HEAD_SHARE = 0.7
_LARGEST_STEP = 0.45
_LEAST_AREA = 100
_FARTHEST_JOINT = 2.0 * SIZE
"""From the canvas' centre, along x or y. The character itself is placed within the canvas."""


@dataclass(frozen=True)
class Bone:
    """From `start` to `end` on the canvas at rest; turns about `start`, which `parent` carries."""

    name: str
    parent: str | None
    start: Points
    end: Points

    @property
    def angle(self) -> float:
        """Its direction at rest, radians, x to the right and y down."""
        x, y = self.end - self.start
        return float(np.arctan2(y, x))


@dataclass(frozen=True)
class Rig:
    """`picture` uint8 [2S, 2S, 4] RGBA, the character alone. `place` float64 [3] is the scale and
    the shift (x, y) of the `drawing` to the canvas. Per triangle of `mesh`: `bone_of`, an index
    into `bones`, and `regions`; per handle: `handle_bones`, the bone that carries it."""

    picture: NDArray[np.uint8]
    drawing: Drawing
    place: NDArray[np.float64]
    mesh: Mesh
    bones: tuple[Bone, ...]
    bone_of: NDArray[np.int64]
    regions: NDArray[np.uint8]
    handle_bones: NDArray[np.int64]

    @property
    def backdrop(self) -> NDArray[np.uint8]:
        """The paper without the character, uint8 [S, S, 3]. Worked out when it is asked for, since
        half of the sequences show another backdrop."""
        return _paper(self.drawing, self.place)

    def pose(self, motion: BodyMotion) -> NDArray[np.float32]:
        """The transform of each triangle in each frame [T, K, 2, 3], canvas at rest to canvas."""
        moves = self._bone_moves(motion)
        points = self.mesh.points
        targets = _carry(moves[:, self.handle_bones], points[: self.mesh.handles])
        nearest = _nearest_bone(self.bones, points)
        guess = _carry(moves[:, nearest], points)
        return triangle_transforms(self.mesh, deform(self.mesh, targets, guess))

    def _bone_moves(self, motion: BodyMotion) -> NDArray[np.complex128]:
        """Turn and shift of each bone [T, B, 2]: a point z at rest goes to turn * z + shift."""
        moves: dict[str, NDArray[np.complex128]] = {}
        for bone in self.bones:
            turn = np.exp(1j * _turn(bone, motion))
            start = complex(*bone.start)
            if bone.parent is None:
                # The last two bones, both shins, are about as long as a leg.
                leg = sum(float(np.linalg.norm(b.end - b.start)) for b in self.bones[-2:])
                step = np.clip(motion.root, -_LARGEST_STEP, _LARGEST_STEP) * leg
                joint = start + step[:, 0] + 1j * step[:, 1]
            else:
                joint = moves[bone.parent][:, 0] * start + moves[bone.parent][:, 1]
            moves[bone.name] = np.stack([turn, joint - turn * start], axis=-1)
        return np.stack([moves[bone.name] for bone in self.bones], axis=1)


def make_rig(drawing: Drawing, rng: np.random.Generator) -> Rig:
    """Put a drawing on the canvas, at a size and place of the generator's choice, and rig it.

    `BadInput` if hardly anything of it is left at that size, or its joints lie elsewhere.
    """
    place = _placement(drawing, rng)
    joints = {name: place[0] * xy + place[1:] for name, xy in drawing.joints.items()}
    if any(np.abs(xy - SIZE / 2).max() > _FARTHEST_JOINT for xy in joints.values()):
        raise BadInput(
            "The joints lie far off the mask.",
            where=drawing.name,
            hint="Correct them, or leave this drawing out.",
        )
    picture = _placed(np.dstack([drawing.texture, drawing.mask * np.uint8(255)]), place, SHARPNESS)
    mask = _placed(drawing.mask * np.uint8(255), place, 1) > 127
    if mask.sum() < _LEAST_AREA:
        raise BadInput(
            "The mask is too thin a shape to be moved.",
            where=drawing.name,
            hint="Correct it, or leave this drawing out.",
        )
    bones = _bones(joints, mask)
    handles, handle_bones = _handles(bones, joints, mask)
    grown = _grow(mask, _GROWN)
    mesh = build_mesh(grown, handles)
    bone_of = _nearest_bone(bones, mesh.points[mesh.triangles].mean(1))
    names = [_region(bone.name, joints) for bone in bones]
    regions = np.array([REGIONS.index(names[k]) for k in bone_of], np.uint8)
    return Rig(picture, drawing, place, mesh, bones, bone_of, regions, handle_bones)


def _turn(bone: Bone, motion: BodyMotion) -> NDArray[np.float64]:
    """How far a bone turns from rest [T], radians. Limbs take the body's own directions, torso and
    head only lean as it does: their drawn axis need not be upright."""
    angle, lean = motion.angles[bone.name], motion.angles["torso"] + np.pi / 2
    if bone.name == "torso":
        return lean
    if bone.name == "head":
        nod: NDArray[np.float64] = np.angle(np.exp(1j * (angle - lean)))
        return lean + _HEAD_SHARE * (nod - np.median(nod))
    return angle - bone.angle


def _bones(joints: dict[str, Points], mask: NDArray[np.bool_]) -> tuple[Bone, ...]:
    neck = _neck(joints, mask)
    bones = [
        Bone("torso", None, joints["root"], joints["torso"]),
        Bone("head", "torso", neck, joints["neck"]),
    ]
    for name, (start, end) in _ENDS.items():
        for side in SIDES:
            full = f"{name} {side}"
            bones.append(
                Bone(full, _PARENTS[full], joints[f"{side}_{start}"], joints[f"{side}_{end}"])
            )
    return tuple(bones)


def _neck(joints: dict[str, Points], mask: NDArray[np.bool_]) -> Points:
    """Where the head turns: the narrowest place between the shoulders and the head's joint."""
    low, high = joints["torso"], joints["neck"]
    points = [low + share * (high - low) for share in np.linspace(0.2, 0.7, 11)]
    widths = [_width_at(mask, point) for point in points]
    # Someone without a neck turns the head where necks usually are.
    if min(widths) > 0.8 * min(widths[0], widths[-1]):
        return low + _NECK * (high - low)
    narrowest: Points = points[int(np.argmin(widths))]
    return narrowest


def _width_at(mask: NDArray[np.bool_], point: Points) -> float:
    """Length of the mask's row through `point`, without gaps."""
    x, y = np.clip(point, 0, SIZE - 1).astype(int)
    gaps = np.nonzero(~mask[y])[0]
    return float(np.min(gaps[gaps > x], initial=SIZE) - np.max(gaps[gaps < x], initial=-1))


def _handles(
    bones: tuple[Bone, ...], joints: dict[str, Points], mask: NDArray[np.bool_]
) -> tuple[Points, NDArray[np.int64]]:
    """Points that bones carry: their joints, the middles of long ones, the torso's corners."""
    found: list[tuple[Points, int]] = []
    for number, bone in enumerate(bones):
        length = float(np.linalg.norm(bone.end - bone.start))
        shares = [1.0] if length < 24 else [0.5, 1.0]
        if bone.name == "head":
            shares = [0.3, 1.0, 1.5]
        found += [(bone.start + share * (bone.end - bone.start), number) for share in shares]
    corners = ("root", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
    found += [(joints[name], 0) for name in corners]
    inside = np.argwhere(mask)[:, ::-1].astype(np.float64)
    points: list[Points] = []
    owners: list[int] = []
    for point, number in found:
        snapped = inside[np.linalg.norm(inside - point, axis=1).argmin()]
        if all(np.linalg.norm(snapped - other) > 3 for other in points):
            points.append(snapped)
            owners.append(number)
    return np.array(points), np.array(owners)


def _nearest_bone(bones: tuple[Bone, ...], points: Points) -> NDArray[np.int64]:
    """The index of the bone nearest to each point; the torso is the area between its joints."""
    distances = []
    for bone in bones:
        if bone.name == "torso":
            distances.append(_distance_to_torso(bones, points))
            continue
        reach = _REACH.get(bone.name.split()[0], 1.0)
        along = reach * (bone.end - bone.start)
        share = (points - bone.start) @ along / max(float(along @ along), 1e-9)
        foot = bone.start + np.clip(share, 0, 1)[:, None] * along
        distances.append(np.linalg.norm(points - foot, axis=1))
    nearest: NDArray[np.int64] = np.array(distances).argmin(0)
    return nearest


def _distance_to_torso(bones: tuple[Bone, ...], points: Points) -> NDArray[np.float64]:
    import cv2

    corners = [b.start for b in bones if b.parent == "torso"] + [bones[0].start, bones[0].end]
    hull = cv2.convexHull(np.array(corners, np.float32))
    inside = [cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in points]
    distance: NDArray[np.float64] = np.maximum(-np.array(inside), 0)
    return distance


def _region(bone: str, joints: dict[str, Points]) -> str:
    """The region a bone shows; sides of regions are the picture's."""
    name, _, side = bone.rpartition(" ")
    if side not in SIDES:
        return bone
    joint = "shoulder" if "arm" in name else "hip"
    other = "left" if side == "right" else "right"
    shown = "left" if joints[f"{side}_{joint}"][0] < joints[f"{other}_{joint}"][0] else "right"
    kind = {"thigh": "leg", "shin": "leg", "forearm": "forearm and hand"}.get(name, name)
    return f"{kind}, {shown}"


def _placement(drawing: Drawing, rng: np.random.Generator) -> NDArray[np.float64]:
    """Scale and shift (x, y) from the drawing's pixels to the canvas'."""
    rows, columns = np.nonzero(drawing.mask.any(1))[0], np.nonzero(drawing.mask.any(0))[0]
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    scale = min(rng.uniform(140, 185) / height, rng.uniform(170, 225) / width)
    middle = np.array([columns.mean(), rows.mean()])
    shift = np.array([rng.uniform(112, 144), rng.uniform(120, 138)]) - scale * middle
    return np.array([scale, *shift])


def _placed(
    picture: NDArray[np.uint8], place: NDArray[np.float64], finer: int, *, reflect: bool = False
) -> NDArray[np.uint8]:
    """A picture of the drawing's size on a canvas with `finer` times as many pixels a side."""
    import cv2

    scale = place[0] * finer
    shrunk = min(scale, 1.0)
    if shrunk < 1:
        picture = cv2.resize(picture, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)
    # A drawing is enlarged only where the canvas shows it: all of it may be more than memory holds.
    zoom = scale / shrunk
    how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_LINEAR
    # Pixel centres lie at whole numbers on the drawing, the shrunk drawing and the canvas.
    shift = finer * place[1:] + (finer - 1 - zoom * (shrunk - 1)) / 2
    move = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    border = cv2.BORDER_REFLECT_101 if reflect else cv2.BORDER_CONSTANT
    side = SIZE * finer
    placed: NDArray[np.uint8] = cv2.warpAffine(
        picture, move, (side, side), flags=how, borderMode=border
    )
    return placed


def _paper(drawing: Drawing, place: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What lies behind the character, guessed from the paper around it, on the canvas."""
    import cv2

    scale = min(place[0], 1.0)
    size = (round(drawing.mask.shape[1] * scale), round(drawing.mask.shape[0] * scale))
    small = cv2.resize(drawing.texture, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(drawing.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    mask = _grow(mask > 0, 5).astype(np.uint8)
    filled = cv2.inpaint(small, mask, 3, cv2.INPAINT_TELEA)
    ratio = place[0] / scale
    rest = np.array([ratio, *(place[1:] + ratio * (1 - scale) / 2)])
    return _placed(filled, rest, 1, reflect=True)


def _grow(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    grown: NDArray[np.bool_] = cv2.dilate(mask.astype(np.uint8), kernel) > 0
    return grown


def _carry(moves: NDArray[np.complex128], points: Points) -> Points:
    """Points [N, 2], each moved by its own moves [T, N, 2]: [T, N, 2]."""
    moved = moves[..., 0] * (points[:, 0] + 1j * points[:, 1]) + moves[..., 1]
    return np.stack([moved.real, moved.imag], axis=-1)
