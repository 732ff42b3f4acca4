"""Hosts that cannot be reached, runs that fail there, and far ends that talk nonsense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeanim.core.errors import BadInput, DeviceFailed, MissingComponent
from edgeanim.targets.on import link, remote
from edgeanim.targets.on.link import Link
from edgeanim.targets.on.places import SshHost
from edgeanim.targets.on.remote import Remote
from tests.targets.far_end import Board, Notes, counting_call, fake_board

pytestmark = pytest.mark.usefixtures("small_code")


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
    with pytest.raises(DeviceFailed, match="cannot be understood"):
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
