"""What is scored of a frame, on blocks whose every pixel is known and frames made by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest

from edgeanim.models.data.pairs import Pair, make_pair
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE
from edgeanim.models.data.sequences import FrameSequence, Parts
from edgeanim.models.evaluation.disocclusion import disoccluded_where_known
from edgeanim.models.evaluation.reenact import Made
from edgeanim.models.evaluation.score import Score, Shot, score_set
from edgeanim.models.evaluation.similarity import Picture
from edgeanim.models.regions import BACKGROUND, REGIONS

HAND, TORSO = REGIONS.index("forearm and hand, left"), REGIONS.index("torso")
HERE, THERE = ((slice(96, 160), slice(start, start + 64)) for start in (16, 160))
BELOW = (slice(180, 244), slice(88, 152))
Make = Callable[[Picture, Picture], Picture]


def blocks(regions: list[int], frames: list[dict[int, tuple[slice, slice]]]) -> Shot:
    """The last of these frames after the first, each with the places of the parts in it. All parts
    have one texture, and none goes anywhere else than it does in the frame."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(60, 255, (16, 16, 3), dtype=np.uint8), (64, 64))
    pictures = np.full((len(frames), SIZE, SIZE, 3), 40, np.uint8)
    parts = np.full(pictures.shape[:3], NO_PART, np.uint8)
    transforms = np.tile(np.eye(2, 3, dtype=np.float32), (len(frames), len(regions), 1, 1))
    for t, places in enumerate(frames):
        for part, place in places.items():
            pictures[t][place], parts[t][place] = texture, part
            transforms[t, part, :, 2] = place[1].start, place[0].start
    before = tuple(max(0, t - 1) for t in range(len(frames)))
    known = Parts(parts, transforms, np.array(regions, np.uint8))
    sequence = FrameSequence("blocks", pictures, before, known)
    return Shot(sequence, 0, (len(frames) - 1,))


def scored(shot: Shot, make: Make) -> Score:
    """The score of what `make` makes of the still and a driving frame; the affine warp is none."""

    class Faked:
        size = SIZE

        def reenact(self, still: Picture, driver: Iterable[Picture]) -> Faked:  # noqa: ARG002
            self.still = still
            return self

        def make(self, pair: Pair, before: Pair, number: int) -> tuple[Made, Made]:  # noqa: ARG002
            label = np.full((SIZE // 4, SIZE // 4), BACKGROUND)
            now, then = (
                Made(make(self.still, p.driving), self.still, label) for p in (pair, before)
            )
            return now, then

    return score_set(Faked(), "blocks", [shot], SIZE)


@pytest.fixture
def moved() -> Shot:
    """A hand goes from here to there, another one rests."""
    rests = {1: BELOW}
    return blocks([HAND, HAND], [{0: HERE} | rests, {0: HERE} | rests, {0: THERE} | rests])


def test_tips_are_judged_where_they_are_and_not_where_they_were(
    moved: Shot,
) -> None:
    def with_a_ghost(still: Picture, driving: Picture) -> Picture:
        made = driving.copy()
        made[(..., *HERE)] = still[(..., *HERE)]
        return made

    found = scored(moved, with_a_ghost)
    assert found.tips is not None
    assert found.tips.ssim == pytest.approx(1)
    assert found.tips.ssim_still < 0.2
    assert found.animator.ghosts == found.affine.ghosts == pytest.approx(1)


def test_only_what_something_has_uncovered_has_been_left() -> None:
    """Not what rests, nor where something arrives that the still does not show."""
    shot = blocks([HAND, HAND, TORSO], [{0: HERE, 2: BELOW}, {1: THERE, 2: BELOW}])
    left = disoccluded_where_known(make_pair(shot.sequence, 0, 1, SIZE))
    expected = np.zeros((SIZE, SIZE))
    expected[HERE] = 1
    np.testing.assert_array_equal(left, expected)


def test_sharpness_is_the_part_of_the_real_gradients_that_is_left(
    moved: Shot,
) -> None:
    def faint(still: Picture, driving: Picture) -> Picture:  # noqa: ARG001
        return 0.25 * driving

    found = scored(moved, faint)
    assert found.cover == 0
    assert found.tips is not None
    assert found.tips.sharpness == pytest.approx(0.25, rel=1e-5)


def test_where_the_like_takes_the_place_of_what_left_nothing_is_to_be_seen() -> None:
    """A torso leaves two places, of which another one takes one: there no tint can be told."""
    shot = blocks([TORSO, TORSO], [{0: HERE}, {0: HERE}, {1: THERE}])
    assert shot.sequence.parts is not None
    parts, pictures = shot.sequence.parts.shown, shot.sequence.pictures
    assert isinstance(parts, np.ndarray)
    assert isinstance(pictures, np.ndarray)
    for t in (0, 1):
        parts[t][THERE], pictures[t][THERE] = 0, pictures[2][THERE]

    def tinted(still: Picture, driving: Picture) -> Picture:  # noqa: ARG001
        made = driving.copy()
        made[(..., *HERE)] += 0.1
        return made

    pair = make_pair(shot.sequence, 0, 2, SIZE)
    assert (pair.visible[0] == 0).sum() == 2 * 16 * 16
    found = scored(shot, tinted)
    assert found.animator.tint == pytest.approx(25.5, rel=1e-3)
