"""GIF, written block by block (GIF89a), since Pillow's own animation writer holds all frames."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import GifImagePlugin, Image

from edgeanim.runtime.media.writing import changed, delays, too_large
from edgeanim.runtime.scene import Picture

_COLOURS = 255
"""Colours of a GIF's palette; the last of the 256 entries stands for transparency."""


def write_gif(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """Write uint8 [H, W, 3 or 4] `frames` of one size to `path`, looping."""
    with path.open("wb") as stream:
        before: Picture | None = None
        for frame, hundredths in zip(frames, delays(fps, 100, least=2), strict=False):
            if before is None:
                _write_header(stream, frame)
            _write_frame(stream, frame, before, hundredths)
            before = frame
        stream.write(b";")


def _write_header(stream: IO[bytes], frame: Picture) -> None:
    height, width = frame.shape[:2]
    if max(height, width) > 0xFFFF:
        raise too_large("A GIF", 0xFFFF)
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    forever = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    stream.write(b"GIF89a" + size + b"\x70\x00\x00" + forever)


def _write_frame(
    stream: IO[bytes], frame: Picture, before: Picture | None, hundredths: int
) -> None:
    """Only the part that changed, for opaque frames; transparent ones are cleared and redrawn."""
    transparent = frame.shape[2] == 4
    rows, columns = (slice(None), slice(None)) if transparent else changed(frame, before)
    part = np.ascontiguousarray(frame[rows, columns])
    image = _indexed(Image.fromarray(part[:, :, :3]))
    options: dict[str, Any] = {"duration": hundredths * 10, "include_color_table": True}
    if transparent:
        indices = np.array(image)
        indices[part[:, :, 3] < 128] = _COLOURS
        palette = image.getpalette() or []
        image = Image.fromarray(indices)
        image.putpalette(palette + [0] * (768 - len(palette)))
        options |= {"transparency": _COLOURS, "disposal": 2}
    offset = (columns.start or 0, rows.start or 0)
    for block in GifImagePlugin.getdata(image, offset, **options):
        stream.write(block)


def _indexed(image: Image.Image) -> Image.Image:
    """`image` in at most 255 colours: its own, if it has no more."""
    if image.getcolors(_COLOURS) is not None:
        return image.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    # An octree's palette, then dithered: about half the error in areas' mean colour that a median
    # cut leaves, which gives small areas of a colour of their own away, in a tenth of its time.
    palette_of = image.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    return image.quantize(palette=palette_of, dither=Image.Dither.FLOYDSTEINBERG)
