"""`edgeanim train`: the reference animator from a configuration, or from one's own clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeanim.core.choices import must_be_one_of, must_be_threads
from edgeanim.core.errors import BadInput, memory_errors
from edgeanim.core.files import may_hold_files, must_exist, must_spare
from edgeanim.core.packages import require
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.shipped_files import ARCHITECTURE, SHIPPED
from edgeanim.models.training.config import Device
from edgeanim.quantize.calibration.coverage import evenly
from edgeanim.runtime.media import CLIPS, is_clip, some_clips_in
from edgeanim.targets.machine import read_machine

if TYPE_CHECKING:
    from edgeanim.models.adapt import Pace
    from edgeanim.models.training.config import TrainConfig

_SCORED = 6
"""Clips that are scored after adapting, of however many: a second or two each."""
_TOO_LARGE = "The training needs more memory than there is."


@dataclass(frozen=True)
class Learned:
    """A clip, by its name: how much of what the repeated still loses of its frames the animator won
    back `before` it was adapted to them, and `after` (see `Score.won`); `None` if nothing moves.
    Of frames that it has not seen it wins back less."""

    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Adapted:
    """The folder of the adapted animator, and what it learned of up to six of the clips."""

    folder: Path
    clips: tuple[Learned, ...]


def train(
    config: str | Path,
    out: str | Path,
    *,
    device: Device = "cpu",
    workers: int = 0,
    progress: Progress = SILENT,
) -> Path:
    """Train an animator by the TOML `config` into the folder `out`, or go on where it stopped.

    `out` receives `animator.safetensors`, `animator.toml`, the configuration, a table of losses
    and sheets of samples. It computes on `device`: on a CPU the result depends on the configuration
    alone; CUDA adds up in no fixed order. `workers` processes draw batches (0: a thread).
    `UsageError` if `config` itself would be overwritten by the architecture that is written into
    `out`.
    """
    must_be_one_of(Device, "device", device)
    from edgeanim.models.train import train as run
    from edgeanim.models.training.config import load_train_config

    must_spare(Path(out) / ARCHITECTURE, [config])
    course = load_train_config(Path(config))
    with memory_errors(_TOO_LARGE, "Lower `batch` or `sizes` in the configuration's phases."):
        return run(course, Path(out), progress, device=device, workers=workers)


def adapt(
    clips: str | Path,
    out: str | Path,
    *,
    start: str | Path = SHIPPED,
    threads: int = 2,
    device: Device = "cpu",
    workers: int = 0,
    progress: Progress = SILENT,
) -> Adapted:
    """Adapt the animator in the folder `start` (or the shipped one) to the character in `clips`, a
    clip or a folder of clips. `out` receives what a training leaves; killed, it goes on there. The
    clips' own frames are scored before and after.

    There are as many steps, within limits, as a processor does in twelve minutes, by a trial.
    Convolutions compute in bfloat16 where that leaves time for more of them, and on an accelerator
    that has it. The progress says so; a training that has begun stays with what it began with.
    `threads` are PyTorch's; `device` and `workers` are as in `train`."""
    must_be_one_of(Device, "device", device)
    must_be_threads(threads)
    require("Training", "torch", extra="train")
    from edgeanim.models.adapt import adaptation
    from edgeanim.models.export import animator_folder
    from edgeanim.models.train import train as run

    source = Path(clips)
    must_exist(source)
    if not source.is_dir() and not is_clip(source):
        raise BadInput(
            f"Clips are read from {CLIPS} files.",
            where=source,
            hint="Encode it as .mp4, or rename it if it is one.",
        )
    may_hold_files(Path(out))
    found = some_clips_in(source) if source.is_dir() else [source]
    folder = animator_folder(start)
    course, begun = adaptation(found, folder, threads=threads), _begun_in(Path(out))
    if begun:
        course = replace(course, precision=begun.precision, generator=begun.generator)
    else:
        pace = _pace(course, device, progress)
        course = adaptation(
            found, folder, threads=threads, precision=pace.precision, steps=pace.steps
        )
    steps = sum(phase.steps for phase in course.generator)
    progress.stage(f"Adapting in {course.precision}, {steps} steps of all networks")
    progress.done()
    with memory_errors(_TOO_LARGE, "Give fewer or shorter clips, or free some for it."):
        run(course, Path(out), progress, device=device, workers=workers)
    return Adapted(Path(out), _learned(found, folder, Path(out), threads, progress))


def _learned(
    clips: Sequence[Path], start: Path, out: Path, threads: int, progress: Progress
) -> tuple[Learned, ...]:
    """What the animator in `out` makes of some of the clips that it learned, beside the one from
    which it started."""
    from edgeanim.core.threads import torch_threads
    from edgeanim.models.animator import load_animator
    from edgeanim.models.evaluation.networks import Networks
    from edgeanim.models.evaluation.sets import evaluate

    some = [clips[i] for i in evenly(len(clips), _SCORED)]
    progress.stage("scoring before and after", 2)
    won = []
    with torch_threads(threads):
        for folder in (start, out):
            networks = Networks(load_animator(folder))
            won.append([score.won for score in evaluate(networks, puppets=0, clips=some)])
            progress.step()
    progress.done()
    names = (clip.stem for clip in some)
    return tuple(Learned(*each) for each in zip(names, *won, strict=True))


def _begun_in(out: Path) -> TrainConfig | None:
    """The training whose checkpoint is in `out`; `None` if there is none."""
    from edgeanim.models.training.checkpoint import FOLDER
    from edgeanim.models.training.config import CONFIG_FILE, load_train_config

    begun = (out / FOLDER).is_dir() and (out / CONFIG_FILE).is_file()
    return load_train_config(out / CONFIG_FILE) if begun else None


def _pace(course: TrainConfig, device: Device, progress: Progress) -> Pace:
    """The precision and the steps that suit `device`."""
    from edgeanim.models.adapt import MOST_STEPS, Pace, measured_pace

    if device == "cpu":
        progress.stage("timing a step")
        halves = read_machine().multiplies_bfloat16
        pace = measured_pace(course, ("float32", "bfloat16") if halves else ("float32",))
        progress.done()
        return pace
    import torch

    halves = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return Pace("bfloat16" if halves else "float32", MOST_STEPS)
