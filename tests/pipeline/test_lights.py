"""The held-out frames in other light."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.benchmarks.drift.frames import measure_drift
from edgeanim.cli.quantize import command
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.limit import DriftLimit
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.pipeline.frames import lights
from edgeanim.pipeline.frames.lights import Likeness, excess
from edgeanim.pipeline.frames.relit import LIGHTS, also_relit, relit
from edgeanim.pipeline.quantize import quantize
from edgeanim.runtime.golden import Golden
from edgeanim.runtime.input_scenes import blank, repeated
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Scene
from tests.runtime.stubs import ANIMATOR


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 6, 5, 3), np.uint8)


PICTURE = TensorSpec("image", "driving_frame", (1, 3, 6, 5), "NCHW", range=(0.0, 1.0))
STYLE = TensorSpec("style", "condition:style", (2, 3))
RESULT = TensorSpec("result", "frame", (1, 3, 6, 5), "NCHW", range=(0.0, 1.0))
STYLED = Contract("styled", (GraphSpec("net", "net.onnx", "frame", (PICTURE, STYLE), (RESULT,)),))


@given(st.integers(1, 11))
def test_every_frame_is_seen_and_none_twice_but_where_there_are_few(count: int) -> None:
    scenes = relit(Scene(driver=frames(count)), STYLED)
    assert len(scenes) == len(LIGHTS)
    played = [len(np.asarray(scene.driver)) for scene in scenes]
    assert min(played) >= 1
    assert sum(played) == max(count, len(LIGHTS))


@given(st.integers(2, 11))
def test_where_motion_is_followed_no_light_has_a_frame_alone(count: int) -> None:
    scenes = relit(Scene(still=frames(1)[0], driver=frames(count)), ANIMATOR)
    assert all(len(np.asarray(scene.driver)) >= 2 for scene in scenes)


@given(st.integers(1, 9))
def test_beside_any_number_of_scenes_each_light_is_seen(count: int) -> None:
    """But not every scene in each: many of few frames would be played many times as long."""
    scenes = [Scene(driver=frames(12) // (i + 1)) for i in range(count)]
    made = also_relit(scenes, STYLED)
    assert made[:count] == scenes
    other = made[count:]
    assert len(other) == (len(LIGHTS) * count if count < len(LIGHTS) else count)
    assert sum(len(np.asarray(scene.driver)) for scene in other) <= 12 * count
    expected = [relit(scene, STYLED) for scene in scenes]
    for number in range(len(LIGHTS)):
        mine = [one[number].driver for one in expected]
        assert any(np.array_equal(a, b.driver) for a in mine for b in other)


def test_contrast_and_brightness_go_both_ways_and_transparency_stays() -> None:
    still = np.concatenate([frames(1)[0] // 2 + 60, frames(2)[1][..., :1]], 2)
    made = [scene.still for scene in relit(Scene(still=still, driver=frames(8)), STYLED)]
    flat, hard, dark, bleached = made
    for picture in made:
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture[..., 3], still[..., 3])
    colour = still[..., :3].astype(float)
    assert flat[..., :3].std() < 0.35 * colour.std() < colour.std() < hard[..., :3].std()
    # To the nearest level, three tenths of the distance from grey, from black and from white.
    for picture, grey in ((flat, 127.5), (dark, 0.0), (bleached, 255.0)):
        assert np.abs(picture[..., :3] - (grey + 0.3 * (colour - grey))).max() <= 0.5 + 1e-4


def test_a_stored_motion_is_shared_out_and_a_scene_without_pictures_has_no_light() -> None:
    values = np.arange(9, dtype=np.float32).repeat(12).reshape(9, 2, 6)
    scenes = relit(Scene(still=frames(1)[0], track=MotionTrack(values, 25.0)), STYLED)
    seen = np.concatenate([scene.track.values[:, 0, 0] for scene in scenes])
    np.testing.assert_array_equal(np.sort(seen), np.arange(9))
    assert relit(Scene(track=MotionTrack(values, 25.0)), STYLED) == ()


def test_frames_that_are_made_of_no_picture_have_no_light() -> None:
    """What stands for a driver there is black in every light, and seen by nobody."""
    graph = replace(STYLED.graphs[0], inputs=(STYLE,))
    contract = replace(STYLED, graphs=(graph,))
    assert relit(Scene(driver=repeated(blank(contract), 8)), contract) == ()


def test_a_frame_keeps_the_input_that_was_listed_for_it_and_other_lists_stay() -> None:
    listed = np.arange(16, dtype=np.float32).repeat(3).reshape(16, 3)
    for values, wanted in ((listed, [2, 3, 10, 11]), (listed[:4], [0, 1, 2, 3])):
        _, second, *_ = relit(Scene(driver=frames(8), conditions={"style": values}), STYLED)
        assert second.conditions["style"][:, 0].tolist() == wanted


def test_the_light_in_which_more_of_the_limit_is_used_decides() -> None:
    limit = DriftLimit(0.02, 0.05)
    usual, mean, tail = Likeness(0.01, 0.98), Likeness(0.03, 0.98), Likeness(0.01, 0.90)
    assert excess(limit, usual, None) == 0.5
    assert excess(limit, usual, mean) == pytest.approx(1.5)
    assert excess(limit, usual, tail) == pytest.approx(2.0)
    assert excess(limit, tail, usual) == pytest.approx(2.0)


def test_drift_in_other_light_is_over_the_frames_of_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 24, 3), np.uint8)
    played = wanted.copy()
    played[1, 7] = 255 - played[1, 7]
    golden = tuple(Golden(Scene(driver=frames), frames) for frames in wanted)
    monkeypatch.setattr(lights, "player_of", lambda *_: nullcontext(iter(played)))
    monkeypatch.setattr(lights, "play", lambda player, _scene: next(player))
    model: Any = SimpleNamespace(contract=STYLED)
    found = lights.drift_relit(model, model, model, golden)
    assert found is not None
    spoilt = measure_drift(played[1], wanted[1]).ssim_worst
    assert found.drift_mean == pytest.approx((1 - spoilt) / 40)
    # One frame of forty is less than the five percent that are left out.
    assert found.ssim_p5 == pytest.approx(1)
    played[0, 3:6] = 255 - played[0, 3:6]
    found = lights.drift_relit(model, model, model, golden)
    assert found is not None
    assert found.ssim_p5 < 0.5
    assert lights.drift_relit(model, model, model, ()) is None


def test_islands_are_sought_until_the_limit_holds_in_every_light(
    tiny_onnx: Callable[..., Path],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edgeanim.pipeline import mixed

    # The first of the trials is all in INT8.
    found = iter([Likeness(0.9, 0.1)])
    monkeypatch.setattr(mixed, "drift_relit", lambda *_: next(found, Likeness(0.0, 1.0)))
    # Or islands might be taken for their speed, which tells nothing of the limit.
    monkeypatch.setattr(mixed, "_slowness", lambda point: len(point.floats))
    (row,) = quantize(
        tiny_onnx(),
        out=tmp_path / "out",
        calib=photos,
        backends=("onnxruntime",),
        spec=QuantizeSpec(method="mixed"),
        max_drift=0.5,
    ).variants
    assert row.curve[0].floats == ()
    assert row.curve[0].relit == Likeness(0.9, 0.1)
    assert row.islands


@pytest.mark.parametrize(("options", "count"), [((), 6), (("--other-light",), 12)])
def test_calibration_sees_other_light_on_request(
    tiny_onnx: Callable[..., Path],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    count: int,
) -> None:
    monkeypatch.setenv("EDGEANIM_STORE", str(tmp_path / "store"))
    asked = [str(tiny_onnx()), "--calib", str(photos), "-o", str(tmp_path / "int8"), *options]
    asked += ["--backend", "onnxruntime", "--method", "ptq", "--samples", "6", "--max-drift", "1"]
    command.main(asked, standalone_mode=False)
    (index,) = (tmp_path / "store").rglob("samples.json")
    assert json.loads(index.read_text())["count"] == count
