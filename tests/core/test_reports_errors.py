"""What a module's own command says of errors and of Ctrl-C, and with which exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeanim.core.errors import (
    BadInput,
    DeviceFailed,
    disk_errors,
    first_line,
    foreign_errors,
    memory_errors,
    reports_errors,
)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (BadInput("This is no clip.", where="a.gif"), 3, "a.gif: This is no clip.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_what_ends_a_command_is_told_in_a_line(
    raised: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @reports_errors
    def main() -> int:
        raise raised

    assert main() == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("No room.\nstack", "No room."),
        (
            "Exception from src/core.cpp:84:\nCheck 'a || b' failed at src/f.cpp:117:\nNo file",
            "No file",
        ),
        ("Exception from src/core.cpp:84:", "Exception from src/core.cpp:84:"),
        ("OpConversionFailure:\n\n  DFT\nstack", "OpConversionFailure: DFT"),
        ("It ends so:", "It ends so:"),
        ("", "ValueError"),
    ],
)
def test_the_line_that_is_quoted_says_what_went_wrong(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line


def _more_than_there_is() -> torch.Tensor:
    return torch.empty(1 << 50)


LACKS = [
    lambda: np.empty(1 << 50),
    _more_than_there_is,
    lambda: cv2.resize(np.zeros((1, 1), np.uint8), (1 << 24, 1 << 24)),
    lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried to")),
    lambda: (_ for _ in ()).throw(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when")),
]


@pytest.mark.parametrize("ask", LACKS)
def test_a_lack_of_memory_is_told_whoever_tells_it(ask: Callable[[], object]) -> None:
    with pytest.raises(DeviceFailed) as caught, memory_errors("Out of memory.", "Buy some."):
        ask()
    assert str(caught.value) == "Out of memory. Buy some."


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("Out of memory."):
        raise RuntimeError("the shapes do not match")


def test_a_lack_of_memory_in_code_of_others_is_none_of_its_faults() -> None:
    with pytest.raises(RuntimeError, match="memory"), foreign_errors(lambda _: BadInput("Bad.")):
        _more_than_there_is()


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "a\0b/c.png"])
def test_a_text_that_can_be_no_name_is_bad_input_and_no_traceback(name: str) -> None:
    path = Path(name)
    with pytest.raises(BadInput, match="cannot be the name of a file"), disk_errors(path):
        path.open("rb")
    with pytest.raises(ValueError, match="of another"), disk_errors(Path("\udcff.png")):
        raise ValueError("of another kind")
