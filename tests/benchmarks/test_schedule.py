"""The order of a bench: in a round, between rounds and in the scenarios no variant leads always."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeanim.benchmarks.options import BenchOptions
from edgeanim.benchmarks.results.assemble import Gathered, assemble
from edgeanim.benchmarks.results.result import Failure, GraphProfile, Memory, ProcessSamples
from edgeanim.benchmarks.results.shares import shares_of
from edgeanim.benchmarks.timing import schedule
from edgeanim.benchmarks.timing.process import WorkerPool
from edgeanim.benchmarks.timing.protocol import (
    Block,
    Done,
    First,
    Job,
    Profiled,
    Ready,
    Request,
    Streamed,
    Warm,
)
from edgeanim.benchmarks.timing.scenarios import Scenario
from edgeanim.benchmarks.timing.schedule import Measurements
from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.progress import SILENT

ANSWERS: dict[str, object] = {
    "warm": Warm(1, 1.0),
    "block": Block((1.0,), {}),
    "render": Done(1),
    "first": First(0, 1),
    "lengthen": Done(1),
    "stream": Streamed((1.0,)),
}


class _Worker:
    """Answers at once, and writes down what each variant was asked, a variant by its threads."""

    started_ns = 0

    def __init__(self, name: str, asked: list[str]) -> None:
        self._name, self._asked = name, asked

    def receive(self, kind: type, **_: float) -> Any:  # noqa: ARG002
        return Ready(1.0, None)

    def ask(self, request: Request, kind: type, **_: float) -> Any:  # noqa: ARG002
        self._asked.append(f"{request.ask} {self._name}")
        return ANSWERS[request.ask]

    def close(self) -> None:
        pass


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Which of the variants a and b was asked for `only` one kind of thing, in order."""
    monkeypatch.setattr(schedule, "busy_shares", dict)

    def run(options: BenchOptions, only: str, scenario: Scenario | None = None) -> list[str]:
        log: list[str] = []

        def start(job: Job, folder: Path) -> Any:  # noqa: ARG001
            return _Worker("ab"[job.threads - 1], log)

        jobs = {name: _job(threads) for threads, name in enumerate("ab", 1)}
        with WorkerPool(tmp_path, start) as pool:
            planned = schedule.Schedule(jobs, options, pool, tmp_path, SILENT, rate_fps=20.0)
            if scenario is None:
                planned.time()
            else:
                planned._scenario(scenario)
        return [line.removeprefix(f"{only} ") for line in log if line.startswith(f"{only} ")]

    return run


def _job(threads: int) -> Job:
    return Job(None, (), Path("golden.npz"), threads, False, {})  # type: ignore[arg-type]


def test_from_block_to_block_the_order_is_reversed(asked: Callable[..., list[str]]) -> None:
    options = BenchOptions(rounds=2, blocks=3)
    assert asked(options, "block") == ["a", "b", "b", "a", "a", "b"] * 2


def test_frames_are_rendered_in_the_first_round_alone(asked: Callable[..., list[str]]) -> None:
    assert asked(BenchOptions(rounds=3, blocks=1), "render") == ["a", "b"]


@pytest.mark.parametrize(("scenario", "request_"), [("stream", "stream"), ("cold", "first")])
def test_from_trial_to_trial_the_order_is_reversed(
    asked: Callable[..., list[str]], scenario: Scenario, request_: str
) -> None:
    options = BenchOptions(rounds=3, cold_starts=3)
    assert asked(options, request_, scenario) == ["a", "b", "b", "a", "a", "b"]


class _Steps:
    """A progress that counts: the steps that each stage announces, and those that it makes."""

    def __init__(self) -> None:
        self.announced: list[int | None] = []
        self.made: list[int] = []

    def stage(self, title: str, total: int | None = None) -> None:  # noqa: ARG002
        self.announced.append(total)
        self.made.append(0)

    def step(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.made[-1] += count

    def done(self, note: str = "") -> None:
        pass


def test_every_stage_makes_the_steps_that_it_announces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "busy_shares", dict)
    monkeypatch.setitem(ANSWERS, "profile", Profiled({}))
    monkeypatch.setitem(ANSWERS, "memory", Memory(1.0, None, None, 0))

    def start(job: Job, folder: Path) -> Any:  # noqa: ARG001
        return _Worker("ab"[job.threads - 1], [])

    jobs = {name: _job(threads) for threads, name in enumerate("ab", 1)}
    options = BenchOptions(rounds=3, blocks=2, cold_starts=4, scenarios=("stream", "cold"))
    steps = _Steps()
    with WorkerPool(tmp_path, start) as pool:
        measurements = schedule.Schedule(jobs, options, pool, tmp_path, steps, rate_fps=20.0).run()
    assert not any(measured.failure for measured in measurements.values())
    assert steps.made == steps.announced == [2 * (3 * (2 + 1) + 2), 2 * 3, 2 * 4]


