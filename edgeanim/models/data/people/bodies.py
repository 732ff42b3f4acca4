"""Bodies: where the vertices of all surfaces are in a posture.

The base of the neck is the origin. Arms reach for their targets by the law of cosines; bends are
rounded by `geometry.tube`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeanim.models.data.people.acting import FINGERS, SIDES, ArmPose, LegPose, Posture
from edgeanim.models.data.people.faces import Face, random_face
from edgeanim.models.data.people.geometry import (
    Floats,
    across,
    between,
    ramp,
    sweep,
    tube,
    turned,
    unit,
)
from edgeanim.models.data.people.heads import RINGS, SEGMENTS, head_vertices
from edgeanim.models.data.people.looks import (
    Build,
    Clothes,
    Colours,
    Framing,
    Texture,
    hair_texture,
    leg_texture,
    skin_texture,
    sleeve_texture,
    trunk_texture,
)
from edgeanim.models.data.people.surfaces import (
    ATLAS,
    Surface,
    cut,
    even_columns,
    front_columns,
)

_NECK_BASE = 0.14
"""How far the trunk's surface reaches up beyond the base of the neck."""
_FINGER_LENGTHS = (0.3, 0.34, 0.39, 0.36, 0.28)
_FINGER_RADII = np.array([0.05, 0.05, 0.047, 0.046, 0.043, 0.038, 0.012])
_THIGH, _SHIN = 1.85, 1.9


@dataclass(frozen=True)
class Body:
    """`surfaces` are the trunk's, the neck's, the head's, that of hair where it is long or in a
    bun, then arm, palm and fingers of either side, and the legs, where the framing shows any."""

    build: Build
    clothes: Clothes
    colours: Colours
    face: Face
    surfaces: tuple[Surface, ...]
    legs: bool


def random_body(
    rng: np.random.Generator, build: Build, colours: Colours, clothes: Clothes, framing: Framing
) -> Body:
    """A body with all that it wears."""
    skin = colours.skin
    trunk = trunk_texture(rng, clothes, skin)
    surfaces = [
        cut("trunk", trunk, 24, front_columns(7), 32, ["torso"] * 6),
        cut("neck", skin_texture(rng, skin), 4, front_columns(4), 16, ["head"]),
    ]
    face_skin = skin_texture(rng, skin)
    hair = []
    if colours.hair_style == "long":
        strands = hair_texture(rng, colours.hair)
        hair.append(cut("hair", strands, 10, front_columns(3), 24, ["head"] * 2))
    elif colours.hair_style == "bun":
        strands = hair_texture(rng, colours.hair)
        hair.append(cut("bun", strands, 8, even_columns(2), 12, ["head"]))
    limbs = [surface for side, _ in SIDES for surface in _arm_surfaces(rng, side, clothes, skin)]
    legs = framing != "bust"
    if legs:
        for side, _ in SIDES:
            trouser = leg_texture(rng, clothes)
            limbs.append(cut(f"leg {side}", trouser, 16, even_columns(4), 12, [f"leg, {side}"] * 4))
    face = random_face(rng, colours, face_skin)
    head = cut("head", face.texture, RINGS, front_columns(7), SEGMENTS, ["head"] * 8)
    return Body(build, clothes, colours, face, (*surfaces, head, *hair, *limbs), legs)


def posed(body: Body, posture: Posture) -> list[Floats]:
    """The vertices of each of the body's surfaces, each [R + 1, S + 1, 3]."""
    build = body.build
    hips = posture.place + np.array([0, build.trunk, 0])
    chest = _trunk_turned(posture, 1.0)
    neck = hips + chest @ np.array([0, -build.trunk, 0])
    head = chest @ turned(*posture.head)
    pivot = neck + chest @ np.array([0, -build.neck * 0.6, 0.02])
    crown = pivot + head @ np.array([0, -0.4 * build.neck - 0.5, 0.08])
    vertices = [
        _trunk(build, posture, hips),
        _neck(build, neck, pivot, head, chest),
        head_vertices(build, body.face, posture.expression) @ head.T + crown,
    ]
    if body.colours.hair_style == "long":
        vertices.append(_long_hair(body, crown, head, chest))
    elif body.colours.hair_style == "bun":
        vertices.append(_bun(crown, head))
    for (_, sign), pose in zip(SIDES, posture.arms, strict=True):
        vertices += _arm(body, pose, sign, neck, chest)
    if body.legs:
        for (_, sign), leg in zip(SIDES, posture.legs, strict=True):
            vertices.append(_leg(build, leg, sign, hips))
    return vertices


