"""How the regions of a body hang together, and one body's motion carried over to another's.

A region's motion is its centre c and the axes x and y of its affine; as points of the plane all
three are complex numbers here, so that to turn and to stretch is to multiply. Of a driver now (t)
and at first (0) and of a still (s), what the still's regions shall do is

    X = x_t x_s / x_0,  Y = y_t y_s / y_0         they turn and stretch as the driver's do, along
                                                  their own axes
    C = c_s + q (c_t - c_0)                       of a root
    C = C_p + q (c_t - c_pt) + T_p(e_p) + T(e)    of one that hangs on p by the joint j = c + u y

where q is how much larger the still's body is, T_k(v) is v carried along with region k, and the
bones' lengths differ by e_p = (j_s - c_ps) - q (j_0 - c_p0) and e = (c_s - j_s) - q (c_0 - j_0).

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
_NOTHING = 1e-12
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
    """The `bones` of all regions, in their order. A region whose size, the root of its axes'
    product, is not above `absent` is not in the picture."""

    bones: tuple[Bone, ...]
    absent: float = 0.0

    def named(self, names: Sequence[str]) -> Joints:
        """The skeleton of regions with these names; `ValueError` if it is none of them."""
        return Joints(self, names)


class Joints:
    """A skeleton whose parents are known by number: what carries motions over."""

    def __init__(self, skeleton: Skeleton, names: Sequence[str]) -> None:
        bones = skeleton.bones
        if len(bones) != len(names):
            raise ValueError(f"the skeleton has {len(bones)} bones for {len(names)} regions")
        unknown = [b.parent for b in bones if b.parent is not None and b.parent not in names]
        if unknown:
            raise ValueError(f"a bone hangs on {unknown[0]!r}, which is no region")
        self._parents = [None if b.parent is None else names.index(b.parent) for b in bones]
        self._joints = [bone.joint for bone in bones]
        self._absent = skeleton.absent
        self._order = self._parents_first()

    def __len__(self) -> int:
        return len(self._parents)

    def _parents_first(self) -> list[int]:
        order: list[int] = []
        while len(order) < len(self._parents):
            ready = [
                k
                for k, parent in enumerate(self._parents)
                if k not in order and (parent is None or parent in order)
            ]
            if not ready:
                raise ValueError("the skeleton's bones hang on each other in a circle")
            order += ready
        return order

    @property
    def limbs(self) -> list[int]:
        """The regions that hang down from a joint."""
        return [k for k, joint in enumerate(self._joints) if joint < 0]

    def carried(self, still: Any, first: Any, now: Any) -> list[tuple[Any, Any, Any]]:
        """Centre, x and y axis of each region of the still, [...] each, from planes [K, 3] of the
        still and of the driver's first frame and [..., K, 3] of the driver now.

        A region that the driver does not show at first is carried along with the one it hangs on.
        One whose parent is not in both pictures hangs on the parent's.
        """
        larger = _larger(still, first)
        shown = [size > self._absent for size in _sizes(first)]
        there = [a and size > self._absent for a, size in zip(shown, _sizes(still), strict=True)]
        done: list[Any] = [None] * len(there)
        for k in self._order:
            parent = self._parents[k]
            while parent is not None and not there[parent]:
                parent = self._parents[parent]
            own, began, at = still[k], first[k], now[..., k, :]
            along = None if parent is None else (still[parent], done[parent])
            if not shown[k]:
                done[k] = _alongside(own, along, at)
                continue
            x, y = (at[..., axis] * (own[axis] / began[axis]) for axis in (X, Y))
            if along is None or parent is None:
                centre = own[CENTRE] + larger * (at[..., CENTRE] - began[CENTRE])
            else:
                above, reach = now[..., parent, CENTRE], self._joints[k]
                here, then = (p[CENTRE] + reach * p[Y] for p in (own, began))
                of_parent = (here - along[0][CENTRE]) - larger * (then - first[parent][CENTRE])
                of_own = (own[CENTRE] - here) - larger * (began[CENTRE] - then)
                centre = along[1][CENTRE] + larger * (at[..., CENTRE] - above)
                centre = centre + _moved(of_parent, *along)
                # Of a region that the still lacks there are no axes to go by.
                centre = centre + (_moved(of_own, own, (centre, x, y)) if there[k] else of_own)
            done[k] = centre, x, y
        return done

    def posed(self, still: Any, driver: Any) -> list[tuple[Any, Any, Any]]:
        """The still's body with its limbs in the directions of the driver's: centre, x and y axis
        of each region, from planes [K, 3]. Limbs that are not in both pictures stay as they are."""
        there = [
            a > self._absent and b > self._absent
            for a, b in zip(_sizes(still), _sizes(driver), strict=True)
        ]
        limbs = self.limbs
        turned = [
            driver[k, Y] / still[k, Y] * abs(still[k, Y]) / abs(driver[k, Y])
            if k in limbs and there[k]
            else still[k, Y] * 0 + 1
            for k in range(len(there))
        ]
        done: list[Any] = [None] * len(there)
        for k in self._order:
            own, parent = still[k], self._parents[k]
            centre = own[CENTRE]
            if parent is not None:
                joint = own[CENTRE] + self._joints[k] * own[Y]
                from_parent = turned[parent] * (joint - still[parent, CENTRE])
                centre = done[parent][CENTRE] + from_parent + turned[k] * (centre - joint)
            done[k] = centre, turned[k] * own[X], turned[k] * own[Y]
        return done

    def nearest(self, still: Any, poses: Any, *, gain: float) -> int:
        """Which of the driver's `poses` [T, K, 3] is nearest to the still's [K, 3]: the limbs'
        angles from the still's own add up to the least, in radians. The first one, unless another
        is nearer by more than `gain`. Limbs that the still lacks do not count; ones that the driver
        lacks are a right angle off."""
        sizes = _sizes(still)
        off = [0.0] * len(poses)
        for k in self.limbs:
            if not sizes[k] > self._absent:
                continue
            for t, (size, pose) in enumerate(zip(_sizes(poses[:, k : k + 1]), poses, strict=True)):
                turn = pose[k, Y] * still[k, Y].conjugate()
                angle = abs(math.atan2(float(turn.imag), float(turn.real)))
                off[t] += angle if size > self._absent else _RIGHT_ANGLE
        best = min(range(len(off)), key=lambda t: off[t])
        return best if off[0] - off[best] > gain else 0


def to_planes(motion: Any) -> Any:
    """A motion [..., K, 6] as planes: complex [..., K, 3] of centre, x axis and y axis."""
    return motion[..., [0, 2, 3]] + 1j * motion[..., [1, 4, 5]]


def to_motion(regions: Sequence[tuple[Any, Any, Any]], stack: Callable[..., Any]) -> Any:
    """Centre, x and y axis of each region as a motion [..., K, 6]; `stack` joins real arrays along
    a new last axis."""
    rows = [stack([c.real, c.imag, x.real, y.real, x.imag, y.imag], -1) for c, x, y in regions]
    return stack(rows, -2)


def _sizes(planes: Any) -> list[float]:
    """The root of the product of each region's axes; [K] of planes [K, 3], [T] of [T, 1, 3]."""
    area = (abs(planes[..., X]) * abs(planes[..., Y])).reshape(-1)
    return [math.sqrt(float(each)) for each in area]


def _larger(still: Any, first: Any) -> Any:
    """How much larger the still's body is than the driver's: by the regions that both have, as a
    region counts by the smaller of its two areas."""
    own, other = (abs(p[:, X]) * abs(p[:, Y]) for p in (still, first))
    weight = (own + other - abs(own - other)) / 2
    return (((own * weight).sum() + _NOTHING) / ((other * weight).sum() + _NOTHING)) ** 0.5


def _moved(offset: Any, before: Any, after: tuple[Any, Any, Any]) -> Any:
    """An offset in the picture carried along with a region, from its plane before to that after."""
    x, y = before[X], before[Y]
    area = _cross(x, y)
    return _cross(offset, y) / area * after[X] + _cross(x, offset) / area * after[Y]


def _alongside(own: Any, along: Any, like: Any) -> tuple[Any, Any, Any]:
    """A region as it is, or carried along with the one it hangs on, for as many as `like` has."""
    many = like[..., CENTRE] * 0
    if along is None:
        return own[CENTRE] + many, own[X] + many, own[Y] + many
    before, after = along
    centre = after[CENTRE] + _moved(own[CENTRE] - before[CENTRE], before, after)
    return centre + many, _moved(own[X], before, after) + many, _moved(own[Y], before, after) + many


def _cross(a: Any, b: Any) -> Any:
    return (a.conj() * b).imag
