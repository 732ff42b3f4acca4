"""Files: written whole or not at all, hashed in one way, and never outside their folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from edgeanim.core.errors import BadInput, EdgeanimError, UsageError, disk_errors
from edgeanim.core.interruption import clearing_away

_CHUNK = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's contents, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with disk_errors(path), path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def sha256_files(paths: Sequence[Path]) -> str:
    """Hex SHA-256 of one file's contents, or over those of several in their order."""
    hashes = [sha256_file(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else sha256_bytes(",".join(hashes).encode())


def sha256_tree(folder: Path) -> str:
    """Hex SHA-256 over the relative names and contents of all files below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, so it can be hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; it takes the final name only if the block succeeds.

    The suffix is kept, since image and video writers choose the format by it.
    """
    may_become_file(path)
    with disk_errors(path), _folders_above(path):
        partial = _beside(path, path.suffix)
        try:
            with _by_final_name(partial, path):
                partial.touch(exist_ok=False)
                yield partial
                with partial.open("rb") as stream:
                    os.fsync(stream.fileno())
            partial.replace(path)
        finally:
            with clearing_away():
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that replaces it only if the block succeeds.

    Where a user named the folder, `may_become_folder` comes first: what it holds will be gone.
    """
    may_hold_files(path.parent)
    with disk_errors(path), _folders_above(path):
        _refuse_file(path)
        partial = _beside(path)
        try:
            with _by_final_name(partial, path):
                partial.mkdir()
                yield partial
            if path.exists():
                _replace_folder(path, partial)
            else:
                partial.replace(path)
        finally:
            with clearing_away():
                shutil.rmtree(partial, ignore_errors=True)


def may_become_file(path: Path) -> None:
    """`BadInput` if `path` is a folder or cannot be written to, `UsageError` if it is a pipe or a
    device: a file that is written would take its place."""
    may_hold_files(path.parent)
    with disk_errors(path):
        if path.is_dir():
            raise BadInput("This is a folder; a file is to be written here.", where=path)
        _refuse_device(path)


def may_become_folder(path: Path, ours: Callable[[str], bool]) -> None:
    """`UsageError` if `path` holds a file that is not `ours`, asked by its name relative to `path`:
    it would be lost when the folder is replaced; and for the folder in which we work, one above it,
    or one where something is mounted, which cannot be, and for a pipe or a device. `BadInput` if
    `path` is a file or cannot be written to."""
    if Path.cwd().is_relative_to(path.resolve()):
        raise UsageError(
            "This is the folder in which the command runs, or one above it; it would be replaced.",
            where=path,
            hint="Name a new folder.",
        )
    may_hold_files(path.parent)
    with disk_errors(path):
        _refuse_file(path)
        if path.is_mount():
            raise _mounted(path)
        for file in path.rglob("*"):
            name = file.relative_to(path).as_posix()
            if (file.is_symlink() or not file.is_dir()) and not ours(name):
                raise UsageError(
                    f"The folder holds other things ({name!r}); it would be replaced.",
                    where=path,
                    hint="Name a new folder.",
                )


def may_hold_files(folder: Path) -> None:
    """`BadInput` if no file can be written into `folder`, which need not exist."""
    with disk_errors(folder):
        there = next((each for each in (folder, *folder.parents) if each.exists()), Path())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
        if not os.access(there, os.W_OK | os.X_OK):
            if os.statvfs(there).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(there))
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def must_spare(out: Path, inputs: Iterable[str | Path]) -> None:
    """`UsageError` if writing `out` would destroy one of `inputs`: it is the same file, or a folder
    that holds it. Inputs that are no paths (`shipped`, `camera:0`) are no matter."""
    with disk_errors(out):
        if not out.exists():
            return
        for given in map(Path, inputs):
            if given.exists() and (out.samefile(given) or _lies_in(out, given)):
                raise UsageError(
                    "This is an input of the command; it would be overwritten.",
                    where=out,
                    hint="Write to another name.",
                )


def must_end_in(suffix: str, out: str | Path, what: str) -> None:
    """`UsageError` unless `out` has the suffix by which a file like that, `what`, is known to all
    that reads it."""
    if Path(out).suffix != suffix:
        raise UsageError(f"{what} is an {suffix} file.", where=out, hint=f"Write to {out}{suffix}.")


def must_exist(path: Path) -> None:
    """`BadInput` if there is neither a file nor a folder at `path`."""
    with disk_errors(path):
        path.stat()


@contextmanager
def open_seekable(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is read here and there. `BadInput` for a pipe, at once: to open one would
    wait for whoever writes to it."""
    with disk_errors(path):
        if path.is_fifo():
            raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
        with path.open("rb") as stream:
            stream.seek(0)  # what else has no places refuses it
            yield stream


def read_bytes(path: Path, limit: int, what: str) -> bytes:
    """The contents of `path`; `BadInput`, which calls it `what` ("This document"), if they are more
    than `limit` bytes. No more is read: a pipe or a device states no size, and need not end."""
    with disk_errors(path), path.open("rb") as stream:
        stated = os.fstat(stream.fileno()).st_size
        if stated <= limit:
            data = stream.read((stated or limit) + 1)  # so much is allocated
            if len(data) <= limit:
                return data
    shown = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
    raise BadInput(f"{what} is larger than {shown}.", where=path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically; escapes for what has none (in file names)."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def copy_files(source: Path, target: Path) -> None:
    """Copy all files below the folder `source` to below `target`.

    `shutil.copytree` gathers what the system refuses, such as on a full disk, into one error that
    no longer says what it was.
    """
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def inside(folder: Path, name: str) -> Path:
    """The path of `name` below `folder`; `BadInput` if the name would lead out of it."""
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in name):
        raise BadInput(f"{name[:80]!r} cannot be the name of a file.", where=folder)
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or "\\" in name or ".." in pure.parts or ":" in name:
        raise BadInput(f"The file name {name!r} leads outside its folder.", where=folder)
    path = folder / pure
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"The file name {name!r} leads outside its folder.", where=folder)
    return path


def _beside(path: Path, suffix: str = "") -> Path:
    """A name for what is to become `path`. Not made by `tempfile`, which lets nobody else read it:
    what the user's umask allows could then be told only by changing it for all threads."""
    return path.parent / f".partial-{secrets.token_hex(8)}{suffix}"


_ASIDE = ".old-"


def _replace_folder(path: Path, made: Path) -> None:
    """Put the folder `made` in the place of `path`, or leave that as it was."""
    old = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=path.parent))
    aside = old / path.name
    try:
        path.replace(aside)
    except OSError as error:
        old.rmdir()
        # Not every mounted folder is told by `is_mount`, nor every layer of a container's.
        raise (_mounted(path) if error.errno in (errno.EBUSY, errno.EXDEV) else error) from error
    try:
        made.replace(path)
    except BaseException:
        aside.replace(path)
        old.rmdir()
        raise
    with clearing_away():
        shutil.rmtree(old, ignore_errors=True)


