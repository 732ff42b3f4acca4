"""Which variant of a bundle is played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeanim import api
from edgeanim.core.errors import UsageError
from edgeanim.pipeline import playable
from edgeanim.pipeline.playable import choose_variant, how_to_play
from edgeanim.pipeline.work import Work
from edgeanim.report.verdict import choose
from edgeanim.targets.board import BoardBackend, load_board
from edgeanim.targets.bundle import Variant

BUNDLE = (
    Variant("tflite", "float32", ()),
    Variant("tflite", "int8", ()),
    Variant("onnxruntime", "float32", ()),
    Variant("onnxruntime", "int8", ()),
)
LISTED = (
    BoardBackend("openvino"),
    BoardBackend("onnxruntime", ("float32",)),
    BoardBackend("tflite"),
)


@pytest.mark.parametrize(
    ("installed", "plays"),
    [
        ({"openvino", "onnxruntime", "tflite"}, "onnxruntime-float32"),  # INT8 is slow on it there
        ({"openvino", "tflite"}, "tflite-int8"),
        ({"openvino"}, "onnxruntime-float32"),  # whose error says what is missing
    ],
)
def test_it_is_the_boards_first_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], plays: str
) -> None:
    def backend(name: str) -> SimpleNamespace:
        return SimpleNamespace(available=lambda: name in installed)

    monkeypatch.setattr(playable, "get_backend", backend)
    work = Work(replace(load_board("x86-vnni"), backends=LISTED))
    assert choose_variant(BUNDLE, None, work).id == plays
    assert choose_variant(BUNDLE, "onnxruntime-int8", work).id == "onnxruntime-int8"
    with pytest.raises(UsageError, match="openvino-int8"):
        choose_variant(BUNDLE, "openvino-int8", work)


def test_whoever_benched_is_told_how_to_play_what_ships(
    tiny_onnx: Callable[[], Path], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends = ("openvino", "onnxruntime")
    bundle = api.compile(tiny_onnx(), out=tmp_path / "net.eab", backends=backends, frames=photos)
    report = api.bench(bundle.path, quick=True)
    ships = choose(report)
    assert ships is not None
    for variant in report.variants:
        monkeypatch.setattr(playable, "choose", lambda _, v=variant: replace(ships, variant=v))
        told = how_to_play([bundle.path], report)
        if variant.id == "openvino-float32":  # the board's first
            assert told is None
        else:
            assert told is not None
            assert told.endswith("give it --variant onnxruntime-float32.")
    monkeypatch.setattr(playable, "choose", lambda _: None)
    assert how_to_play([bundle.path], report) is None
