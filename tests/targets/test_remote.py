"""A call on a host: pushed once, run there, followed, and cleared away."""

from __future__ import annotations

import io
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.targets.on import remote, stub
from edgeanim.targets.on.link import open_link, ssh_command
from edgeanim.targets.on.payload import Payload
from edgeanim.targets.on.places import SshHost
from edgeanim.targets.on.remote import Remote
from tests.targets.far_end import COUNTING, Board, Notes, counting_call, fake_board, script

pytestmark = pytest.mark.usefixtures("small_code")


def test_the_client_gets_no_way_round_host_keys_and_no_prompt(fake: Board) -> None:
    command = ssh_command(SshHost("board", "pi", 2222))
    assert command[-6:-3] == ["--", "board", "sh"]
    options = {command[i + 1] for i, word in enumerate(command) if word == "-o"}
    assert {"BatchMode=yes", "ForwardAgent=no", "ClearAllForwardings=yes"} <= options
    assert not any("HostKey" in option or "KnownHosts" in option for option in options)
    assert fake.host.label == "pi@board"


def test_a_call_is_pushed_run_followed_and_cleaned_up(fake: Board, tmp_path: Path) -> None:
    notes = Notes()
    call = counting_call(tmp_path, pause=0.0)
    results = Remote(fake.host, notes).run(call)
    assert results == {"answer.json": b"once\n"}
    assert notes.stages == ["pi@board: connect and push", "pi@board: Count"]
    assert notes.steps == [str(i) for i in range(8)]
    assert fake.runs() == []
    assert "MB pushed" in notes.ends[0]
    assert (tmp_path / "arguments").read_text().splitlines()[-5] == "board"


def test_only_what_changed_is_pushed(fake: Board, tmp_path: Path) -> None:
    def pushed() -> set[str]:
        before = set(blobs.iterdir()) if blobs.is_dir() else set()
        Remote(fake.host).run(counting_call(tmp_path, pause=0.0))
        return {path.read_text() for path in set(blobs.iterdir()) - before}

    blobs = fake.folder / "blobs"
    assert pushed() == {COUNTING, "X = 1\n"}
    assert pushed() == set()
    (tmp_path / "code.py").write_text("X = 2\n")
    changed = Payload.of({"edgeanim/code.py": tmp_path / "code.py"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "runtime", lambda: changed)
        assert pushed() == {"X = 2\n"}


def test_a_file_that_changes_while_it_is_pushed_is_named(fake: Board, tmp_path: Path) -> None:
    call = counting_call(tmp_path, pause=0.0)
    for text in (COUNTING + "# longer", COUNTING.replace("once", "oncf"), "shorter"):
        (tmp_path / "job.py").write_text(text)
        with pytest.raises(BadInput, match=r"job.py: This file changed"):
            Remote(fake.host).run(call)
    (tmp_path / "job.py").write_text(COUNTING)
    assert Remote(fake.host).run(call)


def test_a_board_without_room_says_how_much_it_takes(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(stub.__file__).read_text()
    small = text.replace("shutil.disk_usage(BLOBS).free", "70 << 20")
    assert small != text
    large = small.replace("SPARE_BYTES = 64 << 20", "SPARE_BYTES = 80 << 20")
    (tmp_path / "stub.py").write_text(large)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    says = r"\.edgeanim has only 70 MB of free disk space; 1 MB are to be sent and 80 MB to be left"
    with pytest.raises(DeviceFailed, match=says):
        Remote(fake.host).run(counting_call(tmp_path))


def test_a_disk_that_fills_up_in_mid_push_is_told_of_at_once(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota, or no inodes left, which the free space does not tell of. What is still on its way
    must not be taken for the next request: the link would break, and be taken up again."""
    text = Path(stub.__file__).read_text()
    full = text.replace("tempfile.mkstemp(", "full(")
    assert full != text
    refusing = "def full(**_):\n    raise OSError(122, 'Disk quota exceeded')\n\n\ndef put("
    (tmp_path / "stub.py").write_text(full.replace("def put(", refusing))
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    (tmp_path / "large").write_text("no request\n" * 200_000)
    large = Payload.of({"large": tmp_path / "large"})
    call = replace(counting_call(tmp_path), files=large)
    with pytest.raises(DeviceFailed, match=r"It refused: .*Disk quota exceeded"):
        Remote(fake.host, retry_s=()).run(call)


def test_code_that_cannot_be_laid_out_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk every further attempt left less room."""
    monkeypatch.setattr(stub, "BLOBS", tmp_path / "blobs")
    monkeypatch.setattr(stub, "TREES", tmp_path / "trees")
    request = {"tree": "0" * 64, "files": {"a/b.py": "1" * 64}}
    with pytest.raises(FileNotFoundError):
        stub.lay(request, io.BytesIO())
    assert list((tmp_path / "trees").iterdir()) == []


def test_a_login_shell_that_talks_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = fake_board(tmp_path, monkeypatch, before="echo Welcome; echo '{\"done\": 1}'")
    assert Remote(board.host).run(counting_call(tmp_path, pause=0.0))


def test_the_environment_for_edgeanim_comes_before_a_python_that_is_too_old(
    fake: Board, tmp_path: Path
) -> None:
    script(tmp_path / "far/python3", "#!/bin/sh\necho SyntaxError: invalid syntax >&2\nexit 1\n")
    call = counting_call(tmp_path, pause=0.0)
    with pytest.raises(DeviceFailed, match=r"or in the environment ~/.edgeanim/venv"):
        Remote(fake.host).run(call)
    own = fake.folder / "venv/bin/python"
    script(own, f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    assert Remote(fake.host).run(call) == {"answer.json": b"once\n"}


def test_a_python_before_3_8_still_tells_its_version() -> None:
    without = "import sys; sys.modules['importlib.metadata'] = None\n"
    command = [sys.executable, "-c", without + stub.PROBE, "json", "no_such_module"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found["version"] == platform.python_version()
    assert (found["modules"], found["packages"]) == (["json"], {})


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "start", "run": "../../x", "tree": "0" * 16, "files": {}, "module": "m", "call": {}},
        {"do": "fetch", "run": "0" * 16, "name": "../../.bashrc"},
        {"do": "lay", "tree": "1" * 16, "files": {"/etc/passwd": "0" * 64}},
        {"do": "follow", "run": "0" * 16, "offset": 0},
    ],
)
def test_the_far_end_keeps_to_its_folder(request_: dict[str, object], fake: Board) -> None:
    with open_link(fake.host) as link, pytest.raises(DeviceFailed, match="It refused"):
        link.ask(**request_)  # type: ignore[arg-type]


def test_runs_are_known_by_all_that_goes_into_them(
    tmp_path: Path, tiny_onnx: Callable[..., Path]
) -> None:
    del tiny_onnx
    first = counting_call(tmp_path)
    assert first.id == counting_call(tmp_path).id
    assert first.id != counting_call(tmp_path, steps=9).id
