"""Frames that a program makes itself: pictures, clips, or samples of a graph's own inputs.

They are gone through more than once, so that few are ever held: a program gives the function that
makes them, such as a generator function, or what can be gone through anew, a list or a data loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.pipeline.frames.in_memory import ONCE, as_picture
from edgeanim.quantize.calibration.coverage import thin
from edgeanim.runtime.scene import Picture

if TYPE_CHECKING:
    from edgeanim.core.artifact import Array

Frames = Callable[[], Iterable[Any]] | Iterable[Any]
"""What makes frames, or holds them. For an image-to-image model it gives pictures, uint8 RGB or
RGBA [H, W, 3 or 4] of any sizes; or mappings from the names of the graph's inputs to arrays in the
contract's shape, as the arrays of an .npz. For a model that animates stills it gives clips, each an
iterable of pictures of one size, the first of which is the still."""

Source = str | Path | Frames
"""Frames in any form: where they lie, or what makes them."""


class Given:
    """The frames of `source`, from the first on whenever they are asked for.

    `UsageError` if they can be gone through only once or not at all, `BadInput` if there are none.
    What the program's own code raises is passed on.
    """

    def __init__(self, source: Frames) -> None:
        self.name = getattr(source, "__qualname__", type(source).__name__)
        self._refuse(source)
        if not callable(source) and not isinstance(source, Iterable):
            raise UsageError(
                "This is no path and gives no frames.",
                where=self.name,
                hint="Give a path, a function that returns frames, or a list of them.",
            )
        self._source = source
        self._before: Iterable[Any] | None = None
        first = next(self._items(), None)
        if first is None:
            raise BadInput("There are no frames.", where=self.name)
        self.are_samples = isinstance(first, Mapping)

    def pictures(self) -> Iterator[Picture]:
        """Each as uint8 [H, W, 3 or 4]. `BadInput` names what is none."""
        return (self._picture(item, f"frame {i}") for i, item in enumerate(self._items()))

    def count(self, limit: int) -> int:
        """How many there are, or `limit` of more."""
        return sum(1 for _ in islice(self._items(), limit))

    def clips(self, limit: int) -> Iterator[Iterator[Picture]]:
        """The pictures of each of the first `limit` clips, to be read before the next."""
        return (self._clip(item, i) for i, item in enumerate(islice(self._items(), limit)))

    def samples(self, limit: int) -> list[Mapping[str, Array]]:
        """At most `limit` of them, evenly spread."""
        kept = thin(self._items(), limit)
        for sample in kept:
            if not isinstance(sample, Mapping):
                raise BadInput(
                    f"Some items are samples, another is a {type(sample).__name__}.",
                    where=self.name,
                )
        return [{name: np.asarray(array) for name, array in sample.items()} for sample in kept]

    def _items(self) -> Iterator[Any]:
        if not callable(self._source):
            return iter(self._source)
        made = self._source()
        if made is self._before:
            self._refuse(made)
        self._before = made
        return iter(made)

    def _refuse(self, source: object) -> None:
        """`UsageError` for an iterator: of one that is used up nothing more would come."""
        if isinstance(source, Iterator):
            hint = "Give the function that makes it, without calling it, or a list."
            raise UsageError(ONCE, where=self.name, hint=hint)

    def _clip(self, clip: Any, number: int) -> Iterator[Picture]:
        if not isinstance(clip, Iterable) or isinstance(clip, Mapping):
            raise BadInput(
                f"Item {number} is a {type(clip).__name__}, not a clip.",
                where=self.name,
                hint="For a model that animates stills each item is a list of pictures.",
            )
        shape = None
        for i, item in enumerate(clip):
            picture = self._picture(item, f"clip {number}, frame {i}")
            if picture.shape != (shape := shape or picture.shape):
                raise BadInput(
                    f"A frame is {list(picture.shape)}, the first one {list(shape)}.",
                    where=f"{self.name}, clip {number}, frame {i}",
                )
            yield picture

    def _picture(self, item: Any, which: str) -> Picture:
        hint = "Give a graph's own inputs, in its own range, as {name: array}."
        return as_picture(item, f"{self.name}, {which}", hint)
