"""Frames that a program makes itself, in the library and named on the command line."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeanim.core.errors import BadInput, EdgeanimError, UsageError
from edgeanim.pipeline.frames import in_memory
from edgeanim.pipeline.frames.given import Given
from edgeanim.pipeline.frames.material import Material, gather
from tests.cli.called import edgeanim, fails
from tests.pipeline.contracts import MOVING, PLAIN, STYLED


def pictures() -> Iterator[np.ndarray]:
    """Twelve of different sizes; picture i has the value 10 i everywhere."""
    for i in range(12):
        yield np.full((20 + 2 * i, 30 + i, 3), 10 * i, np.uint8)


def clips() -> Iterator[list[np.ndarray]]:
    for start in (0, 100, 200):
        yield [np.full((16, 24, 3), start + i, np.uint8) for i in range(8)]


def samples() -> Iterator[dict[str, Any]]:
    """Sixteen; the first value of picture i is i / 255, and its style starts with i."""
    rng = np.random.default_rng(0)
    for i in range(16):
        image = rng.uniform(0, 1, (1, 3, 16, 24)).astype(np.float32)
        image[0, 0, 0, 0] = i / 255
        yield {"image": image, "net/style": np.array([[i, 1, 2, 3]], np.float32)}


def told(material: Material) -> list[int]:
    scenes = (*material.calibration, material.held_out)
    return sorted(int(frame[0, 0, 0]) for scene in scenes for frame in np.asarray(scene.driver))


def test_pictures_of_a_generator_are_those_of_a_folder(tmp_path: Path) -> None:
    for i, picture in enumerate(pictures()):
        Image.fromarray(picture).save(tmp_path / f"{i:02}.png")
    found, stored = (gather(PLAIN, source, {}, limit=8) for source in (pictures, tmp_path))
    assert np.array_equal(np.asarray(found.held_out.driver), np.asarray(stored.held_out.driver))
    assert told(found) == told(stored)
    assert len(told(found)) == 8


@pytest.mark.parametrize("source", [pictures, list(pictures()), tuple(pictures())])
def test_a_function_and_what_can_be_gone_through_anew_give_the_same(source: Any) -> None:
    assert told(gather(PLAIN, source, {}, limit=64)) == [10 * i for i in range(12)]


def test_few_pictures_are_held_at_a_time() -> None:
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def many() -> Iterator[np.ndarray]:
        nonlocal alive, most
        for i in range(400):
            picture = np.full((16, 24, 3), i % 251, np.uint8).view(Counted)
            alive += 1
            most = max(most, alive)
            yield picture

    gather(PLAIN, many, {}, limit=8)
    assert most <= 20


def test_samples_bring_a_graphs_own_inputs() -> None:
    material = gather(STYLED, samples, {}, limit=64)
    for scene, wanted in (
        (material.calibration[0], [i for i in range(16) if i % 4 != 3]),
        (material.held_out, [3, 7, 11, 15]),
    ):
        assert np.asarray(scene.driver)[:, 0, 0, 0].tolist() == wanted
        assert scene.conditions["net_style"][:, 0].tolist() == wanted


def test_of_many_samples_as_many_as_are_wanted_are_kept_from_first_to_last() -> None:
    kept = told(gather(STYLED, samples, {}, limit=10))
    assert len(kept) == 10
    assert (kept[0], kept[-1]) == (0, 15)


def test_clips_move_a_still() -> None:
    material = gather(MOVING, clips, {}, limit=12)
    assert [int(np.asarray(s.still)[0, 0, 0]) for s in material.calibration] == [0, 100]
    assert all(len(np.asarray(scene.driver)) == 4 for scene in material.calibration)
    assert int(np.asarray(material.held_out.still)[0, 0, 0]) == 200


def _fewer_and_fewer() -> Callable[[], list[np.ndarray]]:
    left = list(pictures())

    def frames() -> list[np.ndarray]:
        del left[-4:]
        return left[:]

    return frames


def _floats() -> Iterator[np.ndarray]:
    yield np.zeros((8, 8, 3), np.float32)


def _nothing() -> Iterator[np.ndarray]:
    yield from ()


def _unknown() -> Iterator[dict[str, np.ndarray]]:
    for sample in samples():
        yield {**sample, "depth": np.zeros(1, np.float32)}


def _lacking() -> Iterator[dict[str, np.ndarray]]:
    for sample in samples():
        yield {"image": sample["image"]}


def _flat() -> Iterator[dict[str, np.ndarray]]:
    for sample in samples():
        yield {**sample, "image": sample["image"][0]}


def _mixed() -> Iterator[Any]:
    yield from samples()
    yield from pictures()


def _sizes() -> Iterator[list[np.ndarray]]:
    yield list(pictures())


@pytest.mark.parametrize(
    ("contract", "source", "error", "said"),
    [
        (PLAIN, pictures(), UsageError, r"pictures: An iterator gives its frames only once"),
        (PLAIN, itertools.repeat(pictures()).__next__, UsageError, "gives its frames only once"),
        (PLAIN, _fewer_and_fewer(), BadInput, "frames were read the first time, fewer the second"),
        (PLAIN, 7, UsageError, "int: This is no path and gives no frames"),
        (PLAIN, _nothing, BadInput, "_nothing: There are no frames"),
        (PLAIN, _floats, BadInput, r"_floats, frame 0: This is float32 of the shape \[8, 8, 3\]"),
        (PLAIN, clips, BadInput, r"clips, frame 0: This is uint8 of the shape \[8, 16, 24, 3\]"),
        (STYLED, _unknown, BadInput, "_unknown: The graph has no input 'depth'"),
        (
            STYLED,
            _lacking,
            BadInput,
            "0: The input 'net/style' is missing. There is",
        ),
        (STYLED, _flat, BadInput, r"'image' has the shape \[3, 16, 24\]"),
        (STYLED, _mixed, BadInput, "_mixed: Some items are samples, another is a ndarray"),
        (MOVING, samples, BadInput, "samples: Item 0 is a dict, not a clip"),
        (MOVING, _sizes, BadInput, "_sizes, clip 0, frame 1: A frame is"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_wrong_is_named(
    contract: Any, source: Any, error: type[EdgeanimError], said: str
) -> None:
    with pytest.raises(error, match=said):
        gather(contract, source, {}, limit=64)


def test_pictures_without_a_pixel_or_with_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = "pixels is empty or too large"
    with pytest.raises(BadInput, match=f"frame 0: A picture of 4x0 {said}"):
        gather(PLAIN, [np.zeros((0, 4, 3), np.uint8)], {}, limit=64)
    monkeypatch.setattr(in_memory, "MAX_PIXELS", 16 * 24)
    assert gather(PLAIN, [np.zeros((16, 24, 3), np.uint8)], {}, limit=64)
    with pytest.raises(BadInput, match=f"frame 0: A picture of 24x17 {said}"):
        gather(PLAIN, [np.zeros((17, 24, 3), np.uint8)], {}, limit=64)


def test_what_the_programs_own_code_raises_is_passed_on() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from pictures()
        raise LookupError("no more disks")

    with pytest.raises(LookupError, match="no more disks"):
        gather(PLAIN, broken, {}, limit=64)


def test_frames_have_the_name_of_what_gives_them() -> None:
    assert Given(pictures).name == "pictures"
    assert Given([np.zeros((4, 4, 3), np.uint8)]).name == "list"


MODULE = """
import numpy as np

