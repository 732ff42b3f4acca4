from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import edgeanim
from edgeanim.core import locks
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError, disk_errors
from edgeanim.core.locks import exclusive
from edgeanim.core.store import Store, default_root, tool_versions


def write(text: str):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> None:
        (folder / "out.txt").write_text(text)

    return make


def test_a_stage_is_built_once_per_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, cached = store.build("stage", {"a": 1}, write("one"))
    assert (cached, (first / "out.txt").read_text()) == (False, "one")
    again, cached = store.build("stage", {"a": 1}, write("two"))
    assert (cached, again, (again / "out.txt").read_text()) == (True, first, "one")
    other, cached = store.build("stage", {"a": 2}, write("two"))
    assert (cached, (other / "out.txt").read_text()) == (False, "two")
    fresh, cached = store.build("stage", {"a": 1}, write("three"), fresh=True)
    assert (cached, (fresh / "out.txt").read_text()) == (False, "three")


def test_a_failed_stage_leaves_no_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build("stage", {"a": 1}, fail)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert store.build("stage", {"a": 1}, write("x"))[1] is False


def test_of_several_builders_at_once_one_builds_and_all_have_its_entry(tmp_path: Path) -> None:
    store, made = Store(tmp_path), []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.3)
        (folder / "out.txt").write_text("x")

    def build(_: int) -> tuple[Path, bool]:
        return store.build("stage", {"a": 1}, make)

    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(build, range(4)))
    assert len(made) == 1
    assert sorted(cached for _, cached in built) == [False, True, True, True]
    assert len({content for content, _ in built}) == 1
    assert [path.name for path in (tmp_path / "stage").iterdir()] == [built[0][0].parent.name]


def test_without_locks_the_first_one_to_finish_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HAS_LOCKS", False)
    store = Store(tmp_path)

    def overtaken(folder: Path) -> None:
        assert store.build("stage", {"a": 1}, write("first"))[1] is False
        (folder / "out.txt").write_text("second")

    content, cached = store.build("stage", {"a": 1}, overtaken)
    assert (cached, (content / "out.txt").read_text()) == (True, "first")
    assert [path.name for path in (tmp_path / "stage").iterdir()] == [content.parent.name]
    fresh, cached = store.build("stage", {"a": 1}, write("anew"), fresh=True)
    assert (cached, (fresh / "out.txt").read_text()) == (False, "anew")


def test_a_damaged_entry_is_built_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry, _ = store.build("stage", {"a": 1}, write("good"))
    (entry / "out.txt").write_text("bad")
    entry, cached = store.build("stage", {"a": 1}, write("good"))
    assert (cached, (entry / "out.txt").read_text()) == (False, "good")
    for manifest in ("{broken", "[]", "{}"):
        (entry.parent / "entry.json").write_text(manifest)
        entry, cached = store.build("stage", {"a": 1}, write("good"))
        assert (cached, (entry / "out.txt").read_text()) == (False, "good")
    (entry.parent / "entry.json").unlink()
    assert store.build("stage", {"a": 1}, write("good"))[1] is False


def test_a_killed_process_leaves_the_store_sound(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from edgeanim.core.store import Store

        def make(folder):
            (folder / "half.bin").write_bytes(b"x" * 100000)
            os.kill(os.getpid(), signal.SIGKILL)

        Store(Path(sys.argv[1])).build("stage", {"a": 1}, make)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False)
    assert done.returncode != 0
    store = Store(tmp_path)
    key = store.key(stage="stage", a=1)
    assert store.get("stage", key) is None
    assert store.build("stage", {"a": 1}, write("x"))[1] is False


