"""Pictures of any size and a graph's picture tensors: fitted, converted, and brought back.

The rule of fitting: a picture lies centred on a *canvas* of the graph's proportions, and the graph
sees the canvas, scaled. `letterbox` takes the smallest canvas that holds the whole picture and
repeats the picture's edge pixels where it is larger; `cover` takes the largest that the picture
fills and cuts off the rest. What a graph makes lies on the same canvas, so the way back is a crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array
from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.runtime.scene import Picture

FitRule = Literal["letterbox", "cover"]
# Sampling grids take 24 bytes a pixel of the canvas. A camera's 6000x4000 takes a square of 6000.
MAX_CANVAS_PIXELS = 36 << 20
_CHANNELS = (1, 3, 4)
_WHITE = 255


@dataclass(frozen=True)
class Fit:
    """Where a picture of the size `picture` lies on its `canvas`; sizes are (height, width).

    `offset` is the (row, column) of the picture's first pixel on the canvas, negative where the
    canvas is smaller.
    """

    picture: tuple[int, int]
    canvas: tuple[int, int]

    @staticmethod
    def of(picture: tuple[int, int], graph: tuple[int, int], rule: FitRule = "letterbox") -> Fit:
        """Fit a picture to a graph that takes pictures of the size `graph`; `BadInput` if its
        canvas would have more than `MAX_CANVAS_PIXELS`."""
        (height, width), (rows, columns) = picture, graph
        other = (round(width * rows / columns), round(height * columns / rows))
        choose = max if rule == "letterbox" else min
        canvas = (max(1, choose(height, other[0])), max(1, choose(width, other[1])))
        if canvas[0] * canvas[1] > MAX_CANVAS_PIXELS:
            raise BadInput(
                f"A picture of {width}x{height} pixels is too large or too narrow to animate: it "
                f"takes a canvas of {canvas[1]}x{canvas[0]}, and {MAX_CANVAS_PIXELS:,} pixels are "
                "the most.",
                hint="Scale it down first, or crop it to about the proportions of a screen.",
            )
        return Fit(picture, canvas)

    @property
    def offset(self) -> tuple[int, int]:
        """(row, column) of the picture's first pixel on the canvas."""
        (h, w), (rows, columns) = self.picture, self.canvas
        return ((rows - h) // 2, (columns - w) // 2)

    @property
    def shown(self) -> tuple[slice, slice]:
        """The rows and columns of the picture that lie on the canvas."""
        return self._slices(-1)

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the canvas on which the picture lies."""
        return self._slices(1)

    @property
    def places(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of where it lies, in grid units: -1..1 across the canvas."""
        rows, columns = self.window
        ends = ((columns.start, 1), (rows.start, 0), (columns.stop, 1), (rows.stop, 0))
        left, top, right, bottom = (2 * end / self.canvas[axis] - 1 for end, axis in ends)
        return left, top, right, bottom

    def _slices(self, sign: int) -> tuple[slice, slice]:
        starts = [max(0, sign * offset) for offset in self.offset]
        sizes = [min(pair) for pair in zip(self.picture, self.canvas, strict=True)]
        rows, columns = (slice(s, s + n) for s, n in zip(starts, sizes, strict=True))
        return rows, columns

    def to_graph(self, picture: Picture, size: tuple[int, int]) -> Picture:
        """The canvas with `picture` on it, scaled to `size` (height, width): averaged over areas
        where it shrinks to half or less, else bilinear. Returns uint8 [h, w, C]."""
        import cv2

        rows, columns = self.window
        shown = picture[self.shown]
        after = (self.canvas[0] - rows.stop, self.canvas[1] - columns.stop)
        if rows.start or columns.start or any(after):
            edges = (rows.start, after[0], columns.start, after[1])
            shown = cv2.copyMakeBorder(shown, *edges, cv2.BORDER_REPLICATE)
        return scaled(shown, size)

    def from_graph(self, frame: Picture) -> Picture:
        """The part of a graph's own `frame` [h, w, C] where the picture lies, not rescaled."""
        cuts = []
        for window, canvas, size in zip(self.window, self.canvas, frame.shape, strict=False):
            start = round(window.start * size / canvas)
            cuts.append(slice(start, max(start + 1, round(window.stop * size / canvas))))
        return np.ascontiguousarray(frame[cuts[0], cuts[1]])


def scaled(picture: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """`picture` [h, w, C], uint8 or float32, at `size` (height, width). Halved as long as it goes,
    which takes a fraction of the time of averaging over areas of any size; what then remains is
    less than a half and needs no averaging."""
    import cv2

    height, width = picture.shape[:2]
    while height >= 2 * size[0] and width >= 2 * size[1] and not (height % 2 or width % 2):
        height, width = height // 2, width // 2
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    if (height, width) == size:
        return np.ascontiguousarray(picture)
    shrinks = height >= 2 * size[0] or width >= 2 * size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    made: NDArray[Any] = cv2.resize(picture, size[::-1], interpolation=how)
    return made


def scaled_still(picture: Picture, size: tuple[int, int]) -> Picture:
    """`picture`, uint8 [h, w, 3 or 4], at `size` (height, width), as `scaled`. Where it is
    transparent, each colour counts by its opacity: what a transparent pixel hides stays hidden."""
    if picture.shape[2] == 3:
        return scaled(picture, size)
    opacity = picture[:, :, 3:].astype(np.float32)
    weighed = scaled(np.concatenate([picture[:, :, :3] * opacity, opacity], axis=2), size)
    weighed[:, :, :3] /= np.maximum(weighed[:, :, 3:], 1e-6)
    levels: Picture = np.rint(weighed).astype(np.uint8)
    return levels


def no_larger(picture: Picture, side: int) -> Picture:
    """`picture`, scaled down if its longer side has more than `side` pixels."""
    height, width = picture.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return picture
    return scaled_still(picture, (max(1, round(height * share)), max(1, round(width * share))))


def flatten(picture: Picture) -> Picture:
    """RGB of a picture; transparent parts are shown on white, as on a page."""
    if picture.shape[2] == 3:
        return picture
    alpha = picture[:, :, 3:].astype(np.uint16)
    mixed = picture[:, :, :3] * alpha + _WHITE * (255 - alpha)
    flat: Picture = ((mixed + 127) // 255).astype(np.uint8)
    return flat


def mixed(one: Picture, other: Picture, share: float) -> Picture:
    """`share` of `one` and the rest of `other`, of the same shape [H, W, C]. Where they are
    transparent, each colour counts by its opacity."""
    import cv2

    if one.shape[2] == 3:
        blend: Picture = cv2.addWeighted(one, share, other, 1 - share, 0)
        return blend
    first, second = (
        picture[:, :, 3:].astype(np.float32) * np.float32(part)
        for picture, part in ((one, share), (other, 1 - share))
    )
    opacity = first + second
    colours = (one[:, :, :3] * first + other[:, :, :3] * second) / np.maximum(opacity, 1e-6)
    levels: Picture = np.rint(np.concatenate([colours, opacity], axis=2)).astype(np.uint8)
    return levels


def to_tensor(picture: Picture, spec: TensorSpec) -> Array:
    """An RGB picture [h, w, 3] of the spec's size as float32 in its layout and value range. A
    graph that takes RGBA sees it opaque."""
    import cv2

    low, high = picture_range(spec)
    scale = (high - low) / 255
    if spec.layout == "NHWC" and channels(spec) == picture.shape[2]:
        tensor = np.multiply(picture[None], np.float32(scale), dtype=np.float32)
        return tensor + np.float32(low) if low else tensor
    planes = list(cv2.split(picture))
    if channels(spec) == 1:
        # Rec. 601 luma, which is what picture formats themselves mean by grey.
        red, green, blue = (plane.astype(np.float32) for plane in planes)
        planes = [0.299 * red + 0.587 * green + 0.114 * blue]
    tensor = np.empty(spec.shape, np.float32)
    by_channel = tensor[0] if spec.layout == "NCHW" else tensor[0].transpose(2, 0, 1)
    for plane, target in zip(planes, by_channel, strict=False):
        np.multiply(plane, np.float32(scale), out=target, casting="unsafe")
        if low:
            target += np.float32(low)
    by_channel[len(planes) :] = high
    return tensor


def from_tensor(array: Array, spec: TensorSpec) -> Picture:
    """A graph's finite picture tensor as uint8 [h, w, 3 or 4], values rounded and clipped to the
    range; grey becomes RGB."""
    import cv2

    low, high = picture_range(spec)
    scale = 255 / (high - low)
    values = finite(array, spec)[0] * np.float32(scale)
    values += np.float32(0.5 - low * scale)
    levels = values.clip(0, 255, out=values).astype(np.uint8)
    if channels(spec) == 1:
        grey = levels.reshape(spec.size)
        return np.stack([grey, grey, grey], axis=-1)
    picture: Picture = cv2.merge(list(levels)) if spec.layout == "NCHW" else levels
    return picture


def finite(array: Array, spec: TensorSpec) -> Array:
    """`array` as it is; `BadInput` that names the output if it holds NaN or infinity."""
    if not np.isfinite(array).all():
        raise BadInput(
            f"The model's output {spec.name!r} holds NaN or infinity.",
            hint="Run its float32 form to see whether its quantisation is to blame.",
        )
    return array


def picture_range(spec: TensorSpec) -> tuple[float, float]:
    """The value range of a picture's spec; `BadInput` if the contract leaves it open."""
    if spec.range is None or spec.layout == "plain" or channels(spec) not in _CHANNELS:
        raise BadInput(
            f"The contract gives the picture {spec.name!r} no value range, no layout, "
            "or a number of channels other than 1, 3 and 4.",
            hint='Say for example layout = "NCHW" and range = [0.0, 1.0] in model.toml.',
        )
    return spec.range


def channels(spec: TensorSpec) -> int:
    """Channels of a tensor with a layout."""
    return spec.shape[1] if spec.layout == "NCHW" else spec.shape[-1]
