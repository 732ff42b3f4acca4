"""A call on a host: pushed once, run there, followed, picked up after the link was cut."""

from __future__ import annotations

import fcntl
import io
import json
import platform
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeanim.core.errors import BadInput, DeviceFailed, MissingComponent
from edgeanim.targets.on import link, remote, stub
from edgeanim.targets.on.link import Link, LinkLost, open_link, ssh_command
from edgeanim.targets.on.payload import Payload
from edgeanim.targets.on.places import SshHost
from edgeanim.targets.on.remote import Remote
from tests.targets.far_end import (
    COUNTING,
    Board,
    Notes,
    counting_call,
    fake_board,
    real_board,
    script,
)


@pytest.fixture(autouse=True)
def _small_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The code that is pushed is one file, and what runs is the call's own."""
    (tmp_path / "code.py").write_text("X = 1\n")
    code = Payload.of({"edgeanim/code.py": tmp_path / "code.py"})
    monkeypatch.setattr(remote, "runtime", lambda: code)
    monkeypatch.setattr(remote, "MODULE", "in.job")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    return fake_board(tmp_path, monkeypatch)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    board, server = real_board(tmp_path, monkeypatch)
    yield board
    server.terminate()
    server.wait()


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


def _cut_once(there: Remote, board: Board) -> threading.Thread:
    def cut() -> None:
        board.wait_for(3)
        assert there._link is not None
        there._link.cut()

    thread = threading.Thread(target=cut)
    thread.start()
    return thread


def test_a_link_cut_in_mid_run_is_taken_up_again(fake: Board, tmp_path: Path) -> None:
    _cut_and_take_up(fake, tmp_path)


def test_a_real_link_cut_in_mid_run_is_taken_up_again(real: Board, tmp_path: Path) -> None:
    _cut_and_take_up(real, tmp_path)


def _cut_and_take_up(board: Board, tmp_path: Path) -> None:
    notes = Notes()
    there = Remote(board.host, notes, retry_s=(0.1, 0.1))
    cutter = _cut_once(there, board)
    results = there.run(counting_call(tmp_path, steps=12, pause=0.1))
    cutter.join()
    assert results["answer.json"] == b"once\n"
    assert notes.steps == [str(i) for i in range(12)]
    assert board.runs() == []


