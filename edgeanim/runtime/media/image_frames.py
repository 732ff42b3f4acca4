"""The frames in a picture's file: an animated GIF, WebP or PNG, or the picture alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from edgeanim.core.errors import BadInput
from edgeanim.runtime.media.stills import decoding, first_frame, open_image, pixels
from edgeanim.runtime.pictures import flatten
from edgeanim.runtime.scene import Picture

# All browsers and players show a GIF's frame of less than two hundredths of a second for ten: many
# GIFs state no time and count on that.
_LEAST_GIF_MS, _UNTIMED_GIF_MS = 20.0, 100.0
# As Pillow calls a JPEG with others behind it.
_SEVERAL = "MPO"


def only_frame(file: Path) -> Picture:
    """The picture in `file` without its transparency; `BadInput` for an animation."""
    with open_image(file) as image, decoding(file):
        if image.format != _SEVERAL and getattr(image, "is_animated", False):
            raise BadInput(
                "This is an animation, and a folder of frames holds one picture for each.",
                where=file,
                hint="Give it itself, without the folder.",
            )
        return flatten(pixels(image))


def animation_pictures(path: Path) -> Iterator[tuple[Picture, float]]:
    """The frames of an animation, or a single picture, as `read_still` gives it, each with the
    milliseconds for which it is shown, 0 where it does not say."""
    with open_image(path) as image:
        for number in frame_numbers(image, path):
            with decoding(path):
                image.seek(number)
                picture = pixels(image)
            yield picture, _milliseconds(image)


def frame_numbers(image: Image.Image, path: Path) -> range:
    """Which of the pictures in a file are its frames: not what follows a phone's JPEG, which are
    maps of it, nor the cover that an animated PNG may begin with."""
    if image.format == _SEVERAL:
        return range(1)
    with decoding(path):
        return range(first_frame(image), int(getattr(image, "n_frames", 1)))


def animation_times(path: Path) -> list[float]:
    """The milliseconds for which each frame is shown."""
    times = []
    with open_image(path) as image, decoding(path):
        for number in frame_numbers(image, path):
            image.seek(number)
            image.load()  # WebP states a frame's time only once it is decoded
            times.append(_milliseconds(image))
    return times


def _milliseconds(image: Image.Image) -> float:
    """How long the frame that was decoded last is shown; 0 if it does not say. One of an animated
    GIF that states less than players take seriously is shown as they show it."""
    stated = float(image.info.get("duration", 0))
    animated = image.format == "GIF" and getattr(image, "is_animated", False)
    return _UNTIMED_GIF_MS if animated and stated < _LEAST_GIF_MS else stated
