"""Colours as a picture's own profile (ICC) means them, in sRGB: what networks were shown, and what
everything that is written here is taken for, since it names no other.

The photographs of phones are in Display P3, those of cameras often in Adobe RGB: read as sRGB, red
turns out pale. A profile that cannot be read, or is of another kind than the picture, is ignored,
as browsers do; so are all where Pillow was built without LittleCMS (its wheels have it).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, features

from edgeanim.runtime.scene import Picture

_KIND = slice(16, 20)  # of an ICC profile's header: what its numbers are
_MODES = {b"RGB ": "RGB", b"GRAY": "L"}
# Profiles of sRGB itself differ in their last digits; to convert would only round once more.
_SAME = 2


def in_srgb(picture: Picture, profile: bytes) -> Picture:
    """An RGB or RGBA `picture` with its colours, as `profile` means them, in sRGB."""
    mode = _MODES.get(profile[_KIND])
    if mode is None or (mode == "L" and np.ptp(picture[:, :, :3], axis=2).any()):
        return picture
    transform = _transform(profile, mode)
    if transform is None:
        return picture
    colours = picture[:, :, 0] if mode == "L" else picture[:, :, :3]
    seen = np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(colours))))
    return np.dstack([seen, picture[:, :, 3:]])


def rgb_of_cmyk(image: Image.Image, profile: bytes) -> Image.Image:
    """A picture for print as RGB: by its profile, or, without one, as if its inks were ideal."""
    transform = _transform(profile, "CMYK") if profile[_KIND] == b"CMYK" else None
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=8)  # the frames of a folder mostly share one
def _transform(profile: bytes, mode: str) -> Any:
    """From a profile to sRGB; `None` if it cannot be read or changes nothing that is seen."""
    if not features.check("littlecms2"):
        return None
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        made = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return made if mode == "CMYK" or _changes(made, mode) else None


def _changes(transform: Any, mode: str) -> bool:
    """Whether any of many colours comes out as another one."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    axes = [levels] * (1 if mode == "L" else 3)
    given = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(1, -1, len(axes))
    seen = np.asarray(transform.apply(Image.fromarray(given[:, :, 0] if mode == "L" else given)))
    return int(np.abs(seen.astype(int) - given).max()) > _SAME