def test_a_link_is_taken_up_as_often_as_it_is_lost_while_the_run_gets_on(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, heard = Link.answer, []

    def lost_after_each_log(link: Link) -> dict[str, Any]:
        if heard and heard[-1].get("log") and len(heard) < 4:
            heard.append({})
            raise LinkLost("The link was lost.")
        heard.append(answer(link))
        return heard[-1]

    monkeypatch.setattr(Link, "answer", lost_after_each_log)
    notes = Notes()
    call = counting_call(tmp_path, steps=12, pause=0.1)
    there = Remote(fake.host, notes, retry_s=(0.05,))
    start = there._start
    monkeypatch.setattr(there, "_start", lambda *given: (start(*given), heard.clear()))
    assert there.run(call) == {"answer.json": b"once\n"}
    assert heard.count({}) >= 2
    assert notes.steps == [str(i) for i in range(12)]


def test_a_file_that_is_damaged_on_its_way_back_is_noticed(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Link.answer

    def another_hash(link: Link) -> dict[str, Any]:
        found = answer(link)
        return found | {"sha256": "0" * 64} if "sha256" in found else found

    monkeypatch.setattr(Link, "answer", another_hash)
    with pytest.raises(DeviceFailed, match="damaged on its way"):
        Remote(fake.host, retry_s=()).run(counting_call(tmp_path, pause=0.0))


@pytest.mark.parametrize("end", ["", "refuse", "die"])
def test_a_link_cut_while_the_run_is_removed_costs_no_result(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    ask = Link.ask

    def cut_after_drop(link: Link, do: str, **request: Any) -> dict[str, Any]:
        answer = ask(link, do, **request)
        if do == "drop":
            raise LinkLost("The link was lost.")
        return answer

    monkeypatch.setattr(Link, "ask", cut_after_drop)
    there, call = Remote(fake.host, retry_s=(0.1,)), counting_call(tmp_path, pause=0.0, end=end)
    if end:
        with pytest.raises(DeviceFailed if end == "die" else BadInput, match=r"no more|Too blue"):
            there.run(call)
    else:
        assert there.run(call) == {"answer.json": b"once\n"}
    assert fake.runs() == []


def test_a_run_whose_link_stays_away_goes_on_and_is_picked_up(fake: Board, tmp_path: Path) -> None:
    _lose_and_pick_up(fake, tmp_path)


def test_a_real_run_goes_on_without_us_and_is_picked_up(real: Board, tmp_path: Path) -> None:
    _lose_and_pick_up(real, tmp_path)


def _lose_and_pick_up(board: Board, tmp_path: Path) -> None:
    there = Remote(board.host, retry_s=())
    cutter = _cut_once(there, board)
    call = counting_call(tmp_path, steps=10, pause=0.1)
    with pytest.raises(DeviceFailed, match="goes on there"):
        there.run(call)
    cutter.join()
    notes = Notes()
    results = Remote(board.host, notes).run(call)
    assert re.search(r"picked up the run that began at \d{4}-\d\d-\d\d \d", notes.ends[0])
    assert results["answer.json"] == b"once\n"
    assert notes.steps == [str(i) for i in range(10)]
    assert board.runs() == []


def test_two_who_make_the_same_call_both_get_what_came_of_it(fake: Board, tmp_path: Path) -> None:
    """From two terminals, say, or by two names of one board: who was first removed the run."""
    call = counting_call(tmp_path, steps=10, pause=0.1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(Remote(fake.host, retry_s=()).run, call)
        fake.wait_for(2)
        second = Remote(fake.host, retry_s=())
        fetched, finish = threading.Event(), second._finish

        def late(*given: Any) -> dict[str, bytes]:
            fetched.wait(20)
            return finish(*given)

        second._finish = late  # type: ignore[method-assign]
        other = pool.submit(second.run, call)
        assert first.result(20) == {"answer.json": b"once\n"}
        fetched.set()
        assert other.result(20) == {"answer.json": b"once\n"}
    assert fake.runs() == []


def test_a_stopped_run_is_gone(fake: Board, tmp_path: Path) -> None:
    there = Remote(fake.host, retry_s=(0.1,))
    call = counting_call(tmp_path, steps=1000)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            there.run(call)
        except DeviceFailed as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    fake.wait_for(2)
    pid = int((fake.runs()[0] / "pid").read_text())
    there.stop(call)
    thread.join()
    assert failed
    assert fake.runs() == []
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_run_whose_start_was_never_answered_is_stopped_too(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Link.ask

    def interrupted(link: Link, do: str, **request: Any) -> dict[str, Any]:
        answer = ask(link, do, **request)
        if do == "start":
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(Link, "ask", interrupted)
    there, call = Remote(fake.host), counting_call(tmp_path, steps=1000)
    with pytest.raises(KeyboardInterrupt):
        there.run(call)
    fake.wait_for(1)
    there.stop(call)
    assert fake.runs() == []


def test_a_run_that_is_being_started_is_ended_once_it_has_begun(fake: Board) -> None:
    """Until then there is no process to end, and a folder removed would only come again."""

    def end() -> None:
        with open_link(fake.host) as link:
            link.ask("stop", run="0" * 32)

    (fake.folder / "runs").mkdir(parents=True)
    with (fake.folder / "runs" / ".lock").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        thread = threading.Thread(target=end)
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
    thread.join(10.0)
    assert not thread.is_alive()


def test_what_was_stopped_while_the_link_was_lost_is_not_taken_up_again(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, call = Remote(fake.host, retry_s=(0.1,)), counting_call(tmp_path, pause=0.0)
    ask, asked = Link.ask, []

    def lost_at_first(link: Link, do: str, **request: Any) -> dict[str, Any]:
        asked.append(do)
        if len(asked) == 1:
            raise LinkLost("The link was lost.")
        return ask(link, do, **request)

    monkeypatch.setattr(Link, "ask", lost_at_first)
    waiting = SimpleNamespace(sleep=lambda _: there.stop(call))
    monkeypatch.setattr(remote, "time", waiting)
    with pytest.raises(LinkLost):
        there.run(call)
    assert asked == ["probe"]


def test_a_run_that_cannot_be_ended_is_told_of_and_stops_no_other(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C stays Ctrl-C, and the next host's run is ended all the same."""
    notes = Notes()
    there = Remote(fake.host, notes)
    there._asked = True
    fake_board(tmp_path, monkeypatch, before="echo 'No route to host' >&2; exit 255")
    there.stop(counting_call(tmp_path))
    assert notes.stages == ["pi@board: end the run"]
    assert "No route to host. The run goes on there." in notes.ends[0]


@pytest.mark.parametrize("name", ["Path", "os", "disk_errors", "ClassVar", "KeyboardInterrupt", 7])
def test_what_is_no_error_of_ours_there_is_a_failure_of_the_device_here(name: object) -> None:
    """Whatever a far end names, nothing else of the module is called."""
    error = remote._rebuilt({"class": name, "what": "It broke.", "where": "x"}, "pi@board")
    assert type(error) is DeviceFailed
    assert str(error) == "pi@board: x: It broke."


def test_errors_there_are_errors_here(fake: Board, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"pi@board: x.png: Too blue. Paint it."):
        Remote(fake.host).run(counting_call(tmp_path, pause=0.0, end="refuse"))
    with pytest.raises(DeviceFailed, match="no more memory"):
        Remote(fake.host).run(counting_call(tmp_path, pause=0.0, end="die"))
    assert fake.runs() == []


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("echo 'Host key verification failed.' >&2; exit 255", "check its key.*ssh -l pi -- board"),
        ("echo 'pi@board: Permission denied (publickey).' >&2; exit 255", "ssh-copy-id"),
        ("echo 'connect to host board port 22: Connection refused' >&2; exit 255", "SSH server"),
        ("echo 'sh: python3: not found' >&2; exit 127", "Python 3.10"),
        ("exit 255", "the client said nothing"),
    ],
)
def test_a_host_that_cannot_be_reached_says_what_to_do(
    before: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = fake_board(tmp_path, monkeypatch, before=before)
    with pytest.raises(DeviceFailed, match=says):
        Remote(board.host).run(counting_call(tmp_path))


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("exec sleep 60", "did not answer within 1 s"),
        ("exec cat", "did not answer within 1 s"),
        ("yes | head -c 100000; exit 1", "its login shell prints too much"),
    ],
)
def test_a_host_that_never_gets_to_the_point_is_given_up(
    before: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell without commands, or a home folder that hangs, kept the caller waiting for ever."""
    monkeypatch.setattr(link, "GREETING_SECONDS", 1.0)
    board = fake_board(tmp_path, monkeypatch, before=before)
    with pytest.raises(DeviceFailed, match=says):
        Remote(board.host, retry_s=()).run(counting_call(tmp_path))


_HELLO = "echo edgeanim-remote/1"


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "nonsense",
        "{}",
        '{"version": 3}',
        '{"refused": "\\u001b[2J\\u0007"}',
        '{"missing": 7}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_far_end_that_talks_nonsense_is_an_error(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = f"{_HELLO}; while read -r line; do printf '%s\\n' '{answer}'; done; exit 0"
    board = fake_board(tmp_path, monkeypatch, before=talk)
    with pytest.raises((DeviceFailed, BadInput, MissingComponent)) as caught:
        Remote(board.host, retry_s=()).run(counting_call(tmp_path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "answers",
    [
        ({"done": {"error": "it broke"}, "tail": ""},),
        ({"log": "", "offset": float("inf")},),
        ({"done": {}, "tail": ""}, {"size": float("inf"), "sha256": ""}),
        ({"done": {}, "tail": ""}, {"size": [], "sha256": ""}),
        ({"log": '{"step": 1e999}\n', "offset": 1},),
    ],
)
def test_an_end_of_a_run_that_is_nonsense_is_an_error(
    answers: tuple[dict[str, Any], ...],
    fake: Board,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = list(answers)
    there = Remote(fake.host, retry_s=())
    monkeypatch.setattr(there, "_start", lambda *_: None)
    monkeypatch.setattr(Link, "tell", lambda *_, **__: None)
    monkeypatch.setattr(Link, "answer", lambda _: left.pop(0) if left else {})
    with pytest.raises((DeviceFailed, BadInput)):
        there.run(counting_call(tmp_path))


def start_answers(monkeypatch: pytest.MonkeyPatch, **said: object) -> None:
    """Let the far end say this of the run that it starts."""
    ask = Link.ask

    def told(link: Link, do: str, **request: Any) -> dict[str, Any]:
        answer = ask(link, do, **request)
        return answer | said if do == "start" else answer

    monkeypatch.setattr(Link, "ask", told)


@pytest.mark.parametrize("began", [1e17, -1e300, "now"])
def test_a_run_that_began_at_no_time_is_an_error(
    began: object, fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_answers(monkeypatch, state="running", began=began)
    with pytest.raises(DeviceFailed, match="nonsense"):
        Remote(fake.host, retry_s=()).run(counting_call(tmp_path, pause=0.0))


def test_what_a_run_is_said_to_do_does_not_steer_the_terminal(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_answers(monkeypatch, state="\x1b[2J", began=0)
    notes = Notes()
    Remote(fake.host, notes).run(counting_call(tmp_path, pause=0.0))
    assert all(note.isprintable() for note in notes.ends)


def test_an_unknown_host_key_is_refused(real: Board, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    with pytest.raises(DeviceFailed, match="Connect once by hand"):
        Remote(real.host).run(counting_call(tmp_path))


def test_without_a_client_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match="openssh-client"):
        Remote(SshHost("board")).run(counting_call(tmp_path))


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
