"""One puppet's motion on another's body: `python -m edgeanim.pipeline.figures.other_bodies`.

A pose means the same to every puppet, so there is a true picture of what a driver's motion looks
like on a still of another build. Printed is the share of the SSIM that the repeated still loses
where something moves and that the shipped animator wins back, of puppets that no training has seen:

    displacements   equation 15 of the first order motion model: the driver's go to the still
    skeleton        `core.skeleton`: limbs turn in their joints, at the still's own size
    its pose        the same with the directions of the driver's limbs (`animate --absolute`)
    raw             the driver's own motion, build and all

The still's pose is the driver's first one, or one of its own; the true picture is always of the
driver's pose, so relative motion cannot be right in the second case.

With `--more-stills N` so many further stills of the body, in poses of other actions, are at hand,
and each frame is made of the nearest one (`runtime.nearest_still`).

With `--refine BUNDLE` a bundle's regions follow the driver, and its motion is refined by the
driver's own frames (`runtime.refining`) before it is carried over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from edgeanim.core.artifact import Array
from edgeanim.core.errors import UsageError, reports_errors
from edgeanim.models.animator import Animator
from edgeanim.models.data.puppets.actions import make_action
from edgeanim.models.data.puppets.puppet import KINDS, Kind, Pose, Puppet, make_puppet, render
from edgeanim.models.data.sequences import STEP
from edgeanim.models.evaluation.quality import moving_area
from edgeanim.models.evaluation.similarity import Picture, Reference, to_picture
from edgeanim.models.export import load_shipped, open_animator
from edgeanim.models.nets.blocks import fold_batch_norm
from edgeanim.models.regions import REGIONS, SKELETON
from edgeanim.models.training.losses import compose
from edgeanim.pipeline.motion import recording_motion
from edgeanim.pipeline.work import Work
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.nearest_still import NearestStill
from edgeanim.runtime.player import load_player
from edgeanim.runtime.scene import Scene
from edgeanim.runtime.transfer import Transfer, TransferRule
from edgeanim.targets.bundle import open_bundle

FORMS: dict[str, tuple[TransferRule, bool]] = {
    "displacements": ("relative", False),
    "skeleton": ("relative", True),
    "its pose": ("pose", True),
    "raw": ("raw", False),
}
_STILLS, _DRIVERS, _OTHERS = 7_100_000, 7_200_000, 7_300_000
"""First seeds, far from any training's."""
_FRAMES = 12
_OWN_TIME = 0.3
Won = dict[str, float]
Poses = list[tuple[Pose, Pose]]
"""Of an action, each with the one before it."""
Follow = Callable[[Puppet, Poses], Array]
"""Finds the motion [T, K, 6] of a driver that takes these poses."""


def won_back(
    animator: Animator,
    follow: Follow,
    kind: Kind,
    puppets: int,
    *,
    own_pose: bool,
    more_stills: int,
) -> Won:
    """The share won back in each form, of so many pairs of puppets of a kind, by a still and so
    many further ones."""
    total: Won = dict.fromkeys(("still", "area", *FORMS), 0.0)
    for number in range(puppets):
        body = make_puppet(_STILLS + number, kind)
        poses = _poses(_DRIVERS + number, kind)
        own = make_action(_STILLS + number, kind).pose(_OWN_TIME) if own_pose else poses[0][1]
        driver = make_puppet(_DRIVERS + number, kind)
        motions = follow(driver, poses)
        others = [
            make_action(_OTHERS + number + step, kind).pose(step / more_stills)
            for step in range(more_stills)
        ]
        stills = [
            _Still.of(animator, each) for each in _true(body, [(p, p) for p in (own, *others)])
        ]
        _add(total, animator, stills, _true(body, poses), motions)
    lost = total["area"] - total["still"]
    return {form: (total[form] - total["still"]) / max(lost, 1e-9) for form in FORMS}


def _poses(seed: int, kind: Kind) -> Poses:
    pose = make_action(seed, kind).pose
    return [(pose(i / _FRAMES - STEP), pose(i / _FRAMES)) for i in range(_FRAMES)]


def _true(puppet: Puppet, poses: Poses) -> list[Picture]:
    return [to_picture(render(puppet, pose).picture) for _, pose in poses]


