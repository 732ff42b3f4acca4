from __future__ import annotations

import errno
import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core import files
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.files import (
    atomic_folder,
    atomic_path,
    canonical_json,
    finish_replacing,
    inside,
    may_become_file,
    may_become_folder,
    may_hold_files,
    must_exist,
    must_spare,
    read_bytes,
    sha256_file,
    sha256_files,
    sha256_tree,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.json"
    write_text(target, "hello")
    assert target.read_text() == "hello"
    assert names(target.parent) == ["file.json"]


def test_others_may_read_what_was_written_as_far_as_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "hello")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "folder")]
    assert modes == [0o640, 0o750]


def test_writing_leaves_the_umask_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of the whole process: other threads write files meanwhile."""
    monkeypatch.delattr(os, "umask")
    write_text(tmp_path / "file", "")
    with atomic_folder(tmp_path / "folder"):
        pass


def test_no_more_is_read_than_the_limit_allows_whatever_size_is_stated(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_bytes(b"x" * 5)
    assert read_bytes(file, 5, "This") == b"x" * 5
    with pytest.raises(BadInput, match="This is larger than 0 KiB"):
        read_bytes(file, 4, "This")
    with pytest.raises(BadInput, match="This document is larger than 1 MiB"):
        read_bytes(Path("/dev/zero"), 1 << 20, "This document")
    with pytest.raises(BadInput, match="folder"):
        read_bytes(tmp_path, 1, "This")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic_path(target) as partial:
        partial.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_a_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as partial:
        (partial / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as partial:
        (partial / "a").write_text("half")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "old"
    assert names(tmp_path) == ["out"]
    with atomic_folder(target) as partial:
        (partial / "b").write_text("new")
    assert names(target) == ["b"]
    assert names(tmp_path) == ["out"]


def test_a_folder_where_something_is_mounted_is_told_of_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a container's volume, which is where its output goes."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "old").touch()
    move = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if path == volume:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        return move(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(UsageError, match=r"such as .*volume/new"), atomic_folder(volume):
        pass
    assert names(tmp_path) == ["volume"]
    assert names(volume) == ["old"]
    monkeypatch.setattr(Path, "is_mount", lambda path: path == volume)
    with pytest.raises(UsageError, match=r"such as .*volume/new"):
        may_become_folder(volume, lambda _: True)


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    with atomic_folder(target) as partial:
        (partial / "old").touch()
    move = Path.replace

    def replace(path: Path, to: Path) -> Path:
        if path.name.startswith(".partial-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return move(path, to)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(DeviceFailed), atomic_folder(target):
        pass
    assert names(tmp_path) == ["target"]
    assert names(target) == ["old"]


def test_a_drive_that_is_mounted_for_reading_only_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a board's card after an error; nobody's access rights are to blame."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    flags = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda _: flags)
    with pytest.raises(BadInput, match="mounted for reading only"):
        may_hold_files(tmp_path)


def test_a_failed_write_takes_along_the_folders_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for place in (atomic_path, atomic_folder):
        with pytest.raises(ValueError, match="no"), place(tmp_path / "old" / "new" / "deep" / "x"):
            raise ValueError("no")
        assert names(tmp_path / "old") == []


def test_a_failed_write_leaves_a_folder_in_which_others_wrote_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), atomic_path(tmp_path / "new" / "x"):
        (tmp_path / "new" / "theirs").touch()
        raise ValueError("no")
    assert names(tmp_path / "new") == ["theirs"]


def test_what_must_exist_is_a_file_or_a_folder(tmp_path: Path) -> None:
    must_exist(tmp_path)
    with pytest.raises(BadInput, match=r"gone: No such file or folder\."):
        must_exist(tmp_path / "gone")


def test_a_full_disk_is_said_plainly(tmp_path: Path) -> None:
    with (
        pytest.raises(DeviceFailed, match="disk is full") as caught,
        atomic_path(tmp_path / "x") as partial,
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial))
    assert caught.value.exit_code == 5
    assert names(tmp_path) == []


@pytest.mark.parametrize("full", [True, False])
def test_an_error_names_what_was_to_be_written_and_not_the_temporary_place(
    tmp_path: Path, full: bool
) -> None:
    def fail(at: Path) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(at))
        raise DeviceFailed("It could not be written whole.", where=at)

    with pytest.raises(DeviceFailed) as caught, atomic_path(tmp_path / "x.mp4") as partial:
        fail(partial)
    assert caught.value.where == str(tmp_path / "x.mp4")
    with pytest.raises(DeviceFailed) as caught, atomic_folder(tmp_path / "model") as partial:
        fail(partial / "net" / "net.onnx")
    assert caught.value.where == str(tmp_path / "model" / "net" / "net.onnx")


@pytest.mark.parametrize("write", [atomic_path, atomic_folder])
def test_what_cannot_even_be_begun_is_named_as_it_was_to_be_called(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    for make in ("touch", "mkdir"):
        monkeypatch.setattr(Path, make, full)
    monkeypatch.setattr(files, "_folders_above", lambda _: nullcontext())
    with pytest.raises(DeviceFailed) as caught, write(tmp_path / "x.gif"):
        pass
    assert caught.value.where == str(tmp_path / "x.gif")


def test_a_real_full_device_is_said_plainly() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    from edgeanim.core.errors import disk_errors

    with (
        pytest.raises(DeviceFailed, match="disk is full"),
        disk_errors(Path("/dev/full")),
        Path("/dev/full").open("wb", buffering=0) as stream,
    ):
        stream.write(b"x")


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="folder"):
        write_text(tmp_path, "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="file"), atomic_folder(tmp_path / "file"):
        pass


def test_a_pipe_in_the_way_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="pipe or a device"):
        write_text(pipe, "x")
    with pytest.raises(UsageError, match="pipe or a device"):
        may_become_folder(pipe, lambda _: True)
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


def test_a_file_above_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for check in (may_become_file, may_hold_files):
        with pytest.raises(BadInput, match="file: This is a file; a folder is needed"):
            check(tmp_path / "file" / "new" / "x")
    with pytest.raises(BadInput, match="too long"):
        may_become_file(tmp_path / ("x" * 300))
    may_become_file(tmp_path / "new" / "x")
    may_hold_files(tmp_path / "new" / "x")
    assert names(tmp_path) == ["file"]


def test_what_is_read_is_spared(tmp_path: Path) -> None:
    read, other = tmp_path / "in" / "read", tmp_path / "other"
    write_text(read, "x")
    write_text(other, "x")
    (tmp_path / "link").symlink_to(read)
    for out in (read, tmp_path / "link", tmp_path / "in"):
        with pytest.raises(UsageError, match="would be overwritten"):
            must_spare(out, ["shipped", other, read])
    for out in (other, tmp_path / "in" / "new", tmp_path / "new"):
        must_spare(out, ["shipped", read])


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_name_leads_outside(name: str) -> None:
    folder = Path("/nonexistent/folder")
    try:
        path = inside(folder, name)
    except BadInput:
        return
    assert path.resolve().is_relative_to(folder)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be the name of a file"):
        inside(tmp_path, name)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", "a\\b", "c:x"])
def test_names_that_lead_outside(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="outside"):
        inside(tmp_path, name)


def test_a_symlink_does_not_lead_outside(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(BadInput, match="outside"):
        inside(tmp_path, "link/passwd")


def test_hashes_depend_on_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = sha256_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = sha256_tree(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, sha256_tree(tmp_path)}) == 3
    assert sha256_file(tmp_path / "b") == (
        "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"
    )


def test_equal_values_have_equal_json() -> None:
    assert canonical_json({"b": 1, "a": [1, 2]}) == canonical_json({"a": [1, 2], "b": 1})


def test_the_hash_of_several_files_changes_with_each_and_of_one_is_its_own(tmp_path: Path) -> None:
    graph, weights = tmp_path / "net.xml", tmp_path / "net.bin"
    graph.write_bytes(b"graph")
    weights.write_bytes(b"weights")
    assert sha256_files([graph]) == sha256_file(graph)
    before = sha256_files([graph, weights])
    weights.write_bytes(b"others")
    assert len({before, sha256_files([graph, weights]), sha256_file(graph)}) == 3


def test_a_link_to_itself_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "self.gif").symlink_to("self.gif")
    with pytest.raises(BadInput, match=r"self\.gif: .*back to itself"):
        must_exist(tmp_path / "self.gif")


def test_a_folder_that_was_being_replaced_as_the_process_was_killed_is_put_back(
    tmp_path: Path,
) -> None:
    """A training would have begun anew, and its losses would have been removed."""
    path, aside = tmp_path / "checkpoint", tmp_path / ".old-abc" / "checkpoint"
    aside.mkdir(parents=True)
    (aside / "state").write_text("before")
    others = tmp_path / ".old-def" / "another"
    others.mkdir(parents=True)
    finish_replacing(path)
    assert (path / "state").read_text() == "before"
    assert not aside.parent.exists()
    aside.mkdir(parents=True)
    (aside / "state").write_text("older")
    finish_replacing(path)
    finish_replacing(path)
    assert (path / "state").read_text() == "before"
    assert not aside.parent.exists()
    assert others.is_dir()
