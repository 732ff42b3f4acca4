"""Figures that contradict the samples which the report carries are refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.results.assemble import Gathered, assemble
from edgeanim.benchmarks.results.result import ProcessSamples, Report, dump_report, parse_report
from edgeanim.benchmarks.timing.protocol import Job
from edgeanim.benchmarks.timing.scenarios import (
    BatchRun,
    ColdStart,
    SoakWindow,
    summarize_batch,
    summarize_cold,
    summarize_soak,
    summarize_stream,
)
from edgeanim.benchmarks.timing.schedule import Measurements
from edgeanim.core.errors import BadInput
from tests.benchmarks.synthetic import build_report


def _whole() -> Report:
    """A report with every section that has samples."""
    report = build_report()
    stream = summarize_stream(20.0, [[40.0, 60.0, 45.0] * 12, [41.0] * 36])
    soak = summarize_soak([SoakWindow(10.0 * n, 100, 9.0 + n, None, 80.0 + n) for n in (1, 2, 3)])
    cold = summarize_cold([ColdStart(100.0, 20.0, 150.0), ColdStart(90.0, 21.0, 140.0)])
    batch = summarize_batch([BatchRun(24, 2.0, {"encode": (20.0,) * 24}), BatchRun(24, 3.0, {})])
    more = {"stream": stream, "soak": soak, "cold": cold, "batch": batch}
    variants = tuple(replace(v, **more) for v in report.variants)
    return replace(report, variants=variants)


PLAIN: dict[str, Any] = json.loads(dump_report(_whole()))
FIGURES = [
    *(("latency", n) for n in ("samples", "processes", "p50_ms", "p90_ms", "min_ms", "max_ms")),
    *(("latency", n) for n in ("load_ms", "p95_ms", "p99_ms")),
    *(("drift", n) for n in ("frames", "ssim_mean", "ssim_p5", "ssim_worst", "worst_frame")),
    *(("drift", "drift_mean"), ("speedup", "ratio"), (None, "throughput_fps")),
    *(("stream", n) for n in ("frames", "processes", "p50_ms", "p90_ms", "p95_ms", "max_ms")),
    *(("executed", n) for n in ("int8_share", "float_share", "convert_share", "layout_share")),
    *(("stream", n) for n in ("missed_frames", "missed_share", "freeze_ms", "jitter_ms")),
    *(("soak", n) for n in ("duration_s", "frames", "first_p50_ms", "last_p50_ms", "growth_mb")),
    ("soak", "slowdown"),
    *(("cold", n) for n in ("processes", "p50_ms", "min_ms", "max_ms", "start_ms", "load_ms")),
    *(("batch", n) for n in ("frames", "processes", "throughput_fps", "frame_ms")),
]


@pytest.mark.parametrize(("section", "name"), FIGURES)
def test_a_figure_that_its_samples_contradict_is_refused_by_its_place(
    section: str | None, name: str
) -> None:
    document = copy.deepcopy(PLAIN)
    part = document["variants"][1] if section is None else document["variants"][1][section]
    value = part[name] or 0.5
    part[name] = value + 1 if isinstance(value, int) else 0.9 * value
    place = ".".join(["variants[1]", *([section] if section else []), name])
    with pytest.raises(BadInput) as caught:
        parse_report(json.dumps(document), where="text")
    assert str(caught.value).startswith(f"text [{place}]: This says ")
    assert str(caught.value).endswith("changed after it was written: measure again.")


@pytest.mark.parametrize("place", ["stages.tiny", "stages.other", "batch.stages.encode"])
@pytest.mark.parametrize("name", ["p50_ms", "share"])
def test_a_stage_that_its_samples_contradict_is_refused_by_its_place(place: str, name: str) -> None:
    document = copy.deepcopy(PLAIN)
    part = document["variants"][1]
    for word in place.split("."):
        part = part[word]
    part[name] = 0.5 * part[name]
    with pytest.raises(BadInput) as caught:
        parse_report(json.dumps(document), where="text")
    assert str(caught.value).startswith(f"text [variants[1].{place}.{name}]: This says ")
    document["variants"][1]["stages"] = {"unheard_of": part}
    with pytest.raises(BadInput, match=r"unheard_of.share\].* too few for it"):
        parse_report(json.dumps(document), where="text")


def test_a_percentile_from_too_few_samples_is_refused_and_one_left_out_is_not() -> None:
    document = copy.deepcopy(PLAIN)
    latency = document["variants"][0]["latency"]
    latency["p90_ms"] = None
    parse_report(json.dumps(document), where="text")
    latency["p99_ms"] = latency["max_ms"]
    with pytest.raises(BadInput, match=r"latency\.p99_ms\]: .*too few for it"):
        parse_report(json.dumps(document), where="text")


@pytest.mark.parametrize(
    ("section", "name", "samples"),
    [
        ("drift", "ssim", []),
        *(("stream", "responses_ms", samples) for samples in ([], [[]], [[40.0], []])),
        ("soak", "windows", []),
        ("soak", "windows", [{"at_s": 1, "frames": 1, "p50_ms": 0, "p90_ms": None, "rss_mb": 1}]),
        ("cold", "starts", []),
        ("batch", "runs", []),
        ("batch", "runs", [{"frames": 24, "total_s": 0, "stages_ms": {}}]),
        ("batch", "runs", [{"frames": 0, "total_s": 2, "stages_ms": {}}]),
    ],
)
def test_figures_without_any_samples_are_refused(
    section: str, name: str, samples: list[object]
) -> None:
    document = copy.deepcopy(PLAIN)
    document["variants"][0][section][name] = samples
    with pytest.raises(BadInput, match="too few for it"):
        parse_report(json.dumps(document), where="text")


@pytest.mark.parametrize(
    ("section", "name"),
    [
        *(("latency", "p50_interval_ms"), ("latency", "p90_interval_ms")),
        *(("speedup", "interval"), ("stream", "p90_interval_ms"), ("soak", "slowdown_interval")),
    ],
)
@pytest.mark.parametrize("off", [0.01, 100.0])
def test_an_interval_that_does_not_hold_its_figure_is_refused(
    section: str, name: str, off: float
) -> None:
    document = copy.deepcopy(PLAIN)
    interval = document["variants"][1][section][name]
    interval["low"], interval["high"] = (off * interval[end] for end in ("low", "high"))
    with pytest.raises(BadInput, match=rf"\[variants\[1\]\.{section}\.{name}\]: This interval"):
        parse_report(json.dumps(document), where="text")


@pytest.mark.parametrize("blocks", [[], [[]], [[], [8.0]], [[8.0], [1e-12]]])
def test_every_process_has_blocks_and_every_block_has_times(blocks: list[list[float]]) -> None:
    """Comparing draws from each: a median of nothing is no number."""
    document = copy.deepcopy(PLAIN)
    document["variants"][0]["samples"][1]["blocks_ms"] = blocks
    with pytest.raises(BadInput, match=r"variants\[0\]\.samples\]: A latency needs the samples"):
        parse_report(json.dumps(document), where="text")


def test_a_gain_over_a_variant_that_is_not_in_the_report_is_left_as_it_is() -> None:
    document = copy.deepcopy(PLAIN)
    del document["variants"][0]
    assert parse_report(json.dumps(document), where="text").variants[0].speedup is not None


times = st.lists(st.floats(0.001, 1e5), min_size=1, max_size=30)
runs = st.lists(st.lists(times, min_size=2, max_size=2), min_size=1, max_size=3)


@settings(
    max_examples=6,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(runs, runs, st.lists(times, min_size=1, max_size=3))
def test_what_is_assembled_of_any_samples_is_read_again(
    slow: list[list[list[float]]], fast: list[list[list[float]]], streams: list[list[float]]
) -> None:
    measurements = [_measured(slow), _measured(fast)]
    # No frame is finished before the one that came before it.
    measurements[1].streams += [tuple(sorted(process)) for process in streams]
    gathered: dict[str, Gathered] = {
        "a": ("b", "float32", measurements[0]),
        "c": ("b", "int8", measurements[1]),
    }
    made = assemble(gathered, dict.fromkeys(gathered), rate_fps=20.0)
    report = replace(build_report(), variants=made)
    assert made[1].speedup is not None
    assert parse_report(dump_report(report), where="text") == report


def test_a_gain_is_over_the_same_backends_float32_wherever_that_stands() -> None:
    slow, fast = ([[[time * 1.0] * 12] * 2] * 2 for time in (30, 10))
    order: dict[str, Gathered] = {
        "int8": ("b", "int8", _measured(fast)),
        "half": ("b", "bfloat16", _measured(fast)),
        "whole": ("b", "float32", _measured(slow)),
        "other": ("c", "float32", _measured(fast)),
    }
    made = {v.id: v.speedup for v in assemble(order, dict.fromkeys(order), rate_fps=20.0)}
    assert made["whole"] is made["other"] is None
    for name in ("int8", "half"):
        gain = made[name]
        assert gain is not None
        assert (gain.over, gain.ratio) == ("whole", 3.0)


def _measured(processes: list[list[list[float]]]) -> Measurements:
    job = Job(None, (), Path("golden.npz"), 1, False, {})  # type: ignore[arg-type]
    samples = [
        ProcessSamples(i, 1.0 + i, 2.0, tuple(map(tuple, blocks)), {})
        for i, blocks in enumerate(processes)
    ]
    return Measurements(job, samples=samples)
