from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

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


def test_a_damaged_entry_is_built_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry, _ = store.build("stage", {"a": 1}, write("good"))
    (entry / "out.txt").write_text("bad")
    entry, cached = store.build("stage", {"a": 1}, write("good"))
    assert (cached, (entry / "out.txt").read_text()) == (False, "good")
    (entry.parent / "entry.json").write_text("{broken")
    entry, cached = store.build("stage", {"a": 1}, write("good"))
    assert (cached, (entry / "out.txt").read_text()) == (False, "good")


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
    young, old = tmp_path / "stage" / ".partial-young", tmp_path / "stage" / ".partial-old"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    store.build("stage", {"a": 2}, write("x"))
    assert young.exists()
    assert not old.exists()


def test_the_place_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEANIM_STORE", "/somewhere")
    assert default_root() == Path("/somewhere")
    monkeypatch.delenv("EDGEANIM_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_root() == Path("/cache/edgeanim")


def test_versions_of_absent_packages_are_said() -> None:
    versions = tool_versions("numpy", "surely-not-installed")
    assert versions["surely-not-installed"] == "absent"
    assert versions["numpy"][0].isdigit()
