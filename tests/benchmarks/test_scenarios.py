from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeanim.benchmarks.options import BenchOptions
from edgeanim.benchmarks.results.compare import check_gate, compare
from edgeanim.benchmarks.results.figures import figures
from edgeanim.benchmarks.results.gate import parse_gate
from edgeanim.benchmarks.results.result import (
    ModelRecord,
    Report,
    VariantResult,
    dump_report,
    parse_report,
)
from edgeanim.benchmarks.runner import Subject, run_bench
from edgeanim.benchmarks.timing.playback import OPENING_FRAMES, Playback, lengthened, stream
from edgeanim.benchmarks.timing.process import WorkerPool
from edgeanim.benchmarks.timing.protocol import Request, Streamed, Warm
from edgeanim.benchmarks.timing.schedule import Schedule
from edgeanim.benchmarks.timing.trials import Trials
from edgeanim.core.errors import GateFailed, UsageError
from edgeanim.core.progress import Silent
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Scene
from edgeanim.targets.board import load_board

ALL = BenchOptions(
    iterations=6,
    rounds=1,
    blocks=1,
    block_s=0,
    warmup_frames=2,
    warmup_s=0,
    scenarios=("stream", "soak", "cold", "batch"),
    rate_fps=200.0,
    duration_s=1.0,
    stream_frames=70,
    batch_frames=20,
    cold_starts=2,
)


@pytest.fixture(scope="module")
def report(compile_tiny: Callable[[str], Subject], golden: Path) -> Report:
    model = ModelRecord("tiny", "0" * 64, None)
    subjects = [compile_tiny("onnxruntime")]
    return run_bench(subjects, golden, ALL, model=model, board=load_board("local"))


@pytest.fixture
def variant(report: Report) -> VariantResult:
    assert report.exit_code == 0
    return report.variants[0]


def test_a_stream_keeps_its_rate(variant: VariantResult) -> None:
    assert variant.stream is not None
    assert variant.stream.rate_fps == 200
    # A duration of one second at 200 frames/s asks for more than the 70 frames.
    assert variant.stream.frames == 200
    assert variant.stream.freeze_ms >= 1
    assert variant.stream.missed_share == variant.stream.missed_frames / 200


def test_a_soak_is_cut_into_windows_and_reads_the_memory_from_outside(
    variant: VariantResult,
) -> None:
    assert variant.soak is not None
    assert len(variant.soak.windows) >= 2
    assert variant.soak.duration_s > 0.8
    assert variant.soak.frames == sum(window.frames for window in variant.soak.windows)
    assert all(window.rss_mb and window.rss_mb > 10 for window in variant.soak.windows)
    assert variant.soak.growth_mb is not None
    assert abs(variant.soak.growth_mb) < 50


def test_a_cold_start_is_longer_than_its_parts(variant: VariantResult) -> None:
    assert variant.cold is not None
    assert variant.cold.processes == 2
    for start in variant.cold.starts:
        assert start.start_ms > 10
        assert start.load_ms > 0
        assert start.total_ms > start.start_ms + start.load_ms


def test_offline_rendering_times_every_stage_from_file_to_file(variant: VariantResult) -> None:
    assert variant.batch is not None
    assert variant.batch.frames == 20
    assert list(variant.batch.stages) == ["decode", "prepare", "tiny", "compose", "encode"]
    (run,) = variant.batch.runs
    assert all(len(times) == 20 for times in run.stages_ms.values())
    assert 0.2 < sum(stage.share for stage in variant.batch.stages.values()) <= 1
    assert variant.batch.throughput_fps == pytest.approx(20 / run.total_s)


