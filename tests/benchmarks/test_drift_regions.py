from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from edgeanim.benchmarks.drift.frames import Drift, measure_drift
from edgeanim.benchmarks.drift.regions import (
    Regions,
    find_masks,
    region_graph,
    region_names,
)
from edgeanim.benchmarks.drift.similarity import similarity_map, ssim
from edgeanim.benchmarks.results.compare import compare
from edgeanim.benchmarks.results.figures import figures
from edgeanim.benchmarks.results.result import Report, dump_report, parse_report
from edgeanim.core.artifact import Array
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.report.html import write_page
from edgeanim.report.table import table
from tests.benchmarks.synthetic import build_report

NAMES = ("head", "upper arm, left", "absent")
GRAPH = GraphSpec(
    "regions",
    "regions.onnx",
    "driver",
    (
        TensorSpec("now", "driving_frame", (1, 3, 32, 32), "NCHW", range=(0.0, 1.0)),
        TensorSpec("cue", "cue", (1, 3, 32, 32), "NCHW", range=(-1.0, 1.0)),
    ),
    (TensorSpec("mask", "mask", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0)),),
)
PLAY = GraphSpec(
    "play",
    "play.onnx",
    "frame",
    (TensorSpec("now", "driving_frame", (1, 3, 32, 32), "NCHW", range=(0.0, 1.0)),),
    (TensorSpec("frame", "frame", (1, 3, 32, 32), "NCHW", range=(0.0, 1.0)),),
)
CONTRACT = Contract("puppet", (GRAPH, PLAY), regions=NAMES)


def _halves(frames: int = 4) -> Regions:
    """The head fills the upper half, the arm the lower one, and the third is nowhere."""
    masks = np.zeros((frames, 3, 8, 8), np.float32)
    masks[:, 0, :4] = masks[:, 1, 4:] = 1
    return Regions(NAMES, masks, (32, 32))


def _frames(count: int = 4, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 200, (count, height, width, 3), np.uint8)


def test_an_error_in_one_region_is_that_regions_alone() -> None:
    reference = _frames()
    frames = reference.copy()
    frames[2, :20] += 30
    drift = measure_drift(frames, reference, _halves())
    assert drift.regions is not None
    head, arm, absent = (drift.regions[name] for name in NAMES)
    assert head.ssim is not None
    assert head.l1 is not None
    assert arm.ssim is not None
    assert arm.l1 is not None
    assert head.ssim.worst_frame == head.l1.worst_frame == 2
    assert head.ssim.worst < drift.ssim_worst < arm.ssim.worst == pytest.approx(1)
    # 20 of 32 rows by 30 levels, in one of four frames; the masks' border is soft.
    assert head.l1.worst == pytest.approx(30 * 20 / 32, rel=0.05)
    assert arm.l1.mean == pytest.approx(0)
    assert head.share == pytest.approx(0.5)
    assert absent.ssim is absent.l1 is None
    assert absent.share == 0


def test_a_region_of_which_hardly_a_pixel_shows_has_no_figure() -> None:
    """Sixteen pixels, of whatever softness, are the least that says anything."""
    regions = _halves()
    for weight, seen in ((15.5, False), (16.5, True)):
        regions.masks[:, 2] = weight / 64**2
        drift = measure_drift(_frames(), _frames(), regions)
        assert drift.regions is not None
        assert (drift.regions["absent"].l1 is not None) == seen


def test_regions_that_cover_the_picture_make_up_its_drift() -> None:
    reference, noise = _frames(), np.random.default_rng(2).integers(0, 9, (4, 64, 64, 3), np.uint8)
    drift = measure_drift(reference + noise, reference, _halves())
    assert drift.regions is not None
    parts = [r.ssim.mean for r in drift.regions.values() if r.ssim]
    assert min(parts) <= drift.ssim_mean <= max(parts)
    a, b = reference[0] + noise[0], reference[0]
    assert similarity_map(a, b).mean() == pytest.approx(ssim(a, b))


def test_masks_follow_a_picture_that_is_not_square() -> None:
    """A wide picture lies letterboxed in the graph's: its rows are the middle ones of the mask."""
    reference = _frames(height=40, width=80)
    frames = reference.copy()
    frames[:, :20] += 20
    drift = measure_drift(frames, reference, _halves())
    assert drift.regions is not None
    head, arm = (drift.regions[name].l1 for name in NAMES[:2])
    assert head is not None
    assert arm is not None
    assert head.mean > 18
    assert arm.mean < 2


class _Session:
    """Sees the picture's brightness and that of the cue."""

    spec = GRAPH

    def __init__(self) -> None:
        self.cues: list[float] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.cues.append(float(np.abs(inputs["cue"]).max()))
        return {"mask": np.full((1, 3, 8, 8), 1.5 * inputs["now"].max(), np.float32)}

    def close(self) -> None:
        pass


def test_masks_are_found_in_every_frame_with_the_one_before_it() -> None:
    session = _Session()
    frames = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (0, 51, 255)])
    masks = find_masks(GRAPH, session, frames)
    assert masks.shape == (3, 3, 8, 8)
    assert [float(mask.max()) for mask in masks] == pytest.approx([0, 0.3, 1])
    assert session.cues == pytest.approx([0, 0.2, 0.8])


def test_only_a_graph_that_needs_nothing_but_pictures_finds_regions() -> None:
    assert region_graph(CONTRACT) is GRAPH
    needs = replace(GRAPH.inputs[1], role="condition:before")
    blind = replace(GRAPH, inputs=(GRAPH.inputs[0], needs))
    assert region_graph(replace(CONTRACT, graphs=(blind, PLAY))) is None
    assert region_names(CONTRACT, 3) == NAMES
    assert region_names(replace(CONTRACT, regions=None), 2) == ("region 0", "region 1")


def _with_regions(report: Report) -> tuple[Report, Drift]:
    reference = _frames()
    frames = reference.copy()
    frames[2, :20] += 30
    drift = measure_drift(frames, reference, _halves())
    variants = tuple(replace(variant, drift=drift) for variant in report.variants)
    return replace(report, variants=variants), drift


def test_regions_are_in_the_file_the_gates_the_table_and_the_page(tmp_path: Path) -> None:
    report, drift = _with_regions(build_report())
    text = dump_report(report)
    schema = resources.files("edgeanim.benchmarks").joinpath("report.schema.json").read_text()
    jsonschema.validate(json.loads(text), json.loads(schema))
    assert parse_report(text, where="text") == report
    assert drift.regions is not None
    arm = drift.regions["upper arm, left"].ssim
    assert arm is not None
    found = figures(report.variants[0])
    assert found["drift.regions.upper_arm_left.ssim.mean"] == arm.mean
    assert found["drift.regions.absent.ssim.mean"] is None
    assert "onnxruntime-int8 drifts most in: head 0." in table(report)
    page = tmp_path / "page.html"
    shown = _page_of(report, page)
    assert "<h2>Drift by region</h2>" in shown
    assert "upper arm, left" in shown
    assert "Drift by region" not in _page_of(build_report(), page)


def _page_of(report: Report, path: Path) -> str:
    write_page(path, compare([report]))
    return path.read_text()
