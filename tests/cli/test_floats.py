"""`compile --floats`: what the float variants of a bundle compute in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgeanim.cli.compile import command
from edgeanim.core.errors import UsageError
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import open_bundle


@pytest.fixture
def compile_with(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> Callable[..., tuple[BaseException | None, list[str]]]:
    """Compile a tiny model with some options; the exception, and the variants in the bundle."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(4):
        picture = np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8)
        cv2.imwrite(str(photos / f"{i}.png"), picture)

    def run(*options: str) -> tuple[BaseException | None, list[str]]:
        out = tmp_path / "net.eab"
        made = [str(tiny_onnx(size=64)), "-o", str(out), "--frames", str(photos)]
        result = CliRunner().invoke(command, [*made, *options])
        if result.exception:
            return result.exception, []
        with open_bundle(out) as bundle:
            return None, [variant.id for variant in bundle.variants]

    return run


def test_without_it_float_variants_compute_in_float32(compile_with: Callable[..., object]) -> None:
    assert compile_with("--backend", "openvino") == (None, ["openvino-float32"])


def test_all_means_what_the_board_has(compile_with: Callable[..., object]) -> None:
    board = load_board("local")
    wanted = [
        f"{name}-{precision}"
        for name in ("openvino", "onnxruntime")
        for precision in board.backend(name).precisions
        if precision != "int8"
    ]
    backends = ("--backend", "openvino", "--backend", "onnxruntime")
    assert compile_with(*backends, "--floats", "all") == (None, wanted)


def test_floats_that_a_backend_has_not_are_refused_before_any_work(
    compile_with: Callable[..., tuple[BaseException | None, list[str]]],
) -> None:
    error, _ = compile_with("--backend", "onnxruntime", "--floats", "bfloat16")
    assert isinstance(error, UsageError)
    assert "onnxruntime does not compute in bfloat16 on the board '" in str(error)
    error, _ = compile_with("--floats", "all", "--floats", "float32")
    assert isinstance(error, UsageError)


def test_floats_of_a_recipe_that_a_backend_has_not_are_named_by_their_place(
    compile_with: Callable[..., tuple[BaseException | None, list[str]]], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[compile]\nfloats = ["bfloat16"]\n')
    options = ("--backend", "onnxruntime", "--recipe", str(recipe))
    error, _ = compile_with(*options)
    assert isinstance(error, UsageError)
    assert error.where == f"{recipe} [compile.floats]"
    assert "an empty list means" in str(error)
    error, _ = compile_with(*options, "--floats", "bfloat16")
    assert isinstance(error, UsageError)
    assert error.where == "--floats"