def test_scenarios_are_in_the_file_and_in_gates(report: Report) -> None:
    assert parse_report(dump_report(report), where="text") == report
    assert report.settings.scenarios == ALL.scenarios
    table = figures(report.variants[0])
    for name in ("stream.missed_share", "soak.growth_mb", "cold.p50_ms", "batch.throughput_fps"):
        assert isinstance(table[name], float)
    assert isinstance(table["batch.stages.encode.share"], float)
    comparison = compare([report])
    check_gate(comparison, parse_gate("cold.p50_ms > 100000 or soak.growth_mb > 1000"))
    with pytest.raises(GateFailed, match=r"cold\.p50_ms"):
        check_gate(comparison, parse_gate("cold.p50_ms > 1"))


def test_a_scenario_that_was_not_asked_for_fails_a_gate_on_it(report: Report) -> None:
    without = replace(report, variants=(replace(report.variants[0], stream=None),))
    with pytest.raises(GateFailed, match="not measured"):
        check_gate(compare([without]), parse_gate("stream.missed_share > 0.5"))


class _Slow:
    """A playback whose third frame takes long."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def reopen(self) -> None:
        pass

    def steady_frame(self) -> tuple[float, dict[str, float]]:
        self.starts.append(time.perf_counter())
        if len(self.starts) == 3:
            time.sleep(0.06)
        return 0.0, {}


def test_the_clock_of_a_stream_does_not_wait_for_a_slow_frame() -> None:
    playback = _Slow()
    began = time.perf_counter()
    responses = stream(playback, 50.0, 8)  # type: ignore[arg-type]
    assert responses[2] >= 60
    # The fourth frame was due 20 ms after the third: it has waited for 40.
    assert responses[3] >= 39
    # No frame comes before its time: the first is due after one period.
    assert playback.starts[7] - began >= 8 / 50.0


class _Still:
    """A player whose every play begins with the work that is done once per still."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self.still_timings = {"encode": 0.2}
        self.plays = 0

    def play(self, scene: Scene) -> Iterator[np.ndarray]:
        assert scene.driver is not None
        self.plays += 1
        yield from scene.driver


def test_no_frame_of_a_stream_waits_for_the_work_done_once_per_still(pictures: np.ndarray) -> None:
    """A fast model's warm-up plays many frames: wherever it ends, the stream has a play of its
    own."""
    for warm in range(12):
        scene = lengthened(Scene(driver=pictures[:2]), 8 + OPENING_FRAMES)
        player = _Still()
        playback = Playback(player, scene)  # type: ignore[arg-type]
        for _ in range(warm):
            playback.steady_frame()
        before = player.plays
        assert len(stream(playback, 1000.0, 8)) == 8
        assert player.plays == before + 1


def test_a_streams_scene_has_its_opening_beside_all_of_its_frames() -> None:
    asked: list[Request] = []

    class Worker:
        def receive(self, _: type) -> None:
            pass

        def ask(self, request: Request, _: type, **__: float) -> Streamed | Warm:
            asked.append(request)
            return Warm(10, 1.0) if request.ask == "warm" else Streamed((1.0,))

    pool: Any = SimpleNamespace(start=lambda _: Worker(), stop=lambda _: None)
    plan = BenchOptions(rounds=1, stream_frames=40, warmup_frames=10).plan(20.0)
    Trials(pool, plan, Path()).stream(None)  # type: ignore[arg-type]
    frames = {request.ask: request.frames for request in asked}
    assert frames == {"lengthen": 40 + OPENING_FRAMES, "warm": 10, "stream": 40}


def test_a_stream_that_the_machine_cannot_keep_up_with_has_the_time_that_it_takes() -> None:
    """Its frames queue up, which is to be measured, and no worker that hangs."""
    patience: list[float] = []

    class Worker:
        def receive(self, kind: type) -> None: ...

        def ask(self, request: Request, kind: type, *, busy_s: float = 0.0) -> Any:  # noqa: ARG002
            if request.ask == "warm":
                time.sleep(0.02)
            patience.append(busy_s)
            return {"warm": Warm(1, 20.0), "stream": Streamed((1.0,))}.get(request.ask)

    pool: Any = SimpleNamespace(start=lambda _: Worker(), stop=lambda _: None)
    plan = BenchOptions(rounds=1, stream_frames=1000).plan(rate_fps=1000.0)
    Trials(pool, plan, Path()).stream(None)  # type: ignore[arg-type]
    # Of frames that take 0.02 s, not of the second that was asked for; nor for hours.
    assert 20 <= patience[-1] < 2000


