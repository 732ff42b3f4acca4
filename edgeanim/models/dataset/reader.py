"""Reading a dataset: sequences whose frames are decoded when they are looked at.

What is read may come from anywhere: names, sizes, hashes, shapes and value ranges are checked
before training sees a number of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.threads import in_threads
from edgeanim.models.data.media import load_npz, read_still
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE
from edgeanim.models.data.sequences import FrameSequence, Parts
from edgeanim.models.dataset.form import (
    FRAMES,
    KNOWN,
    Entry,
    Split,
    content_hash,
    load_manifest,
    sequence_folder,
)
from edgeanim.models.regions import BACKGROUND

_CACHE_BYTES = 1 << 30
_FRAME_BYTES = SIZE * SIZE * 3
_MAX_KNOWN_BYTES = 256 << 20
_LARGEST = 1e5
_THINNEST = 1e-8


class FrameCache:
    """Decoded frames, the latest used of them, within a number of bytes. Threads may share it.

    Processes that are forked share what is in it, as long as they put nothing in its place: what
    one of them drops still takes its parent's memory. So it is frozen before.
    """

    def __init__(self, limit: int = _CACHE_BYTES) -> None:
        self._limit = limit
        self._held = 0
        self._frames: OrderedDict[Path, NDArray[np.uint8]] = OrderedDict()
        self._lock = Lock()
        self._frozen = False

    @property
    def full(self) -> bool:
        """Whether another frame would have to take an older one's place."""
        return self._held + _FRAME_BYTES > self._limit

    @property
    def count(self) -> int:
        """How many frames are in it."""
        return len(self._frames)

    def freeze(self) -> None:
        """Keep what is in it from now on: all else is decoded each time it is asked for."""
        self._frozen = True

    def get(self, path: Path, depth: int | None) -> NDArray[np.uint8]:
        """The picture at `path`: [S, S, 3], or [S, S] of part numbers below `depth`."""
        with self._lock:
            if (held := self._frames.get(path)) is not None:
                self._frames.move_to_end(path)
                return held
        picture = _decode(path, depth)
        if self._frozen:
            return picture
        with self._lock:
            if path not in self._frames:
                self._frames[path] = picture
                self._held += picture.nbytes
            while self._held > self._limit and len(self._frames) > 1:
                self._held -= self._frames.popitem(last=False)[1].nbytes
        return picture


class StoredFrames:
    """The pictures or part masks of one sequence; stands in for an array [T, S, S(, 3)]."""

    def __init__(self, folder: Path, count: int, depth: int | None, cache: FrameCache) -> None:
        self._folder, self._count, self._depth, self._cache = folder, count, depth, cache

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._cache.get(self._folder / f"{index:05d}.png", self._depth)


def entries_of(
    folder: Path, split: Split | None = None, ids: Collection[str] | None = None
) -> list[Entry]:
    """What a dataset's manifest says of one split's sequences, of all, or of those called `ids`;
    `BadInput` if there are none."""
    entries = load_manifest(folder).sequences
    chosen = [
        entry
        for entry in entries
        if split in (None, entry.split) and (ids is None or entry.origin.id in ids)
    ]
    if not chosen:
        others = sorted({entry.split for entry in entries})
        raise BadInput(
            f"This dataset has no sequences for {split or 'this'}.",
            where=folder,
            hint=f"All of it is for {' and '.join(others)}: make or import more characters into "
            f"it with --split {split}, or name another."
            if split and others
            else None,
        )
    return chosen


def read_sequences(
    folder: Path,
    split: Split | None = None,
    *,
    ids: Collection[str] | None = None,
    cache: FrameCache | None = None,
    threads: int = 1,
    progress: Progress = SILENT,
) -> list[FrameSequence]:
    """The sequences of a dataset, of one split or of all, or those called `ids`, by id.

    Each one's files are hashed when it is opened, by so many `threads`, and decoded when they are
    used; all share `cache` (1 GiB, unless another one is given). `BadInput` for whatever is
    missing, changed or impossible.
    """
    cache = cache or FrameCache()
    chosen = entries_of(folder, split, ids)
    progress.stage(f"opening {folder.name}", len(chosen))
    sequences = in_threads(partial(_open, folder, cache), chosen, threads, progress)
    progress.done()
    return sequences


