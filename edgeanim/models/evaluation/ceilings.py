"""What stands in an animator's way: how much better it would be with one thing known for certain.

    python -m edgeanim.models.evaluation.ceilings [--weights FOLDER] [--clips …] [--dataset …]

Prints, for each set that `edgeanim evaluate` scores, the share won back of what the repeated still
loses where something moves:

    animator        as it is
    true regions    the still's and the driver's masks and directions are the exact ones
    true flow       where the flow is known it takes the place of the animator's, on the same grid
    and true fill   and where the still cannot show the place, so does the real frame, on that grid
    on a grid of 2  both, on a grid twice as fine

Regions are known of drawn characters only. The flow of a clip is optical flow that both directions
confirm (`data.optical_flow`); that finds less than there is, so the last three are no bounds there.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgeanim.core.errors import reports_errors
from edgeanim.models.animator import Animator
from edgeanim.models.data.optical_flow import consistent_flow
from edgeanim.models.data.pairs import MASK_STRIDE, Pair, make_pair
from edgeanim.models.evaluation.clips import find_clips
from edgeanim.models.evaluation.networks import Networks, seen
from edgeanim.models.evaluation.quality import moving_area
from edgeanim.models.evaluation.score import Shot
from edgeanim.models.evaluation.sets import ShotSet, check_size, shot_sets
from edgeanim.models.evaluation.similarity import Reference
from edgeanim.models.export import load_shipped, open_animator
from edgeanim.models.markdown import line
from edgeanim.models.nets.moments import motion_of
from edgeanim.models.regions import BACKGROUND
from edgeanim.models.training.losses import compose

STILL = "still"
COLUMNS = ("animator", "true regions", "true flow", "and true fill", "on a grid of 2")
Ceilings = dict[str, float]
Parts = tuple[Tensor, Tensor, Tensor]
"""Flow, alpha and colour, as the generator gives them."""


def ceilings(animator: Animator, shots: ShotSet, size: int) -> Ceilings:
    """What is won back on a set at `size` pixels a side, by column; only those that are known."""
    animator = Networks(animator).animator
    similar: dict[str, float] = defaultdict(float)
    area = 0.0
    with torch.no_grad():
        every = [(shot, driver) for shot in shots.shots for driver in shot.drivers]
        for shot, driver in every:
            pair = make_pair(shot.sequence, shot.still, driver, size)
            moving = moving_area(pair.still, pair.driving)
            area += float(moving.sum())
            real, still = Reference(pair.driving), torch.from_numpy(pair.still)[None]
            for name, parts in _forms(animator, shot, driver, pair):
                frame, _ = compose(still, *parts)
                made = np.ascontiguousarray(frame[0].clamp(0, 1).numpy())
                similar[name] += float((real.compare(made).ssim * moving).sum())
    if not area:
        return {}
    base = similar.pop(STILL) / area
    return {name: (total / area - base) / (1 - base) for name, total in similar.items()}


def _forms(animator: Animator, shot: Shot, driver: int, pair: Pair) -> Iterator[tuple[str, Parts]]:
    """The parts of the frame in each form: of the still repeated, and of the columns."""
    size = animator.config.size
    still, driving, cue = (seen(picture, size) for picture in (pair.still, pair.driving, pair.cue))
    mask, own = animator.regions(still, torch.zeros_like(still))
    _, motion = animator.regions(driving, cue)
    flow, alpha, colour = animator.generator(*animator.encoder(still, mask), own, motion)
    yield STILL, (torch.zeros_like(flow), torch.ones_like(alpha), colour)
    yield COLUMNS[0], (flow, alpha, colour)
    if shot.sequence.parts is not None:
        known = make_pair(shot.sequence, shot.still, driver, size)
        exact = _masks(known.label_still), _masks(known.label_driving)
        directions = (known.direction_still, known.direction_driving)
        own, motion = (
            motion_of(each, torch.from_numpy(direction)[None])
            for each, direction in zip(exact, directions, strict=True)
        )
        features = animator.encoder(still, exact[0])
        yield COLUMNS[1], animator.generator(*features, own, motion)
    grid = size // MASK_STRIDE
    for side, names in ((grid, COLUMNS[2:4]), (2 * grid, COLUMNS[4:])):
        fine = tuple(_resized(part, side) for part in (flow, alpha, colour))
        true, trusted, visible = _known_flow(shot, driver, pair, side)
        warped = torch.where(trusted > 0, true, fine[0])
        if len(names) == 2:
            yield names[0], (warped, fine[1], fine[2])
        real = functional.interpolate(
            torch.from_numpy(pair.driving)[None], (side, side), mode="area"
        )
        yield names[-1], (warped, visible, real)


def _known_flow(shot: Shot, driver: int, pair: Pair, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Flow, where it is known, and what of the driving frame the still shows, on a grid."""
    found: Any
    if shot.sequence.parts is None:
        found = consistent_flow(pair.still, pair.driving, side)
    else:
        found = make_pair(shot.sequence, shot.still, driver, side * MASK_STRIDE)
    arrays = (found.flow, found.flow_weight, found.visible)
    flow, trusted, visible = (torch.from_numpy(array)[None] for array in arrays)
    return flow, trusted, visible


def _masks(labels: Any) -> Tensor:
    """Labels [h, w] as exact masks [1, K, h, w]."""
    shown = torch.from_numpy(labels.astype(np.int64)).clamp(max=BACKGROUND)
    each = functional.one_hot(shown, BACKGROUND + 1)[None, :, :, :BACKGROUND]
    return each.permute(0, 3, 1, 2).float()


def _resized(part: Tensor, side: int) -> Tensor:
    return functional.interpolate(part, (side, side), mode="bilinear")


def table(found: dict[str, Ceilings]) -> str:
    """The sets' figures as Markdown."""
    rows = [["set", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    for name, values in found.items():
        rows.append([name, *(f"{values[c]:.2f}" if c in values else "-" for c in COLUMNS)])
    return "\n".join(map(line, rows))


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, help="a training's folder")
    parser.add_argument("--clips", type=Path, action="append", default=[])
    parser.add_argument("--names", default="", help="only these clips, separated by commas")
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--puppets", type=int)
    parser.add_argument("--size", type=int)
    options = parser.parse_args(arguments)
    check_size(options.size)
    animator = load_shipped() if options.weights is None else open_animator(options.weights)
    clips = find_clips(options.clips, [name for name in options.names.split(",") if name])
    size = options.size or animator.config.size
    sets = shot_sets(puppets=options.puppets, clips=clips, dataset=options.dataset)
    print(table({each.name: ceilings(animator, each, size) for each in sets}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