@pytest.mark.parametrize(("asked", "windows"), [(30.0, 12), (120.0, 12), (121.0, 13), (600.0, 60)])
def test_the_windows_of_a_soak_last_ten_seconds_at_most(asked: float, windows: int) -> None:
    plan = BenchOptions(scenarios=("soak",), duration_s=asked).plan(20.0)
    assert plan.windows == windows


class _Endless:
    """A player that shows its scene's driver."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self.still_timings: dict[str, float] = {}

    def play(self, scene: Scene) -> Iterator[np.ndarray]:
        assert scene.driver is not None
        yield from scene.driver


def test_a_lengthened_scene_goes_to_and_fro(pictures: np.ndarray) -> None:
    short = Scene(driver=pictures[:3])
    long = lengthened(short, 7)
    assert long.driver is not None
    shown = [int(np.argmax([np.array_equal(f, p) for p in pictures])) for f in long.driver]
    assert shown == [0, 1, 2, 1, 0, 1, 2]
    assert len(list(long.driver)) == 7
    playback = Playback(_Endless(), long)  # type: ignore[arg-type]
    assert [playback.steady_frame()[0] >= 0 for _ in range(9)] == [True] * 9
    values = np.arange(12, dtype=np.float32).reshape(2, 1, 6)
    track = lengthened(Scene(track=MotionTrack(values, 25.0)), 5).track
    assert track is not None
    for _ in range(2):
        assert [motion[0, 0] for motion in track.motions()] == [0, 6, 0, 6, 0]
    still = Scene(still=pictures[0])
    assert lengthened(still, 9) is still


def test_a_stored_motion_can_be_played_for_days() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 1, 6)
    count = 7 * 86400 * 30
    track = lengthened(Scene(track=MotionTrack(values, 25.0)), count).track
    assert track is not None
    assert len(track) == count
    assert next(track.motions()).shape == (1, 6)


@pytest.mark.parametrize(
    "wrong",
    [{"scenarios": ("strem",)}, {"rate_fps": 0.0}, {"rate_fps": 1e5}, {"duration_s": 0.5}],
)
def test_scenarios_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        BenchOptions(**wrong)  # type: ignore[arg-type]


def test_a_stream_at_a_few_frames_an_hour_is_refused_and_not_played_for_days() -> None:
    BenchOptions().refuse_endless(0.001)
    options = BenchOptions(scenarios=("stream",))
    with pytest.raises(UsageError, match=r"at 0.001 fps that takes 36.7 hours.*--fps 0.037") as it:
        options.refuse_endless(0.001)
    assert it.value.where == "--fps"
    with pytest.raises(UsageError, match=r"66 frames: .* takes 18.3 hours"):
        options.quick().refuse_endless(0.001)
    options.refuse_endless(0.037)
    # Who asks for hours gets them.
    replace(options, duration_s=2 * 86400.0).refuse_endless(0.001)


class _Titles(Silent):
    """Remembers what began."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def stage(self, title: str, total: int | None = None) -> None:  # noqa: ARG002
        self.titles.append(title)


def test_a_soak_comes_last_and_is_announced_since_it_heats(tmp_path: Path) -> None:
    seen = _Titles()
    options = BenchOptions(scenarios=("soak", "stream", "cold"))
    with WorkerPool(tmp_path) as pool:
        Schedule(
            {},
            options,
            pool,
            tmp_path,
            seen,
            rate_fps=20,
            before_soak=lambda: seen.titles.append("it may warm up"),
        ).run()
    assert seen.titles == ["Measure", "Stream", "Cold", "it may warm up", "Soak"]
