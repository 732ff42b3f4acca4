"""A compiled animator's self-reenactment, by the player that animates with it too."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeanim.benchmarks.drift.regions import Regions, find_masks, region_graph
from edgeanim.core.artifact import Array
from edgeanim.core.contract import Contract, GraphSpec
from edgeanim.core.errors import UsageError
from edgeanim.models.data.media import scaled
from edgeanim.models.data.pairs import MASK_STRIDE, Pair
from edgeanim.models.evaluation.affine import affine_warp
from edgeanim.models.evaluation.reenact import Made, Reenactment
from edgeanim.models.evaluation.similarity import Picture, to_picture
from edgeanim.models.regions import REGIONS
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import Session, SessionOptions, get_backend
from edgeanim.targets.bundle import Variant

_MOTIONS = ("motion:still", "motion:driving")


class Played:
    """A variant of a model that animates a still by a driver. `more_stills`, squares uint8
    [S, S, 3], are those that take over from any still."""

    def __init__(
        self,
        contract: Contract,
        player: Player,
        motions: Mapping[str, Array],
        finder: tuple[GraphSpec, Session] | None,
        *,
        refine: bool,
        more_stills: Sequence[NDArray[np.uint8]],
    ) -> None:
        self._contract, self.player, self.motions = contract, player, motions
        self.refine, self.more_stills = refine, more_stills
        self._finder = finder

    @classmethod
    @contextmanager
    def opened(
        cls,
        contract: Contract,
        variant: Variant,
        options: SessionOptions,
        *,
        refine: bool = False,
        more_stills: Sequence[NDArray[np.uint8]] = (),
    ) -> Iterator[Played]:
        """Open its sessions; `refine` mends the motion found in the driver (`runtime.refining`),
        and `more_stills`, squares, take over from every still (`runtime.nearest_still`).
        `UsageError` if what it makes cannot be held against a clip."""
        _refuse_others(contract)
        latest: dict[str, Array] = {}

        def record(graph: str, inputs: Mapping[str, Array]) -> None:
            for spec in contract.graph(graph).inputs:
                if spec.role in _MOTIONS:
                    latest[spec.role] = np.array(inputs[spec.name][0], np.float32)

        with ExitStack() as stack:
            motion = MotionOptions("raw", refine=refine)
            player = stack.enter_context(
                load_player(contract, variant, options, record, motion=motion)
            )
            graph = region_graph(contract) if contract.regions == REGIONS else None
            finder = None
            if graph is not None:
                compiled = next(each for each in variant.graphs if each.spec.name == graph.name)
                session = get_backend(variant.backend).load(compiled, options)
                stack.callback(session.close)
                finder = graph, session
            yield cls(contract, player, latest, finder, refine=refine, more_stills=more_stills)

    @property
    def size(self) -> int:
        """The side of the largest square that its graphs see unscaled, in steps of a mask's
        pixel."""
        sides = (
            min(spec.size)
            for graph in self._contract.graphs
            for spec in graph.inputs
            if spec.role in ("still", "driving_frame")
        )
        return -(-max(sides) // MASK_STRIDE) * MASK_STRIDE

    def reenact(self, still: Picture, driver: Iterable[Picture]) -> Reenactment:
        if self._contract.remembers:
            return PlayedThrough(self, still, driver)
        return PlayedReenactment(self, still)

    def made(self, still: Picture, frame: NDArray[np.uint8]) -> Made:
        """The `frame` that the player has just made, at the size of the still, as what paints has a
        size of its own; and the still by the motions of that frame alone."""
        own, driving = (self.motions.get(role) for role in _MOTIONS)
        affine = None if own is None or driving is None else affine_warp(still, own, driving)
        return Made(to_picture(scaled(frame, still.shape[2:0:-1])), affine)

    def labelled(self, now: Made, then: Made, shown: NDArray[np.uint8]) -> tuple[Made, Made]:
        """What the last two of the driving frames `shown`, uint8 [T, S, S, 3], call for, with the
        likeliest region of each pixel of a quarter of their size."""
        if self._finder is None:
            return now, then
        graph, session = self._finder
        seen = next(spec.size for spec in graph.inputs if spec.role == "driving_frame")
        regions = Regions(REGIONS, find_masks(graph, session, shown), seen)
        side = shown.shape[1] // MASK_STRIDE
        before, last = (_likeliest(regions.at(i, (side, side))) for i in (-2, -1))
        return replace(now, label=last), replace(then, label=before)


class PlayedReenactment:
    """One still; every driving frame is played after the two before it, as models take the change
    from one to the next for a cue, and after the still itself, where motion is refined by it."""

    def __init__(self, played: Played, still: Picture) -> None:
        self._played, self._still = played, still
        more = [scaled(picture, still.shape[1:]) for picture in played.more_stills]
        first = _levels(still)
        self._lead = [first] if played.refine else []
        self._scene = Scene(first, more_stills=more)
        self._prepared = played.player.prepare(self._scene)

    def make(self, pair: Pair, before: Pair, number: int) -> tuple[Made, Made]:  # noqa: ARG002
        shown = _shown(pair, before)
        scene = replace(self._scene, driver=[*self._lead, *shown])
        frames = self._played.player.play(scene, stills=self._prepared)
        asked = itertools.islice(frames, len(self._lead) + len(shown) - 2, None)
        then, now = (self._played.made(self._still, frame) for frame in asked)
        return self._played.labelled(now, then, shown)


class PlayedThrough:
    """One still in a model that carries a state: the driver is played from its first frame on, up
    to each that is asked for."""

    def __init__(self, played: Played, still: Picture, driver: Iterable[Picture]) -> None:
        self._played = played
        frames = played.player.play(Scene(_levels(still), map(_levels, driver)))
        made = (played.made(still, frame) for frame in frames)
        self._numbered = enumerate(itertools.pairwise(made), 1)

    def make(self, pair: Pair, before: Pair, number: int) -> tuple[Made, Made]:
        then, now = next(both for last, both in self._numbered if last == number)
        return self._played.labelled(now, then, _shown(pair, before))


def _shown(pair: Pair, before: Pair) -> NDArray[np.uint8]:
    """The driving frame of `pair` after the two before it: uint8 [3, h, w, 3]."""
    shown = (before.driving - before.cue, before.driving, pair.driving)
    return np.stack([_levels(picture) for picture in shown])


def _refuse_others(contract: Contract) -> None:
    needs = Needs.of(contract)
    follows = needs.frames or any(graph.runs == "driver" for graph in contract.graphs)
    if not needs.still or not follows or needs.conditions:
        raise UsageError(
            f"The model {contract.name!r} is not one that animates a still by a driver alone, so "
            "no clip says what its frames should be.",
            hint="How far a compiled form is from the original, `edgeanim bench` measures of any "
            "model.",
        )


def _likeliest(masks: NDArray[np.float32]) -> NDArray[np.int64]:
    """The label of each pixel by masks [K, h, w]; what they leave is the background's."""
    rest = 1 - masks.sum(0, keepdims=True)
    labels: NDArray[np.int64] = np.concatenate([masks, rest]).argmax(0)
    return labels


def _levels(picture: Picture) -> NDArray[np.uint8]:
    """A picture [3, h, w] in 0..1 as uint8 [h, w, 3]."""
    levels: NDArray[np.uint8] = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