def _arm_surfaces(
    rng: np.random.Generator, side: str, clothes: Clothes, skin: Floats
) -> list[Surface]:
    sleeve = sleeve_texture(rng, clothes, skin)
    upper, hand = f"upper arm, {side}", f"forearm and hand, {side}"
    bare = skin_texture(rng, skin)
    columns = [-np.pi, -np.pi / 2, np.pi / 2, np.pi]
    surfaces = [
        cut(f"arm {side}", sleeve, 18, even_columns(5), 14, [upper] * 3 + [hand] * 3),
        cut(f"palm {side}", bare, 6, columns, 10, [hand]),
    ]
    nailed = _with_nail(bare)
    for number in range(FINGERS):
        surfaces.append(cut(f"finger {side} {number}", nailed, 6, even_columns(1), 6, [hand]))
    return surfaces


def _with_nail(skin: Texture) -> Texture:
    nailed = skin.copy()
    nailed[int(ATLAS * 0.86) :, int(ATLAS * 0.3) : int(ATLAS * 0.7)] *= 1.08
    return np.clip(nailed, 0, 255)


def _trunk_turned(posture: Posture, share: float) -> Floats:
    """How the trunk is turned at this share of its height: a third of its twist is in the hips."""
    yaw, bow, lean = posture.trunk
    return turned(yaw * (0.35 + 0.65 * share), bow * share, lean * share)


def _trunk(build: Build, posture: Posture, hips: Floats) -> Floats:
    rings = 25
    girth = build.girth
    profile = np.array(
        [
            [-_NECK_BASE, 0.24, 0.2],
            [-0.02, 0.42 * girth**0.5, 0.25],
            [0.1, build.shoulder * 0.93, 0.32 * girth],
            [0.3, build.shoulder, 0.4 * girth],
            [0.8, build.shoulder * 0.94 * girth**0.3, 0.45 * girth],
            [1.5, 0.66 * girth, 0.42 * girth],
            [2.0, 0.72 * girth, 0.45 * girth],
            [2.9, 0.76 * girth, 0.44 * girth],
        ]
    )
    height = -_NECK_BASE + np.linspace(0, 1, rings) * (build.trunk + _NECK_BASE)
    wide, deep = (np.interp(height, profile[:, 0], profile[:, k]) for k in (1, 2))
    turns = [_trunk_turned(posture, float(f)) for f in ramp(1 - height / build.trunk, 0, 1)]
    centres = [
        hips + turn @ np.array([0, y - build.trunk, 0])
        for turn, y in zip(turns, height, strict=True)
    ]
    return _swept(np.array(centres), np.array(turns), wide, deep, 32, 0.85)


def _neck(build: Build, neck: Floats, pivot: Floats, head: Floats, chest: Floats) -> Floats:
    radius = 0.2 * build.girth**0.5
    share = np.linspace(0, 1, 5)
    chin = pivot + head @ np.array([0, -0.22, 0.0])
    base = neck + chest @ np.array([0, 0.12, -0.02])
    centres = chin * (1 - share[:, None]) + base * share[:, None]
    axes = np.array([between(head, chest, 1 - s) for s in share])
    return _swept(centres, axes, radius * (1 + 0.25 * share), radius * (1 + 0.2 * share), 16)


def _long_hair(body: Body, crown: Floats, head: Floats, chest: Floats) -> Floats:
    """Hair down the back: its upper end turns with the head, its lower with the trunk."""
    share = np.linspace(0, 1, 11)
    long = body.colours.hair_long
    top = head @ np.array([0, -0.32, -0.1])
    drift = head @ np.array([0, -0.32, 0.0])
    axes = np.array([between(head, chest, 1 - s * 0.75) for s in share])
    centres = [
        crown + top * (1 - s) + turn @ np.array([0, long * s, -0.16 - 0.05 * s]) + drift * s * 0.3
        for turn, s in zip(axes, share, strict=True)
    ]
    wide = body.build.head.wide * np.interp(share, [0, 0.2, 0.7, 1], [0.6, 1.18, 1.3, 0.9])
    deep = 0.3 * np.interp(share, [0, 0.25, 1], [0.7, 1, 0.55])
    return _swept(np.array(centres), axes, wide, deep, 24)


def _bun(crown: Floats, head: Floats) -> Floats:
    down = np.linspace(0.05, np.pi - 0.05, 9)
    zero = np.zeros(9)
    centres = crown + np.stack([zero, -0.55 - 0.16 * np.cos(down), zero - 0.12], axis=1) @ head.T
    radius = 0.17 * np.sin(down)
    return _swept(centres, np.tile(head, (9, 1, 1)), radius, radius, 12)


def _swept(
    centres: Floats, turns: Floats, wide: Floats, deep: Floats, segments: int, boxy: float = 1.0
) -> Floats:
    """Rings round `centres` [R, 3], `wide` and `deep` [R], turned as `turns` [R, 3, 3] say."""
    radii = np.stack([wide, deep], axis=1)
    return sweep(centres, turns[:, :, 0], turns[:, :, 2], radii, segments, boxy)


