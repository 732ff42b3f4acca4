"""Which variant of a bundle is played."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from edgeanim.core.errors import UsageError
from edgeanim.pipeline import playable
from edgeanim.pipeline.playable import choose_variant
from edgeanim.pipeline.work import Work
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
        ({"openvino"}, "tflite-float32"),  # whose error says what is missing
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