def finish_replacing(path: Path) -> None:
    """After a kill while the folder `path`, which nobody else replaces meanwhile, was replaced: put
    back the one that was set aside, if no other has taken its place, and remove what is left."""
    with disk_errors(path):
        for old in path.parent.glob(f"{_ASIDE}*"):
            aside = old / path.name
            if aside.is_dir() and not path.exists():
                aside.replace(path)
            if aside.is_dir() or not any(old.iterdir()):
                shutil.rmtree(old, ignore_errors=True)


def _mounted(path: Path) -> UsageError:
    return UsageError(
        "Something is mounted in this folder, so it cannot be replaced.",
        where=path,
        hint=f"Name a folder within it, such as {path / 'new'}.",
    )


def _lies_in(folder: Path, path: Path) -> bool:
    return folder.is_dir() and path.resolve().is_relative_to(folder.resolve())


def _refuse_device(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UsageError(
            "This is a pipe or a device, which would be replaced.",
            where=path,
            hint="Name a new file or folder.",
        )


def _refuse_file(path: Path) -> None:
    _refuse_device(path)
    if path.exists() and not path.is_dir():
        raise BadInput("This is a file; a folder is to be written here.", where=path)


@contextmanager
def _by_final_name(partial: Path, path: Path) -> Iterator[None]:
    """Let errors name `path`, and what lies in it, where they would name the temporary one: nobody
    knows that, and it is gone when they are read."""
    try:
        with disk_errors(partial):
            yield
    except EdgeanimError as error:
        if error.where and Path(error.where).is_relative_to(partial):
            error.where = str(path / Path(error.where).relative_to(partial))
        raise


@contextmanager
def _folders_above(path: Path) -> Iterator[None]:
    """Make the folders above `path`; those that were not there go again if the block fails."""
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise
