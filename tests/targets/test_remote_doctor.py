"""`doctor` on another machine: what it finds there is what is told here."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.progress import SILENT
from edgeanim.pipeline.on.doctor import doctor_on
from edgeanim.pipeline.on.far_end import ANSWER, FUNCTIONS
from edgeanim.targets.doctor import Diagnosis
from edgeanim.targets.fitness import Check
from edgeanim.targets.on.remote import Call, Remote

FOUND = Diagnosis((Check("memory", "warn", "512 MB – tight", "Close the desktop."),), usable=True)


def test_what_is_found_there_is_told_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []

    class Board(Remote):
        """A board whose far end runs in the current folder."""

        def run(self, call: Call) -> dict[str, bytes]:
            asked.append(self.host.label)
            FUNCTIONS[call.function](call.options, SILENT)
            return {name: Path(name).read_bytes() for name in call.results}

    monkeypatch.setattr("edgeanim.targets.doctor.diagnose", lambda: FOUND)
    assert doctor_on("ssh://pi@board", connect=Board) == FOUND
    assert asked == ["pi@board"]


@pytest.mark.parametrize("answer", [b"", b"\xff", b"{}", b'{"checks": [], "usable": "yes"}'])
def test_an_answer_that_is_none_is_bad_input_of_that_place(answer: bytes) -> None:
    class Odd(Remote):
        """Whatever is there, it is no edgeanim."""

        def run(self, call: Call) -> dict[str, bytes]:
            del call
            return {ANSWER: answer}

    with pytest.raises(BadInput, match="pi@board"):
        doctor_on("ssh://pi@board", connect=Odd)


def test_a_board_that_is_emulated_has_no_doctor() -> None:
    with pytest.raises(UsageError, match="emulate --help"):
        doctor_on("emulated:raspberry-pi-4")
