"""Faces and hands found by their colour, on people drawn so that the truth is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.models.data.augmentation import PLAIN, Augmentation, similarity
from edgeanim.models.data.clips.weak_labels import weak_labels
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.dataset.sheet import contact_sheet
from edgeanim.models.regions import BACKGROUND, UNKNOWN
from tests.models.drawn_people import HEAD, JUMPERS, LEFT, RIGHT, SIZE, SKINS, TORSO, person, waving


def overlap(found, truth, label):
    one, other = found == label, truth == label
    return (one & other).sum() / (one | other).sum()


@settings(max_examples=12, deadline=None)
@given(skin=st.sampled_from(SKINS), jumper=st.sampled_from(JUMPERS))
def test_hands_of_every_skin_are_found_and_told_apart(skin, jumper):
    pictures, truth = waving(skin, jumper)
    labels = weak_labels(pictures)
    assert labels is not None
    assert labels.shape == truth.shape
    for hand in (LEFT, RIGHT):
        assert overlap(labels, truth, hand) > 0.6
    for label in (HEAD, TORSO, BACKGROUND):
        told = labels == label
        assert told.any()
        assert (truth[told] == label).mean() > 0.9


def test_round_a_hand_nothing_is_told():
    pictures, _ = waving(SKINS[0], JUMPERS[0])
    labels = weak_labels(pictures)
    rings = 0
    for frame in labels:
        hands = np.isin(frame, (LEFT, RIGHT)).astype(np.uint8)
        ring = (cv2.dilate(hands, np.ones((5, 5), np.uint8)) > hands).astype(bool)
        rings += ring.sum()
        assert (frame[ring] == UNKNOWN).all()
    assert rings > 100


def test_the_middle_of_a_face_is_left_open_since_eyes_and_mouth_are_there():
    labels = weak_labels(waving(SKINS[0], JUMPERS[0])[0])
    assert (labels[:, 60:70, 126:132] == UNKNOWN).all()
    assert (labels == HEAD).any((1, 2)).all()


def test_a_print_of_skin_colour_on_the_chest_is_no_hand():
    pictures, truth = waving(SKINS[0], JUMPERS[0])
    printed = pictures.copy()
    print_ = np.zeros((SIZE, SIZE), bool)
    print_[130:150, 115:140] = True
    bare = truth == TORSO
    printed[bare & print_] = SKINS[0]
    labels = weak_labels(printed)
    hands = (labels == LEFT) | (labels == RIGHT)
    assert hands[bare & print_].mean() < 0.1


def test_a_door_of_skin_colour_that_never_moves_is_no_hand():
    pictures, _ = waving(SKINS[1], JUMPERS[0])
    pictures = pictures.copy()
    pictures[:, 150:190, 5:35] = SKINS[1]
    labels = weak_labels(pictures)
    assert not np.isin(labels[:, 150:190, 5:35], (HEAD, LEFT, RIGHT)).any()


def test_the_cheek_of_a_head_that_turns_is_no_hand():
    turns = [0, 0, 0, 0, 0, 8, 8, 8]
    pictures = [
        person(SKINS[0], JUMPERS[0], [(66, 232), (190, 232)], head=turn)[0] for turn in turns
    ]
    assert weak_labels(np.stack(pictures)) is None


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((4, SIZE, SIZE, 3), np.uint8),
        np.random.default_rng(0).integers(0, 255, (6, SIZE, SIZE, 3)).astype(np.uint8),
        np.stack([person(SKINS[0], JUMPERS[0], [(66, 232), (190, 232)])[0]] * 4),
    ],
    ids=["black", "noise", "nothing moves"],
)
def test_where_nothing_can_be_told_there_are_no_labels(pictures):
    assert weak_labels(pictures) is None


def labelled():
    """Somebody who waves as a sequence with weak labels, and what is true of each pixel."""
    pictures, truth = waving(SKINS[0], JUMPERS[0])
    before = tuple(max(0, i - 1) for i in range(len(pictures)))
    return FrameSequence("person", pictures, before, weak_labels=weak_labels(pictures)), truth


def test_weak_labels_follow_the_augmentation_and_make_no_pair_known():
    sequence, _ = labelled()
    plain = make_pair(sequence, 0, 8, 128, PLAIN)
    mirrored = make_pair(
        sequence, 0, 8, 128, Augmentation(similarity(mirrored=True), mirrored=True)
    )
    assert plain.known == 0
    assert set(np.unique(plain.label_driving)) >= {HEAD, TORSO, LEFT, RIGHT, BACKGROUND, UNKNOWN}
    back = mirrored.label_driving[:, ::-1]
    assert plain.flow_weight[0, 0, 0] == mirrored.flow_weight[0, 0, -1] == 1
    assert (plain.flow[:, 0, 0] == 0).all()
    for one, other in ((LEFT, RIGHT), (RIGHT, LEFT), (HEAD, HEAD), (UNKNOWN, UNKNOWN)):
        assert overlap(back == other, plain.label_driving == one, True) > 0.8


def test_a_hand_is_told_to_come_from_where_it_was():
    sequence, truth = labelled()
    pair = make_pair(sequence, 0, 8, 128, PLAIN)
    for hand in (LEFT, RIGHT):
        there, here = (np.argwhere(truth[t] == hand).mean(0) for t in (0, 8))
        told = (pair.label_driving == hand) & (pair.flow_weight[0] > 0)
        assert told.any()
        # Half pictures, x first; truth in pixels, y first. Within two pixels.
        expected = (there - here)[::-1] * 2 / SIZE
        np.testing.assert_allclose(pair.flow[:, told].mean(1), expected, atol=2 * 2 / SIZE)
    unknown = pair.label_driving == UNKNOWN
    assert (pair.flow_weight[0][unknown] == 0).all()


def test_the_sheet_of_clips_paints_what_was_told_and_leaves_the_rest():
    clip, _ = labelled()
    sheet = contact_sheet([clip, replace(clip, weak_labels=None)], ["labelled", "plain"])
    row = len(sheet) // 2
    picture, painted = (sheet[:row, 160 * i : 160 * (i + 1)].astype(int) for i in (0, 1))
    differs = np.abs(picture - painted).max(2) > 20
    assert 0.2 < differs.mean() < 0.95
    plain = sheet[row:, 160 * 0 : 160].astype(int)
    assert (plain[20:] == picture[20:]).all()
