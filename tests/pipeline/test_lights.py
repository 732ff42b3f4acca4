"""The held-out frames in other light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.pipeline.lights import LIGHTS, relit
from edgeanim.pipeline.quantize import quantize
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Scene


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


def test_contrast_and_brightness_go_both_ways_and_transparency_stays() -> None:
    still = np.concatenate([frames(1)[0] // 2 + 60, frames(2)[1][..., :1]], 2)
    made = [scene.still for scene in relit(Scene(still=still, driver=frames(8)), STYLED)]
    flat, hard, dark, bleached = made
    for picture in made:
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture[..., 3], still[..., 3])
    colour = still[..., :3].astype(float)
    assert flat[..., :3].std() < 0.35 * colour.std() < colour.std() < hard[..., :3].std()
    assert dark[..., :3].mean() < 0.35 * colour.mean()
    assert bleached[..., :3].mean() > 255 - 0.35 * (255 - colour.mean())


def test_a_stored_motion_is_shared_out_and_a_scene_without_pictures_has_no_light() -> None:
    values = np.arange(9, dtype=np.float32).repeat(12).reshape(9, 2, 6)
    scenes = relit(Scene(still=frames(1)[0], track=MotionTrack(values, 25.0)), STYLED)
    seen = np.concatenate([scene.track.values[:, 0, 0] for scene in scenes])
    np.testing.assert_array_equal(np.sort(seen), np.arange(9))
    assert relit(Scene(track=MotionTrack(values, 25.0)), STYLED) == ()


def test_a_frame_keeps_the_input_that_was_listed_for_it_and_other_lists_stay() -> None:
    listed = np.arange(16, dtype=np.float32).repeat(3).reshape(16, 3)
    for values, wanted in ((listed, [2, 3, 10, 11]), (listed[:4], [0, 1, 2, 3])):
        _, second, *_ = relit(Scene(driver=frames(8), conditions={"style": values}), STYLED)
        assert second.conditions["style"][:, 0].tolist() == wanted


def test_islands_are_sought_until_the_limit_holds_in_every_light(
    tiny_onnx: Callable[..., Path],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edgeanim.pipeline import mixed
    from edgeanim.pipeline.lights import Likeness

    # The first of the trials is all in INT8.
    found = iter([Likeness(0.9, 0.1)])
    monkeypatch.setattr(mixed, "drift_relit", lambda *_: next(found, Likeness(0.0, 1.0)))
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