def _arm(body: Body, pose: ArmPose, sign: int, neck: Floats, chest: Floats) -> list[Floats]:
    """Arm, palm and fingers."""
    build = body.build
    shoulder = neck + chest @ np.array([sign * (build.shoulder - 0.08), 0.2, 0])
    elbow, wrist = _reached(build, shoulder, neck + chest @ pose.target, chest @ pose.elbow)
    girth = build.girth**0.5 * (1.12 if body.clothes.sleeve >= 1 else 1.0)
    radii = [(0.23, 0.23), (0.19, 0.19), (0.165, 0.165), (0.155, 0.15), (0.125, 0.11)]
    arm = tube(
        [shoulder, (shoulder + elbow) / 2, elbow, elbow * 0.55 + wrist * 0.45, wrist],
        [(wide * girth, deep * girth) for wide, deep in radii],
        19,
        14,
        chest[:, 0] * sign,
        closed=True,
    )
    along, palm = _hand_axes(unit(wrist - elbow), pose, chest)
    return [arm, *_hand(build.hand, pose, sign, wrist, along, palm)]


def _reached(
    build: Build, shoulder: Floats, target: Floats, pointing: Floats
) -> tuple[Floats, Floats]:
    """Elbow and wrist of an arm that reaches for `target`, or as near as it comes."""
    upper, lower = build.upper_arm, build.forearm
    way = target - shoulder
    far = float(np.linalg.norm(way))
    way = way / far
    reach = float(np.clip(far, abs(upper - lower) + 0.25, (upper + lower) * 0.985))
    out = unit(across(pointing, way))
    along = (reach**2 + upper**2 - lower**2) / (2 * reach)
    elbow = shoulder + way * along + out * np.sqrt(max(upper**2 - along**2, 0))
    return elbow, shoulder + way * reach


def _hand_axes(forearm: Floats, pose: ArmPose, chest: Floats) -> tuple[Floats, Floats]:
    """Where a hand points, and where its palm looks."""
    palm = across(chest[:, 2], forearm)
    if np.linalg.norm(palm) < 0.2:  # the forearm points forward itself
        palm = across(-chest[:, 1], forearm)
    palm = unit(palm)
    aside = np.cross(palm, forearm)
    palm = palm * np.cos(pose.roll) + aside * np.sin(pose.roll)
    cos, sin = np.cos(pose.flex), np.sin(pose.flex)
    return forearm * cos + palm * sin, palm * cos - forearm * sin


def _hand(
    size: float, pose: ArmPose, sign: int, wrist: Floats, along: Floats, palm: Floats
) -> list[Floats]:
    aside = np.cross(palm, along)
    steps = np.linspace(-0.08, 0.40, 7)
    wide = np.interp(steps, [-0.08, 0.08, 0.3, 0.40], [0.11, 0.145, 0.165, 0.15]) * size
    deep = np.interp(steps, [-0.08, 0.1, 0.40], [0.09, 0.08, 0.055]) * size
    surfaces = [
        sweep(
            wrist + along * steps[:, None] * size,
            np.tile(aside, (7, 1)),
            np.tile(palm, (7, 1)),
            np.stack([wide, deep], axis=1),
            10,
        )
    ]
    for number, (length, curl) in enumerate(zip(_FINGER_LENGTHS, pose.curl, strict=True)):
        if number == 0:  # the thumb, on the inner side
            root = wrist + along * 0.1 * size - aside * sign * 0.13 * size
            way = along * 0.75 - aside * sign * 0.65
        else:
            place = (number - 2.5) / 1.5
            root = wrist + along * 0.37 * size + aside * sign * place * 0.12 * size
            way = along + aside * sign * place * pose.spread
        surfaces.append(_finger(root, unit(way), palm, curl, length * size, size))
    return surfaces


def _finger(
    root: Floats, way: Floats, palm: Floats, curl: float, length: float, size: float
) -> Floats:
    """A finger that curls towards the palm."""
    angle = np.linspace(0, curl * 1.4, 7)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    along, inward = cos * way + sin * palm, cos * palm - sin * way
    steps = np.concatenate([np.zeros((1, 3)), np.cumsum(along[:-1] * length / 6, axis=0)])
    radii = _FINGER_RADII * size
    return sweep(root + steps, np.cross(inward, along), inward, np.stack([radii, radii], axis=1), 6)


def _leg(build: Build, pose: LegPose, sign: int, hips: Floats) -> Floats:
    girth = build.girth
    hip = hips + np.array([sign * 0.36 * girth**0.5, -0.15, 0])
    knee = hip + _THIGH * unit(np.array([sign * (0.03 + 0.3 * abs(pose.aside)), 1, pose.forward]))
    foot = knee + _SHIN * unit(np.array([sign * 0.02, 1, -0.3 * abs(pose.forward)]))
    radii = [(0.36 * girth, 0.36 * girth), (0.23 * girth**0.5, 0.23), (0.15, 0.16)]
    return tube([hip, knee, foot], radii, 17, 12, np.array([1.0, 0, 0]), closed=True)
