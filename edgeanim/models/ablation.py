"""What each ingredient of a training earns: `python -m edgeanim.models.ablation CONFIG -o OUT`.

The training of CONFIG.toml runs once as it is and once for each ingredient left out, from the same
weights, under the same seed and number of steps, so that all arms see the same pairs. One more arm
is the whole training under another seed: a difference no larger than its own says nothing. Every
arm is a training of its own below OUT; killed, the same command goes on with it. At the end all are
scored as `edgeanim evaluate` does it, beside the weights that they began with.

Arms that begin with weights from a training that had everything keep what those have learned of it:
what an ingredient is worth to a training from scratch is more than such a table shows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.core.errors import BadInput, reports_errors
from edgeanim.core.parsing import to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.evaluation.clips import find_clips
from edgeanim.models.evaluation.score import Score
from edgeanim.models.evaluation.sets import check_size, evaluate, shot_sets
from edgeanim.models.markdown import figure, line
from edgeanim.models.train import train
from edgeanim.models.training.config import TrainConfig, load_train_config

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator


@dataclass(frozen=True)
class Arm:
    """One training: `change` makes its configuration of the whole one's. `folder` is its place
    below OUT. `sees_cue` is whether its regions were shown temporal cues."""

    name: str
    folder: str
    change: Callable[[TrainConfig], TrainConfig]
    sees_cue: bool = True


@dataclass(frozen=True)
class Result:
    """An arm's figures. `won` is the share won back, by group of sets; `temporal` (levels) and
    `ghosts` are means over the sets that have them; tips and mIoU those of the sets whose masks are
    known."""

    arm: str
    won: dict[str, float | None]
    temporal: float | None
    ghosts: float | None
    tips_ssim: float | None
    tips_sharpness: float | None
    miou: float | None
    scores: tuple[Score, ...]


def _without_gan(config: TrainConfig) -> TrainConfig:
    return replace(config, losses=replace(config.losses, adversarial=0.0))


def _without_cue(config: TrainConfig) -> TrainConfig:
    return replace(config, data=replace(config.data, cue="off"))


def _without_supervision(config: TrainConfig) -> TrainConfig:
    return replace(config, regions=(), losses=replace(config.losses, regions=0.0))


def _reseeded(config: TrainConfig) -> TrainConfig:
    return replace(config, seed=config.seed + 1)


ARMS = (
    Arm("everything", "full", lambda config: config),
    Arm("everything, another seed", "other-seed", _reseeded),
    Arm("without GAN", "no-gan", _without_gan),
    Arm("without temporal cue", "no-cue", _without_cue, sees_cue=False),
    Arm("without region supervision", "no-regions", _without_supervision),
)


def ablate(
    config: TrainConfig,
    out: Path,
    *,
    clips: Sequence[Path] = (),
    dataset: Path | None = None,
    puppets: int | None = None,
    size: int | None = None,
    progress: Progress = SILENT,
) -> list[Result]:
    """Train every arm below `out` and score it; the options are those of `sets.evaluate`.

    `BadInput` if `config` begins with no weights: without them there is no arm without supervision;
    or for what it is to be scored on, before anything is trained.
    """
    from edgeanim.models.animator import load_animator
    from edgeanim.models.evaluation.networks import Networks
    from edgeanim.models.export import animator_folder

    if config.start is None:
        raise BadInput(
            "An ablation goes on from trained weights, and this configuration starts from none.",
            hint='Add `start = "FOLDER"`, where a training has left its weights.',
        )
    check_size(size)
    shot_sets(puppets=puppets, clips=clips, dataset=dataset)
    for arm in ARMS:
        train(arm.change(config), out / arm.folder, progress)
    results = []
    for name, folder, sees_cue in (
        ("the weights they began with", animator_folder(config.start), True),
        *((arm.name, out / arm.folder, arm.sees_cue) for arm in ARMS),
    ):
        animator = load_animator(folder)
        if not sees_cue:
            hide_cue(animator)
        scores = evaluate(
            Networks(animator),
            puppets=puppets,
            clips=clips,
            dataset=dataset,
            size=size,
            progress=progress,
        )
        results.append(summary(name, scores))
    return results


def hide_cue(animator: Animator) -> None:
    """Take the cue away from the regions, in place: the same as if it were always zero, which it
    was for an animator that was trained with `cue = "off"`."""
    import torch

    first = next(m for m in animator.regions.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        first.weight[:, 3:] = 0


def summary(arm: str, scores: Sequence[Score]) -> Result:
    """An arm's figures from its scores."""
    groups: dict[str, list[float | None]] = {}
    for score in scores:
        groups.setdefault(score.group, []).append(score.won)
    tips = [score.tips for score in scores if score.tips is not None]
    return Result(
        arm,
        {name: _mean(won) for name, won in groups.items()},
        _mean([score.animator.temporal for score in scores]),
        _mean([score.animator.ghosts for score in scores]),
        _mean([tip.ssim for tip in tips]),
        _mean([tip.sharpness for tip in tips]),
        _mean([score.miou for score in scores]),
        tuple(scores),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def table(results: Sequence[Result]) -> str:
    """The results as Markdown, a row per arm."""
    groups = list(results[0].won)
    head = ["", *(f"won back: {name}" for name in groups), "temporal", "ghosts"]
    head += ["tips, SSIM", "tips, sharpness", "mIoU"]
    rows = [head, ["---"] * len(head)]
    for result in results:
        others = (result.ghosts, result.tips_ssim, result.tips_sharpness, result.miou)
        rows.append(
            [
                result.arm,
                *(figure(result.won[name], 3) for name in groups),
                figure(result.temporal),
                *(figure(value, 3) for value in others),
            ]
        )
    return "\n".join(map(line, rows))


class _Lines:
    """Progress as a line on standard error for each stage, with its seconds."""

    def __init__(self) -> None:
        self._title, self._started = "", 0.0

    def stage(self, title: str, total: int | None = None) -> None:
        self._title, self._started = f"{title} ({total})" if total else title, monotonic()

    def step(self, count: int = 1, note: str = "") -> None:
        pass

    def done(self, note: str = "") -> None:
        print(f"{self._title}: {monotonic() - self._started:.0f} s {note}", file=sys.stderr)


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--clips", type=Path, action="append", default=[])
    parser.add_argument("--names", default="", help="only these clips, separated by commas")
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--puppets", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    results = ablate(
        load_train_config(options.config),
        options.out,
        clips=find_clips(options.clips, [name for name in options.names.split(",") if name]),
        dataset=options.dataset,
        puppets=options.puppets,
        size=options.size,
        progress=_Lines(),
    )
    print(json.dumps(to_plain(results), indent=2) if options.json else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
