"""The walk-through, as it stands on its page."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "walk-through.md").read_text()
# What only takes time: the figures are of no interest here.
_SHORTER = {"range(100)": "range(20)", "-o here.json": "-o here.json --quick"}


def _files(text: str) -> dict[str, str]:
    """The code of each file: a block's is called by the last name before it."""
    before, *blocks = text.split("```python\n")
    files = {}
    for block in blocks:
        code, _, after = block.partition("```")
        files[re.findall(r"`(\w+\.py)`", before)[-1]] = code
        before = after
    return files


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_files_and_commands_work(tmp_path: Path) -> None:
    text = PAGE
    for long, short in _SHORTER.items():
        assert long in text
        text = text.replace(long, short)
    files = _files(text)
    assert list(files) == ["sketch.py", "train.py"]
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    commands = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    printed = {}
    for command in commands:
        program, *words = shlex.split(command)
        module = ["-m", "edgeanim"] if program == "edgeanim" else []
        done = subprocess.run(
            [sys.executable, *module, *words],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed[words[0]] = done.stdout
    shown = re.search(r"^net: runs frame.*?(?=```)", text, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert shown[0] in printed["inspect"]
    assert (tmp_path / "sketch.gif").read_bytes().startswith(b"GIF8")
    assert "<svg" in (tmp_path / "here.html").read_text()
