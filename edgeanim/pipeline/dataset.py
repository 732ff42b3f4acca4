"""`edgeanim dataset`: make, import and show training material in its one form on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeanim.core.choices import must_be_one_of
from edgeanim.core.errors import EdgeanimError, UsageError, named
from edgeanim.core.files import atomic_path, may_become_file, must_exist
from edgeanim.core.native import write_png
from edgeanim.core.parsing import one_or_more
from edgeanim.core.progress import SILENT, Progress, counted
from edgeanim.core.threads import one_blas_thread
from edgeanim.models.data.clips.importers import Fit
from edgeanim.models.dataset.form import (
    SEQUENCES,
    SPLITS,
    DatasetWriter,
    Manifest,
    Origin,
    Split,
    TooShort,
    load_manifest,
    sequence_id,
)
from edgeanim.models.dataset.make import (
    DatasetRecipe,
    as_text,
    file_hash,
    imported,
    licence_beside,
    printable_path,
    recipe_hash,
    tasks,
)
from edgeanim.runtime.scene import Picture

_LIMIT = 2000


@dataclass(frozen=True)
class DatasetSummary:
    """What of one kind is in one split."""

    kind: str
    split: Split
    sequences: int
    identities: int
    frames: int
    licences: tuple[str, ...]


def make_dataset(
    out: str | Path,
    *,
    puppets: int = 0,
    scenes: int = 0,
    people: int = 0,
    sketches: int = 0,
    moments: int = 4,
    first_seed: int = 1000,
    photographs: str | Path | None = None,
    drawings: str | Path | None = None,
    motions: str | Path | None = None,
    takes: int = 1,
    split: Split | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Draw puppets, scenes, people and sketches, and move drawings, into the dataset `out`, which
    is new or begun.

    See `models.dataset.make.DatasetRecipe` for the choices. New sequences go to `split`, or by a
    hash of each identity to one. What is there already is not made again.
    """
    must_be_one_of(Split | None, "split", split)
    photos, drawn, captures = (
        None if path is None else Path(path) for path in (photographs, drawings, motions)
    )
    recipe = DatasetRecipe(
        puppets=puppets,
        scenes=scenes,
        people=people,
        sketches=sketches,
        moments=moments,
        first_seed=first_seed,
        photographs=photos,
        drawings=drawn,
        motions=captures,
        takes=takes,
    )
    writer = DatasetWriter(Path(out))
    todo = tasks(recipe)
    progress.stage("making sequences", len(todo))
    started, made = time.process_time(), 0
    # What a seed gives must not depend on how many processors there are.
    with one_blas_thread(extra="train"):
        for task in todo:
            if not writer.has(task.origin):
                made += writer.add(task.origin, task.make(), split).frames
            progress.step(note=task.origin.id)
    rate = made / max(time.process_time() - started, 1e-6)
    progress.done(f"{rate:.0f} frames drawn and stored a CPU second" if made else "nothing to do")
    return writer.finish()


