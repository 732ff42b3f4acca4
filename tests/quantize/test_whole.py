"""A whole model in PyTorch makes the frames that the player makes, and layers are fitted anew."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.artifact import Array
from edgeanim.core.skeleton import Bone, Skeleton
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.pruning.takes import Script, Takes
from edgeanim.runtime.transfer import BodyMotion, RelativeMotion

torch = pytest.importorskip("torch")


class Numbered:
    """Samples that say whose they are and which."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count
        self.digest = f"{name}{count}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Mapping[str, Array]:
        assert 0 <= index < self.count
        return {self.name: np.array([index], np.float32)}


@given(st.lists(st.integers(1, 11), min_size=1, max_size=4))
def test_takes_hold_every_call_once_and_in_the_order_of_playing(frames: list[int]) -> None:
    scripts = [Script(("regions", "encode"), ("regions", "animate"), n) for n in frames]
    counts = {"regions": sum(n + 1 for n in frames), "encode": len(frames), "animate": sum(frames)}
    takes = Takes({name: Numbered(name, n) for name, n in counts.items()}, scripts)
    seen: dict[str, list[int]] = {name: [] for name in counts}
    for take in takes:
        assert len(take.frames) <= 4
        begins = not take.first
        for name, inputs in (*(take.still if begins else ()), *(c for f in take.frames for c in f)):
            seen[name].append(int(inputs[name][0]))
    assert seen == {name: list(range(n)) for name, n in counts.items()}
    assert len(takes) == sum(-(-n // 4) for n in frames)


def test_a_graph_may_run_twice_a_frame() -> None:
    takes = Takes({"net": Numbered("net", 1 + 2 * 5)}, [Script(("net",), ("net", "net"), 5)])
    told = [[int(call[1]["net"][0]) for call in frame] for take in takes for frame in take.frames]
    assert told == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert [int(call[1]["net"][0]) for call in takes[1].first] == [1, 2]


@given(st.integers(0, 1000))
def test_motion_is_carried_over_as_the_player_does(seed: int) -> None:
    from edgeanim.quantize.pruning.whole import relative as in_torch

    rng = np.random.default_rng(seed)
    still, now, first = rng.normal(0, 0.5, (3, 10, 6)).astype(np.float32)
    first[0, 2:] = 0.0  # a region without a shape of its own only moves
    wanted = RelativeMotion(still, first)(now)
    given = in_torch(*(torch.from_numpy(m[None]) for m in (still, now, first)))
    assert np.allclose(given[0].numpy(), wanted, rtol=1e-2, atol=1e-3)


@given(st.integers(0, 1000))
def test_motion_is_carried_along_a_skeleton_as_the_player_does(seed: int) -> None:
    from edgeanim.quantize.pruning.whole import retargeted

    bones = Bone(), Bone("a", -1.7), Bone("b", -1.7), Bone("a", 1.0)
    joints = Skeleton(bones, absent=0.05).named("abcd")
    rng = np.random.default_rng(seed)
    axes = rng.normal(0, 0.3, (3, 4, 2, 2)) + 0.2 * np.eye(2)
    centres = rng.normal(0, 0.5, (3, 4, 2))
    motions = np.concatenate([centres, axes.reshape(3, 4, 4)], -1).astype(np.float32)
    motions[rng.integers(0, 3), rng.integers(0, 4), 2:] = 0.0  # one is not in one of the pictures
    still, now, first = motions
    tensors = [torch.from_numpy(m[None]).requires_grad_() for m in (still, now, first)]
    made = retargeted(joints, *tensors)
    wanted = BodyMotion(still, first, joints)(now)
    assert np.allclose(
        made[0].detach().numpy(), wanted, rtol=2e-2, atol=1e-2 * np.abs(wanted).max()
    )
    made.square().sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in tensors)


def test_frames_are_composed_as_the_player_does() -> None:
    from edgeanim.quantize.pruning.whole import compose
    from edgeanim.runtime.warp import Compositor

    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:64, 0:64] / 63.0
    still = np.rint(255 * np.stack([x, y, 1 - x * y], -1)).astype(np.uint8)
    flow = rng.normal(0, 0.05, (16, 16, 2)).astype(np.float32)
    # What INT8 gives may overshoot; it is cut off at the size that they are made in.
    alpha = rng.uniform(-0.3, 1.3, (16, 16)).astype(np.float32)
    colour = rng.uniform(-0.3, 1.3, (16, 16, 3)).astype(np.float32)
    fill = np.rint(255 * colour.clip(0, 1)).astype(np.uint8)
    wanted = Compositor(still).compose(flow, alpha, fill) / 255
    given = (still / np.float32(255), flow, colour)
    tensors = [torch.from_numpy(a.transpose(2, 0, 1)[None]) for a in given]
    share = torch.from_numpy(alpha[None, None])
    made = compose(tensors[0], tensors[1], share, tensors[2])[0].permute(1, 2, 0).numpy()
    assert np.abs(made - wanted).max() < 0.02
    assert np.abs(made - wanted).mean() < 0.002


def test_what_left_channels_said_is_said_by_those_that_stay(samples: ArraySamples) -> None:
    """Channels that are mixtures of others can go without a trace once the rest is fitted."""
    from torch import fx, nn

    from edgeanim.quantize.pruning.channels import PrunedGroup
    from edgeanim.quantize.pruning.refit import refit
    from edgeanim.quantize.pruning.surgeon import apply_groups

    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
    with torch.no_grad():
        mix = torch.randn(4, 4)
        first.weight[4:] = torch.einsum("ij,jkhw->ikhw", mix, first.weight[:4])
        first.bias[4:] = mix @ first.bias[:4]
    teacher = fx.symbolic_trace(nn.Sequential(first, second).eval())
    student = deepcopy(teacher)
    batches = [[torch.from_numpy(samples[i]["image"])] for i in range(len(samples))]
    groups = (PrunedGroup("0", ("0", "1"), (4, 5, 6, 7), 8, 4),)
    apply_groups(student, batches[0], groups)
    x = torch.from_numpy(samples[0]["image"])[:, :, 8:-8, 8:-8]
    with torch.no_grad():
        wanted = teacher(x)
        before = float((student(x) - wanted).square().mean() / wanted.var())
        refit(student, teacher, {"0": [0, 1, 2, 3]}, batches, seed=0)
        after = float((student(x) - wanted).square().mean() / wanted.var())
    assert before > 0.1
    assert after < 0.01
