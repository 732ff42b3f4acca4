"""What `edgeanim dataset make` and `import` put into a dataset, sequence by sequence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from edgeanim import __version__
from edgeanim.core.errors import BadInput, UsageError, disk_errors
from edgeanim.core.files import canonical_json, must_exist, sha256_bytes, sha256_file
from edgeanim.models.data.clips.importers import Fit, clip_pictures, fit_of, sheet_pictures
from edgeanim.models.data.clips.scenes import SceneFinder
from edgeanim.models.data.drawings.bvh import read_bvh
from edgeanim.models.data.drawings.drawing import FILES, read_drawing
from edgeanim.models.data.drawings.drawn import drawing_folders, drawing_sequence, sketch_sequence
from edgeanim.models.data.media import head_of, is_image, pictures_in
from edgeanim.models.data.people.person import person_at_moments
from edgeanim.models.data.puppets.scenes import read_photographs, scene_at_moments
from edgeanim.models.data.sequences import FrameSequence, puppet_at_moments
from edgeanim.models.data.textures import Picture
from edgeanim.models.dataset.form import Origin, sequence_id

_OWN = "CC0-1.0"
_MOST = 1_000_000  # all are listed before the first is made
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")


@dataclass(frozen=True)
class DatasetRecipe:
    """What to make: so many `puppets`, `scenes`, `people` and `sketches`, with seeds from
    `first_seed` on, each at `moments` moments; each of the `drawings` (a folder of them, or one) in
    each of the `motions` (BVH, likewise), `takes` times. `photographs` is a folder that dresses
    scenes and people. With `motions`, half of the sketches perform one of those."""

    puppets: int = 0
    scenes: int = 0
    people: int = 0
    sketches: int = 0
    moments: int = 4
    first_seed: int = 1000
    photographs: Path | None = None
    drawings: Path | None = None
    motions: Path | None = None
    takes: int = 1

    def __post_init__(self) -> None:
        counts = self.puppets, self.scenes, self.people, self.sketches
        if min(*counts, self.first_seed) < 0 or self.takes < 1:
            raise UsageError("Numbers of what to make, and seeds, cannot be negative.")
        if max(*counts, self.takes) > _MOST:
            raise UsageError(f"At most {_MOST:,} of a kind can be made at once.")
        if not 1 <= self.moments <= 1000:
            raise UsageError("`moments` must be between 1 and 1000.")
        if self.drawings and not self.motions:
            raise UsageError("Drawings need motions to follow.")
        if self.photographs and not (self.scenes or self.people):
            raise UsageError("Photographs need scenes or people that show them.")
        if self.takes > 1 and not self.drawings:
            raise UsageError("Takes go with drawings, and none are asked for.")
        if self.motions and not (self.drawings or self.sketches):
            raise UsageError("Motions need drawings or sketches that follow them.")
        if not (any(counts) or self.drawings):
            raise UsageError(
                "Nothing to make: ask for puppets, scenes, people, sketches or drawings."
            )


@dataclass(frozen=True)
class Task:
    """A sequence to come, and how to make it."""

    origin: Origin
    make: Callable[[], FrameSequence]


def tasks(recipe: DatasetRecipe) -> list[Task]:
    """Everything that a recipe makes, in order. Drawings are read one by one as they are made; what
    dresses scenes and people or moves sketches at once."""
    seeds = range(recipe.first_seed, recipe.first_seed + recipe.puppets)
    found = [_puppet_task(recipe, seed) for seed in seeds]
    if recipe.scenes or recipe.people:
        found += _photographed_tasks(recipe)
    if recipe.sketches:
        found += _sketch_tasks(recipe)
    if recipe.drawings is not None and recipe.motions is not None:
        found += _drawing_tasks(recipe, recipe.drawings, recipe.motions)
    return found


def imported(
    path: Path, *, cell: tuple[int, int] | None, rows: bool, fit: Fit | None, every: int, limit: int
) -> Iterator[tuple[str, str, Iterator[Picture]]]:
    """The sequences that a file or a folder of frames holds, one for each scene: name, kind and
    frames, lazily."""
    name = printable_path(path).stem
    if cell is not None:
        grid = sheet_pictures(path, cell, fit=fit or "pad")
        cells = grid if rows else [[picture for row in grid for picture in row]]
        taken = [row[::every][:limit] for row in cells]
        if not taken or any(len(row) < 2 for row in taken):
            one_row = rows and bool(taken)
            raise BadInput(
                f"{'A row of this sheet' if one_row else 'This sheet'} has less than two pictures.",
                where=path,
                hint="A sequence needs two"
                + (
                    ": leave --rows out, or crop that row."
                    if one_row
                    else "; is --cell or --every too large?"
                ),
            )
        for number, row in enumerate(taken):
            yield f"{name}-row{number}" if rows else name, "sheet", iter(row)
        return
    kind = "frames" if path.is_dir() else "animation" if is_image(head_of(path)) else "clip"
    chosen = fit or ("pad" if kind == "animation" else fit_of(path))

    def pictures() -> Iterator[Picture]:
        return clip_pictures(path, fit=chosen, every=every, limit=limit)

    finder = SceneFinder()
    for _ in finder.watch(pictures()):
        pass
    scenes = [scene for scene in finder.scenes() if len(scene) > 1]
    if len(scenes) < 2:
        yield name, kind, pictures()
        return
    for number, scene in enumerate(scenes, 1):
        yield (
            f"{name}-scene{number}",
            kind,
            itertools.islice(pictures(), scene.start, scene.stop),
        )


def printable_path(path: Path) -> Path:
    """`path` by the name that it has where it lies, to be written down: `.` and `..` are none, and
    what of it is not UTF-8 is shown as that."""
    return Path(as_text(str(path.resolve() if path.name in ("", "..") else path)))


def as_text(name: str) -> str:
    """A name as the system has it, without what no file of text can hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def licence_beside(path: Path) -> str:
    """The first line of a licence file in the folder of `path` or the one above; else "unknown"."""
    start = path if path.is_dir() else path.parent
    names = [f / name for f in (start, start.resolve().parent) for name in _LICENCE_FILES]
    file = next((name for name in names if name.is_file()), None)
    if file is None:
        return "unknown"
    with disk_errors(file), file.open("rb") as stream:
        text = stream.read(4096).decode("utf-8", "replace")
    lines = (" ".join(line.split()) for line in text.splitlines())
    return next((line[:100] for line in lines if line), "unknown")


