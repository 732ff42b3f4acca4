"""Fixtures shared by all tests: a store of their own, a tiny generator, real media if present."""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from edgeanim.core.files import atomic_folder
from edgeanim.core.locks import exclusive

# A busy machine is no failure, so no example is timed.
# The same examples in every run, so that a change is judged by itself and not by luck.
# `pytest --hypothesis-profile hunt` draws new ones, and more, to find what these miss.
settings.register_profile("edgeanim", deadline=None, derandomize=True)
settings.register_profile("hunt", deadline=None, max_examples=1000)
settings.load_profile("edgeanim")

_SHARED = Path(__file__).resolve().parents[2] / "shared"

# The files that take longest, the longest first. By `--dist loadfile` one process runs a file, so a
# long one that came late would leave the others with nothing to do.
_LONGEST = (
    "pipeline/test_demo.py",
    "pipeline/test_foreign_model.py",
    "models/test_training_resume.py",
    "models/test_training.py",
    "models/test_qat.py",
    "pipeline/test_export.py",
    "pipeline/test_training.py",
    "pipeline/test_whole_model.py",
    "quantize/test_schemes.py",
    "quantize/test_tflite_int8.py",
    "quantize/test_rounding.py",
    "targets/test_backend_contract.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep pytest-xdist from beginning with the files that have the most tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, in the order of the list above."""
    rank = {Path(__file__).parent / name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """One thread of PyTorch: two spinning pools on a small machine take longer than one that works.
    Anew for every test, since trainings and sessions have their own number."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's artifact store."""
    monkeypatch.setenv("EDGEANIM_STORE", str(tmp_path_factory.mktemp("store")))


@pytest.fixture(autouse=True)
def _activated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests run as in an activated environment, whose `pip` is this Python's."""
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}")


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], object]], Path]:
    """`made_once(name, make)` -> the folder that `make(folder)` filled, in one process for all that
    run tests. Nobody writes there."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def get(name: str, make: Callable[[Path], object]) -> Path:
        with exclusive(shared / f"{name}.lock"):
            if not (shared / name).exists():
                with atomic_folder(shared / name) as partial:
                    make(partial)
        return shared / name

    return get


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real media; skips where a checkout has none beside it."""
    if not (_SHARED / "media").is_dir():
        pytest.skip("the real media (../shared/media) are not beside this checkout")
    return _SHARED / "media"


@pytest.fixture(scope="session")
def style_model() -> Path:
    """Magenta's style transfer net; skips where a checkout has none beside it."""
    path = _SHARED / "models" / "magenta_style_transfer" / "style_transfer_384.onnx"
    if not path.is_file():
        pytest.skip("the real model (../shared/models) is not beside this checkout")
    return path


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Eight smooth pictures with edges and gradients, uint8 [8, 64, 64, 3], always the same."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:64, 0:64] / 63.0
    frames = []
    for _ in range(8):
        frame = np.stack([x, y, 1 - x * y], -1) * rng.uniform(0.3, 1.0, 3)
        cy, cx, r = rng.uniform(0.25, 0.75, 3) * (1, 1, 0.4)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < r**2
        frame[inside] = rng.uniform(0, 1, 3)
        frames.append((frame * 255).round().astype(np.uint8))
    return np.stack(frames)


@pytest.fixture(scope="session")
def photos(pictures: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures as a folder of files. Nobody writes there."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a small image-to-image ONNX: three 3x3 convolutions, ReLU and Sigmoid, range 0..1.

    `tiny_onnx(size=64, channels=16)` -> path. Input `image`, output `result`, [1, 3, size, size].
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def make(size: int = 64, channels: int = 16) -> Path:
        rng = np.random.default_rng(size + channels)
        widths = [3, channels, channels, 3]
        nodes, weights, previous = [], [], "image"
        for i, (c_in, c_out) in enumerate(itertools.pairwise(widths)):
            kernel = rng.normal(0, (2 / (9 * c_in)) ** 0.5, (c_out, c_in, 3, 3))
            weights += [
                numpy_helper.from_array(kernel.astype(np.float32), f"w{i}"),
                numpy_helper.from_array(rng.normal(0, 0.1, c_out).astype(np.float32), f"b{i}"),
            ]
            conv = f"conv{i}_out"
            nodes.append(
                helper.make_node(
                    "Conv", [previous, f"w{i}", f"b{i}"], [conv], f"conv{i}", pads=[1, 1, 1, 1]
                )
            )
            last = i == len(widths) - 2
            previous = "result" if last else f"act{i}_out"
            nodes.append(
                helper.make_node("Sigmoid" if last else "Relu", [conv], [previous], f"act{i}")
            )
        shape = [1, 3, size, size]
        graph = helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("result", TensorProto.FLOAT, shape)],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
        onnx.save(model, str(path))
        return path

    return make


@pytest.fixture(scope="session")
def operators_read_once() -> Iterator[None]:
    """PyTorch's exporter parses the source of some 500 operators anew for every export, which takes
    longer than to export a small module. They are always the same."""
    from torch.onnx._internal._lazy_import import onnxscript_apis

    read = onnxscript_apis.get_torchlib_ops
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxscript_apis, "get_torchlib_ops", functools.cache(read))
        yield


@pytest.fixture(scope="session")
def small_animator() -> Any:
    """An untrained animator of 64x64. Its norms and its head do something, so that parity means
    something, and its regions follow the picture: those of random weights are nearly even."""
    torch = pytest.importorskip("torch")
    from edgeanim.models.animator import Animator
    from edgeanim.models.config import AnimatorConfig

    widths = {"regions": (8, 16, 16, 16, 16), "encoder": (16, 16, 16), "generator": (16, 16, 16)}
    torch.manual_seed(1)
    animator = Animator(AnimatorConfig("small", 64, **widths)).eval()
    torch.nn.init.normal_(animator.generator.head.weight, std=0.1)
    for module in animator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    with torch.no_grad():
        for weights in animator.regions.parameters():
            weights.mul_(3 if weights.ndim == 4 else 1)
    return animator


@pytest.fixture(scope="session")
def exported_animator(
    small_animator: Any,
    made_once: Callable[[str, Callable[[Path], object]], Path],
    operators_read_once: None,  # noqa: ARG001
) -> Path:
    """`small_animator` as a model folder; to export one takes seconds. Nobody writes there."""
    from edgeanim.models.export import export_animator

    return (
        made_once("animator", lambda folder: export_animator(folder / "model", small_animator))
        / "model"
    )
