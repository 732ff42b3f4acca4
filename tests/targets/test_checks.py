"""What a runtime raises becomes an error that says whose fault it is; Ctrl-C stays Ctrl-C."""

from __future__ import annotations

import errno
import os

import pytest

from edgeanim.core.errors import BadInput, DeviceFailed, named
from edgeanim.targets.checks import runtime_errors


@pytest.mark.parametrize(("damaged", "kind"), [(True, BadInput), (False, DeviceFailed)])
def test_a_runtimes_error_is_told_with_what_and_where(damaged: bool, kind: type[Exception]) -> None:
    with (
        pytest.raises(kind, match="net: It does not load: no such op"),
        runtime_errors("It does not load", "net", damaged=damaged),
    ):
        raise RuntimeError("no such op\nand its stack")


def test_ctrl_c_behind_a_runtimes_error_stays_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), runtime_errors("It does not load", "net"):
        raise RuntimeError("a callback failed") from KeyboardInterrupt()


def test_a_full_disk_is_no_fault_of_the_file() -> None:
    with (
        pytest.raises(DeviceFailed, match=r"^The disk is full") as caught,
        named("net.onnx", DeviceFailed),
        runtime_errors("It does not load", "net", damaged=True),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.exit_code == 5
