"""Golden frames come back as they were, or are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.errors import BadInput
from edgeanim.runtime.golden import Golden, load_golden, save_golden
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Scene


def _same(a: Golden, b: Golden) -> None:
    np.testing.assert_array_equal(a.frames, b.frames)
    for mine, other in ((a.scene.still, b.scene.still), (a.scene.driver, b.scene.driver)):
        assert (mine is None) == (other is None)
        if mine is not None:
            np.testing.assert_array_equal(mine, other)
    assert a.scene.conditions.keys() == b.scene.conditions.keys()
    for name, values in a.scene.conditions.items():
        np.testing.assert_array_equal(values, b.scene.conditions[name])
    assert (a.scene.track is None) == (b.scene.track is None)
    if a.scene.track is not None and b.scene.track is not None:
        np.testing.assert_array_equal(a.scene.track.values, b.scene.track.values)
        assert a.scene.track.fps == b.scene.track.fps


def test_a_still_with_a_stored_motion_comes_back(tmp_path: Path, pictures: np.ndarray):
    track = MotionTrack(np.zeros((3, 2, 6), np.float32), 12.5)
    golden = Golden(Scene(still=pictures[0], track=track), pictures[:3])
    save_golden(tmp_path / "golden.npz", golden)
    _same(load_golden(tmp_path / "golden.npz"), golden)


def test_a_driver_given_as_an_iterator_is_kept_and_can_be_played_again(
    tmp_path: Path, pictures: np.ndarray
):
    style = np.ones((2, 100), np.float32)
    golden = Golden(Scene(driver=iter(pictures[:4]), conditions={"style": style}), pictures[:4])
    assert golden.scene.driver is not None
    assert [len(list(golden.scene.driver)) for _ in range(2)] == [4, 4]
    save_golden(tmp_path / "golden.npz", golden)
    _same(load_golden(tmp_path / "golden.npz"), golden)


@pytest.mark.parametrize(
    "arrays",
    [
        {"frames": np.zeros((2, 4, 4, 3), np.float32)},
        {"frames": np.zeros((0, 4, 4, 3), np.uint8)},
        {"frames": np.zeros((4, 4, 3), np.uint8)},
        {"frames": np.zeros((1, 4, 4, 3), np.uint8), "still": np.zeros((4, 4), np.uint8)},
        {"frames": np.zeros((1, 4, 4, 3), np.uint8), "track.fps": np.array(3.0)},
        {"frames": np.zeros((1, 4, 4, 3), np.uint8), "else": np.zeros(3)},
        {"frames": np.zeros((1, 4, 4, 3), np.uint8), "condition.a": np.array([np.nan])},
        {"still": np.zeros((4, 4, 3), np.uint8)},
    ],
)
def test_anything_else_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]):
    np.savez(tmp_path / "g.npz", **arrays)
    with pytest.raises(BadInput, match=r"g\.npz"):
        load_golden(tmp_path / "g.npz")


def test_more_than_golden_frames_can_be_is_not_unpacked(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    """A gibibyte of zeros packs to a mebibyte: what a member claims to hold is enough to refuse."""
    path = tmp_path / "g.npz"
    save_golden(path, Golden(Scene(still=pictures[0]), pictures))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 1026 << 20)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"g\.npz: The archive unpacks to 1026 MiB; the limit is"):
        load_golden(path)


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    # One picture seen again and again: in memory there is only one.
    frames = np.broadcast_to(np.zeros((1, 4096, 4096, 3), np.uint8), (22, 4096, 4096, 3))
    with pytest.raises(BadInput, match=r"more than .* smaller pictures") as told:
        save_golden(tmp_path / "g.npz", Golden(Scene(still=frames[0]), frames))
    assert "1104 MiB" in str(told.value)
    assert not list(tmp_path.iterdir())
