"""Drift by region: the errors of the pixels weighed with soft masks of the reference's regions.

A face is a small part of a frame, and a spoilt mouth hardly moves the frame's mean. The masks are
found once, in the reference's own frames by the float32 original's graph, and serve all variants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.benchmarks.drift.similarity import similarity_map
from edgeanim.benchmarks.drift.spread import Series, Spread
from edgeanim.core.artifact import Array, relayout
from edgeanim.core.contract import Contract, GraphSpec
from edgeanim.core.ssim import WINDOW
from edgeanim.runtime.execution import GraphRunner, Moment, Shown
from edgeanim.runtime.pictures import Fit, finite
from edgeanim.runtime.wiring import Values
from edgeanim.targets.backends import Session

MASK = "mask"
# A region of fewer pixels than this is not in the frame.
_VISIBLE_PIXELS = 16.0
_SEEN = {"driving_frame", "cue"}


@dataclass(frozen=True)
class RegionDrift:
    """A region: `share` is its part of the picture, over all frames. Over those that show it,
    `ssim` is that of its pixels, `l1` their mean absolute error in levels of 0..255; null if none
    does."""

    share: float
    ssim: Spread | None
    l1: Spread | None


@dataclass(frozen=True, eq=False)
class Regions:
    """Where the regions are: `masks` float32 [T, K, h, w] in 0..1, one per frame of the reference,
    as a graph saw them that takes pictures of the size `graph` (height, width)."""

    names: tuple[str, ...]
    masks: NDArray[np.float32]
    graph: tuple[int, int]

    def at(self, frame: int, size: tuple[int, int]) -> NDArray[np.float32]:
        """The masks of a frame of this size (height, width): [K, H, W]."""
        import cv2

        seen = np.ascontiguousarray(self.masks[frame].transpose(1, 2, 0))
        shown = Fit.of(size, self.graph).from_graph(seen)
        full = cv2.resize(shown, size[::-1], interpolation=cv2.INTER_LINEAR)
        return np.atleast_3d(full).transpose(2, 0, 1).astype(np.float32, copy=False)


class RegionMeter:
    """Compares pictures region by region as they come."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._shares, self._ssim, self._l1 = ([Series() for _ in regions.names] for _ in range(3))

    def add(self, frame: NDArray[np.uint8], reference: NDArray[np.uint8], number: int) -> None:
        """Frame `number` of both, uint8 [H, W, C]."""
        masks = self._regions.at(number, frame.shape[:2])
        similarity = similarity_map(frame, reference)
        error = np.abs(frame.astype(np.int16) - reference).mean(axis=2)
        edge = WINDOW // 2
        inner = masks[:, edge:-edge, edge:-edge]
        pairs = zip(_means(inner, similarity), _means(masks, error), strict=True)
        for region, (alike, apart) in enumerate(pairs):
            self._shares[region].add(float(masks[region].mean()), number)
            self._ssim[region].add(alike, number)
            self._l1[region].add(apart, number)

    def result(self) -> dict[str, RegionDrift]:
        """Every region by its name."""
        return {
            name: RegionDrift(
                self._shares[k].mean() or 0.0, self._ssim[k].similarity(), self._l1[k].error()
            )
            for k, name in enumerate(self._regions.names)
        }


def region_graph(contract: Contract) -> GraphSpec | None:
    """The graph that finds regions in a picture (and the one before it) alone, if there is one."""
    for graph in contract.graphs:
        if graph.output(MASK) and {spec.role for spec in graph.inputs} <= _SEEN:
            return graph
    return None


def region_names(contract: Contract, count: int) -> tuple[str, ...]:
    """The contract's names of its regions, or numbers where it has none."""
    named = contract.regions or ()
    return named if len(named) == count else tuple(f"region {k}" for k in range(count))


def find_masks(
    graph: GraphSpec, session: Session, frames: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The masks [T, K, h, w] in 0..1 that `graph` finds in each of `frames`, uint8
    [T, H, W, C]."""
    runner = GraphRunner(graph, session, None)
    spec = session.spec.output(MASK)
    assert spec is not None  # `region_graph` saw to it
    found: list[Array] = []
    before: Shown | None = None
    for frame in frames:
        shown, values = Shown(frame, before), Values()
        runner.run(values, Moment({"driving_frame": shown}, {}), {}, rename={})
        masks = relayout(finite(values.require(MASK), spec), spec.layout, "NCHW")
        found.append(np.clip(masks[0], 0, 1))
        if before is not None:
            before.forget_before()
        before = shown
    return np.stack(found)


def _means(masks: NDArray[np.float32], values: NDArray[np.float64]) -> list[float | None]:
    """The mean of `values` [H, W] weighed with each mask; `None` where hardly a pixel is seen."""
    weights = masks.sum(axis=(1, 2), dtype=np.float64)
    sums = np.tensordot(masks, values, axes=2)
    return [
        float(total / weight) if weight >= _VISIBLE_PIXELS else None
        for total, weight in zip(sums, weights, strict=True)
    ]