def followed_by(animator: Animator) -> Follow:
    """The networks' own reading of each frame."""

    def follow(puppet: Puppet, poses: Poses) -> Array:
        motions = []
        for pair in poses:
            before, now = (to_picture(render(puppet, pose).picture) for pose in pair)
            seen = (torch.from_numpy(picture)[None] for picture in (now, now - before))
            with torch.no_grad():
                motions.append(animator.regions(*seen)[1].numpy())
        return np.concatenate(motions).astype(np.float32)

    return follow


@contextmanager
def refined_by(path: Path) -> Iterator[Follow]:
    """What a bundle's first variant finds in the frames of a driver, refined by them."""
    latest: list[Array] = []
    with open_bundle(path) as bundle:
        if bundle.contract.regions != REGIONS:
            raise UsageError("Its regions are not the shipped animator's.", where=path)
        variant = bundle.variants[0]
        options = Work.on("local").options(variant.backend, None)
        record = recording_motion(bundle.contract, latest.append, path)
        motion = MotionOptions("raw", refine=True)
        with load_player(bundle.contract, variant, options, record, motion=motion) as player:

            def follow(puppet: Puppet, poses: Poses) -> Array:
                latest.clear()
                frames = [render(puppet, pose).picture for _, pose in poses]
                for _ in player.play(Scene(frames[0], iter(frames))):
                    pass
                return np.stack(latest)

            yield follow


class _Still(NamedTuple):
    """A picture [3, h, w], what the networks see, the motion [1, K, 6] that it shows and what is
    cached of it."""

    picture: Picture
    seen: Any
    pose: Array
    features: tuple[Any, ...]

    @classmethod
    def of(cls, animator: Animator, picture: Picture) -> _Still:
        with torch.no_grad():
            seen = torch.from_numpy(picture)[None]
            mask, pose = animator.regions(seen, torch.zeros_like(seen))
            return cls(picture, seen, pose.numpy(), animator.encoder(seen, mask))

    def moved(self, animator: Animator, motion: Array) -> Picture:
        with torch.no_grad():
            poses = torch.from_numpy(self.pose), torch.from_numpy(motion)
            frame, _ = compose(self.seen, *animator.generator(*self.features, *poses))
        made: Picture = np.ascontiguousarray(frame[0].clamp(0, 1).numpy())
        return made


def _add(
    total: Won,
    animator: Animator,
    stills: Sequence[_Still],
    true: Sequence[Picture],
    motions: Array,
) -> None:
    first = stills[0]
    track = MotionTrack(motions, 1 / STEP)
    joints = SKELETON.named(REGIONS)
    carriers = {
        form: Transfer(first.pose, rule, joints if skeleton else None, track)
        for form, (rule, skeleton) in FORMS.items()
    }
    for real, motion in zip(true[1:], motions[1:], strict=True):
        area, reference = moving_area(first.picture, real), Reference(real)
        total["area"] += float(area.sum())
        total["still"] += float((reference.compare(first.picture).ssim * area).sum())
        for form, carry in carriers.items():
            carried = carry(motion[None])
            ((nearest, _),) = NearestStill([still.pose for still in stills]).shares(carried)
            ssim = reference.compare(stills[nearest].moved(animator, carried)).ssim
            total[form] += float((ssim * area).sum())


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, help="a training's folder")
    parser.add_argument("--puppets", type=int, default=24, help="pairs of each kind")
    parser.add_argument("--refine", type=Path, metavar="BUNDLE", help="refine the driver's motion")
    parser.add_argument("--more-stills", type=int, default=0, metavar="N", help="of each body [0]")
    options = parser.parse_args(arguments)
    if options.puppets < 1:
        raise UsageError("At least one pair of puppets is needed.", where="--puppets")
    if options.more_stills < 0:
        raise UsageError("There are no fewer than none.", where="--more-stills")
    animator = load_shipped() if options.weights is None else open_animator(options.weights)
    fold_batch_norm(animator)
    with ExitStack() as opened:
        follow = followed_by(animator)
        if options.refine is not None:
            follow = opened.enter_context(refined_by(options.refine))
        print("| puppets | the still's pose | " + " | ".join(FORMS) + " |")
        print("|" + "---|" * (2 + len(FORMS)))
        for own_pose in (False, True):
            for kind in KINDS:
                won = won_back(
                    animator,
                    follow,
                    kind,
                    options.puppets,
                    own_pose=own_pose,
                    more_stills=options.more_stills,
                )
                pose = "its own" if own_pose else "the driver's first"
                cells = [kind, pose, *(f"{won[form]:.2f}" for form in FORMS)]
                print("| " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