def file_hash(path: Path) -> str:
    """Twelve hex digits that tell a file, or the pictures of a folder, from others."""
    if path.is_dir():
        text = "\n".join(sha256_file(file) for file in pictures_in(path))
        return sha256_bytes(text.encode())[:12]
    return sha256_file(path)[:12]


def recipe_hash(**choices: object) -> str:
    """Sixteen hex digits over all that a sequence depends on."""
    return sha256_bytes(canonical_json(choices).encode())[:16]


def _puppet_task(recipe: DatasetRecipe, seed: int) -> Task:
    choices = recipe_hash(puppet=seed, moments=recipe.moments, version=__version__)
    made = f"edgeanim {__version__}"
    origin = Origin(f"puppet-{seed}", f"puppet {seed}", "puppet", made, _OWN, choices)
    return Task(origin, partial(puppet_at_moments, seed, recipe.moments))


def _photographed_tasks(recipe: DatasetRecipe) -> Iterator[Task]:
    """Scenes and people, whose cloth and walls photographs are cut for."""
    folder, licence, source, prints = recipe.photographs, _OWN, "", ""
    photos: tuple[Picture, ...] = ()
    if folder is not None:
        photos, prints = read_photographs(folder), file_hash(folder)
        licence, source = licence_beside(folder), f" with {printable_path(folder).name}"
    made = f"edgeanim {__version__}{source}"
    for kind, count, at_moments in (
        ("scene", recipe.scenes, scene_at_moments),
        ("person", recipe.people, person_at_moments),
    ):
        for seed in range(recipe.first_seed, recipe.first_seed + count):
            choices = recipe_hash(
                **{kind: seed}, moments=recipe.moments, photographs=prints, version=__version__
            )
            name = f"{kind} {seed}"
            origin = Origin(f"{kind}-{seed}", name, kind, made, licence, choices)
            yield Task(origin, partial(at_moments, seed, recipe.moments, photos))


def _sketch_tasks(recipe: DatasetRecipe) -> Iterator[Task]:
    paths = [] if recipe.motions is None else motion_files(recipe.motions)
    captures = tuple(read_bvh(path) for path in paths)
    prints = [sha256_file(path) for path in paths]
    source = f"edgeanim {__version__}" + (
        f" with {printable_path(recipe.motions).name}" if recipe.motions else ""
    )
    licence = _OWN if recipe.motions is None else licence_beside(recipe.motions)
    for seed in range(recipe.first_seed, recipe.first_seed + recipe.sketches):
        choices = recipe_hash(
            sketch=seed, moments=recipe.moments, motions=prints, version=__version__
        )
        origin = Origin(f"sketch-{seed}", f"sketch {seed}", "sketch", source, licence, choices)
        yield Task(origin, partial(sketch_sequence, seed, recipe.moments, captures))


def _drawing_tasks(recipe: DatasetRecipe, drawings: Path, motions: Path) -> Iterator[Task]:
    seeds = range(recipe.first_seed, recipe.first_seed + recipe.takes)
    captures = [(path, sha256_file(path)) for path in motion_files(motions)]
    # Sequences of one drawing, and in it of one motion, follow each other: it is read once for all.
    drawing_in, capture_in = lru_cache(1)(read_drawing), lru_cache(1)(read_bvh)
    make = partial(drawing_sequence, drawing_in=drawing_in, capture_in=capture_in)
    for folder in drawing_folders(drawings):
        prints = [sha256_file(folder / name) for name in FILES]
        name, licence = printable_path(folder).name, licence_beside(folder)
        for capture, motion in captures:
            for seed in seeds:
                origin = Origin(
                    sequence_id("drawing", f"{name}-{printable_path(capture).stem}", str(seed)),
                    # One character under two names is still one: its identity is its picture.
                    f"drawing {prints[0][:12]}",
                    "drawing",
                    f"{name} moved by {printable_path(capture).name}",
                    licence,
                    recipe_hash(
                        drawing=prints,
                        motion=motion,
                        seed=seed,
                        moments=recipe.moments,
                        version=__version__,
                    ),
                )
                yield Task(origin, partial(make, folder, capture, seed, recipe.moments))


def motion_files(path: Path) -> Sequence[Path]:
    """The BVH files of a folder by name, or the one that `path` is; `BadInput` if there is none."""
    must_exist(path)
    with disk_errors(path):
        if path.is_file():
            return [path]
        found = sorted(filter(_is_motion, path.iterdir())) if path.is_dir() else []
    if not found:
        raise BadInput("There are no motions (.bvh) here.", where=path)
    return found


def _is_motion(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() == ".bvh" and not hidden and not path.is_dir()
