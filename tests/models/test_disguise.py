"""Clips in disguise: people cut out, put elsewhere and bent, with labels that stay true."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.models.data.clips import disguise
from edgeanim.models.data.clips.disguise import disguised
from edgeanim.models.data.clips.mattes import mattes
from edgeanim.models.data.clips.weak_labels import weak_labels
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.regions import BACKGROUND, REGIONS, TIPS, UNKNOWN
from tests.models.drawn_people import JUMPERS, SKINS, waving

TORSO = 1
WALL, PERSON = (200, 210, 220), (90, 40, 30)


def blocks(frames: int = 6) -> FrameSequence:
    """A dark block that wanders before a light wall, with exact labels and mattes."""
    pictures = np.full((frames, SIZE, SIZE, 3), WALL, np.uint8)
    labels = np.full((frames, SIZE, SIZE), UNKNOWN, np.uint8)
    for t in range(frames):
        place = slice(80, 200), slice(60 + 10 * t, 160 + 10 * t)
        pictures[t][place] = PERSON
        labels[t][place] = TORSO
    masks = np.where(labels == TORSO, 255, 0).astype(np.uint8)
    before = tuple(max(0, t - 1) for t in range(frames))
    return FrameSequence("blocks", pictures, before, weak_labels=labels, mattes=masks)


def test_without_anything_to_tell_people_from_walls_by_only_what_is_labelled_is_cut_out():
    pictures = np.full((3, SIZE, SIZE, 3), 128, np.uint8)
    labels = np.full((3, SIZE, SIZE), UNKNOWN, np.uint8)
    assert not mattes(pictures, labels).any()
    labels[:, :40, :40] = TORSO
    assert ((mattes(pictures, labels) > 0) == (labels == TORSO)).all()


def test_frames_in_which_a_pixel_looks_as_usual_settle_it_together():
    """Without a label for the wall, each frame's own cut is what is labelled in it."""
    pictures = np.full((6, SIZE, SIZE, 3), 128, np.uint8)
    pictures[2, 200:, 200:] = 255
    labels = np.full((6, SIZE, SIZE), UNKNOWN, np.uint8)
    labels[1:, :40, :40] = TORSO  # one frame loses it
    labels[5, :40, 80:120] = TORSO  # one frame makes it up
    labels[2, 200:, 200:] = TORSO  # here the frame looks unlike the others
    expected = np.zeros(labels.shape, np.uint8)
    expected[:, :40, :40] = expected[2, 200:, 200:] = 255
    np.testing.assert_array_equal(mattes(pictures, labels), expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), still=st.integers(0, 5), driving=st.integers(0, 5))