def decode_ahead(
    sequences: Iterable[FrameSequence], cache: FrameCache, threads: int, progress: Progress = SILENT
) -> None:
    """Decode stored sequences into their `cache`, as many frames as it holds, and freeze it."""
    stored = [each for each in sequences if isinstance(each.pictures, StoredFrames)]
    progress.stage("decoding frames", len(stored))

    def decode(sequence: FrameSequence) -> None:
        known = [] if sequence.parts is None else [sequence.parts.shown]
        for frames in (sequence.pictures, *known):
            for index in range(len(frames)):
                if not cache.full:
                    frames[index]

    in_threads(decode, stored, threads, progress)
    cache.freeze()
    frames = sum(len(each.pictures) * (1 if each.parts is None else 2) for each in stored)
    held = cache.count
    progress.done("" if held == frames else f"memory holds {held} of {frames} pictures and masks")


def _open(dataset: Path, cache: FrameCache, entry: Entry) -> FrameSequence:
    folder = sequence_folder(dataset, entry.origin.id)
    if content_hash(folder, entry.frames, known=entry.known) != entry.sha256:
        raise BadInput(
            "This sequence is not what the manifest says: its hash differs.",
            where=folder,
            hint="Remove its folder and make or import it again.",
        )
    path = folder / KNOWN
    required = ("before", "transforms", "regions") if entry.known else ("before",)
    optional = ("sheets",) if entry.known else ()
    arrays = load_npz(path, required=required, optional=optional, limit=_MAX_KNOWN_BYTES)
    _check_arrays(arrays, entry, path)
    parts = None
    if entry.known:
        regions = arrays["regions"]
        shown = StoredFrames(folder / "parts", entry.frames, len(regions), cache)
        parts = Parts(shown, arrays["transforms"], regions, arrays.get("sheets"))
    return FrameSequence(
        entry.origin.id,
        StoredFrames(folder / FRAMES, entry.frames, None, cache),
        tuple(int(i) for i in arrays["before"]),
        parts,
    )


def _check_arrays(arrays: dict[str, NDArray[Any]], entry: Entry, path: Path) -> None:
    """`BadInput` unless the arrays are as a `FrameSequence` needs them."""
    frames = entry.frames
    before = arrays["before"]
    fine = before.dtype == np.int32 and before.shape == (frames,)
    fine = fine and bool(((before >= 0) & (before < frames)).all())
    if fine and entry.known:
        transforms, regions = arrays["transforms"], arrays["regions"]
        sheets = arrays.get("sheets", regions)
        parts = len(regions) if regions.ndim == 1 else 0
        fine = (
            regions.dtype == np.uint8
            and 0 < parts < NO_PART
            and bool((regions <= BACKGROUND).all())
            and sheets.dtype == np.uint8
            and sheets.shape == regions.shape
            and transforms.dtype == np.float32
            and transforms.shape == (frames, parts, 2, 3)
            and bool((np.abs(transforms) < _LARGEST).all())
            and bool((np.abs(np.linalg.det(transforms[..., :2])) > _THINNEST).all())
        )
    if not fine:
        raise BadInput("What is said to be known of this sequence is impossible.", where=path)


def _decode(path: Path, depth: int | None) -> NDArray[np.uint8]:
    picture = read_still(path)
    if picture.shape[:2] != (SIZE, SIZE):
        raise BadInput(
            f"A picture of {SIZE}x{SIZE} pixels is needed, not {picture.shape[1]}x"
            f"{picture.shape[0]}.",
            where=path,
        )
    if depth is None:
        return np.ascontiguousarray(picture[:, :, :3])
    parts = np.ascontiguousarray(picture[:, :, 0])
    if ((parts >= depth) & (parts != NO_PART)).any():
        raise BadInput(f"A mask names a part beyond the {depth} of its sequence.", where=path)
    return parts
