"""What is made once for all tests of this folder: the demo, with every call to another machine
recorded, a model that follows a driver, and an animator with a clip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.runtime.media import write_animation
from tests.pipeline.followers import bundle_of, moved_by, picture

SHIM = Path(__file__).with_name("no_network.c")


@dataclass(frozen=True)
class DemoRun:
    """A finished `edgeanim demo`: where it wrote, what it said, whom it called."""

    folder: Path
    store: Path
    stdout: str
    stderr: str
    calls: list[str]


@pytest.fixture(scope="session")
def network_shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that, preloaded, records attempts to reach another machine."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the network recorder with")
    library = tmp_path_factory.mktemp("shim") / "no_network.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", str(SHIM), "-o", str(library), "-ldl"], check=True
    )
    return library


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory, network_shim: Path) -> DemoRun:
    """`edgeanim demo --quick` from a cold store."""
    work = tmp_path_factory.mktemp("demo")
    log = work / "calls.txt"
    environment = {
        **os.environ,
        "EDGEANIM_STORE": str(work / "store"),
        "LD_PRELOAD": str(network_shim),
        "NO_NETWORK_LOG": str(log),
    }
    done = subprocess.run(
        [sys.executable, "-m", "edgeanim", "demo", "--quick", "-o", str(work / "out")],
        env=environment, cwd=work, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls = log.read_text().splitlines() if log.exists() else []
    return DemoRun(work / "out", work / "store", done.stdout, done.stderr, calls)


@pytest.fixture(scope="session")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose motion is a frame's mean brightness, and whose frames are as bright as the
    motion says. Two of its graphs take the motion."""
    find = GraphSpec(
        "find", "find.onnx", "driver", (picture("driving_frame"),), (moved_by("motion"),)
    )
    mixed = TensorSpec("mixed", "feature:mixed", (1, 2, 6))
    mix = GraphSpec("mix", "mix.onnx", "frame", (moved_by("motion:driving"),), (mixed,))
    taken = (picture("still"), moved_by("motion:driving"), mixed)
    paint = GraphSpec("paint", "paint.onnx", "frame", taken, (picture("frame"),))
    node = pytest.importorskip("onnx").helper.make_node
    return bundle_of(
        tmp_path_factory.mktemp("follower") / "follower.eab",
        [
            (find, [node("ReduceMean", ["driving_frame"], ["mean"], keepdims=0),
                    node("Mul", ["mean", "ones"], ["motion"])]),
            (mix, [node("Identity", ["motion_driving"], ["mixed"])]),
            (paint, [node("Add", ["mixed", "motion_driving"], ["sum"]),
                     node("ReduceMean", ["sum"], ["twice"], keepdims=0),
                     node("Mul", ["twice", "half"], ["value"]),
                     node("Mul", ["still", "none"], ["black"]),
                     node("Add", ["black", "value"], ["frame"])]),
        ],
        {"ones": np.ones((1, 2, 6)), "half": np.array(0.5), "none": np.array(0.0)},
    )  # fmt: skip


@pytest.fixture(scope="session")
def small_bundle(exported_animator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained animator, compiled for ONNX Runtime in float32."""
    out = tmp_path_factory.mktemp("bundle") / "small.eab"
    api.compile(exported_animator, out=out, backends=("onnxruntime",))
    return out


@pytest.fixture(scope="session")
def moving_clip(tmp_path_factory: pytest.TempPathFactory, pictures: np.ndarray) -> Path:
    """A short clip in which something moves."""
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    write_animation(path, list(pictures), 10)
    return path


@pytest.fixture
def still(pictures: np.ndarray) -> np.ndarray:
    """A picture to animate, wider than high."""
    return np.asarray(Image.fromarray(pictures[0]).resize((120, 90)))


@pytest.fixture
def played(small_bundle: Path, still: np.ndarray) -> Iterator[api.BundlePlayer]:
    """A player of the small bundle on that still."""
    with api.open_player(small_bundle, still=still) as player:
        yield player
