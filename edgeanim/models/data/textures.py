"""Textures of puppets, people and backdrops: patterns of two colours, and cuts of photographs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = NDArray[np.float32]
Floats = NDArray[np.float32]
Share = NDArray[Any]
Shape = tuple[int, ...]

Pattern = Callable[[np.random.Generator, Floats, Floats, float], Share]
"""From the columns x and rows y of each pixel, [h, w], and a period in pixels to the share of the
second colour there."""


def random_colour(rng: np.random.Generator, low: float = 20, high: float = 250) -> Colour:
    """A colour with components between `low` and `high`."""
    return rng.uniform(low, high, 3).astype(np.float32)


def texture(
    rng: np.random.Generator,
    height: int,
    width: int,
    base: Colour,
    pattern: str,
    photographs: tuple[Picture, ...] = (),
) -> Floats:
    """A patch [height, width, 3] around the colour `base` in one of `RICH_PATTERNS`, or, of the
    pattern "photo", cut from one of `photographs`."""
    if pattern == "photo":
        return photo_patch(rng, height, width, photographs)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    other = random_colour(rng)
    period = float(rng.uniform(5, 16))
    share = _SHARES[pattern](rng, x, y, period)
    share = (np.clip(share, 0, 1) * rng.uniform(0.3, 1.0))[:, :, None]
    made: Floats = (base * (1 - share) + other * share).astype(np.float32)
    return made


def photo_patch(
    rng: np.random.Generator, height: int, width: int, photographs: tuple[Picture, ...]
) -> Floats:
    """A random cut of a random photograph, scaled to [height, width, 3] without distortion."""
    import cv2

    photo = photographs[int(rng.integers(len(photographs)))]
    largest = min(photo.shape[0] / height, photo.shape[1] / width)
    share = rng.uniform(0.4, 1.0) * largest
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    top = int(rng.integers(photo.shape[0] - rows + 1))
    left = int(rng.integers(photo.shape[1] - columns + 1))
    cut = photo[top : top + rows, left : left + columns]
    shrinks = rows > height
    patch = cv2.resize(
        cut, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(patch, np.float32)


def _flat(_rng: np.random.Generator, x: Floats, _y: Floats, _period: float) -> Share:
    return np.zeros_like(x)


def _gradient(rng: np.random.Generator, x: Floats, y: Floats, _period: float) -> Share:
    angle = rng.uniform(0, 2 * np.pi)
    share: Share = 0.5 + 0.5 * (x * np.cos(angle) + y * np.sin(angle)) / max(x.shape)
    return share


def _stripes(rng: np.random.Generator, x: Floats, y: Floats, period: float) -> Share:
    angle = rng.choice([0, np.pi / 2, np.pi / 4])
    share: Share = (np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period) > 0) * 1.0
    return share


def _dots(_rng: np.random.Generator, x: Floats, y: Floats, period: float) -> Share:
    share: Share = (np.hypot(x % period - period / 2, y % period - period / 2) < period / 4) * 1.0
    return share


def _plaid(_rng: np.random.Generator, x: Floats, y: Floats, period: float) -> Share:
    return 0.5 * (x % period < period / 3) + 0.5 * (y % period < period / 3)


def _noise(rng: np.random.Generator, x: Floats, _y: Floats, _period: float) -> Share:
    return _smooth_noise(rng, x.shape, int(rng.integers(3, 9)))


def _cloudy(rng: np.random.Generator, x: Floats, _y: Floats, _period: float) -> Share:
    return _clouds(rng, x.shape)


def _weave(rng: np.random.Generator, x: Floats, y: Floats, _period: float) -> Share:
    share = 0.5 + 0.25 * (np.sin(x * 2 * np.pi / 3) * np.sin(y * 2 * np.pi / 3))
    return share + 0.3 * (_smooth_noise(rng, x.shape, 4) - 0.5)


def _marble(rng: np.random.Generator, x: Floats, _y: Floats, period: float) -> Share:
    return 0.5 + 0.5 * np.sin(6 * np.pi * _clouds(rng, x.shape) + x / period)


_PLAIN: Mapping[str, Pattern] = {
    "flat": _flat,
    "gradient": _gradient,
    "stripes": _stripes,
    "dots": _dots,
    "plaid": _plaid,
    "noise": _noise,
}
_SHARES = {**_PLAIN, "clouds": _cloudy, "weave": _weave, "marble": _marble}
PATTERNS = tuple(_PLAIN)
RICH_PATTERNS = tuple(_SHARES)
"""All patterns that need no photographs. `PATTERNS` stays as it is, so that old seeds do."""


def _clouds(rng: np.random.Generator, shape: Shape) -> Floats:
    """Noise with detail at all sizes, about 0..1."""
    total = np.zeros(shape, np.float32)
    for octave in range(4):
        total += _smooth_noise(rng, shape, cells=3 * 2**octave) / 2**octave
    return total / 1.875


def _smooth_noise(rng: np.random.Generator, shape: Shape, cells: int) -> Floats:
    import cv2

    grid = rng.uniform(0, 1, (cells, cells)).astype(np.float32)
    noise: Floats = cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return noise