def test_where_times_alone_count_only_int8_is_played_once_more_for_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "busy_shares", dict)
    monkeypatch.setitem(ANSWERS, "profile", Profiled({}))
    log: list[str] = []

    def start(job: Job, folder: Path) -> Any:  # noqa: ARG001
        return _Worker("ab"[job.threads - 1], log)

    int8 = CompiledGraph("null", "int8", "onnx-qdq", None, ())  # type: ignore[arg-type]
    jobs = {"a": _job(1), "b": replace(_job(2), graphs=(int8,))}
    options = BenchOptions(rounds=2, blocks=1, times_only=True)
    steps = _Steps()
    with WorkerPool(tmp_path, start) as pool:
        planned = schedule.Schedule(jobs, options, pool, tmp_path, steps, rate_fps=20.0)
        measurements = planned.run()
    assert {line.split()[0] for line in log} == {"warm", "block", "profile"}
    assert log.count("profile b") == 1
    assert "profile a" not in log
    assert measurements["b"].profiles == {}
    assert steps.made == steps.announced


def test_variants_are_profiled_at_once_only_where_each_has_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setitem(ANSWERS, "profile", Profiled({}))
    log: list[str] = []

    def start(job: Job, folder: Path) -> Any:  # noqa: ARG001
        log.append(f"start {'ab'[job.threads - 1]}")
        return _Worker("ab"[job.threads - 1], log)

    jobs = {name: _job(threads) for threads, name in enumerate("ab", 1)}
    with WorkerPool(tmp_path, start) as pool:
        planned = schedule.Schedule(jobs, BenchOptions(), pool, tmp_path, SILENT, rate_fps=20.0)
        planned._pass("profile", planned._profile, jobs)
    assert log == ["start a", "profile a", "start b", "profile b"]


def test_a_gain_is_never_over_a_float32_that_failed() -> None:
    samples = [ProcessSamples(0, 1.0, 1.0, ((1.0,) * 6, (1.0,) * 6), {})]
    broken = Measurements(_job(1), failure=Failure("DeviceFailed", 5, "It broke."))
    sound, int8 = (Measurements(_job(1), samples=samples) for _ in range(2))
    gathered: dict[str, Gathered] = {
        "broken": ("b", "float32", broken),
        "sound": ("b", "float32", sound),
        "int8": ("b", "int8", int8),
    }
    made = assemble(gathered, dict.fromkeys(gathered), rate_fps=20.0)
    assert [v.speedup and v.speedup.over for v in made] == [None, None, "sound"]


def test_what_executed_is_weighed_by_the_time_that_each_graph_takes() -> None:
    stages = {"small": (1.0,) * 12, "large": (9.0,) * 12}
    samples = [ProcessSamples(0, 1.0, 1.0, ((10.0,) * 12,), stages)]
    profiles = {
        name: GraphProfile("time", int8, 1 - int8, 0.0, 0.0, "", ())
        for name, int8 in (("small", 1.0), ("large", 0.0))
    }
    measured = Measurements(_job(1), samples=samples, profiles=profiles)
    (made,) = assemble({"x": ("b", "int8", measured)}, {"x": None}, rate_fps=20.0)
    assert made.executed is not None
    assert made.executed.int8_share == pytest.approx(0.1)
    assert made.executed.float_share == pytest.approx(0.9)


def test_graphs_that_took_no_time_have_no_shares() -> None:
    profile = GraphProfile("time", 1.0, 0.0, 0.0, 0.0, "", ())
    samples = [ProcessSamples(0, 1.0, 1.0, ((10.0,),), {"net": (0.0,)})]
    assert set(shares_of({"net": profile}, samples).values()) == {0.0}
