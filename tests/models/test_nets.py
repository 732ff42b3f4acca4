"""The networks keep their contract, their budgets, and the meaning of what they put out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.models.animator import Animator, contract_of
from edgeanim.models.config import SIZES, AnimatorConfig
from edgeanim.models.nets.blocks import ConvBlock, compute_in, fold_batch_norm
from edgeanim.models.nets.discriminator import Discriminator
from edgeanim.models.nets.generator import affine_coefficients, compose_flows
from edgeanim.models.nets.moments import motion_of
from edgeanim.models.regions import COUNT, MOTION_VALUES
from tests.models.tiny_training import TINY

BASE = AnimatorConfig()


def example(spec, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(tensor.shape, generator=generator) for tensor in spec.inputs]


def count_macs(module, inputs):
    total = 0

    def count(layer, _, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module.eval()(*inputs)
    return total


@pytest.mark.parametrize("config", [TINY, *SIZES.values()], ids=lambda config: config.name)
def test_graphs_give_what_the_contract_says(config):
    animator = Animator(config).eval()
    for spec in contract_of(config).graphs:
        with torch.no_grad():
            outputs = animator.graphs()[spec.name](*example(spec))
        assert [tuple(out.shape) for out in outputs] == [tensor.shape for tensor in spec.outputs]
        for out, tensor in zip(outputs, spec.outputs, strict=True):
            if tensor.range is not None:
                assert tensor.range[0] <= out.min() <= out.max() <= tensor.range[1]


@pytest.mark.parametrize(
    ("name", "gmacs", "parameters"),
    [("regions", 0.35, 0.8e6), ("encode", 0.8, 0.6e6), ("animate", 0.40, 0.6e6)],
)
def test_the_shipped_architecture_keeps_its_budgets(name, gmacs, parameters):
    module = Animator(BASE).graphs()[name]
    assert count_macs(module, example(contract_of(BASE).graph(name))) <= gmacs * 1e9
    assert sum(p.numel() for p in module.parameters()) <= parameters


@pytest.mark.parametrize(("size", "low", "high"), [("nano", 0.45, 0.55), ("small", 2.7, 3.3)])
def test_the_other_sizes_take_about_half_and_three_times_as_much(size, low, high):
    def macs(config, *names):
        graphs = Animator(config).graphs()
        contract = contract_of(config)
        return sum(count_macs(graphs[name], example(contract.graph(name))) for name in names)

    for names in (("regions", "animate"), ("encode",)):
        assert low <= macs(SIZES[size], *names) / macs(BASE, *names) <= high


def test_the_frame_graph_has_no_convolution_at_full_or_half_resolution():
    sizes = []
    animator = Animator(BASE).eval()
    for layer in animator.generator.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
    with torch.no_grad():
        animator.generator(*example(contract_of(BASE).graph("animate")))
    assert max(sizes) <= BASE.size // 4


def ellipse_mask(centre, axes, angle, side=96):
    """A filled ellipse: its exact covariance is R diag(a^2/4, b^2/4) R^T."""
    grid = (np.arange(side) * 2 + 1) / side - 1
    x, y = np.meshgrid(grid - centre[0], grid - centre[1])
    u = x * np.cos(angle) + y * np.sin(angle)
    v = -x * np.sin(angle) + y * np.cos(angle)
    return ((u / axes[0]) ** 2 + (v / axes[1]) ** 2 <= 1).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    st.tuples(st.floats(0.2, 0.5), st.floats(0.2, 0.5)),
    st.floats(0, np.pi),
)
def test_the_motion_of_an_ellipse_is_its_centre_heading_and_size(c, axes, angle):
    heading = np.array([-np.sin(angle), np.cos(angle)])  # where the ellipse's y axis points
    motion = motion_of(
        torch.from_numpy(ellipse_mask(c, axes, angle))[None, None],
        torch.tensor(heading, dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, 96, 96),
    )[0, 0].numpy()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    affine = turn @ np.diag(np.sqrt(np.square(axes) / 4 + 1e-3))
    np.testing.assert_allclose(motion[:2], c, atol=0.01)
    np.testing.assert_allclose(motion[2:].reshape(2, 2), affine, atol=0.015)


def test_a_limb_that_turns_is_told_to_turn_and_neither_shrinks_nor_shears():
    def motion(angle):
        mask = torch.from_numpy(ellipse_mask((0.0, 0.0), (0.12, 0.5), angle))[None, None]
        heading = torch.tensor([-np.sin(angle), np.cos(angle)], dtype=torch.float32)
        return motion_of(mask, heading.view(1, 2, 1, 1).expand(1, 2, 96, 96))[0, 0, 2:].view(2, 2)

    for angle in (0.7, np.pi / 2, 2.8):
        change = motion(angle) @ motion(0.0).inverse()
        turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        np.testing.assert_allclose(change.numpy(), turn, atol=0.05)


def test_an_absent_region_rests_small_at_the_centre_heading_down():
    motion = motion_of(torch.full((1, 2, 32, 32), 3e-4), torch.zeros(1, 2, 32, 32))[0]
    assert motion.abs()[:, :2].max() < 1e-3
    assert motion[:, 2].max() < 0.1
    assert motion[:, 4].abs().max() < 1e-6
    assert motion[:, 5].min() > 0


def random_motion(seed):
    rng = np.random.default_rng(seed)
    motion = rng.uniform(-0.1, 0.1, (1, COUNT, MOTION_VALUES)).astype(np.float32)
    motion[..., :2] = rng.uniform(-0.8, 0.8, (1, COUNT, 2))
    motion[..., [2, 5]] += 0.3
    return torch.from_numpy(motion)


def test_unchanged_motion_means_no_flow():
    motion = random_motion(0)
    flow = compose_flows(torch.zeros(1, COUNT, 16, 24), *affine_coefficients(motion, motion))
    assert flow.shape == (1, 2, 16, 24)
    assert flow.abs().max() < 1e-5


def test_a_region_that_wins_everywhere_carries_each_pixel_by_its_affine():
    still, driving = random_motion(1), random_motion(2)
    score = torch.zeros(1, COUNT, 8, 8)
    score[:, 3] = 60.0
    flow = compose_flows(score, *affine_coefficients(still, driving))[0].numpy()
    s, d = still[0, 3].numpy(), driving[0, 3].numpy()
    jacobian = s[2:].reshape(2, 2) @ np.linalg.inv(d[2:].reshape(2, 2))
    grid = (np.arange(8) * 2 + 1) / 8 - 1
    for row, column in ((0, 0), (2, 7), (5, 4)):
        here = np.array([grid[column], grid[row]])
        there = s[:2] + jacobian @ (here - d[:2])
        np.testing.assert_allclose(flow[:, row, column], there - here, atol=1e-4)


def test_a_degenerate_driving_motion_gives_finite_flow():
    flow = compose_flows(
        torch.zeros(1, COUNT, 8, 8),
        *affine_coefficients(random_motion(3), torch.zeros(1, COUNT, MOTION_VALUES)),
    )
    assert bool(torch.isfinite(flow).all())


def test_folding_batch_norm_changes_no_result_and_leaves_none():
    block = torch.nn.Sequential(ConvBlock(3, 8), ConvBlock(8, 4, kernel=1)).train()
    for _ in range(3):
        block(torch.randn(4, 3, 16, 16) * 3 + 1)
    x = torch.randn(1, 3, 16, 16)
    expected = block.eval()(x)
    folded = fold_batch_norm(block)
    torch.testing.assert_close(folded(x), expected, atol=1e-5, rtol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def results(animator, seed=0):
    """What each graph makes of the same inputs, by the outputs' names."""
    made = {}
    for spec in contract_of(animator.config).graphs:
        with torch.no_grad():
            outputs = animator.graphs()[spec.name](*example(spec, seed))
        made |= {tensor.name: out for tensor, out in zip(spec.outputs, outputs, strict=True)}
    return made