def import_dataset(
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    identity: str | None = None,
    licence: str | None = None,
    source: str | None = None,
    cell: tuple[int, int] | None = None,
    rows: bool = False,
    fit: Fit | None = None,
    every: int = 1,
    limit: int = _LIMIT,
    split: Split | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Bring the clips, animated pictures, folders of frames or sprite sheets `paths` into the
    dataset `out`.

    `identity` is the character that all of them show (each file's own name if it is not given):
    what shows one character stays in one split, `split` or by a hash. `licence` is the first line
    of a licence file beside the material if it is not given, `source` (a URL, say) the file's name.
    With `cell` (width, height), files are sprite sheets, in reading order; `rows` makes a sequence
    of each row. `fit` keeps the middle square (`crop`) or the whole picture (`pad`, if it is not
    given, of animated pictures and of what is on a plain ground). Of each every `every`-th frame is
    taken, and at most `limit`. `BadInput` for what cannot be read.
    """
    must_be_one_of(Fit | None, "fit", fit)
    must_be_one_of(Split | None, "split", split)
    given = _Import(
        identity=identity,
        licence=licence,
        source=source,
        cell=cell,
        rows=rows,
        fit=fit,
        every=every,
        limit=limit,
    )
    given.check()
    sources = [Path(path) for path in one_or_more(paths)]
    for path in sources:
        must_exist(path)
    writer = DatasetWriter(Path(out))
    progress.stage("importing", len(sources))
    for path in sources:
        with _listed(writer), named(path, TooShort):
            for origin, name, pictures in given.sequences(path):
                writer.split_for(origin.identity, split)  # also of what is there already
                if not writer.has(origin):
                    writer.add_clip(origin, counted(pictures, name, progress), split)
        progress.step(note=path.name)
    progress.done()
    return writer.finish()


@dataclass(frozen=True)
class _Import:
    """How files are cut into sequences, and what is told of them, as `import_dataset` says."""

    identity: str | None
    licence: str | None
    source: str | None
    cell: tuple[int, int] | None
    rows: bool
    fit: Fit | None
    every: int
    limit: int

    def check(self) -> None:
        """`UsageError` for what cannot be."""
        if self.rows and self.cell is None:
            raise UsageError(
                "Only sprite sheets, which need a cell size, have rows.",
                where="--rows",
                hint="Add --cell, or leave it out.",
            )
        if self.every < 1 or self.limit < 2:
            raise UsageError("`every` must be at least 1, and `limit` at least 2.")
        if self.identity is not None and not self.identity.strip():
            raise UsageError(
                "An identity needs a name.", hint="Leave it out to name each by its file."
            )

    def sequences(self, path: Path) -> Iterator[tuple[Origin, str, Iterator[Picture]]]:
        """Those in the file `path`: where each comes from, its name there and its pictures."""
        content = file_hash(path)
        cell, fit, every, limit = self.cell, self.fit, self.every, self.limit
        recipe = recipe_hash(content=content, cell=cell, fit=fit, every=every, limit=limit)
        found = imported(path, cell=cell, rows=self.rows, fit=fit, every=every, limit=limit)
        for name, kind, pictures in found:
            origin = Origin(
                sequence_id(kind, name, content[:6]),
                as_text(self.identity or printable_path(path).stem),
                kind,
                as_text(self.source or printable_path(path).name),
                as_text(self.licence or licence_beside(path)),
                recipe,
            )
            yield origin, name, pictures


@contextmanager
def _listed(writer: DatasetWriter) -> Iterator[None]:
    """A file that cannot be imported takes nothing from those before it: they are listed."""
    try:
        yield
    except EdgeanimError:
        with suppress(EdgeanimError):  # the first error is the one to tell
            writer.finish_begun()
        raise


def show_dataset(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    split: Split | None = None,
    count: int = 12,
    progress: Progress = SILENT,
) -> tuple[DatasetSummary, ...]:
    """What the dataset in `folder` holds, by kind and `split` (one, or all); with `out`, a contact
    sheet (PNG) of `count` sequences spread over it, masks painted over them."""
    must_be_one_of(Split | None, "split", split)
    manifest = load_manifest(Path(folder))
    if out is not None:
        _write_sheet(Path(folder), manifest, Path(out), split, count, progress)
    rows = []
    for kind in sorted({entry.origin.kind for entry in manifest.sequences}):
        for part in SPLITS:
            chosen = [e for e in manifest.sequences if e.origin.kind == kind and e.split == part]
            if chosen and split in (None, part):
                rows.append(
                    DatasetSummary(
                        kind,
                        part,
                        len(chosen),
                        len({e.origin.identity for e in chosen}),
                        sum(e.frames for e in chosen),
                        tuple(sorted({e.origin.licence for e in chosen})),
                    )
                )
    return tuple(rows)


def _write_sheet(
    folder: Path, manifest: Manifest, out: Path, split: Split | None, count: int, progress: Progress
) -> None:
    from edgeanim.models.dataset.reader import read_sequences
    from edgeanim.models.dataset.sheet import contact_sheet

    if out.suffix.lower() != ".png":
        raise UsageError("A contact sheet is written as .png.", where=out)
    if out.resolve().is_relative_to((folder / SEQUENCES).resolve()):
        raise UsageError(
            "This lies among the dataset's own sequences, which a sheet would damage.",
            where=out,
            hint="Name a file elsewhere.",
        )
    may_become_file(out)
    fitting = [e for e in manifest.sequences if split in (None, e.split)]
    step = max(1, len(fitting) // max(1, count))
    shown = {e.origin.id: e for e in fitting[::step][:count]}
    sequences = read_sequences(folder, split, ids=shown, progress=progress)
    captions = [
        f"{e.origin.id}  |  {e.origin.identity}  |  {e.split}  |  {e.frames} frames  |  "
        f"{e.origin.licence}"
        for e in (shown[sequence.name] for sequence in sequences)
    ]
    sheet = contact_sheet(sequences, captions)
    with atomic_path(out) as partial:
        write_png(partial, sheet)
