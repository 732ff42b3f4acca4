"""A driver's motion carried over to a still: to another body, in another pose, of another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array
from edgeanim.core.skeleton import CENTRE, Joints, Retargeting, X, bounded, sizes_of, to_planes
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.strength import Strength

TransferRule = Literal["relative", "pose", "raw"]
"""`relative`: the driver's change since it began. `pose`: the directions of the driver's limbs on
the still's own body, and the rest of it relative; as `raw` in a model without a skeleton. `raw`:
the driver's motion as it is."""

# Below this determinant a driver's region is a line or a point: it has no frame to measure
# a change of shape in.
_SINGULAR = 1e-6
_PAIRED = [0, 1, 2, 4, 3, 5]
"""The columns of a motion with x and y of each axis side by side, and the way back."""
NEARER = 0.6
"""Radians, over all limbs, by which a frame of a stored motion must be nearer to the still's pose
than its first one to be what the motion is carried over from: more than estimates tremble by."""


BY_ITSELF = 0.25
"""How much a region moves by itself (see `OwnMotion`) where one would see that it does not. Above
what regions that only go along do in the shipped motions (0.21), below a blink (0.36)."""


class Transfer:
    """Carries motions [1, K, 6] of a driver over to the `still` motion [1, K, 6], by `rule` and
    along `joints`, if the model has any; without a still's motion they are passed on as they are.

    What is relative is so to the driver's first frame, or, of a stored `track` whose limbs come
    nearer to the still's own later on, to that frame: `reference` is its number. `not_found` are
    the regions that the driver has moved by themselves so far and that the still does not show, and
    `body_way` is how far its body has gone so far, in units of half the picture.
    `in_place` takes out where the driver's body goes (see `InPlace`), and `strength` says how many
    times as strong the still's motion is (see `runtime.strength`); both need `joints`.
    """

    def __init__(
        self,
        still: Array | None,
        rule: TransferRule,
        joints: Joints | None = None,
        track: MotionTrack | None = None,
        *,
        in_place: bool = False,
        strength: float = 1.0,
    ) -> None:
        raw = rule == "raw" or (rule == "pose" and joints is None)
        self._still = None if raw or still is None else still[0]
        self._rule, self._joints = rule, joints
        self._in_place, self._begun = in_place, False
        self._body: InPlace | None = None
        self.body_way = 0.0
        self._strong: Strength | None = None
        if strength != 1 and still is not None and joints is not None:
            self._strong = Strength(still, joints, strength)
        self._carry: RelativeMotion | BodyMotion | None = None
        self._unseen: Unseen | None = None
        if self._still is not None and joints is not None:
            self._unseen = Unseen(self._still, joints)
        self.reference = 0
        if track is not None:
            if self._still is not None and rule == "relative" and joints is not None:
                own, poses = to_planes(self._still), to_planes(track.values)
                self.reference = joints.nearest(own, poses, gain=NEARER)
            self._begin(track.values[self.reference])

    @property
    def not_found(self) -> set[int]:
        """The numbers of those regions."""
        return set() if self._unseen is None else self._unseen.moved

    def __call__(self, motion: Array) -> Array:
        if not self._begun:
            self._begin(motion[0])
        if self._body is not None:
            if self._in_place:
                motion = self._body(motion)
            else:
                self._body.follow(motion)
            self.body_way = max(self.body_way, self._body.way)
        if self._unseen is not None:
            self._unseen.follow(motion)
        if self._carry is not None:
            motion = self._carry(motion[0])[None]
        return motion if self._strong is None else self._strong(motion)

    def _begin(self, first: Array) -> None:
        """Work out what does not change while the driver, of which this is `first`, goes on."""
        self._begun, joints = True, self._joints
        if joints is not None:
            self._body = InPlace(joints, first)
        if self._still is None:
            return
        if joints is None:
            self._carry = RelativeMotion(self._still, first)
            return
        if self._unseen is not None:
            self._unseen.begin(first)
        self._carry = BodyMotion(self._still, first, joints, posed=self._rule == "pose")


class InPlace:
    """Motions [1, K, 6] of a driver whose body stays where it was in its `first` [K, 6], whatever
    its head and limbs do.

    What all else hangs on keeps its place: of the regions that the first frame shows the one
    nearest to the skeleton's root. In a frame that does not show it, the body is taken to be where
    it was last seen.
    """

    def __init__(self, joints: Joints, first: Array) -> None:
        there = joints.there(to_planes(first))
        self._root = next((k for k in joints.order if there[k]), joints.order[0])
        self._absent = joints.absent
        self._place = first[self._root, :2].copy()  # `first` may be a session's own memory
        self._gone = np.zeros_like(self._place)

    @property
    def way(self) -> float:
        """How far the body is from its first place, in units of half the picture."""
        return float(np.hypot(*self._gone))

    def follow(self, motion: Array) -> None:
        """See where the body is now."""
        root = motion[0, self._root]
        if sizes_of(to_planes(root[None]))[0] > self._absent:
            self._gone = root[:2] - self._place

    def __call__(self, motion: Array) -> Array:
        self.follow(motion)
        held = motion.copy()
        held[0, :, :2] -= self._gone
        return held


