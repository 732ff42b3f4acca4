"""The one form in which training material lies on disk: made, imported, streamed.

    dataset.json                  the manifest: every sequence with its source, licence and split
    sequences/ID/record.json      the same entry, beside what it is about
    sequences/ID/frames/00000.png pictures of SIZE x SIZE pixels
    sequences/ID/parts/00000.png  the part that each pixel shows (only where that is known)
    sequences/ID/known.npz        which frame is before which, and what is known of the parts

A sequence appears whole or not at all, so a killed run is gone on with by running it again. Splits
go by *identity*: all that is of one character falls into one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput, UsageError, disk_errors
from edgeanim.core.files import (
    atomic_folder,
    canonical_json,
    inside,
    sha256_bytes,
    sha256_file,
    write_text,
)
from edgeanim.core.interruption import note_kept
from edgeanim.core.native import write_png
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.models.data.media import save_npz
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.data.sequences import FrameSequence

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MAX_FRAMES = 20_000
MAX_SEQUENCES = 200_000
MANIFEST, RECORD, KNOWN, FRAMES = "dataset.json", "record.json", "known.npz", "frames"
_TRAIN, _VAL = 0.8, 0.9
_LONGEST_ID = 120
_UNNAMEABLE = "/\\:\0"
SEQUENCES = "sequences"


class TooShort(BadInput):
    """A sequence of less than two frames. Who read them knows from which file."""


@dataclass(frozen=True)
class Origin:
    """Where a sequence comes from. `identity` names the character; `recipe` all that went into
    making it, so that a second run knows what is already done."""

    id: str
    identity: str
    kind: str
    source: str
    licence: str
    recipe: str


@dataclass(frozen=True)
class Entry:
    """A sequence of the manifest. `known`: whether masks and motion are; `sha256` is over the names
    and contents of its files."""

    origin: Origin
    split: Split
    frames: int
    known: bool
    sha256: str

    def __post_init__(self) -> None:
        name = self.origin.id
        if not name or len(name) > _LONGEST_ID or name.startswith(".") or {*name} & {*_UNNAMEABLE}:
            raise ValueError(f"{name!r} cannot name a folder")
        if not 1 <= self.frames <= MAX_FRAMES:
            raise ValueError(f"a sequence has 1 to {MAX_FRAMES} frames, not {self.frames}")


@dataclass(frozen=True)
class Manifest:
    """All sequences by id. `size` is the side of the pictures."""

    sequences: tuple[Entry, ...]
    schema: Literal["edgeanim.dataset/1"] = "edgeanim.dataset/1"
    size: int = SIZE

    def __post_init__(self) -> None:
        if self.size != SIZE:
            raise ValueError(f"pictures of {self.size} pixels a side; {SIZE} are needed")
        if len(self.sequences) > MAX_SEQUENCES:
            raise ValueError(f"more than {MAX_SEQUENCES} sequences")
        if len({entry.origin.id for entry in self.sequences}) != len(self.sequences):
            raise ValueError("two sequences have the same id")
        splits: dict[str, Split] = {}
        for entry in self.sequences:
            identity = entry.origin.identity
            if splits.setdefault(identity, entry.split) != entry.split:
                raise ValueError(f"the character {identity!r} is in two splits")


def sequence_id(kind: str, name: str, mark: str) -> str:
    """An id for a sequence of files called `name`, however they are called: what cannot stand in
    the name of a folder becomes `_`, and of a long name its beginning and a hash are kept. `mark`
    tells it from others of the same name."""
    plain = "".join("_" if letter in _UNNAMEABLE else letter for letter in name)
    room = _LONGEST_ID - len(f"{kind}--{mark}")
    # Disks count bytes, of which a letter may have four.
    data = plain.encode("utf-8", "replace")
    if len(data) > room:
        data = data[: room - 8] + sha256_bytes(data)[:8].encode()
    return f"{kind}-{data.decode('utf-8', 'ignore')}-{mark}"


def split_of(identity: str) -> Split:
    """The split that an identity falls into by its hash: of many, 8, 1 and 1 in ten."""
    share = int(sha256_bytes(identity.encode())[:8], 16) / 2**32
    return "train" if share < _TRAIN else "val" if share < _VAL else "test"


def load_manifest(folder: Path) -> Manifest:
    """Read and check a dataset's manifest; `BadInput` says how to go on where it was not written
    yet."""
    if not (folder / MANIFEST).exists() and (folder / SEQUENCES).is_dir():
        raise BadInput(
            "This dataset is not finished: making it or importing into it was interrupted.",
            where=folder,
            hint="Run the same `edgeanim dataset` command again; it goes on where it stopped.",
        )
    return parse(Manifest, load_json(folder / MANIFEST), where=folder / MANIFEST)


def sequence_folder(folder: Path, name: str) -> Path:
    """Where the sequence `name` of a dataset lies."""
    return inside(folder / SEQUENCES, name)


def frame_folders(folder: Path) -> list[Path]:
    """The folders with the pictures of a dataset's sequences."""
    sequences = load_manifest(folder).sequences
    return [sequence_folder(folder, entry.origin.id) / FRAMES for entry in sequences]


def content_hash(folder: Path, frames: int, *, known: bool) -> str:
    """Hex SHA-256 over the names and hashes of a sequence's own files."""
    names = [
        KNOWN,
        *frame_names(FRAMES, frames),
        *(frame_names("parts", frames) if known else ()),
    ]
    lines = [f"{name}\0{sha256_file(folder / name)}" for name in names]
    return sha256_bytes("\n".join(lines).encode())


