"""What a module's own command says of errors and of Ctrl-C, and with which exit code."""

from __future__ import annotations

import pytest

from edgeanim.core.errors import BadInput, told


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