class Unseen:
    """The regions that the `still` [K, 6] does not show, and which of them a driver has `moved` by
    themselves so far."""

    def __init__(self, still: Array, joints: Joints) -> None:
        there = joints.there(to_planes(still))
        self._joints, self._regions = joints, [k for k, shown in enumerate(there) if not shown]
        self._own_motion: OwnMotion | None = None
        self.moved: set[int] = set()

    def begin(self, first: Array) -> None:
        """The driver begins with this motion [K, 6]."""
        if self._regions:
            self._own_motion = OwnMotion(self._joints, self._regions, to_planes(first))

    def follow(self, motion: Array) -> None:
        """See what moves in the driver's motion [1, K, 6]."""
        if self._own_motion is not None and len(self.moved) < len(self._regions):
            moves = self._own_motion(to_planes(motion[0])) > BY_ITSELF
            self.moved.update(self._regions[i] for i in np.flatnonzero(moves))


class OwnMotion:
    """How much `regions` of a driver move by themselves, and not along with what they hang on.

    Called with planes [K, 3], gives for each region the way of its centre since the `first` planes,
    in its own sizes, or the share by which an axis has turned or stretched, whichever is more; 0
    for one that is not there at first. What does not change from frame to frame is worked out once.
    """

    def __init__(self, joints: Joints, regions: Sequence[int], first: NDArray[Any]) -> None:
        there = joints.there(first)
        self._count = len(regions)
        self._shown = [i for i, k in enumerate(regions) if there[k]]
        self._own = [regions[i] for i in self._shown]
        holders = [joints.holder(k, there) for k in self._own]
        self._hangs = np.array([p is not None for p in holders], bool)
        self._holders = [k if p is None else p for k, p in zip(self._own, holders, strict=True)]
        self._first, self._sizes = first, np.array(sizes_of(first))[self._own]

    def __call__(self, now: NDArray[Any]) -> NDArray[np.float64]:
        ways = now[:, CENTRE] - self._first[:, CENTRE]
        own_turns, turns = (now[at, X:] / self._first[at, X:] for at in (self._own, self._holders))
        way = ways[self._own] - self._hangs * ways[self._holders]
        turned = own_turns - np.where(self._hangs[:, None], turns, 1)
        found = np.zeros(self._count)
        found[self._shown] = np.maximum(abs(way) / self._sizes, abs(turned).max(1, initial=0))
        return found


class BodyMotion:
    """`core.skeleton.Retargeting` for one still and one first frame of a driver, called with each
    motion [K, 6]. With `posed` the still's limbs take the directions of the driver's first.

    Centres are a linear function of the driver's centres and turns, so all that does not change
    from frame to frame is worked out once.
    """

    def __init__(self, still: Array, first: Array, joints: Joints, *, posed: bool = False) -> None:
        own, began = (to_planes(motion.astype(np.float64)) for motion in (still, first))
        if posed:
            own = np.array(joints.posed(own, began))
        self._retargeting = retargeting = Retargeting(joints, own, began)
        # What a linear function is shows in its responses to nothing and to each number alone.
        count = len(own)
        basis = np.concatenate([np.zeros((1, 3 * count)), np.eye(3 * count)]).astype(np.complex128)
        turns = basis[:, count:].reshape(-1, count, 2)
        responses = np.stack(retargeting.centres(basis[:, :count], turns), axis=1)
        self._constant = responses[0]
        self._matrix = responses[1:] - responses[0]

    def __call__(self, driving: Array) -> Array:
        planes = np.ascontiguousarray(driving[:, _PAIRED], np.float64).view(np.complex128)
        turns = self._retargeting.turns(planes)
        held = bounded(turns)
        moved = np.empty_like(planes)
        moved[:, CENTRE] = np.concatenate([planes[:, CENTRE], held.ravel()]) @ self._matrix
        moved[:, CENTRE] += self._constant
        for lost, holder in self._retargeting.lost.items():
            turns[lost] = 1 if holder is None else held[holder, 1]
        moved[:, X:] = self._retargeting.still[:, X:] * turns
        return moved.view(np.float64)[:, _PAIRED].astype(np.float32)


class RelativeMotion:
    """A driver's motion since its first frame, carried over to a still: called with each motion
    [K, 6], gives float32 [K, 6].

    As in Siarohin et al., "First Order Motion Model for Image Animation" (NeurIPS 2019), eq. 15:
    `centre = c_still + c_t - c_0` and `A = A_t A_0^-1 A_still`. A region whose `A_0` is singular
    keeps the still's shape and only moves.

    All that does not change from frame to frame is worked out once: what remains is affine, six
    numbers times a matrix and plus a constant for each region.
    """

    def __init__(self, still: Array, first: Array) -> None:
        own, began = still.astype(np.float64), first.astype(np.float64)
        inverses, singular = _inverses(_affines(began))
        self._matrices = np.zeros((len(own), 6, 6))
        self._matrices[:, :2, :2] = np.eye(2)
        for row in (slice(2, 4), slice(4, 6)):
            self._matrices[:, row, row] = inverses @ _affines(own)
        self._constants = np.where(singular[:, None], own, 0.0)
        self._constants[:, :2] = own[:, :2] - began[:, :2]

    def __call__(self, driving: Array) -> Array:
        moved = driving[:, None, :] @ self._matrices
        return (moved[:, 0] + self._constants).astype(np.float32)


def _affines(motion: NDArray[np.float64]) -> NDArray[np.float64]:
    return motion[:, 2:].reshape(-1, 2, 2)


def _inverses(affines: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The inverse of each of [K, 2, 2], zero where there is none, and where that is."""
    a, b, c, d = affines[:, 0, 0], affines[:, 0, 1], affines[:, 1, 0], affines[:, 1, 1]
    determinant = a * d - b * c
    singular = np.abs(determinant) < _SINGULAR
    inverses = np.stack([d, -b, -c, a], axis=1).reshape(-1, 2, 2)
    inverses /= np.where(singular, 1.0, determinant)[:, None, None]
    inverses[singular] = 0.0
    return inverses, singular
