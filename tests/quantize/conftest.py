"""A small skip-concatenation U-Net with random weights, its spec, and samples in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.targets.board import Board


def picture_spec(name: str, output: str, size: int, channels_out: int = 3) -> GraphSpec:
    """An image-to-image graph with the input `image`."""
    return GraphSpec(
        name=name,
        file=f"{name}.onnx",
        runs="frame",
        inputs=(
            TensorSpec("image", "driving_frame", (1, 3, size, size), "NCHW", range=(0.0, 1.0)),
        ),
        outputs=(
            TensorSpec(output, "frame", (1, channels_out, size, size), "NCHW", range=(0.0, 1.0)),
        ),
    )


def smooth_pictures(count: int, size: int, seed: int = 3) -> ArraySamples:
    """Pictures with gradients, a disc and a little grain, in 0..1, as the input `image`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
    pictures = np.empty((count, 1, 3, size, size), np.float32)
    for picture in pictures[:, 0]:
        picture[:] = np.stack([x, y, 1 - x * y]) * rng.uniform(0.3, 1.0, (3, 1, 1))
        cy, cx, radius = rng.uniform(0.25, 0.75, 3) * (1, 1, 0.4)
        picture[:, (y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.uniform(0, 1, (3, 1))
        picture += rng.normal(0, 0.02, picture.shape)
    return ArraySamples({"image": pictures.clip(0, 1)})


class _Net:
    """Collects the nodes and weights of an ONNX graph, one layer a call."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[object] = []
        self.weights: list[object] = []

    def add(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def conv(self, x: str, c_in: int, c_out: int, name: str, *, k: int = 3, stride: int = 1) -> str:
        kernel = self.rng.normal(0, (2 / (k * k * c_in)) ** 0.5, (c_out, c_in, k, k))
        w = self.constant(f"{name}.w", kernel.astype(np.float32))
        b = self.constant(f"{name}.b", self.rng.normal(0, 0.1, c_out).astype(np.float32))
        pad = [k // 2] * 4
        return self.add("Conv", [x, w, b], name, pads=pad, strides=[stride, stride])

    def conv_relu(self, x: str, c_in: int, c_out: int, name: str, *, stride: int = 1) -> str:
        made = self.conv(x, c_in, c_out, name, stride=stride)
        return self.add("Relu", [made], f"{name}.relu")

    def double(self, x: str, name: str) -> str:
        scales = self.constant(f"{name}.scales", np.array([1, 1, 2, 2], np.float32))
        return self.add(
            "Resize",
            [x, "", scales],
            name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )


def build_unet(path: Path, size: int, width: int) -> None:
    """Write the U-Net: three scales, strided convs down, nearest upsampling and concat up."""
    import onnx
    from onnx import TensorProto, helper

    net, w = _Net(size + width), width
    s0 = net.conv_relu("image", 3, w, "stem")
    s1 = net.conv_relu(net.conv_relu(s0, w, 2 * w, "down1", stride=2), 2 * w, 2 * w, "enc1")
    s2 = net.conv_relu(net.conv_relu(s1, 2 * w, 4 * w, "down2", stride=2), 4 * w, 4 * w, "enc2")
    residual = net.add("Add", [s2, net.conv_relu(s2, 4 * w, 4 * w, "mid")], "mid.add")
    up1 = net.add("Concat", [net.double(residual, "up1"), s1], "cat1", axis=1)
    d1 = net.conv_relu(up1, 6 * w, 2 * w, "dec1")
    up0 = net.add("Concat", [net.double(d1, "up0"), s0], "cat0", axis=1)
    head = net.conv(net.conv_relu(up0, 3 * w, w, "dec0"), w, 3, "head", k=1)
    net.add("Sigmoid", [head], "result")
    shape = [1, 3, size, size]
    graph = helper.make_graph(
        net.nodes,
        "unet",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, shape)],
        net.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@pytest.fixture(scope="session")
def unet(tmp_path_factory: pytest.TempPathFactory) -> GraphArtifact:
    """The U-Net at 64x64 with 16 channels."""
    path = tmp_path_factory.mktemp("unet") / "unet.onnx"
    build_unet(path, 64, 16)
    return GraphArtifact(picture_spec("unet", "result", 64), path)


@pytest.fixture(scope="session")
def tiny(tiny_onnx: Callable[..., Path]) -> GraphArtifact:
    """The three-convolution graph of the shared fixture as an artifact."""
    return GraphArtifact(picture_spec("tiny", "result", 64), tiny_onnx())


@pytest.fixture(scope="session")
def samples() -> ArraySamples:
    """Twelve calibration pictures, 64x64."""
    return smooth_pictures(12, 64)


@pytest.fixture(scope="session")
def unseen() -> ArraySamples:
    """Four pictures that are not in `samples`."""
    return smooth_pictures(4, 64, seed=99)


@pytest.fixture(scope="session")
def board() -> Board:
    """A machine whose INT8 does not saturate."""
    return Board("bench", "A test bench with VNNI", "x86_64", 4096, 1)


@pytest.fixture(scope="session")
def old_board() -> Board:
    """A machine whose 8-bit multiply-add saturates."""
    return Board("old", "A test bench without VNNI", "x86_64", 4096, 1, saturates_u8s8=True)
