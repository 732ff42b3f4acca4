"""The benchmark beside the public tools' defaults, on a small graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeanim import api
from edgeanim.pipeline.figures import peers
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import load_board

TOOLS = {"onnxruntime": "ORT static", "openvino": "NNCF", "tflite": "ai-edge-quantizer"}


@pytest.mark.parametrize(
    "backend",
    ["onnxruntime", *(pytest.param(b, marks=pytest.mark.slow) for b in ("openvino", "tflite"))],
)
def test_every_form_has_a_line_with_its_gain_and_its_likeness(
    backend: str,
    tiny_onnx: Callable[..., Path],
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    picked = tmp_path / "picked.eab"
    api.compile(tiny_onnx(), out=picked, backends=(backend,), frames=photos)
    args = [str(tiny_onnx()), "--calib", str(photos), "--frames", str(photos)]
    more = ["--backend", backend, "--picked", str(picked), "--rounds", "4"]
    assert peers.main([*args, *more]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    rows = {line.split("|")[2].strip(): line.split("|")[3:] for line in lines[2:]}
    floats = load_board("local").backend(backend).floats(get_backend(backend).floats)
    assert list(rows) == [
        *(form for each in floats for form in (f"untouched {each}", f"{each} restructured")),
        f"{TOOLS[backend]}, its default INT8",
        "`optimize` picked float32",
    ]
    for form, (ms, gain, over, mean, p5, kept, _) in rows.items():
        assert float(ms) > 0
        assert bool(gain.strip()) == (form != "untouched float32")
        assert bool(over.strip()) == ("INT8" in form)
        assert 0 < float(p5) <= float(mean) <= 1
        assert kept.strip() in ("kept", "**missed**")
    rounded = rows[f"{TOOLS[backend]}, its default INT8"]
    assert float(rounded[3]) < 1, "the tool's INT8 was not what ran"


def test_what_is_wrong_is_told_with_the_exit_code_of_the_commands(
    tiny_onnx: Callable[..., Path], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = ["--calib", str(photos), "--frames", str(photos)]
    assert peers.main([str(tiny_onnx()), *frames, "--input", "style"]) == 2
    assert "`--input style` is not of the form NAME=FILE.npy." in capsys.readouterr().err
    assert peers.main(["gone.onnx", *frames]) == 3
    assert "gone.onnx: No such file" in capsys.readouterr().err
