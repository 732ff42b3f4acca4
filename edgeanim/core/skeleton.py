"""How the regions of a body hang together, and one body's motion carried over to another's.

A region's motion is its centre c and the axes x and y of its affine; as points of the plane all
three are complex numbers here, so that to turn and to stretch is to multiply. Of a driver now (t)
and at first (0) and of a still (s), what the still's regions shall do is

    X = x_t x_s / x_0,  Y = y_t y_s / y_0         they turn and stretch as the driver's do, along
                                                  their own axes
    C = c_s + q (c_t - c_0)                       of a root
    C = C_p + q (c_t - c_pt) + T_p(e_p) + T(e)    of one that hangs on p by the joint j = c + u y

where q is how much larger the still's body is and the bones' lengths differ by
e_p = (j_s - c_ps) - q (j_0 - c_p0) and e = (c_s - j_s) - q (c_0 - j_0). T_k(v) is v carried along
with region k, but stretched by no more than `LONGER`: a limb that points at the viewer at first is
short then, and what is long beside it must not be thrown across the picture as it comes down.

So a driver that is the still's own body is followed to the letter, and rigid limbs keep their
lengths and stay in their joints, whatever the driver's build and whatever pose it began in.
Equation 15 of Siarohin et al., "First Order Motion Model for Image Animation" (NeurIPS 2019), which
needs to know of no joints, adds the driver's displacements to the still's centres: limbs of another
length come off, and those in another pose go astray.

All functions take NumPy arrays and PyTorch tensors alike: planes are complex, [..., K, 3].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_LONGEST = 10.0
_RIGHT_ANGLE = math.pi / 2
_TIE = 0.1
_NOTHING = 1e-12
LONGER = 1.25
"""Most by which the difference of two bones is stretched."""
MAX_BONES = 256
CENTRE, X, Y = range(3)


@dataclass(frozen=True)
class Bone:
    """How a region hangs on the one called `parent`, or on none: by a joint that is `joint` times
    the region's own y axis away from its centre. Below zero the region hangs down from its joint,
    as a limb does; above, it stands on it, as a head does; at zero it lies on its parent."""

    parent: str | None = None
    joint: float = 0.0

    def __post_init__(self) -> None:
        if not abs(self.joint) <= _LONGEST:
            raise ValueError(f"the joint {self.joint} is far off the region's own axis")
        if self.parent is None and self.joint:
            raise ValueError("a bone without a parent has no joint")


@dataclass(frozen=True)
class Skeleton:
    """The `bones` of all regions, in their order. A region whose size, the root of its affine's
    determinant, is not above `absent` is not in the picture."""

    bones: tuple[Bone, ...]
    absent: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.absent <= 1:
            raise ValueError(f"the size {self.absent} of what is absent is not between 0 and 1")
        if not 1 <= len(self.bones) <= MAX_BONES:
            raise ValueError(f"a skeleton has 1 to {MAX_BONES} bones, not {len(self.bones)}")

    def named(self, names: Sequence[str]) -> Joints:
        """The skeleton of regions with these names; `ValueError` if it is none of them."""
        return Joints(self, names)


class Joints:
    """A skeleton whose `parents` are known by number; `order` has parents before their children."""

    def __init__(self, skeleton: Skeleton, names: Sequence[str]) -> None:
        bones = skeleton.bones
        if len(bones) != len(names):
            raise ValueError(f"the skeleton has {len(bones)} bones for {len(names)} regions")
        unknown = [b.parent for b in bones if b.parent is not None and b.parent not in names]
        if unknown:
            raise ValueError(f"a bone hangs on {unknown[0]!r}, which is no region")
        self.parents = [None if b.parent is None else names.index(b.parent) for b in bones]
        self.joints = [bone.joint for bone in bones]
        self.absent = skeleton.absent
        self.order = self._parents_first()

    def __len__(self) -> int:
        return len(self.parents)

    def _parents_first(self) -> list[int]:
        children: dict[int | None, list[int]] = {}
        for k, parent in enumerate(self.parents):
            children.setdefault(parent, []).append(k)
        order = list(children.get(None, []))
        for k in order:  # which grows as it is gone through
            order += children.get(k, [])
        if len(order) < len(self.parents):
            raise ValueError("the skeleton's bones hang on each other in a circle")
        return order

    @property
    def limbs(self) -> list[int]:
        """The regions that hang down from a joint."""
        return [k for k, joint in enumerate(self.joints) if joint < 0]

    def holder(self, k: int, there: Sequence[bool]) -> int | None:
        """What a region hangs on: the nearest of its ancestors that are `there`."""
        parent = self.parents[k]
        while parent is not None and not there[parent]:
            parent = self.parents[parent]
        return parent

    def there(self, *pictures: Any) -> list[bool]:
        """The regions that all of these planes [K, 3] show."""
        sizes = zip(*map(sizes_of, pictures), strict=True)
        return [min(each) > self.absent for each in sizes]

    def posed(self, still: Any, driver: Any) -> list[tuple[Any, Any, Any]]:
        """The still's body with its limbs in the directions of the driver's: centre, x and y axis
        of each region, from planes [K, 3]. Limbs that are not in both pictures stay as they are."""
        there, limbs = self.there(still, driver), self.limbs
        turned = [
            driver[k, Y] / still[k, Y] * abs(still[k, Y]) / abs(driver[k, Y])
            if k in limbs and there[k]
            else still[k, Y] * 0 + 1
            for k in range(len(there))
        ]
        done: list[Any] = [None] * len(there)
        for k in self.order:
            own, parent = still[k], self.parents[k]
            centre = own[CENTRE]
            if parent is not None:
                joint = own[CENTRE] + self.joints[k] * own[Y]
                from_parent = turned[parent] * (joint - still[parent, CENTRE])
                centre = done[parent][CENTRE] + from_parent + turned[k] * (centre - joint)
            done[k] = centre, turned[k] * own[X], turned[k] * own[Y]
        return done

    def nearest(self, still: Any, poses: Any, *, gain: float) -> int:
        """Which of the driver's `poses` [T, K, 3] is nearest to the still's [K, 3]: the limbs'
        angles from the still's own add up to the least, in radians, or to `_TIE` more, whichever
        comes first. The first one, unless another is nearer by more than `gain`. Limbs that the
        still lacks do not count; ones that the driver lacks are a right angle off."""
        sizes = sizes_of(still)
        off = [0.0] * len(poses)
        for k in self.limbs:
            if not sizes[k] > self.absent:
                continue
            of_driver = sizes_of(poses[:, k : k + 1])
            for t, (size, pose) in enumerate(zip(of_driver, poses, strict=True)):
                turn = pose[k, Y] * still[k, Y].conjugate()
                angle = abs(math.atan2(float(turn.imag), float(turn.real)))
                off[t] += angle if size > self.absent else _RIGHT_ANGLE
        least = min(off)
        if off[0] - least <= gain:
            return 0
        return next(t for t, angle in enumerate(off) if angle <= least + _TIE)


class Retargeting:
    """Carries a driver's motion over to a still's body (motion retargeting), from planes [K, 3] of
    the still and of the driver's first frame.

    A region that the still shows and the driver does not, at first, is `lost`: it goes along with
    the one it hangs on, which is its value. One whose parent is not in both pictures hangs on the
    parent's.
    """

    def __init__(self, joints: Joints, still: Any, first: Any) -> None:
        shown = joints.there(still), joints.there(first)
        self._there = [own and began for own, began in zip(*shown, strict=True)]
        self._holders = [joints.holder(k, self._there) for k in range(len(joints))]
        lost = (k for k, (own, began) in enumerate(zip(*shown, strict=True)) if own and not began)
        self.lost = {k: self._holders[k] for k in lost}
        self._joints, self.still, self._first = joints, still, first
        self._larger = _larger(still, first, self._there)
        # Where there was nothing at first nothing turns.
        self._nothing = abs(first[:, X:]) < _NOTHING
        self._per_axis = (~self._nothing) / (first[:, X:] + self._nothing)

    def __call__(self, now: Any) -> list[tuple[Any, Any, Any]]:
        """Centre, x and y axis of each region of the still, [...] each, from planes [..., K, 3]."""
        turns = self.turns(now)
        held = bounded(turns)
        done = []
        for k, centre in enumerate(self.centres(now[..., CENTRE], held)):
            across, along = turns[..., k, 0], turns[..., k, 1]
            if k in self.lost:
                holder = self.lost[k]
                across = along = along * 0 + 1 if holder is None else held[..., holder, 1]
            done.append((centre, self.still[k, X] * across, self.still[k, Y] * along))
        return done

    def turns(self, now: Any) -> Any:
        """By what the axes of each region have turned and stretched: [..., K, 2]."""
        return now[..., X:] * self._per_axis + self._nothing

    def centres(self, now: Any, turns: Any) -> list[Any]:
        """The still's centres [...] from the driver's [..., K] and the turns of its axes
        [..., K, 2]. A linear function of both and a constant."""
        still, first, larger = self.still, self._first, self._larger

        def moved(offset: Any, k: int) -> Any:
            """An offset in the picture carried along with a region."""
            if not self._there[k]:
                return offset  # there are no axes to go by
            across, along = still[k, X], still[k, Y]
            share = along_axes(offset, across, along)
            return share[0] * across * turns[..., k, 0] + share[1] * along * turns[..., k, 1]

        done: list[Any] = [None] * len(self._there)
        for k in self._joints.order:
            p, own, began = self._holders[k], still[k], first[k]
            if k in self.lost:
                rests = own[CENTRE] + now[..., k] * 0
                done[k] = rests if p is None else done[p] + moved(rests - still[p, CENTRE], p)
            elif p is None:
                done[k] = own[CENTRE] + larger * (now[..., k] - began[CENTRE])
            else:
                reach = self._joints.joints[k]
                here, then = (plane[CENTRE] + reach * plane[Y] for plane in (own, began))
                of_parent = (here - still[p, CENTRE]) - larger * (then - first[p, CENTRE])
                of_own = (own[CENTRE] - here) - larger * (began[CENTRE] - then)
                centre = done[p] + larger * (now[..., k] - now[..., p])
                done[k] = centre + moved(of_parent, p) + moved(of_own, k)
        return done


def to_planes(motion: Any) -> Any:
    """A motion [..., K, 6] as planes: complex [..., K, 3] of centre, x axis and y axis."""
    return motion[..., [0, 2, 3]] + 1j * motion[..., [1, 4, 5]]


def to_motion(regions: Sequence[tuple[Any, Any, Any]], stack: Callable[..., Any]) -> Any:
    """Centre, x and y axis of each region as a motion [..., K, 6]; `stack` joins real arrays along
    a new last axis."""
    rows = [stack([c.real, c.imag, x.real, y.real, x.imag, y.imag], -1) for c, x, y in regions]
    return stack(rows, -2)


def bounded(turns: Any) -> Any:
    """The same turns, none of which stretches by more than `LONGER`."""
    size = abs(turns)
    above = size > LONGER
    return turns * (1 + above * (LONGER / (size + ~above) - 1))


def sizes_of(planes: Any) -> list[float]:
    """The root of the determinant of each region's affine, its size; [K] of planes [K, 3], [T] of
    [T, 1, 3]."""
    areas: list[float] = cross(planes[..., X], planes[..., Y]).reshape(-1).tolist()
    return [math.sqrt(abs(area)) for area in areas]


def _larger(still: Any, first: Any, there: Sequence[bool]) -> Any:
    """How much larger the still's body is than the driver's: by the regions that both have, as a
    region counts by the smaller of its two areas."""
    own = other = _NOTHING
    for k in (k for k, both in enumerate(there) if both):
        areas = [abs(cross(plane[k, X], plane[k, Y])) for plane in (still, first)]
        own, other = own + areas[0] * min(areas), other + areas[1] * min(areas)
    return (own / other) ** 0.5


def along_axes(offset: Any, across: Any, along: Any) -> tuple[Any, Any]:
    """How often each of two axes, which are not on one line, goes into an offset."""
    area = cross(across, along)
    return cross(offset, along) / area, cross(across, offset) / area


def cross(a: Any, b: Any) -> Any:
    """The area that two vectors span, signed."""
    return a.real * b.imag - a.imag * b.real
