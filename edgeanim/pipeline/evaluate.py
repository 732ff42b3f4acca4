"""`edgeanim evaluate`: how well an animator animates, in training or compiled, against reality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeanim.core.contract import CONTRACT_FILE
from edgeanim.core.errors import UsageError
from edgeanim.core.packages import require
from edgeanim.core.parsing import one_or_more
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.evaluation.clips import find_clips
from edgeanim.models.evaluation.reenact import Animated
from edgeanim.models.evaluation.score import Score
from edgeanim.models.evaluation.sets import check_size
from edgeanim.models.evaluation.sets import evaluate as score
from edgeanim.models.regions import REGIONS
from edgeanim.models.shipped_files import ARCHITECTURE, SHIPPED, is_shipped
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.pipeline.playable import to_play
from edgeanim.pipeline.reenacted import Played
from edgeanim.pipeline.stills import MORE_STILLS, square_stills
from edgeanim.pipeline.work import Work
from edgeanim.runtime.needs import Needs
from edgeanim.targets.board import LOCAL
from edgeanim.targets.bundle import open_bundle


@dataclass(frozen=True)
class Evaluation:
    """A score for each set. Of a bundle `variant` is what was played, and `note` what to know of it
    on this processor; both are `None` of trained networks."""

    scores: tuple[Score, ...]
    variant: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class _Opened:
    """What is scored, on so many `puppets`: `None` for as many as usual. If it `remembers`, whole
    clips alone tell what it makes."""

    animated: Animated
    puppets: int | None = None
    remembers: bool = False
    variant: str | None = None
    note: str | None = None


def evaluate(
    model: str | Path = SHIPPED,
    *,
    variant: str | None = None,
    clips: str | Path | Sequence[str | Path] = (),
    names: str | Sequence[str] = (),
    dataset: str | Path | None = None,
    size: int | None = None,
    refine: bool = False,
    more_stills: str | Path | None = None,
    threads: int | None = None,
    board: str | Path = LOCAL,
    progress: Progress = SILENT,
) -> Evaluation:
    """Score an animator on held-out puppets, `clips` (files and folders of them; of those only the
    ones called `names`, if any are given) and the test split of a stored `dataset`.

    Self-reenactment: the first frame is the still, the rest drive, up to the first cut of a clip.
    Beside each score stand those of the still repeated and of the regions' affine warp alone.

    `model` is the shipped animator or a training's folder, which are scored in PyTorch, or a bundle
    (.eab), of which the `variant`, by default the board's first choice that runs here, is played.
    One whose regions are not the shipped animator's is scored without puppets, and one that carries
    a state from frame to frame on `clips` alone, of which every frame is played. `size` is the side
    of the pictures, which are square, by default that of the largest which the animator sees
    unscaled. With `refine` the motion of a bundle is mended first, as `motion extract` can.
    `more_stills`, a clip or a folder of pictures of the character in the `clips`, take over from
    their first frames as `animate` lets them; then nothing else is scored.

    `UsageError` for a bundle that animates no still by a driver alone, `BadInput` for a model that
    is not compiled, or a clip or dataset that cannot be read.
    """
    check_size(size)
    found = find_clips([Path(place) for place in one_or_more(clips)], one_or_more(names))
    stored = None if dataset is None else Path(dataset)
    if more_stills is not None and (not found or stored is not None):
        raise UsageError(
            "They show the character of clips, on which alone is scored.",
            where=MORE_STILLS,
            hint="Give these with --clips, and no --dataset.",
        )
    playing = _Playing(variant, threads, board, refine, more_stills)
    with _opened(model, playing) as opened:
        if opened.remembers and stored is not None:
            raise UsageError(
                "This model carries a state from frame to frame, and of a dataset's sequences not "
                "every frame is kept.",
                where="--dataset",
                hint="Score it on --clips.",
            )
        if opened.puppets == 0 and not found and stored is None:
            raise UsageError(
                "Puppets are for models with the shipped animator's regions and without a state, "
                "so there is nothing to score this one on.",
                hint="Add --clips, such as its subjects in motion.",
            )
        scores = score(
            opened.animated,
            puppets=opened.puppets,
            clips=found,
            dataset=stored,
            size=size,
            progress=progress,
        )
    return Evaluation(tuple(scores), opened.variant, opened.note)


@dataclass(frozen=True)
class _Playing:
    """How a bundle is played, as `evaluate` is told."""

    variant: str | None
    threads: int | None
    board: str | Path
    refine: bool
    more_stills: str | Path | None

    def must_be_left_out(self) -> None:
        """`UsageError` if any of it is given, of what is no bundle."""
        given = {
            "--variant": self.variant,
            "--threads": self.threads,
            "--board": None if self.board == LOCAL else self.board,
            "--refine": self.refine or None,
            MORE_STILLS: self.more_stills,
        }
        for option, value in given.items():
            if value is not None:
                raise UsageError(
                    "Only bundles take it; trained networks are scored in PyTorch.",
                    where=option,
                    hint="Leave it out, or compile the model first.",
                )

    @contextmanager
    def opened(self, path: Path) -> Iterator[_Opened]:
        """The bundle at `path`, ready to be scored."""
        work = Work.on(self.board)
        with open_bundle(path) as bundle:
            stills = []
            if self.more_stills is not None:
                Needs.of(bundle.contract).check_more_stills(bundle.contract)
                stills = square_stills(Path(self.more_stills))
            chosen, note = to_play(bundle.variants, self.variant, work)
            remembers = bundle.contract.remembers
            on_puppets = bundle.contract.regions == REGIONS and not (stills or remembers)
            options = work.options(chosen.backend, self.threads)
            with Played.opened(
                bundle.contract, chosen, options, refine=self.refine, more_stills=stills
            ) as played:
                yield _Opened(played, None if on_puppets else 0, remembers, chosen.id, note)


@contextmanager
def _opened(model: str | Path, playing: _Playing) -> Iterator[_Opened]:
    if is_shipped(model) or _is_training(Path(model)):
        playing.must_be_left_out()
        yield _Opened(_networks(model))
    else:
        require_bundle(model)
        with playing.opened(Path(model)) as opened:
            yield opened


def _is_training(path: Path) -> bool:
    """Whether `path` can only be a training's folder, finished or not."""
    is_model = (path / CONTRACT_FILE).is_file() and not (path / ARCHITECTURE).is_file()
    return path.is_dir() and not is_model


def _networks(model: str | Path) -> Animated:
    require("Scoring a training", "torch", extra="train")
    from edgeanim.models.animator import load_animator
    from edgeanim.models.evaluation.networks import Networks
    from edgeanim.models.export import animator_folder

    return Networks(load_animator(animator_folder(model)))