def frames():
    print("one more pass")
    rng = np.random.default_rng(0)
    for i in range(12):
        yield rng.integers(0, 256, (32, 32, 3), np.uint8)

def broken():
    yield np.zeros((32, 32, 3), np.uint8)
    raise OSError("the camera is gone")

used_up = frames()
number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_frames.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield "my_frames"
    sys.modules.pop("my_frames", None)


def test_a_function_named_on_the_command_line_calibrates(
    module: str, tiny_onnx: Callable[..., Path]
) -> None:
    words = ("--calib", f"{module}:frames", "-o", "int8", "--backend", "onnxruntime", "--json")
    done = edgeanim("quantize", tiny_onnx(), *words, "--max-drift", "1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["held_out"]
    assert "one more pass" in done.stderr


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("my_frames:broken", 3, "OSError: the camera is gone"),
        ("my_frames:absent", 3, "has no attribute 'absent'"),
        ("my_frame:frames", 3, "No module named 'my_frame'"),
        ("my_frames:number", 3, "'int' object is not iterable"),
        ("my_frames:used_up", 2, "only once"),
        ("my frames:frames", 3, "my frames:frames"),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_is_wrong_with_a_named_function_is_said(
    tmp_path: Path, tiny_onnx: Callable[..., Path], name: str, code: int, said: str
) -> None:
    fails(code, "quantize", tiny_onnx(), "--calib", name, "-o", "int8", says=said)
    assert not (tmp_path / "int8").exists()
