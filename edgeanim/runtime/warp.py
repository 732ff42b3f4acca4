"""The last step of an animation: the still warped by the flow, filled in where it has no answer.

It runs outside the network on the still at its own size: texture stays sharp whatever the network's
resolution, and no backend's slow sampling op is in the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array
from edgeanim.runtime.pictures import Fit

# Far past every edge, so that clamping shows nowhere, but near enough for native code, which
# computes pixel numbers as 32-bit integers.
_FARTHEST = 1e3
# After the point of the fixed-point numbers in which pixels are blended: with 8 before it, they
# fill 16 bits.
_BITS = 8
# Pixels that are blended at a time: few enough for their arrays to stay in a core's cache.
_BAND = 1 << 14
# A fill within this share of white fades with its nearness to it; further from it, it is opaque.
_NEAR_WHITE = 0.25


class Compositor:
    """Warps and blends one still, frame after frame.

    `fit` says how the still lies on the canvas that the network sees; what comes out has the size
    of the still (of the part that is shown, with `cover`). A transparent still's colours are first
    spread into its transparent parts, so that interpolation at an outline mixes in nothing hidden;
    its transparency moves with the flow.
    """

    def __init__(self, still: NDArray[Any], fit: Fit | None = None) -> None:
        fit = fit or Fit.of(still.shape[:2], still.shape[:2])
        shown = still[fit.shown]
        self._fit = fit
        self._window, self._canvas = fit.window, fit.canvas[::-1]
        self._transparent = still.shape[2] == 4
        self._still = _four_channels(_spread_colour(shown))
        # Memory that a frame leaves to the next. At a megapixel, new pages for every frame took
        # nearly as long as the warp.
        self._left: dict[str, NDArray[Any]] = {}

    def beside(self, still: NDArray[Any]) -> Compositor:
        """The same for another still of the same shape, in the memory of this one's frames: the two
        cannot work at the same time."""
        other = Compositor(still, self._fit)
        other._left = self._left
        return other

    def warp(self, flow: Array) -> NDArray[Any]:
        """Sample the still at each pixel's own place plus `flow`.

        `flow` is float32 [h, w, 2] over the canvas, an offset (x right, y down) in units of half
        the canvas (grid units of -1..1 with `align_corners=False`), resized bilinearly. Sampling
        is bilinear and repeats the still's border; OpenCV before 5 rounds positions to 1/32
        pixel. Returns the still's dtype [H, W, C].
        """
        warped = self._sampled(flow)
        return warped.copy() if self._transparent else _opaque(warped)

    def compose(self, flow: Array, alpha: Array, colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`alpha * warp + (1 - alpha) * colour` of a uint8 still, with `alpha` float32 [h, w] in
        0..1 and `colour` uint8 [h, w, 3], both over the canvas. Returns uint8 [H, W, C].

        A still's transparency is warped, not blended. The network saw it on white, so where it
        fills in white there is nothing: that is left out, and the frame on white is the same."""
        import cv2

        warped = self._sampled(flow)
        alpha = alpha.clip(0, 1)
        if not self._transparent:
            return self._blend(_opaque(warped), alpha, colour)
        alpha, colour, kept = _without_paper(alpha, colour)
        kept = np.clip(self._on_still("kept", kept), 0, 1)
        opacity = cv2.multiply(cv2.extractChannel(warped, 3), kept, dtype=cv2.CV_8U)
        blended = self._blend(_opaque(warped), alpha, colour)
        frame: NDArray[np.uint8] = cv2.cvtColor(blended, cv2.COLOR_RGB2RGBA)
        cv2.insertChannel(opacity, frame, 3)
        return frame

    def _sampled(self, flow: Array) -> NDArray[Any]:
        """What `warp` returns, with four channels, until the next frame."""
        import cv2

        pixels = flow.clip(-_FARTHEST, _FARTHEST) * (np.array(self._canvas, np.float32) / 2)
        # One map for x and one for y, which OpenCV reads faster than a map of pairs.
        x, y = self._on_still("x", pixels[:, :, 0]), self._on_still("y", pixels[:, :, 1])
        how, left = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP, self._left.get("warped")
        warped: NDArray[Any] = cv2.remap(
            self._still, x, y, how, dst=left, borderMode=cv2.BORDER_REPLICATE
        )
        self._left["warped"] = warped
        return warped

    def _blend(
        self, warped: NDArray[np.uint8], alpha: Array, colour: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """`warped` [H, W, 3] with `colour` blended in, in place. In fixed point, with `alpha` in
        1/256: floats take half as long again, and every result is the nearest level here too."""
        levels = (alpha * np.float32(1 << _BITS) + np.float32(0.5)).astype(np.uint16)
        share = self._on_still("share", levels)
        fill = self._on_still("fill", colour.astype(np.uint16))
        step = max(1, _BAND // warped.shape[1])
        for top in range(0, len(warped), step):
            band = slice(top, top + step)
            _blend_band(warped[band], share[band], fill[band])
        return warped

    def _on_still(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """`values` [h, w, ...] over the canvas, resized to it and cut out where the still lies.
        The next frame's with this `name` take their place."""
        import cv2

        if values.shape[1::-1] != self._canvas:
            left = self._left.get(name)
            values = cv2.resize(values, self._canvas, dst=left, interpolation=cv2.INTER_LINEAR)
            self._left[name] = values
        return values[self._window]


def _blend_band(
    warped: NDArray[np.uint8], share: NDArray[np.uint16], fill: NDArray[np.uint16]
) -> None:
    """`warped` [n, W, 3] becomes `fill + share * (warped - fill)`, rounded; `share` [n, W] is in
    1/256. A difference below zero wraps around in its 16 bits, and back in the last 8."""
    import cv2

    blended = np.subtract(warped, fill)
    blended *= cv2.cvtColor(share, cv2.COLOR_GRAY2RGB)
    blended += 1 << (_BITS - 1)
    blended >>= _BITS
    blended += fill
    warped[:] = blended


def _opaque(warped: NDArray[Any]) -> NDArray[Any]:
    """The first three of four channels."""
    import cv2

    colours: NDArray[Any] = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)
    return colours


def _four_channels(still: NDArray[Any]) -> NDArray[Any]:
    """`still` with a fourth channel: OpenCV samples four aligned channels in a third of the time
    that it takes for three."""
    if still.shape[2] == 4:
        return np.ascontiguousarray(still)
    return np.concatenate([still, np.zeros_like(still[:, :, :1])], axis=2)


def _without_paper(
    alpha: Array, colour: NDArray[np.uint8]
) -> tuple[Array, NDArray[np.uint8], Array]:
    """`alpha` and `colour` with the white taken out of the fill, and the opacity that remains.

    With p the fill's opacity, a fill f is p c + (1 - p) white. What is kept of a pixel is
    k = alpha + (1 - alpha) p, in which the warp has the share alpha / k.
    """
    import cv2

    if colour.shape[:2] != alpha.shape:
        colour = cv2.resize(colour, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    fill = colour.astype(np.float32) / np.float32(255)
    opacity = np.clip((1 - fill.min(axis=2)) / _NEAR_WHITE, 0, 1)
    pure = (fill - (1 - opacity)[:, :, None]) / np.maximum(opacity, 1e-6)[:, :, None]
    kept = alpha + (1 - alpha) * opacity
    share = np.where(kept > 0, alpha / np.maximum(kept, 1e-6), 1).astype(np.float32)
    return share, np.rint(np.clip(pure, 0, 1) * 255).astype(np.uint8), kept


def _spread_colour(still: NDArray[Any]) -> NDArray[Any]:
    """Give every fully transparent pixel the colour of the nearest pixel that is not."""
    if still.shape[2] == 3:
        return still
    import cv2

    hidden = (still[:, :, 3] == 0).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return still
    _, nearest = cv2.distanceTransformWithLabels(
        hidden, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # The labels number the visible pixels; find each number's own pixel.
    colour_of = np.empty((nearest.max() + 1, 3), still.dtype)
    visible = hidden == 0
    colour_of[nearest[visible]] = still[:, :, :3][visible]
    filled = still.copy()
    filled[:, :, :3] = colour_of[nearest]
    return filled
