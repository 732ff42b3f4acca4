"""Drawings move as the captured body does, and what is said to be known of them is true."""

from __future__ import annotations

import contextlib
import shutil

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput, EdgeanimError
from edgeanim.models.data.augmentation import Augmentation, similarity
from edgeanim.models.data.drawings.bvh import parse_bvh, read_bvh
from edgeanim.models.data.drawings.drawing import JOINTS, Drawing, read_drawing
from edgeanim.models.data.drawings.drawn import (
    drawing_folders,
    drawing_sequence,
    perform,
    sketch_sequence,
)
from edgeanim.models.data.drawings.mesh import (
    MAX_TRIANGLES,
    build_mesh,
    deform,
    triangle_transforms,
)
from edgeanim.models.data.drawings.retarget import retarget
from edgeanim.models.data.drawings.rigs import make_rig
from edgeanim.models.data.drawings.sketches import make_sketch
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.puppets.keyposes import free_motion
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE
from edgeanim.models.data.sequences import region_table
from edgeanim.models.dataset.make import motion_files
from edgeanim.models.nets.moments import motion_of
from edgeanim.models.regions import BACKGROUND, COUNT, MIRRORED, REGIONS


@pytest.fixture(scope="module")
def sequence(drawing, bvh):
    return drawing_sequence(drawing, bvh, 1, moments=5)


def test_a_capture_is_read_with_its_skeleton_and_positions(bvh):
    capture = read_bvh(bvh)
    names = [joint.name for joint in capture.joints]
    places = capture.positions()
    assert capture.values.shape == (9, 3 + 3 * 15)
    assert capture.frame_time == 0.04
    hand, shoulder = places[:, names.index("LeftHand")], places[:, names.index("LeftArm")]
    np.testing.assert_allclose(hand[0] - shoulder[0], [4, 0, 0], atol=1e-9)
    np.testing.assert_allclose(hand[4] - shoulder[4], [0, 4, 0], atol=1e-9)
    np.testing.assert_allclose(places[:, 0], np.tile([0, 6, 0], (9, 1)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_capture_is_refused_or_read_but_never_crashes(bvh, data):
    words = bvh.read_text().split()
    at = data.draw(st.integers(0, len(words) - 1))
    junk = st.sampled_from(
        ["{", "}", "JOINT", "nan", "1e999", "-1", "MOTION", "999999999", "é", ""]
    )
    words[at] = data.draw(junk)
    with contextlib.suppress(BadInput):
        assert np.isfinite(parse_bvh(" ".join(words)).positions()).all()


@settings(max_examples=60)
@given(st.text(max_size=400))
def test_any_text_is_a_clear_error(text):
    with pytest.raises(BadInput):
        parse_bvh("HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 1 Xrotation " + text)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("Frames: 9", "Frames: 10", "should have 10 frames"),
        ("Frames: 9", "Frames: 100000000", "too many"),
        ("Frame Time: 0.04", "Frame Time: 0", "frame time"),
        ("CHANNELS 6", "CHANNELS 7", "7 channels"),
        ("JOINT Neck", "JOINT Hips", "same name"),
        ("JOINT Neck", "JOINT Nape", "no joint for: neck"),
    ],
)
def test_what_is_wrong_with_a_capture_is_said(bvh, tmp_path, old, new, match):
    path = tmp_path / "bad.bvh"
    path.write_text(bvh.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=match):
        retarget(read_bvh(path))


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "deep.bvh"
    joint = "JOINT j%d { OFFSET 0 0 0 CHANNELS 1 Xrotation "
    path.write_text(
        "HIERARCHY ROOT r { OFFSET 0 0 0 CHANNELS 1 Xrotation "
        + "".join(joint % i for i in range(100_000))
        + "MOTION"
    )
    with pytest.raises(BadInput, match="deep"):
        read_bvh(path)


def test_limbs_take_the_captured_directions(bvh):
    motion = retarget(read_bvh(bvh))
    # The raised left arm is on the right of the paper: it turns from right (0) to up (-90 degrees).
    assert motion.angles["upper arm left"][0] == pytest.approx(0, abs=0.25)
    assert motion.angles["upper arm left"].min() < -1.2
    assert abs(motion.angles["upper arm right"][4]) == pytest.approx(np.pi, abs=0.05)
    assert motion.angles["thigh left"] == pytest.approx(np.full(9, np.pi / 2), abs=0.05)


