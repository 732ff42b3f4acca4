"""What a module's own command says of errors and of Ctrl-C, and with which exit code."""

from __future__ import annotations

import pytest

from edgeanim.core.errors import BadInput, first_line, told


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
    @told
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