def test_what_killed_runs_left_is_swept_when_old(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.build("stage", {"a": 1}, write("x"))
    young = [tmp_path / "stage" / name for name in (".partial-young", ".old-young")]
    old = [tmp_path / "stage" / name for name in (".partial-old", ".old-old")]
    for folder in (*young, *old):
        (folder / "content").mkdir(parents=True)
    old.append(tmp_path / "stage" / ".lock-old")
    old[-1].touch()
    for path in old:
        os.utime(path, (0, 0))
    store.build("stage", {"a": 2}, write("x"))
    assert all(path.exists() for path in young)
    assert not any(path.exists() for path in old)


def test_a_lock_that_is_held_is_not_swept(tmp_path: Path) -> None:
    held = tmp_path / "stage" / ".lock-held"
    held.parent.mkdir()
    with exclusive(held):
        os.utime(held, (0, 0))
        Store(tmp_path).build("stage", {"a": 1}, write("x"))
        assert held.exists()
    assert not held.exists()


def test_what_is_still_being_made_is_not_swept_however_long_it_takes(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        write("x")(folder)
        os.utime(folder.parent, (0, 0))
        Store(tmp_path).build("stage", {"a": 2}, write("y"))

    made, _ = Store(tmp_path).build("stage", {"a": 1}, make)
    assert (made / "out.txt").read_text() == "x"


def test_who_waited_for_a_lock_holds_one_that_others_see(tmp_path: Path) -> None:
    """Whoever held it before has removed the file at which this one waited."""
    lock = tmp_path / "lock"

    def wait() -> bool:
        with exclusive(lock) as held, exclusive(lock, wait=False) as again:
            return held and not again

    with ThreadPoolExecutor(1) as pool:
        with exclusive(lock):
            waiting = pool.submit(wait)
            time.sleep(0.2)
        assert waiting.result(timeout=10)
    assert not lock.exists()


def test_who_waits_for_a_lock_does_not_wait_for_a_child_of_who_held_it(tmp_path: Path) -> None:
    code = """
        import os, signal, sys, threading, time
        from pathlib import Path
        from edgeanim.core.locks import exclusive

        def wait():
            with exclusive(Path(sys.argv[1])):
                pass

        waiting = threading.Thread(target=wait)
        with exclusive(Path(sys.argv[1])):
            child = os.fork()
            if not child:
                time.sleep(60)
            waiting.start()
            time.sleep(0.2)
        waiting.join(10)
        os.kill(child, signal.SIGKILL)
        print("waits" if waiting.is_alive() else "holds")
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "lock")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "holds\n"


def next_handle() -> int:
    handle = os.dup(0)
    os.close(handle)
    return handle


def test_a_lock_that_is_not_to_be_had_leaves_nothing_open(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"):
        before = next_handle()
        for _ in range(3):
            with exclusive(tmp_path / "lock", wait=False) as held:
                assert not held
        assert next_handle() == before


def test_where_a_drive_has_no_locks_nothing_is_held_and_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "flock", refused)
    before = next_handle()
    with exclusive(tmp_path / "lock") as held:
        assert not held
    assert list(tmp_path.iterdir()) == []
    assert next_handle() == before


def test_the_place_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEANIM_STORE", "/somewhere")
    assert default_root() == Path("/somewhere")
    monkeypatch.delenv("EDGEANIM_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_root() == Path("/cache/edgeanim")


def test_where_a_store_cannot_be_another_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that cannot be written to, as a service may have, or none at all."""
    (tmp_path / "home").write_text("no folder")
    with pytest.raises(BadInput, match=r"The artifact store is kept there\..*EDGEANIM_STORE="):
        Store(tmp_path / "home" / ".cache").build("compile", {}, write("x"))
    monkeypatch.delenv("EDGEANIM_STORE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with pytest.raises(UsageError, match=r"no home folder.*EDGEANIM_STORE="):
        Store()


def test_our_own_version_is_that_of_the_code_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable installation goes on telling the version at which it was made."""
    monkeypatch.setattr(edgeanim, "__version__", "77.0")
    assert tool_versions("edgeanim") == {"edgeanim": "77.0"}


def test_versions_of_absent_packages_are_said() -> None:
    versions = tool_versions("numpy", "surely-not-installed")
    assert versions["surely-not-installed"] == "absent"
    assert versions["numpy"][0].isdigit()


def test_errors_name_a_file_in_the_making_by_its_name_alone(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        raise BadInput("No form for this graph.", where=folder / "net.onnx")

    with pytest.raises(BadInput) as caught:
        Store(tmp_path).build("compile", {}, make)
    assert caught.value.where == "net.onnx"


def test_a_place_that_the_system_refuses_is_named_in_full(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        with disk_errors(folder / "net.onnx"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DeviceFailed) as caught:
        Store(tmp_path).build("compile", {}, make)
    assert tmp_path in Path(str(caught.value.where)).parents
