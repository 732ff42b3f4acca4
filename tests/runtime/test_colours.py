"""Pictures with colour profiles are read as they are meant, in sRGB."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgeanim.runtime.media import read_frames, read_still

_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_WHITE = np.array([0.9642, 1.0, 0.8249])  # D50, as profiles count


def _matrix(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """The colours [X, Y, Z] of R, G and B under D50 for primaries under D65."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    d65 = np.array([0.9505, 1.0, 1.089])
    xyz = xyz * np.linalg.solve(xyz, d65)
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    adapted = np.linalg.inv(bradford) @ np.diag(bradford @ _WHITE / (bradford @ d65)) @ bradford
    return adapted @ xyz


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(65536 * number)) for number in numbers)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 with these tags, after ICC.1:2001-04."""
    at, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", at + len(data), len(value))
        data += value + b"\0" * (-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", 132 + len(table + data), b"\0" * 4, 0x2200000, b"mntr",
                       space, b"XYZ ")  # fmt: skip
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + _fixed(*_WHITE) + b"\0" * 48
    return head + struct.pack(">I", len(tags)) + table + data


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma))


def _described(name: bytes) -> bytes:
    text = name + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _wide(gamma: float = 2.2) -> bytes:
    """A profile with the primaries of Display P3."""
    columns = _matrix(_P3).T
    tags = {b"desc": _described(b"wide"), b"wtpt": _xyz(_WHITE)}
    for letter, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {letter + b"XYZ": _xyz(column), letter + b"TRC": _curve(gamma)}
    return _profile(b"RGB ", tags)


def _grey(gamma: float) -> bytes:
    tags = {b"desc": _described(b"grey"), b"wtpt": _xyz(_WHITE), b"kTRC": _curve(gamma)}
    return _profile(b"GRAY", tags)


def _saved(path: Path, picture: np.ndarray, profile: bytes) -> Path:
    Image.fromarray(picture).save(path, icc_profile=profile, quality=100)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_wide_profile_means_stronger_colours_than_the_same_numbers_in_srgb(tmp_path, suffix):
    dull = np.full((16, 16, 3), (200, 100, 80), np.uint8)
    path = _saved(tmp_path / f"a.{suffix}", dull, _wide())
    for read in (read_still(path), next(read_frames(path))):
        red, green, blue = read.reshape(-1, 3).mean(0)
        assert red == pytest.approx(214, abs=4)
        assert green == pytest.approx(94, abs=4)
        assert blue == pytest.approx(73, abs=4)


def test_the_profile_of_srgb_itself_changes_nothing(tmp_path, pictures):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(
        read_still(_saved(tmp_path / "a.png", pictures[0], srgb)), pictures[0]
    )


def test_transparency_stays_as_it_is_beside_a_profile(tmp_path):
    picture = np.full((8, 8, 4), (200, 100, 80, 90), np.uint8)
    still = read_still(_saved(tmp_path / "a.png", picture, _wide()))
    assert still.shape == (8, 8, 4)
    assert (still[:, :, 3] == 90).all()
    assert int(still[0, 0, 0]) == pytest.approx(214, abs=4)


def test_grey_has_profiles_too(tmp_path):
    grey = np.full((8, 8), 128, np.uint8)
    still = read_still(_saved(tmp_path / "a.png", grey, _grey(1.0)))
    assert still.shape == (8, 8, 3)
    assert int(still[0, 0, 0]) == pytest.approx(188, abs=2)  # linear light


def test_a_profile_that_cannot_be_read_or_of_another_kind_is_ignored(tmp_path, pictures):
    for profile in (b"not a profile", _wide()[:200], _grey(1.0)):
        path = _saved(tmp_path / "a.png", pictures[0], profile)
        np.testing.assert_array_equal(read_still(path), pictures[0])


def test_a_picture_for_print_is_read_by_its_profile_as_far_as_it_has_one(tmp_path):
    inks = Image.new("CMYK", (8, 8), (0, 200, 200, 0))
    inks.save(tmp_path / "a.jpg", quality=100)
    inks.save(tmp_path / "b.jpg", quality=100, icc_profile=_wide())  # of another kind
    plain, other = read_still(tmp_path / "a.jpg"), read_still(tmp_path / "b.jpg")
    assert plain.shape == (8, 8, 3)
    np.testing.assert_array_equal(plain, other)
