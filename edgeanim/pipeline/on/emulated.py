"""`edgeanim emulate`: what another processor makes of a bundle, emulated on this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeanim.benchmarks.emulation import Emulation, emulate
from edgeanim.benchmarks.runner import record_of, subjects_of
from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import one_or_more
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.scratch import scratch_folder
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.pipeline.on.golden import first_frames
from edgeanim.runtime.golden import load_golden, save_golden
from edgeanim.targets.bundle import open_bundle
from edgeanim.targets.manifest import variants_called
from edgeanim.targets.on.emulator import (
    PROCESSORS,
    boot,
    default_folder,
    find_emulator,
    get_processor,
)
from edgeanim.targets.on.emulator_setup import Step, plan, set_up

DEFAULT_FRAMES = 4


@dataclass(frozen=True)
class EmulatedProcessor:
    """A processor that can be emulated, and what is still to be fetched for it."""

    name: str
    title: str
    board: str
    missing: tuple[Step, ...]


def emulated_processors(root: str | Path | None = None) -> tuple[EmulatedProcessor, ...]:
    """All processors that can be emulated. What is fetched for them lies in `root`, by default the
    folder `emulation` of the artifact store."""
    place = _place(root)
    return tuple(
        EmulatedProcessor(p.name, p.title, p.board, plan(p, place)) for p in PROCESSORS.values()
    )


def set_up_emulation(
    name: str,
    *,
    root: str | Path | None = None,
    agree: Callable[[tuple[Step, ...]], bool] = lambda _: False,
    progress: Progress = SILENT,
) -> Path:
    """Fetch what `name` needs into `root` (see `emulated_processors`), once `agree` has said yes to
    the list; the folder it lies in.

    Then starts Python there once, so that a set-up that does not work is found now.
    """
    processor, place = get_processor(name), _place(root)
    steps = plan(processor, place)
    if steps and not agree(steps):
        raise UsageError("Nothing was fetched.", hint="Agree with --yes, or give --root DIR.")
    folder = set_up(processor, place, progress) if steps else (place or default_folder())
    progress.stage(f"Start Python on {processor.title}")
    progress.done(boot(find_emulator(name, place)))
    return folder


def emulate_bundle(
    bundle: str | Path,
    processor: str,
    *,
    root: str | Path | None = None,
    frames: int = DEFAULT_FRAMES,
    variants: str | Sequence[str] = (),
    progress: Progress = SILENT,
) -> Emulation:
    """Play the first golden `frames` of `bundle`, in all its `variants` or only these, on an
    emulated `processor` and here.

    `root` is as in `emulated_processors`. `MissingComponent` if that processor is not set up. Never
    returns a time.
    """
    require_bundle(bundle)
    variants = one_or_more(variants)
    emulator = find_emulator(processor, _place(root))
    python = boot(emulator)
    with open_bundle(Path(bundle)) as opened, scratch_folder("golden") as scratch:
        whole = load_golden(opened.must_have_golden(bundle))
        golden = scratch / "golden.npz"
        save_golden(golden, first_frames(whole, frames))
        subjects = subjects_of(opened.contract, opened.variants)
        chosen = variants_called(variants, subjects)
        record = record_of(opened)
        return emulate(chosen, golden, emulator, python, model=record, progress=progress)


def _place(root: str | Path | None) -> Path | None:
    return None if root is None else Path(root)
