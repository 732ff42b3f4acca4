"""Still pictures: PNG, JPEG, WebP, GIF and BMP, checked before and while they are decoded."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import open_seekable
from edgeanim.runtime.media.colours import in_srgb, rgb_of_cmyk
from edgeanim.runtime.scene import Picture

# 8192 x 8192: larger than any camera's still, small enough to decode on a board.
MAX_PIXELS = 1 << 26
STILL_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
PNG = b"\x89PNG\r\n\x1a\n"
"""What a PNG begins with."""
_MAGIC = (PNG, b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM")
_UNREAD = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_UPRIGHT = 1  # among EXIF's orientations
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I")


def read_still(path: Path, *, side: int | None = None) -> Picture:
    """The picture as uint8 [H, W, 3], or [H, W, 4] if any of it is transparent. For who scales it
    down to a `side` of so many pixels anyway, a JPEG whose sides have at least twice, four or eight
    times as many is decoded at that fraction, in a fraction of the time and memory.

    In sRGB, whatever its own profile, and turned upright by its EXIF orientation; the first frame
    of an animation. `BadInput` for a file that is missing, empty, a folder, cut off, not one of the
    formats above, or of more than `MAX_PIXELS`.
    """
    with open_image(path) as image, decoding(path):
        image.seek(first_frame(image))
        if side is not None:
            image.draft(None, (side, side))
        return pixels(image)


def first_frame(image: Image.Image) -> int:
    """The number of an animation's first frame: 1 in an animated PNG that begins with a cover,
    which is shown only by what knows no animations; 0 in all others."""
    return 1 if image.info.get("default_image") else 0


class _Bounded(io.BufferedReader):
    """A file that takes no memory for more bytes than it has left: Pillow asks for as many as a
    PNG's chunk claims to hold, and Python makes room for all of them first."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; all that are left if it is negative or `None`."""
        if size is None or size < 0:
            return super().read()
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(max(0, min(size, left)))


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image of a known format and sane size. Nothing is decoded yet."""
    head = head_of(path)
    if not is_image(head):
        refuse_unread_picture(head, path)
        raise BadInput(
            "This is not a picture that can be read.",
            where=path,
            hint="PNG, JPEG, WebP, GIF and BMP can.",
        )
    with disk_errors(path), _Bounded(io.FileIO(path)) as stream:
        with decoding(path):
            image = Image.open(stream, formats=_FORMATS)
            check_size(image.size, path)
        with image:
            yield image


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Whatever a decoder raises inside the block becomes `BadInput`; its warnings are dropped
    (of odd metadata, and of sizes, for which there is our own limit)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (BadInput, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except UnidentifiedImageError as error:  # it would name an object of Python's
            raise BadInput(
                "The picture is damaged or cut off: its head does not parse.",
                where=path,
                hint="Save or copy it again.",
            ) from error
        except Exception as error:
            # Decoders raise OSError, SyntaxError, EOFError, struct.error and more on damaged data.
            raise BadInput(
                f"The picture is damaged or cut off: {error}.",
                where=path,
                hint="Save or copy it again.",
            ) from error


def pixels(image: Image.Image) -> Picture:
    """A Pillow image in any mode as uint8 RGB, or RGBA if any of it is transparent, in sRGB, turned
    upright by its EXIF orientation."""
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT:  # it always copies
        image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile") or b""
    if image.mode == "CMYK":
        return np.array(rgb_of_cmyk(image, profile))
    return in_srgb(_levels(image), profile)


def _levels(image: Image.Image) -> Picture:
    """RGB or RGBA as the file has it, in 8 bits."""
    if image.mode in _SIXTEEN_BIT:
        # Pillow's own conversion clips 16-bit grey at 255 instead of scaling it.
        grey = np.asarray(image)
        level = np.clip(np.rint(grey.astype(np.float32) / 257), 0, 255).astype(np.uint8)
        opaque = np.where(grey == image.info.get("transparency", -1), 0, 255).astype(np.uint8)
        return np.dstack([level] * 3 if opaque.all() else [level] * 3 + [opaque])
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba: Picture = np.array(image.convert("RGBA"))
        return rgba if (rgba[:, :, 3] < 255).any() else np.ascontiguousarray(rgba[:, :, :3])
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def head_of(path: Path) -> bytes:
    """The first bytes of a file, enough to tell its format; `BadInput` if there are none, and for a
    pipe, from which nothing can be read again afterwards."""
    with open_seekable(path) as stream:
        head = stream.read(16)
    if not head:
        raise BadInput("The file is empty.", where=path)
    return head


def is_image(head: bytes) -> bool:
    """Whether a file that starts with `head` claims to be one of the formats above."""
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def refuse_unread_picture(head: bytes, path: Path) -> None:
    """`BadInput` for what phones write by now, in a clip's container, and is not read here."""
    if head[4:8] == b"ftyp" and head[8:12] in _UNREAD:
        raise BadInput(
            "This is a HEIC or AVIF picture, which cannot be read.",
            where=path,
            hint="Save it as JPEG or PNG.",
        )


def check_size(size: tuple[int, int], where: Any) -> None:
    """`BadInput` for pictures without pixels or with more than `MAX_PIXELS`."""
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(where)
    if min(size) < 1:
        raise BadInput("The picture has no pixels.", where=where)


def _too_large(where: Any) -> BadInput:
    return BadInput(
        f"The picture has more than {MAX_PIXELS >> 20} million pixels.",
        where=where,
        hint="Scale it down first.",
    )
