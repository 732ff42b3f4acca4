"""The player on models that turn each picture of a driver into a frame."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.runtime.moments import choose
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from tests.runtime.stubs import invert, one_graph, picture, sessions


def test_an_image_model_plays_the_drivers_frames(pictures):
    contract = one_graph(
        picture("image", "driving_frame", 64), outputs=(picture("result", "frame", 64),)
    )
    player = Player(contract, sessions(contract, {"net": invert}))
    frames = list(player.play(Scene(driver=iter(pictures))))
    np.testing.assert_array_equal(np.stack(frames), 255 - pictures)
    np.testing.assert_array_equal(next(player.play(Scene(still=pictures[0]))), 255 - pictures[0])


@pytest.mark.parametrize("role", ["still", "driving_frame"])
def test_an_image_model_plays_one_picture_and_drops_what_fitting_added(pictures, role):
    contract = one_graph(picture("image", role, 32), outputs=(picture("result", "frame", 32),))
    player = Player(contract, sessions(contract, {"net": invert}))
    wide = np.concatenate([pictures[0], pictures[1]], axis=1)
    assert next(player.play(Scene(still=wide))).shape == (16, 32, 3)
    assert next(player.play(Scene(driver=[wide]))).shape == (16, 32, 3)


@pytest.mark.parametrize(("size", "shape"), [(64, (64, 32, 3)), (16, (32, 64, 3))])
def test_a_painted_frame_has_the_proportions_of_the_picture_that_has_its_size(
    pictures, size, shape
):
    """As where the face of a small still is painted into the driver's frames."""
    contract = one_graph(
        picture("face", "still", size),
        picture("image", "driving_frame", 64),
        outputs=(picture("result", "frame", 64),),
    )
    player = Player(contract, sessions(contract, {"net": lambda v: {"result": v["image"]}}))
    tall = np.concatenate([pictures[0], pictures[1]])
    wide = np.concatenate([pictures[0], pictures[1]], axis=1)
    (made,) = player.play(Scene(still=tall, driver=[wide]))
    assert made.shape == shape


def test_states_start_at_zero_and_are_carried_on(pictures):
    state = (1, 2, 4, 4)
    contract = one_graph(
        picture("image", "driving_frame", 64),
        TensorSpec("before", "state:count", state, "NCHW"),
        outputs=(
            picture("result", "frame", 64),
            TensorSpec("after", "state:count", state, "NCHW"),
        ),
    )

    def count(values):
        shade = np.full((1, 3, 64, 64), values["before"].max() / 100, np.float32)
        return {"result": shade, "after": values["before"] + 10}

    player = Player(contract, sessions(contract, {"net": count}, "NHWC"))
    for _ in range(2):
        frames = list(player.play(Scene(driver=pictures[:4])))
        assert [int(f[0, 0, 0]) for f in frames] == [0, 26, 51, 77]  # 10 % of 255 a frame


def test_conditions_are_cycled_through_frame_by_frame(pictures):
    contract = one_graph(
        picture("image", "driving_frame", 64),
        TensorSpec("style", "condition:style", (1, 3, 1, 1), "NCHW"),
        outputs=(picture("result", "frame", 64),),
    )
    paint = {"net": lambda v: {"result": v["image"] * 0 + v["style"]}}
    player = Player(contract, sessions(contract, paint, "NHWC"))
    styles = np.eye(3, dtype=np.float32)[:2, :, None, None]
    frames = list(player.play(Scene(driver=pictures[:3], conditions={"style": styles})))
    colours = [tuple(int(c) for c in frame[0, 0]) for frame in frames]
    assert colours == [(255, 0, 0), (0, 255, 0), (255, 0, 0)]
    with pytest.raises(BadInput, match=r"--input style.*takes \[1, 3, 1, 1\]"):
        next(player.play(Scene(driver=pictures, conditions={"style": styles[:, :2]})))


def test_a_condition_of_several_rows_is_cycled_through_by_as_many():
    spec = TensorSpec("style", "condition:style", (2, 3))
    values = np.arange(18, dtype=np.float32).reshape(6, 3)
    chosen = [choose(values, spec, index)[:, 0].tolist() for index in range(4)]
    assert chosen == [[0, 3], [6, 9], [12, 15], [0, 3]]
    with pytest.raises(BadInput, match=r"--input style: .*\[2, 3\].*but \[5, 3\] is given"):
        choose(values[:5], spec, 0)


def test_frames_that_were_played_are_let_go(pictures):
    """However long a driver is: each frame knows the one before it, which knew another."""
    contract = one_graph(
        picture("image", "driving_frame", 64), outputs=(picture("result", "frame", 64),)
    )
    opened = sessions(contract, {"net": invert})
    seen = []

    def driver():
        for frame in pictures:
            copy = frame.copy()
            seen.append(weakref.ref(copy))
            yield copy

    for _ in Player(contract, opened).play(Scene(driver=driver())):
        opened["net"].seen.clear()
        assert sum(ref() is not None for ref in seen) <= 3
    assert len(seen) == len(pictures)