# Small pictures: processors without instructions for it take long.
@pytest.mark.parametrize("config", [TINY, replace(BASE, size=64)], ids=["tiny", "base"])
def test_convolutions_in_bfloat16_make_nearly_the_same_of_the_same_weights(config):
    torch.manual_seed(0)
    animator = Animator(config).eval()
    weights = {name: value.clone() for name, value in animator.state_dict().items()}
    exact = results(animator)
    compute_in(animator, torch.bfloat16)
    rough = results(animator)
    # Two features go from net to net as they are; what leaves the networks is float32.
    assert {n for n, v in rough.items() if v.dtype != torch.float32} == {"feature_s4", "feature_s8"}
    assert any(not torch.equal(rough[name].float(), exact[name]) for name in exact)
    for name in exact:
        torch.testing.assert_close(rough[name].float(), exact[name], atol=0.02, rtol=0.05)
    for name, value in animator.state_dict().items():
        assert value.dtype == weights[name].dtype
        assert torch.equal(value, weights[name]), name


def test_convolutions_compute_in_their_weights_type_again_when_told_so():
    animator = Animator(TINY).eval()
    exact = results(animator)
    compute_in(animator, torch.bfloat16)
    compute_in(animator, None)
    assert all(torch.equal(value, exact[name]) for name, value in results(animator).items())


