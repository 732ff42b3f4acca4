"""What docs/api.md shows of the library runs as it is written."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.benchmarks.results.result import save_report
from tests.benchmarks.synthetic import build_report

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"


def test_its_programs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "tests" / "benchmarks" / "small.eab", "net.eab")
    pictures = np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3), np.uint8)
    first, *others = map(Image.fromarray, pictures[:8])
    first.save("clip.gif", save_all=True, append_images=others, duration=40)
    Path("photos").mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(f"photos/{number}.png", picture)
    save_report(Path("here.json"), build_report())
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.Sigmoid())
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    exec(compile(program, str(PAGE), "exec"), {"net": net})
    shown, chatter = capfd.readouterr()
    assert not chatter
    assert "(200, '8 frames')" in shown
    assert "(400, 'No such file or folder.')" in shown
    assert "('onnxruntime-float32', 'onnxruntime-int8')" in shown
    chosen = api.choose(build_report())
    assert chosen is not None
    assert f"Ship {chosen.variant.id} " in shown
    assert f"\n{chosen.variant.id}\n" in shown
    assert Path("here.html").is_file()


def test_the_calls_in_its_table_are_those_of_the_library() -> None:
    rows = [
        line.split(" | ")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")
    ]
    calls = [call for row in rows for call in re.findall(r"`(\w+)\((.*)\)", row)]
    assert len(calls) > 5
    for name, arguments in calls:
        taken = inspect.signature(getattr(api, name)).parameters
        if (spec := re.search(r"spec=(\w+)\((.*)\)", arguments)) is not None:
            assert "spec" in taken
            taken, arguments = inspect.signature(getattr(api, spec[1])).parameters, spec[2]
        for argument in re.findall(r"(\w+)=", arguments):
            assert argument in taken, f"{name} takes no {argument}"
