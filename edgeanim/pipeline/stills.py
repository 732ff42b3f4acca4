"""Further stills of one character, in other poses, from pictures or a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import must_exist
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.evaluation.clips import squares
from edgeanim.pipeline.frames.in_memory import as_picture, name_of
from edgeanim.quantize.calibration.coverage import evenly, thin
from edgeanim.runtime.media import is_live, pictures_in, read_still, read_stills
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.pictures import no_larger, scaled_still
from edgeanim.runtime.scene import Picture, Scene

MoreStills = str | Path | Iterable[Picture]
"""Pictures of one character: a path, as `--more-stills` takes it, or uint8 [H, W, 3 or 4] each."""
MORE_STILLS = "--more-stills"
"""The option, for messages."""
MOST_STILLS = 16
"""Of one character. Four win most of what sixteen win (decision 32), and each is read, encoded and
kept in memory."""
_MOST_PIXELS = 1 << 26
"""Of all together: a quarter of a gigabyte."""
_SHAPE = 0.01
"""By how much the proportions of a picture may differ from the still's."""
_READ = 256
"""Sides that are not read smaller, as whole pixels would change a picture's proportions."""


def stills_called(still: object, more_stills: object) -> object:
    """What errors call the picture that is animated: `still`, or without it the first further
    one."""
    return name_of(more_stills, "more_stills") if still is None else name_of(still, "still")


def sized(scene: Scene, side: int, contract: Contract) -> Scene:
    """`scene` with a still whose longer side has `side` pixels at most; `UsageError` for a model
    whose frames do not have the size of the still."""
    if not Needs.of(contract).still or any(graph.output("frame") for graph in contract.per_frame):
        raise UsageError(
            f"The model {contract.name!r} paints its frames in a size of its own.",
            where="--size",
            hint="Leave it out.",
        )
    return scene if scene.still is None else replace(scene, still=no_larger(scene.still, side))


def with_more_stills(
    scene: Scene,
    source: MoreStills,
    contract: Contract,
    progress: Progress = SILENT,
    *,
    side: int | None = None,
) -> Scene:
    """`scene` with at most 16 further stills, fewer of more than four megapixels, spread evenly
    over `source`: a clip or animation, a folder of pictures, a picture, or what a program holds.
    They are scaled to the size of the scene's still; without one, the first of them is it, with a
    longer side of at most `side` pixels.

    `UsageError` for a camera or a pipe, and a model in which no other still can take over.
    `BadInput` for what cannot be read, no pictures, other proportions than the still's, or what is
    transparent where the still is not, or the other way round.
    """
    Needs.of(contract).check_more_stills(contract)
    progress.stage("Read further stills")
    still, called = scene.still, "still"
    if isinstance(source, (str, Path)):
        refuse_live(source)
        must_exist(Path(source))
        pictures = _pictures(Path(source), side if still is None else max(_READ, *still.shape[:2]))
    else:
        pictures = _held(source)
    if still is None:
        still, called = next(pictures)[0], "first picture"
        still = still if side is None else no_larger(still, side)
    most = max(1, min(MOST_STILLS, _MOST_PIXELS // (still.shape[0] * still.shape[1])))
    found = thin((_like(picture, still, at, called) for picture, at in pictures), most)
    progress.done(f"{len(found)} taken")
    more = tuple(scaled_still(picture, still.shape[:2]) for picture in found)
    return replace(scene, still=still, more_stills=more)


def square_stills(source: Path) -> list[Picture]:
    """At most 16 squares of what `with_more_stills` takes, as an evaluation looks at its clips."""
    refuse_live(source)
    if not source.is_dir():
        return thin(squares(source), MOST_STILLS)
    return [next(squares(file)) for file in _some_pictures_in(source)]


def refuse_live(source: str | Path) -> None:
    """`UsageError` for what has no end."""
    if is_live(source):
        raise UsageError(
            "A camera and a pipe have no end over which stills could be spread.",
            where=MORE_STILLS,
            hint="Give a clip, or a folder of pictures.",
        )


def _held(source: Iterable[Picture]) -> Iterator[tuple[Picture, object]]:
    """The pictures that a program holds, one at least, each with what errors call it."""
    if not isinstance(source, Iterable):
        raise UsageError(
            "This is no path and gives no pictures.",
            where=f"more_stills, {type(source).__name__}",
            hint="Give a path, or a list of pictures.",
        )
    number = -1
    for number, item in enumerate(source):
        called = f"more_stills, picture {number}"
        yield as_picture(item, called), called
    if number < 0:
        raise BadInput("There are no pictures in it.", where="more_stills")


def _pictures(source: Path, side: int | None) -> Iterator[tuple[Picture, object]]:
    """The pictures, one at least, each with the file that it is of; those of a folder are read for
    a `side` of so many pixels, if that is known."""
    if not source.is_dir():
        return ((picture, source) for picture in read_stills(source))
    return ((read_still(file, side=side), file) for file in _some_pictures_in(source))


def _some_pictures_in(folder: Path) -> list[Path]:
    """As many of its pictures as are taken."""
    files = pictures_in(folder)
    return [files[i] for i in evenly(len(files), MOST_STILLS)]


def _like(picture: Picture, still: Picture, where: object, called: str) -> Picture:
    """The picture, made no larger than the still, which is `called` so in messages. One that is
    smaller stays so, as most frames of a clip are not taken."""
    height, width = still.shape[:2]
    wide, meant = picture.shape[1] / picture.shape[0], width / height
    if abs(wide / meant - 1) > _SHAPE:
        raise BadInput(
            f"This has the proportions {wide:.3f}:1, and the {called} {meant:.3f}:1.",
            where=where,
            hint="All stills show the character from the same place: crop them alike.",
        )
    if picture.shape[2] != still.shape[2]:
        which = "This is" if picture.shape[2] == 4 else f"The {called} is"
        other = f"the {called}" if picture.shape[2] == 4 else "this"
        raise BadInput(
            f"{which} transparent, and {other} is not.",
            where=where,
            hint="Cut out all stills, or none.",
        )
    return scaled_still(picture, (height, width)) if picture.shape[0] > height else picture