def test_frames_are_whole_and_begin_with_the_drawing_as_drawn(sequence, drawing):
    assert sequence.pictures.shape == (11, SIZE, SIZE, 3)
    assert sequence.before == (0, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9)
    assert set(np.unique(sequence.parts.shown)) <= {*range(len(sequence.parts.regions)), NO_PART}
    shown = {REGIONS[k] for k in np.unique(sequence.parts.regions)}
    assert shown == set(REGIONS[:8])
    share = read_drawing(drawing).mask.mean()
    height, width = read_drawing(drawing).mask.shape
    scale = np.sqrt((sequence.parts.shown[0] != NO_PART).sum() / (share * height * width))
    assert 0.5 < scale < 1.2


def test_only_the_raised_arm_moves(sequence):
    table = region_table(sequence.parts.regions)
    # The drawing's left arm is on the right of the picture.
    arm = REGIONS.index("forearm and hand, right")
    rows = [np.nonzero(table[parts] == arm)[0].mean() for parts in sequence.parts.shown]
    assert min(rows) < rows[0] - 25
    other = REGIONS.index("forearm and hand, left")
    rows = [np.nonzero(table[parts] == other)[0].mean() for parts in sequence.parts.shown]
    assert np.ptp(rows) < 2


def test_a_seed_always_gives_the_same_sequence(sequence, drawing, bvh):
    again = drawing_sequence(drawing, bvh, 1, moments=5)
    assert np.array_equal(sequence.pictures, again.pictures)
    assert np.array_equal(sequence.parts.transforms, again.parts.transforms)
    other = drawing_sequence(drawing, bvh, 2, moments=5)
    assert not np.array_equal(sequence.pictures, other.pictures)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_known_flow_brings_the_drawing_to_the_driving_frame(sequence, mirrored):
    augmentation = Augmentation(similarity(0.15, 1.1, (5.0, -3.0), mirrored=mirrored), mirrored)
    changes = [np.abs(p.astype(int) - sequence.pictures[0]).mean() for p in sequence.pictures]
    pair = make_pair(sequence, 0, int(np.argmax(changes)), SIZE, augmentation)
    # At the middles of the flow's own cells, on the character, where the drawing shows the place.
    grid = np.stack(np.meshgrid(*[np.arange(SIZE // 4) * 4 + 1.5] * 2)).astype(np.float32)
    made = look_up(pair.still, grid + pair.flow * SIZE / 2)
    driving, still = look_up(pair.driving, grid), look_up(pair.still, grid)
    body = (pair.visible[0] > 0) & (pair.label_driving != BACKGROUND)
    moving = body & (np.abs(still - driving).max(-1) > 0.1)
    assert moving.sum() > 30
    assert np.abs(made - driving)[body].mean() < 0.03
    assert np.abs(made - driving)[moving].mean() < 0.25 * np.abs(still - driving)[moving].mean()


def look_up(picture, places):
    """`picture` [3, h, w] at `places` [2, n, m] (x, y): [n, m, 3]."""
    return cv2.remap(np.ascontiguousarray(picture.transpose(1, 2, 0)), *places, cv2.INTER_LINEAR)


def test_a_bent_limb_is_visible_across_the_borders_of_its_pieces(sequence):
    pair = make_pair(sequence, 0, 2, SIZE)
    body = (pair.label_driving != BACKGROUND) & (pair.label_driving < COUNT)
    inner = cv2.erode(body.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert pair.visible[0][inner].mean() > 0.9


def test_the_paper_lies_where_it_lay_behind_the_character(drawing):
    small = read_drawing(drawing)
    size = small.mask.shape[1] * 3, small.mask.shape[0] * 3
    mask = cv2.resize(small.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    x = np.broadcast_to(np.arange(size[0]), mask.shape)
    wave = np.abs(x % 100 - 50) * 4 + 20
    texture = np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)
    joints = {name: 3 * xy for name, xy in small.joints.items()}
    rig = make_rig(Drawing("large", texture, mask, joints), np.random.default_rng(0))
    placed = cv2.resize(rig.picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(int)
    far = cv2.dilate(placed[:, :, 3].astype(np.uint8), np.ones((25, 25), np.uint8)) == 0
    far &= cv2.erode((placed[:, :, 0] > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    slope = np.gradient(placed[:, :, 0].astype(float), axis=1)
    error = (rig.backdrop[:, :, 0] - placed[:, :, 0]) / np.where(slope, slope, 1)
    assert abs(np.median(error[far & (np.abs(slope) > 5)])) < 0.1


def test_directions_point_down_the_limbs(sequence):
    pair = make_pair(sequence, 0, 0, SIZE)
    for name, wanted in (
        ("forearm and hand, right", (1, 0)),
        ("forearm and hand, left", (-1, 0)),
        ("leg, left", (0, 1)),
        ("head", (0, 1)),
        ("torso", (0, 1)),
    ):
        here = pair.label_still == REGIONS.index(name)
        np.testing.assert_allclose(pair.direction_still[:, here].mean(1), wanted, atol=0.15)


def test_mirroring_a_drawing_exchanges_its_sides(sequence):
    plain = make_pair(sequence, 0, 6, SIZE)
    mirror = make_pair(sequence, 0, 6, SIZE, Augmentation(similarity(mirrored=True), True))
    np.testing.assert_allclose(mirror.driving, plain.driving[:, :, ::-1], atol=1e-6)
    sides = np.array([*MIRRORED, BACKGROUND], np.uint8)[plain.label_driving[:, ::-1]]
    assert (mirror.label_driving == sides).mean() > 0.97


@settings(max_examples=6, deadline=None)
@given(st.floats(-3, 3), st.floats(-30, 30), st.integers(0, 1000))
def test_moving_all_handles_rigidly_moves_the_mesh_rigidly(angle, shift, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    centre, axes = rng.uniform(110, 146, 2), rng.uniform(20, 60, 2)
    box = (tuple(map(float, centre)), tuple(map(float, axes * 2)), float(rng.uniform(0, 180)))
    cv2.ellipse(mask, box, 1, -1)
    handles = np.array([centre - 8, centre + 8, centre + np.array([8, -8])])
    mesh = build_mesh(mask > 0, handles)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (mesh.points - centre) @ turn.T + centre + shift
    assert len(mesh.triangles) <= MAX_TRIANGLES
    places = deform(mesh, moved[None, :3], moved[None])
    np.testing.assert_allclose(places[0], moved, atol=1e-3)
    linear = triangle_transforms(mesh, places)[0, :, :, :2]
    np.testing.assert_allclose(linear, np.tile(turn, (len(linear), 1, 1)), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("char_cfg.yaml", "width: [", "YAML"),
        ("char_cfg.yaml", "width: &a 3\nheight: *a\n", "Aliases"),
        ("char_cfg.yaml", "width: 200\nheight: 240\nskeleton: []\n", "lacks the joints"),
        ("char_cfg.yaml", "width: 20\nheight: 240\nskeleton: []\n", "differ in size"),
        ("char_cfg.yaml", "wide: 20\n", "Unknown key"),
        ("char_cfg.yaml", "!!python/object/apply:os.getcwd []", "YAML"),
        ("mask.png", b"not a picture", "picture"),
        ("texture.png", None, "No such file"),
    ],
)
def test_what_is_wrong_with_a_drawing_is_said(drawing, tmp_path, name, content, match):
    folder = tmp_path / "copy"
    shutil.copytree(drawing, folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(EdgeanimError, match=match):
        read_drawing(folder)


def test_an_empty_mask_and_a_joint_outside_are_refused(drawing, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(drawing, folder)
    config = (folder / "char_cfg.yaml").read_text()
    (folder / "char_cfg.yaml").write_text(config.replace("- 215", "- 2150"))
    with pytest.raises(BadInput, match="outside"):
        read_drawing(folder)
    cv2.imwrite(str(folder / "mask.png"), np.zeros((240, 200), np.uint8))
    with pytest.raises(BadInput, match="no character"):
        read_drawing(folder)


def test_transparent_paper_is_white(drawing, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(drawing, folder)
    mask = read_drawing(drawing).mask
    texture = np.zeros((*mask.shape, 4), np.uint8)
    texture[mask] = 60, 90, 120, 255
    cv2.imwrite(str(folder / "texture.png"), texture)
    read = read_drawing(folder).texture
    assert (read[mask] == (120, 90, 60)).all()
    assert (read[~mask] == 255).all()


def test_drawings_of_a_folder_are_found(drawing, tmp_path):
    assert drawing_folders(drawing.parent) == (drawing,)
    assert drawing_folders(drawing) == (drawing,)
    with pytest.raises(BadInput, match="no drawings"):
        drawing_folders(tmp_path)


def test_motions_of_a_folder_are_found_whatever_the_case_of_their_suffix(bvh, tmp_path):
    (tmp_path / "folder.bvh").mkdir()
    shutil.copy(bvh, tmp_path / "b.bvh")
    shutil.copy(bvh, tmp_path / "A.BVH")
    (tmp_path / "._b.bvh").write_bytes(b"\x00what a Mac leaves beside a file")
    assert [path.name for path in motion_files(tmp_path)] == ["A.BVH", "b.bvh"]


def test_real_drawings_follow_real_motion(media):
    folder = media / "drawings"
    made = drawing_sequence(folder / "char2", folder / "motion" / "zombie.bvh", 0, moments=2)
    changed = np.abs(made.pictures[0].astype(int) - made.pictures[4]).max(-1) > 30
    assert 0.01 < changed.mean() < 0.4
    sizes = [(parts != NO_PART).sum() for parts in made.parts.shown]
    # Bending neither loses nor doubles much of the character.
    assert 0.6 * sizes[0] < min(sizes) <= max(sizes) < 1.3 * sizes[0]


@pytest.mark.parametrize("seed", range(2))
def test_sketches_are_drawings_that_move_and_stay_the_same_by_seed(seed, bvh):
    sketch = make_sketch(seed)
    assert all(v >= 0 for name in JOINTS for v in sketch.joints[name])
    x, y = np.rint(sketch.joints["torso"]).astype(int)
    assert sketch.mask[y, x]
    assert 0.03 < sketch.mask.mean() < 0.8
    one, two = (sketch_sequence(seed, 2) for _ in range(2))
    assert np.array_equal(one.pictures, two.pictures)
    assert len(one.parts.regions) <= MAX_TRIANGLES
    assert np.abs(one.pictures[0].astype(int) - one.pictures[4]).mean() > 0.5
    assert {REGIONS[k] for k in np.unique(one.parts.regions)} >= {"head", "torso"}
    captured = sketch_sequence(seed, 2, (read_bvh(bvh),))
    assert captured.pictures.shape == one.pictures.shape


def transformed(motion, angle, scale, mirrored):
    """Motion [K, 6] of a picture turned and scaled, perhaps mirrored first, about its middle."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([-1.0, 1.0]) if mirrored else np.eye(2)
    order = list(MIRRORED) if mirrored else range(COUNT)
    centre, linear = motion[order, :2], motion[order, 2:].reshape(-1, 2, 2)
    place = centre @ (turn @ flip).T
    return np.hstack([place, (turn @ flip @ linear @ flip).reshape(-1, 4)])


@settings(max_examples=6, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(0.75, 1.0), st.booleans(), st.integers(0, 10))
def test_motion_of_transformed_drawings_is_the_transformed_motion(
    sequence, angle, scale, mirrored, frame
):
    augmentation = Augmentation(similarity(angle, scale, mirrored=mirrored), mirrored)
    plain, turned = (
        motion_of_labels(make_pair(sequence, 0, frame, 4 * SIZE, a))
        for a in (Augmentation(np.eye(3)), augmentation)
    )
    wanted = transformed(plain, angle, scale, mirrored)
    named = [k for k in range(COUNT) if (sequence.parts.regions == k).any()]
    np.testing.assert_allclose(turned[named], wanted[named], atol=0.03)


def motion_of_labels(pair):
    masks = np.stack([pair.label_driving == k for k in range(COUNT)]).astype(np.float32)
    mask, direction = (torch.from_numpy(a)[None] for a in (masks, pair.direction_driving))
    return motion_of(mask, direction)[0].numpy()


def test_a_speck_on_a_large_sheet_is_not_enlarged_with_all_its_paper():
    """The sheet would be 47,000 pixels a side: more than OpenCV counts, which ends the process."""
    rng = np.random.default_rng(0)
    mask = np.zeros((500, 500), np.uint8)
    mask[249:252, 249:252] = 1
    joints = {name: np.array([250.0, 250.0]) + rng.uniform(-1, 1, 2) for name in JOINTS}
    paper = rng.integers(0, 255, (500, 500, 3)).astype(np.uint8)
    drawing = Drawing("speck", paper, mask > 0, joints)
    made = perform("speck", drawing, free_motion(rng, 4), rng, 2)
    assert (made.parts.shown[0] != NO_PART).mean() > 0.1


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**31), st.sampled_from(["anywhere", "in one place", "crowded"]), st.booleans()
)
def test_any_mask_and_joints_move_or_are_refused(seed, where, thin):
    rng = np.random.default_rng(seed)
    height, width = (int(v) for v in rng.integers(3, 500, 2))
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), int(rng.integers(1, 200)), 1, -1)
    if thin:
        mask[height // 2] = 1
    spread = {"anywhere": (width, height), "in one place": (0, 0), "crowded": (9, 9)}[where]
    middle = np.array([width, height]) / 2
    joints = {name: middle + rng.uniform(-0.5, 0.5, 2) * spread for name in JOINTS}
    paper = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
    moved = free_motion(rng, 6)
    try:
        made = perform("any", Drawing("any", paper, mask > 0, joints), moved, rng, 2)
    except BadInput as error:
        assert "thin" in error.what or "far off" in error.what  # noqa: PT017 any is right
        return
    # Joints anywhere stretch slivers of the mesh without bound; what counts is a way back.
    assert np.isfinite(made.parts.transforms).all()
    assert np.abs(np.linalg.det(made.parts.transforms[..., :2])).min() > 1e-6
    assert np.isfinite(make_pair(made, 0, 2, 64).flow).all()
