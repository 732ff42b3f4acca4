"""INT8 of a processor with VNNI on one without it, where it would show wrong frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.progress import Silent
from edgeanim.pipeline.on.deploy import install
from edgeanim.pipeline.work import Work
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, open_bundle, write_bundle
from edgeanim.targets.machine import Machine
from edgeanim.targets.overflow import fill_8_bits
from tests.cli.called import edgeanim
from tests.convnets import picture_spec, save_onnx
from tests.pipeline.followers import clip_of

helper = pytest.importorskip("onnx").helper

SIDE = 16
SAYS = "onnxruntime-int8 has 8-bit weights, whose products overflow on this processor"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that plays pictures as they are. What its INT8 computes does not matter here, only what
    its record says."""
    folder = tmp_path_factory.mktemp("overflow")
    spec = picture_spec("same", SIDE)
    nodes = [helper.make_node("Identity", [spec.inputs[0].name], [spec.outputs[0].name])]
    graph = GraphArtifact(spec, save_onnx(folder / spec.file, spec, nodes, {}))
    made = get_backend("onnxruntime").compile(graph, load_board("local"), folder)
    int8 = replace(made, precision="int8", scheme="onnx-qdq", needs_vnni=True)
    frames = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    save_golden(folder / "golden.npz", Golden(Scene(driver=frames), frames))
    variants = [Variant("onnxruntime", each.precision, (each,)) for each in (made, int8)]
    write_bundle(
        folder / "same.eab",
        contract=Contract("same", (spec,)),
        variants=variants,
        golden=folder / "golden.npz",
        tracks={},
        provenance={},
    )
    return folder / "same.eab"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.new("RGB", (SIDE, SIDE)).save(path)
    return path


def test_a_bundle_remembers_it(bundle: Path) -> None:
    with open_bundle(bundle) as opened:
        needs = {variant.id: variant.needs_vnni for variant in opened.variants}
    assert needs == {"onnxruntime-float32": False, "onnxruntime-int8": True}


def machine(monkeypatch: pytest.MonkeyPatch, *features: str) -> None:
    """This machine is an x86 with these features."""
    found = Machine("x86_64", 2, 4096, features)
    monkeypatch.setattr("edgeanim.pipeline.work.read_machine", lambda: found)


@pytest.mark.parametrize(
    ("feature", "board", "asked", "plays", "says"),
    [
        ("avx_vnni", "x86-vnni", None, "onnxruntime-int8", None),
        ("avx_vnni", "raspberry-pi-4", None, "onnxruntime-int8", None),
        (
            "avx_vnni",
            "x86-avx2",
            None,
            "onnxruntime-float32",
            f"onnxruntime-float32 was played: {SAYS}",
        ),
        (
            "avx2",
            "raspberry-pi-4",
            None,
            "onnxruntime-float32",
            f"onnxruntime-float32 was played: {SAYS}",
        ),
        ("avx2", "x86-avx2", "onnxruntime-int8", "onnxruntime-int8", SAYS),
        ("avx2", "x86-avx2", "onnxruntime-float32", "onnxruntime-float32", None),
    ],
)
def test_animate_plays_what_is_right_here(
    bundle: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    feature: str,
    board: str,
    asked: str | None,
    plays: str,
    says: str | None,
) -> None:
    machine(monkeypatch, feature)
    done = api.animate(bundle, drive=photo, out=tmp_path / "out.png", variant=asked, board=board)
    assert done.variant == plays
    assert (done.note is None) if says is None else str(done.note).startswith(says)


def test_weights_for_any_board_are_right_where_they_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch, "avx2")
    assert Work.on("raspberry-pi-4").board.saturates_u8s8
    machine(monkeypatch, "avx2", "avx_vnni")
    assert not Work.on("raspberry-pi-4").board.saturates_u8s8


def test_what_deploys_says_so(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "avx2")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".edgeanim/bundles").mkdir(parents=True)
    there = install(bundle)
    assert there.variant == "onnxruntime-float32"
    assert str(there.note).startswith(f"onnxruntime-float32 was played: {SAYS}")


class Notes(Silent):
    """What is said at the end of each piece of work."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def done(self, note: str = "") -> None:
        self.said.append(note)


@pytest.mark.parametrize("asked", [None, "onnxruntime-int8"])
def test_what_extracts_a_motion_says_so(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    with open_bundle(follower) as opened:
        (plain,) = opened.variants
        int8 = tuple(
            replace(graph, precision="int8", scheme="onnx-qdq", needs_vnni=True)
            for graph in plain.graphs
        )
        write_bundle(
            tmp_path / "f.eab", contract=opened.contract, golden=None, tracks={}, provenance={},
            variants=[plain, Variant("onnxruntime", "int8", int8)],
        )  # fmt: skip
    machine(monkeypatch, "avx2")
    clip, notes = clip_of(tmp_path / "clip.gif", 3), Notes()
    api.extract_motion(
        clip, bundle=tmp_path / "f.eab", out=tmp_path / "m.npz", variant=asked, progress=notes
    )
    assert sum(SAYS in note for note in notes.said) == 1


def test_a_report_says_so_beside_the_drift(bundle: Path) -> None:
    report = api.bench(bundle, quick=True, board="x86-avx2", variants="onnxruntime-int8")
    assert any(remark.startswith(SAYS) for remark in report.settings.remarks)


def test_inspect_says_so(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load_board("x86-avx2")
    monkeypatch.setattr("edgeanim.pipeline.inspect_bundle.load_board", lambda _: old)
    told = " ".join(edgeanim("inspect", bundle).stdout.split())
    assert f"on x86 only with VNNI not here: {SAYS}" in told


@pytest.mark.parametrize(
    ("largest", "fills"), [(64, False), (65, True), (-64, False), (-128, True)]
)
def test_two_products_of_7_bit_weights_stay_within_16_bits(largest: int, fills: bool) -> None:
    weights = np.zeros((2, 3), np.int8)
    weights[1, 2] = largest
    assert fill_8_bits([np.zeros(0, np.int8), weights]) == fills
    assert (2 * 255 * abs(largest) > np.iinfo(np.int16).max) == fills
