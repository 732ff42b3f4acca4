"""What `quantize` says of the time that INT8 takes on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeanim import api
from edgeanim.core.progress import Silent
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline import gain
from edgeanim.pipeline.quantize import Quantized
from edgeanim.targets.machine import read_machine, telling_features

SPEC = QuantizeSpec(method="ptq", samples=8)


@pytest.fixture
def quantized(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> Callable[..., Quantized]:
    def run(**given: Any) -> Quantized:
        store = Store(tmp_path / "store")
        return api.quantize(
            tiny_onnx(), calib=photos, out=tmp_path / "int8", store=store, spec=SPEC,
            backends="onnxruntime", max_drift=0.5, **given,
        )  # fmt: skip

    return run


def test_a_frame_is_timed_in_int8_and_in_each_float_that_the_board_has(
    quantized: Callable[..., Quantized],
) -> None:
    done = quantized()
    times = done.variants[0].times
    assert times is not None
    assert times.int8 > 0
    assert list(times.floats) == ["float32"]
    assert times.floats["float32"] > 0
    kept = json.loads((done.folder / "quantization.json").read_text())
    assert kept["variants"][0]["times"]["int8"] == times.int8


def test_a_second_run_repeats_what_was_measured(
    quantized: Callable[..., Quantized], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = quantized()
    monkeypatch.setattr(gain, "measure_frames", None)
    assert quantized().variants[0].times == first.variants[0].times


def test_times_of_another_architecture_are_not_given(
    quantized: Callable[..., Quantized],
) -> None:
    assert quantized(board="raspberry-pi-4").variants[0].times is None


class Notes(Silent):
    """Progress that remembers what was said of the work done."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def done(self, note: str = "") -> None:
        self.said.append(note)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (telling_features(read_machine().cpu_features), False),
        (["bf16", "amx_fp16"], True),  # an Arm's and an x86's, which no processor has both
        ([], False),
    ],
)
def test_times_of_another_kind_of_processor_are_told_as_such(
    quantized: Callable[..., Quantized], tmp_path: Path, features: list[str], told: bool
) -> None:
    board = tmp_path / "another.toml"
    board.write_text(
        'schema = 1\nname = "another"\ntitle = "Another PC"\nmemory_mb = 1024\ncores = 1\n'
        f'arch = "{read_machine().arch}"\ncpu_features = {json.dumps(features)}\n'
        '[[backends]]\nname = "onnxruntime"\n'
    )
    progress = Notes()
    assert quantized(board=board, progress=progress).variants[0].times is not None
    assert any("not of Another PC (bf16 amx_fp16)" in note for note in progress.said) is told
