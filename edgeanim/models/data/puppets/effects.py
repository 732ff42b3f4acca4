"""What lies between a scene and its picture: light, shadow, lens, sensor and compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.puppets.puppet import NO_PART, SIZE, Frame
from edgeanim.models.data.textures import Picture


@dataclass(frozen=True)
class Effects:
    """The same for all frames of a scene, but for the noise. `light` float32 [S, S, 3] multiplies
    the picture, or is None; `shadow` is its offset (x, y), softness and strength on the backdrop;
    `blur` and `noise` are standard deviations (pixels, levels); `quality` is that of a JPEG."""

    light: NDArray[np.float32] | None = None
    shadow: tuple[float, float, float, float] | None = None
    blur: float = 0.0
    noise: float = 0.0
    quality: int | None = None

    def apply(self, frame: Frame, number: int) -> Picture:
        """The frame's picture as a camera would have it; `number` seeds its noise."""
        import cv2

        picture: Any = frame.picture
        if self.shadow is not None:
            picture = _shaded(picture, frame.parts, self.shadow)
        if self.light is not None:
            picture = cv2.multiply(picture, self.light, dtype=cv2.CV_8U)
        if self.blur:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur)
        if self.noise:
            rng = np.random.default_rng(number)
            grain = rng.standard_normal(picture.shape, np.float32) * np.float32(self.noise)
            picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
        if self.quality is not None:
            _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return np.asarray(picture, np.uint8)


def random_effects(rng: np.random.Generator) -> Effects:
    """Each effect in a part of the scenes; none in about a tenth."""
    return Effects(
        _light(rng) if rng.uniform() < 0.4 else None,
        _shadow(rng) if rng.uniform() < 0.3 else None,
        float(rng.uniform(0.4, 1.3)) if rng.uniform() < 0.3 else 0.0,
        float(rng.uniform(1, 7)) if rng.uniform() < 0.4 else 0.0,
        int(rng.integers(25, 90)) if rng.uniform() < 0.35 else None,
    )


def _light(rng: np.random.Generator) -> NDArray[np.float32]:
    """A lamp at some place, warm or cold: brighter near it."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    away = np.hypot(x - rng.uniform(-0.3, 1.3), y - rng.uniform(-0.5, 1.0))
    falloff = np.clip(1.25 - away * rng.uniform(0.2, 0.8), 0.35, 1.3)
    tint = rng.uniform(0.85, 1.12, 3)
    return np.asarray(falloff[:, :, None] * tint, np.float32)


def _shadow(rng: np.random.Generator) -> tuple[float, float, float, float]:
    x, y, soft, strength = rng.uniform((-14, 0, 2, 0.2), (14, 12, 7, 0.6))
    return float(x), float(y), float(soft), float(strength)


def _shaded(
    picture: Picture, parts: NDArray[np.uint8], shadow: tuple[float, float, float, float]
) -> Picture:
    """Darken the backdrop where the parts' shadow falls on it."""
    import cv2

    x, y, soft, strength = shadow
    body = (parts != NO_PART).astype(np.float32)
    move = np.array([[1, 0, x], [0, 1, y]], np.float32)
    dark = cv2.GaussianBlur(cv2.warpAffine(body, move, body.shape[::-1]), (0, 0), soft)
    keep = 1 - strength * dark * (1 - body)
    shaded: Picture = (picture * keep[:, :, None]).astype(np.uint8)
    return shaded
