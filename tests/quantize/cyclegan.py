"""A small CycleGAN-style generator, trained by the test-suite itself on a filter of photographs.

Instance norms with an affine, reflection pads, residual blocks of depthwise convolutions and
transposed convolutions: all that makes INT8 hard. It learns to draw: a dodged blend of the
picture's grey with its own blur, whose gain on faint contrasts is what eight bits lose.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.benchmarks.drift.frames import ssim
from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.quantize.calibration.samples import ArraySamples

if TYPE_CHECKING:
    import torch


def photographs(count: int, size: int, seed: int) -> Array:
    """Pictures with shading, overlapping shapes, texture and grain, [count, 1, 3, size, size]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
    pictures = np.empty((count, 1, 3, size, size), np.float32)
    for picture in pictures[:, 0]:
        light = rng.uniform(-0.4, 0.4, 2) @ np.stack([y, x]).reshape(2, -1)
        shade = 0.5 + light.reshape(size, size)
        picture[:] = shade * rng.uniform(0.4, 1.0, (3, 1, 1))
        for _ in range(rng.integers(3, 7)):
            cy, cx, ry, rx = rng.uniform(0, 1, 4) * (1, 1, 0.4, 0.4) + (0, 0, 0.08, 0.08)
            inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
            waves = np.sin(rng.uniform(10, 60) * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)))
            texture = 1 + rng.uniform(0, 0.15) * waves
            colour = rng.uniform(0, 1, (3, 1, 1)) * (0.7 + 0.6 * (shade - 0.5)) * texture
            picture[:, inside] = colour[:, inside]
        picture += rng.normal(0, 0.01, picture.shape)
    return np.round(pictures.clip(0, 1) * 255).astype(np.float32) / 255


def spec_of(size: int) -> GraphSpec:
    """Image to image, -1..1 as CycleGAN has it."""
    shape = (1, 3, size, size)
    return GraphSpec(
        name="cyclegan",
        file="cyclegan.onnx",
        runs="frame",
        inputs=(TensorSpec("image", "driving_frame", shape, "NCHW", range=(-1.0, 1.0)),),
        outputs=(TensorSpec("drawing", "frame", shape, "NCHW", range=(-1.0, 1.0)),),
    )


def as_samples(pictures: Array) -> ArraySamples:
    """Pictures in 0..1 as calibration samples of the generator."""
    return ArraySamples({"image": pictures * 2 - 1})


def make_generator(width: int, blocks: int, spread: float) -> torch.nn.Module:
    """c7s1-w, two strided convolutions, `blocks` residual blocks, two transposed ones, c7s1-3.

    A norm takes out whatever scale its convolution has, so nothing holds those scales together:
    they drift apart over days of training. Here they begin apart, with a log-normal `spread`.
    """
    import torch
    from torch import nn

    def normalized(convolution: nn.Module, channels: int) -> list[nn.Module]:
        axis = 1 if isinstance(convolution, nn.ConvTranspose2d) else 0
        shape = [1, 1, 1, 1]
        shape[axis] = channels
        convolution.weight.data *= torch.exp(spread * torch.randn(shape))
        return [convolution, nn.InstanceNorm2d(channels, affine=True)]

    class Residual(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            for last in (False, True):
                layers += [
                    nn.ReflectionPad2d(1),
                    *normalized(nn.Conv2d(channels, channels, 3, groups=channels), channels),
                    nn.ReLU(),
                    *normalized(nn.Conv2d(channels, channels, 1), channels),
                ]
                if not last:
                    layers.append(nn.ReLU())
            self.layers = nn.Sequential(*layers)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.layers(x)

    def up(wide: int, narrow: int) -> list[nn.Module]:
        made = nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1)
        return [*normalized(made, narrow), nn.ReLU()]

    return nn.Sequential(
        nn.ReflectionPad2d(3),
        *normalized(nn.Conv2d(3, width, 7), width),
        nn.ReLU(),
        *normalized(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), 2 * width),
        nn.ReLU(),
        *normalized(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), 4 * width),
        nn.ReLU(),
        *(Residual(4 * width) for _ in range(blocks)),
        *up(4 * width, 2 * width),
        *up(2 * width, width),
        nn.ReflectionPad2d(3),
        nn.Conv2d(width, 3, 7),
        nn.Tanh(),
    )


def drawing_of(pictures: torch.Tensor) -> torch.Tensor:
    """The filter to learn: grey dodged by its own blur, tinted by the picture's colour, -1..1."""
    import torch
    import torch.nn.functional as F

    blurred = F.avg_pool2d(F.pad(pictures, (4, 4, 4, 4), mode="reflect"), 9, stride=1)
    detail = torch.tanh(12 * (pictures - blurred).mean(1, keepdim=True))
    return (0.75 * detail + 0.25 * (2 * blurred - 1)).clamp(-1, 1)


def train_generator(
    path: Path,
    *,
    size: int,
    width: int,
    blocks: int,
    steps: int,
    batch: int = 4,
    spread: float = 1.3,
    seed: int = 0,
) -> GraphArtifact:
    """Train it on procedural pictures, one thread, and export it to `path`."""
    import torch

    from edgeanim.graph.pytorch.from_torch import export_onnx

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(seed)
        net = make_generator(width, blocks, spread).to(memory_format=torch.channels_last)
        optimiser = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.99))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        pictures = torch.from_numpy(photographs(128, size, seed=seed + 1)[:, 0])
        rng = np.random.default_rng(seed)
        for _ in range(steps):
            given = pictures[rng.integers(len(pictures), size=batch)]
            loss = (net(2 * given - 1) - drawing_of(given)).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    finally:
        torch.set_num_threads(threads)
    spec = spec_of(size)
    export_onnx(net.to(memory_format=torch.contiguous_format), spec, path)
    return GraphArtifact(spec, path)


def similarity(found: Array, wanted: Array) -> Array:
    """SSIM of each pair of pictures in -1..1, as the player would show them in 8 bits."""
    shown = [np.rint((x.clip(-1, 1) + 1) * 127.5).transpose(0, 2, 3, 1) for x in (found, wanted)]
    return np.array([ssim(a, b) for a, b in zip(*shown, strict=True)], np.float32)