def frame_names(kind: str, count: int) -> list[str]:
    """The names of a sequence's pictures, `frames` or `parts`."""
    return [f"{kind}/{number:05d}.png" for number in range(count)]


class DatasetWriter:
    """Adds sequences to a dataset, new or begun. Call `finish` to write the manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with disk_errors(folder):
            self._entries = {entry.origin.id: entry for entry in _finished(folder)}
            held = {path.name for path in folder.iterdir()} if folder.exists() else set()
            foreign = not self._entries and bool(held - {SEQUENCES})
        if foreign:
            raise BadInput(
                "This folder holds something else than a dataset.",
                where=folder,
                hint="Name a new or an empty folder.",
            )

    def has(self, origin: Origin) -> bool:
        """Whether this very sequence is there already."""
        entry = self._entries.get(origin.id)
        return entry is not None and entry.origin == origin

    def add(self, origin: Origin, sequence: FrameSequence, split: Split | None = None) -> Entry:
        """Store a sequence; one of the same id is replaced. See `split_for` about `split`."""
        known = sequence.parts
        arrays: dict[str, NDArray[Any]] = {"before": np.array(sequence.before, np.int32)}
        if known is not None:
            arrays |= {"transforms": known.transforms, "regions": known.regions}
            if known.sheets is not None:
                arrays["sheets"] = known.sheets
        count = range(len(sequence.pictures))
        shown = () if known is None else (known.shown[i] for i in count)
        return self._write(origin, (sequence.pictures[i] for i in count), shown, arrays, split)

    def add_clip(
        self, origin: Origin, pictures: Iterable[NDArray[np.uint8]], split: Split | None = None
    ) -> Entry:
        """Store frames of which nothing else is known, one by one as they come."""
        return self._write(origin, pictures, (), {}, split)

    def finish(self) -> Manifest:
        """Write the manifest of all that is there, and return it: also of what another process has
        added meanwhile. `BadInput` if both have one character, in two splits."""
        with disk_errors(self.folder):
            self._entries |= {entry.origin.id: entry for entry in _finished(self.folder)}
        try:
            manifest = Manifest(tuple(self._entries[name] for name in sorted(self._entries)))
        except ValueError as error:
            raise BadInput(
                f"These sequences make no dataset: {error}.", where=self.folder
            ) from error
        write_text(self.folder / MANIFEST, canonical_json(to_plain(manifest)))
        return manifest

    def finish_begun(self) -> None:
        """`finish`, where there is anything to list."""
        if self._entries:
            self.finish()

    def split_for(self, identity: str, wanted: Split | None) -> Split:
        """The split of an identity: where it is already, else `wanted`, else by its hash.

        `UsageError` if it is in another one than `wanted`.
        """
        for entry in self._entries.values():
            if entry.origin.identity == identity:
                if wanted not in (None, entry.split):
                    raise UsageError(
                        f"The character {identity!r} is in the split {entry.split!r} already; "
                        "it cannot be in two."
                    )
                return entry.split
        return wanted or split_of(identity)

    def _write(
        self,
        origin: Origin,
        pictures: Iterable[NDArray[np.uint8]],
        parts: Iterable[NDArray[np.uint8]],
        arrays: dict[str, NDArray[Any]],
        split: Split | None,
    ) -> Entry:
        entry = Entry(origin, self.split_for(origin.identity, split), 1, "regions" in arrays, "")
        with atomic_folder(sequence_folder(self.folder, origin.id)) as place:
            frames = _write_pictures(place, FRAMES, pictures)
            if frames < 2:
                raise TooShort(
                    "A sequence needs two frames or more.",
                    where=origin.source,
                    hint="Of a sprite sheet, --cell tells where they are; of a clip, --every may "
                    "skip too many.",
                )
            _write_pictures(place, "parts", parts)
            before = np.maximum(np.arange(frames, dtype=np.int32) - 1, 0)
            save_npz(place / KNOWN, {"before": before, **arrays})
            digest = content_hash(place, frames, known=entry.known)
            entry = replace(entry, frames=frames, sha256=digest)
            write_text(place / RECORD, canonical_json(to_plain(entry)))
        self._entries[origin.id] = entry
        note_kept()
        return entry


def _write_pictures(place: Path, kind: str, pictures: Iterable[NDArray[np.uint8]]) -> int:
    count = 0
    for picture in pictures:
        if count >= MAX_FRAMES:
            raise BadInput(
                f"A sequence has more than {MAX_FRAMES} frames.", hint="Take every second, or cut."
            )
        path = place / f"{kind}/{count:05d}.png"
        path.parent.mkdir(exist_ok=True)
        assert picture.shape[:2] == (SIZE, SIZE)
        write_png(path, picture)
        count += 1
    return count


def _finished(folder: Path) -> Iterator[Entry]:
    """The entries of the sequences that are whole, whether or not the manifest names them yet."""
    if not (folder / SEQUENCES).is_dir():
        return
    for place in sorted((folder / SEQUENCES).iterdir()):
        if place.name.startswith(".") or not (place / RECORD).is_file():
            continue  # a killed run's leavings
        entry = parse(Entry, load_json(place / RECORD), where=place / RECORD)
        if entry.origin.id != place.name:
            raise BadInput("This record belongs to another sequence.", where=place / RECORD)
        yield entry
