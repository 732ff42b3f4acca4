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
# A fill within this share of white fades with its nearness to it; further from it, it is opaque.
_NEAR_WHITE = 0.25


class Compositor:
    """Warps and blends one still, frame after frame; holds its sampling grid.

    `fit` says how the still lies on the canvas that the network sees; what comes out has the size
    of the still (of the part that is shown, with `cover`). A transparent still's colours are first
    spread into its transparent parts, so that interpolation at an outline mixes in nothing hidden;
    its transparency moves with the flow.
    """

    def __init__(self, still: NDArray[Any], fit: Fit | None = None) -> None:
        self._fit = fit or Fit.of(still.shape[:2], still.shape[:2])
        shown = still[self._fit.shown]
        self._transparent = still.shape[2] == 4
        self._still = _four_channels(_spread_colour(shown))
        height, width = self._still.shape[:2]
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        self._grid = np.stack([x, y], axis=-1).astype(np.float32)
        self._map = np.empty_like(self._grid)

    def warp(self, flow: Array) -> NDArray[Any]:
        """Sample the still at each pixel's own place plus `flow`.

        `flow` is float32 [h, w, 2] over the canvas, an offset (x right, y down) in units of half
        the canvas (grid units of -1..1 with `align_corners=False`), resized bilinearly. Sampling
        is bilinear and repeats the still's border; OpenCV before 5 rounds positions to 1/32
        pixel. Returns the still's dtype [H, W, C].
        """
        import cv2

        rows, columns = self._fit.canvas
        offsets = np.clip(flow, -_FARTHEST, _FARTHEST)
        offsets *= np.array([columns / 2, rows / 2], np.float32)
        np.add(self._on_still(offsets), self._grid, out=self._map)
        warped: NDArray[Any] = cv2.remap(
            self._still, self._map, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return warped if self._transparent else cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)

    def compose(self, flow: Array, alpha: Array, colour: NDArray[Any]) -> NDArray[Any]:
        """`alpha * warp + (1 - alpha) * colour`, with `alpha` float32 [h, w] in 0..1 and `colour`
        [h, w, 3] of the still's dtype and range, both over the canvas.

        A still's transparency is warped, not blended. The network saw it on white, so where it
        fills in white there is nothing: that is left out, and the frame on white is the same."""
        import cv2

        warped = self.warp(flow)
        alpha = np.clip(alpha, 0, 1)
        if self._transparent:
            alpha, colour, kept = _without_paper(alpha, colour)
            kept = np.clip(self._on_still(kept), 0, 1)
            depth = cv2.CV_8U if warped.dtype == np.uint8 else cv2.CV_32F
            warped[:, :, 3] = cv2.multiply(warped[:, :, 3], kept, dtype=depth)
        share = np.clip(self._on_still(alpha), 0, 1)
        fill = np.ascontiguousarray(self._on_still(colour))
        colours = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB) if self._transparent else warped
        blended: NDArray[Any] = cv2.blendLinear(colours, fill, share, 1 - share)
        if self._transparent:
            warped[:, :, :3] = blended
            return warped
        return blended

    def _on_still(self, values: NDArray[Any]) -> NDArray[Any]:
        """`values` [h, w, ...] over the canvas, resized to it and cut out where the still lies."""
        import cv2

        size = self._fit.canvas[::-1]
        if values.shape[1::-1] != size:
            values = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        return values[self._fit.window]


def warp(still: NDArray[Any], flow: Array) -> NDArray[Any]:
    """`still` [H, W, C] (uint8 or float32) warped by `flow` [h, w, 2]: see `Compositor.warp`."""
    return Compositor(still).warp(flow)


def compose(
    still: NDArray[Any], flow: Array, alpha: Array, colour: NDArray[Any], fit: Fit | None = None
) -> NDArray[Any]:
    """One finished frame [H, W, C] of `still`'s dtype: see `Compositor.compose`."""
    return Compositor(still, fit).compose(flow, alpha, colour)


def _four_channels(still: NDArray[Any]) -> NDArray[Any]:
    """`still` with a fourth channel: OpenCV samples four aligned channels in a third of the time
    that it takes for three."""
    if still.shape[2] == 4:
        return np.ascontiguousarray(still)
    return np.concatenate([still, np.zeros_like(still[:, :, :1])], axis=2)


def _without_paper(
    alpha: Array, colour: NDArray[Any]
) -> tuple[Array, NDArray[Any], NDArray[np.float32]]:
    """`alpha` and `colour` with the white taken out of the fill, and the opacity that remains.

    With p the fill's opacity, a fill f is p c + (1 - p) white. What is kept of a pixel is
    k = alpha + (1 - alpha) p, in which the warp has the share alpha / k.
    """
    import cv2

    if colour.shape[:2] != alpha.shape:
        colour = cv2.resize(colour, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    white = np.float32(255 if colour.dtype == np.uint8 else 1)
    fill = colour.astype(np.float32) / white
    opacity = np.clip((1 - fill.min(axis=2)) / _NEAR_WHITE, 0, 1)
    pure = (fill - (1 - opacity)[:, :, None]) / np.maximum(opacity, 1e-6)[:, :, None]
    kept = alpha + (1 - alpha) * opacity
    share = np.where(kept > 0, alpha / np.maximum(kept, 1e-6), 1).astype(np.float32)
    pure = np.clip(pure, 0, 1) * white
    return share, (np.rint(pure) if white > 1 else pure).astype(colour.dtype), kept


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