def test_labels_go_with_the_picture_and_a_pair_keeps_its_frames(seed, still, driving):
    clip = blocks()
    rng = np.random.default_rng(seed)
    three, (first, last) = disguised(clip, (still, driving), rng)
    assert three.pictures.shape == (3, SIZE, SIZE, 3)
    assert three.before[last] == 1
    dark = np.abs(three.pictures.astype(int) - PERSON).max(3) < 12
    labelled = three.weak_labels == TORSO
    # Its outline is soft, and patterns of another backdrop may have the block's colour.
    inside = [cv2.erode(each.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0 for each in labelled]
    assert dark[np.stack(inside)].mean() > 0.99
    if driving == still:
        np.testing.assert_array_equal(three.pictures[first], three.pictures[last])
    if clip.before[driving] == still:
        np.testing.assert_array_equal(three.pictures[first], three.pictures[1])
    # The block is bent and stretched alike in all frames: it still moves to the right.
    columns = [np.flatnonzero(labelled[i].any(0)).mean() for i in (first, last)]
    assert np.sign(round(columns[1] - columns[0])) in (0, np.sign(driving - still))


def test_what_is_covered_by_another_backdrop_is_labelled_as_backdrop():
    clip = blocks()
    drawn = [disguised(clip, (0, 5), np.random.default_rng(seed))[0] for seed in range(60)]
    elsewhere = [(three.weak_labels == BACKGROUND).any() for three in drawn]
    assert 0.4 < np.mean(elsewhere) < 0.8
    for three, moved in zip(drawn, elsewhere, strict=True):
        rest = three.weak_labels != TORSO
        assert (three.weak_labels[rest] == (BACKGROUND if moved else UNKNOWN)).all()
        if not moved:
            assert (np.abs(three.pictures[rest].astype(int) - WALL).max(1) < 2).mean() > 0.97


@pytest.fixture(scope="module", params=list(zip(SKINS, JUMPERS, strict=True)))
def waver(request):
    """A clip of somebody waving, with its mattes, and the true labels."""
    pictures, truth = waving(*request.param, frames=8)
    labels = weak_labels(pictures)
    before = tuple(max(0, t - 1) for t in range(8))
    cut = mattes(pictures, labels)
    return FrameSequence("waving", pictures, before, weak_labels=labels, mattes=cut), truth


@pytest.fixture(scope="module")
def person(waver):
    """The clip, and where jumper and skin are in its frames 0, 4 and 5, the latter well within its
    outlines."""
    clip, truth = waver
    shown = truth[[0, 4, 5]]
    body, bare = shown == TORSO, (shown != TORSO) & (shown != BACKGROUND)
    inside = np.stack([cv2.erode(b.astype(np.uint8), np.ones((9, 9), np.uint8)) for b in bare])
    return clip, body, inside > 0


def test_a_matte_is_where_the_person_is(waver):
    clip, truth = waver
    found, person = clip.mattes > 0, truth != BACKGROUND
    assert (found & person).sum() / (found | person).sum() > 0.9


def only(how, monkeypatch):
    for other in {"_BENT", "_ELSEWHERE", "_DYED", "_TONED"} - {how}:
        monkeypatch.setattr(disguise, other, 0.0)


def test_clothes_are_dyed_alike_in_all_frames_and_skin_is_not(person, monkeypatch):
    only("_DYED", monkeypatch)
    clip, body, bare = person
    dyed = 0
    for seed in range(8):
        three, _ = disguised(clip, (0, 5), np.random.default_rng(seed))
        off = np.abs(three.pictures.astype(int) - clip.pictures[[0, 4, 5]]).max(3)
        assert np.median(off[bare]) == 0
        if off[body].mean() > 2:
            dyed += 1
            colours = [np.median(three.pictures[t][body[t]], axis=0) for t in range(3)]
            np.testing.assert_allclose(colours[1:], colours[:1] * 2, atol=3)
    assert 2 < dyed < 8


def test_a_hand_that_is_labelled_is_not_dyed_whatever_its_colour(monkeypatch):
    only("_DYED", monkeypatch)
    clip = blocks()
    hand, face = np.s_[:, 150:180, 115:145], np.s_[:, 90:120, 115:145]
    clip.pictures[hand], clip.pictures[face] = (20, 120, 40), (220, 170, 140)
    clip.weak_labels[hand], clip.weak_labels[face] = TIPS[0], REGIONS.index("head")
    inner = np.s_[:, 155:175, 120:140]
    dyed = 0
    for seed in range(4):
        three, _ = disguised(clip, (0, 5), np.random.default_rng(seed))
        off = np.abs(three.pictures.astype(int) - clip.pictures[[0, 4, 5]]).max(3)
        assert off[inner].max() == 0
        dyed += off.max() > 20
    assert dyed


def test_skin_is_toned_alike_in_all_frames_and_clothes_are_not(person, monkeypatch):
    only("_TONED", monkeypatch)
    clip, body, bare = person
    tones = []
    for seed in range(12):
        three, _ = disguised(clip, (0, 5), np.random.default_rng(seed))
        off = np.abs(three.pictures.astype(int) - clip.pictures[[0, 4, 5]]).max(3)
        assert np.median(off[body]) == 0
        colours = [np.median(three.pictures[t][bare[t]], axis=0) for t in range(3)]
        np.testing.assert_allclose(colours[1:], colours[:1] * 2, atol=6)
        tones.append(colours[0] / np.median(clip.pictures[0][bare[0]], axis=0))
    toned = [tone for tone in tones if np.abs(tone - 1).max() > 0.01]
    assert 2 < len(toned) < 11
    # Dark skin takes more of blue than of red.
    assert all(tone[2] < tone[0] for tone in toned if tone[0] < 0.95)


def test_a_clip_of_which_nothing_is_known_is_only_bent():
    clip = blocks()
    bare = FrameSequence("bare", clip.pictures, clip.before)
    changed = 0
    for seed in range(20):
        three, _ = disguised(bare, (0, 5), np.random.default_rng(seed))
        assert three.weak_labels is None
        changed += bool((three.pictures[2] != clip.pictures[5]).any())
    assert 8 < changed < 20