def test_a_discriminator_in_bfloat16_scores_in_float32_and_passes_gradients_of_float32():
    torch.manual_seed(0)
    judge = Discriminator().eval()
    still, frame = torch.rand(2, 2, 3, 64, 64)
    with torch.no_grad():
        exact, _ = judge(still, frame)
    compute_in(judge, torch.bfloat16)
    score, features = judge(still, frame)
    assert score.dtype == torch.float32
    torch.testing.assert_close(score, exact, atol=0.02, rtol=0.05)
    (score.mean() + sum(feature.float().mean() for feature in features)).backward()
    for parameter in judge.parameters():
        assert parameter.grad.dtype == torch.float32
        assert bool(torch.isfinite(parameter.grad).all())
        assert parameter.grad.abs().max() > 0


def test_heat_far_from_a_region_fades_to_a_number_of_full_precision():
    """Numbers below 1e-38 make float32 convolutions many times as slow on Intel's processors."""
    seen = []
    animator = Animator(BASE).eval()
    animator.generator.enter.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    still = torch.zeros(1, COUNT, 6)
    still[..., 0], still[..., 2], still[..., 5] = -0.9, 0.04, 0.04  # small, and at one side
    features = (
        torch.zeros(1, BASE.generator[0], 64, 64),
        torch.zeros(1, BASE.generator[1], 32, 32),
        torch.zeros(1, 3, 64, 64),
    )
    with torch.no_grad():
        animator.generator(*features, still, still)
    heat = seen[0][:, :COUNT]
    assert heat.min() < 1e-17
    assert heat.min() > torch.finfo(torch.float32).tiny


def test_a_faint_difference_from_the_backdrop_is_none_and_can_still_be_learned():
    torch.manual_seed(0)
    animator = Animator(TINY).eval()
    s4, s8, _, still, driving = example(contract_of(TINY).graph("animate"))
    backdrop = torch.full((1, 3, 16, 16), 0.5)
    head = animator.generator.head
    with torch.no_grad():
        head.weight[COUNT + 3 :] = 0
        head.bias[COUNT + 3 :] = torch.tensor([0.8, -0.8, 4.0])  # an eighth of it is the difference
    _, _, colour = animator.generator(s4, s8, backdrop, still, driving)
    wanted = torch.tensor([0.5, 0.5, 0.88]).view(1, 3, 1, 1).expand_as(colour)
    torch.testing.assert_close(colour, wanted)
    colour.sum().backward()
    assert bool((head.bias.grad[COUNT + 3 :] > 0).all())
