"""Which cores the timed processes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.benchmarks.machine.cores import busy_shares, cores_of_round, fit_cores
from edgeanim.benchmarks.machine.sensors.base import Snapshot
from edgeanim.benchmarks.options import BenchOptions
from edgeanim.benchmarks.results.result import ModelRecord
from edgeanim.benchmarks.runner import Subject, run_bench
from edgeanim.targets.board import load_board
from tests.files import lay_out

CORES = st.lists(st.integers(0, 63), min_size=1, max_size=16, unique=True)


@given(
    CORES,
    st.integers(1, 20),
    st.integers(0, 9),
    st.dictionaries(st.integers(0, 63), st.floats(0, 1)),
)
def test_a_round_has_as_many_cores_as_threads_and_no_other(
    fit: list[int], threads: int, number: int, busy: dict[int, float]
) -> None:
    chosen = cores_of_round(fit, threads, number, busy)
    assert len(chosen) == len(set(chosen)) == min(threads, len(fit))
    assert set(chosen) <= set(fit)
    assert chosen == tuple(sorted(chosen))


def test_idle_cores_take_turns() -> None:
    rounds = [cores_of_round((0, 1, 2, 3), 2, number, {}) for number in range(3)]
    assert rounds == [(0, 1), (2, 3), (0, 1)]


def test_a_busy_core_is_left_to_others() -> None:
    rounds = {cores_of_round((0, 1, 2), 1, number, {1: 0.9, 2: 0.02}) for number in range(6)}
    assert rounds == {(0,), (2,)}


def _lay_out(root: Path, files: Mapping[str, object]) -> None:
    folder = root / "sys/devices/system/cpu"
    lay_out(folder, {name: f"{text}\n" for name, text in files.items()})


def test_small_cores_are_left_out(tmp_path: Path) -> None:
    _lay_out(tmp_path, {f"cpu{i}/cpu_capacity": 1024 if i < 2 else 446 for i in range(6)})
    assert fit_cores((), range(6), tmp_path) == (0, 1)


def test_a_favoured_core_is_no_other_kind(tmp_path: Path) -> None:
    clocks = (5_000_000, 5_100_000, 3_800_000)
    _lay_out(tmp_path, {f"cpu{i}/cpufreq/cpuinfo_max_freq": at for i, at in enumerate(clocks)})
    assert fit_cores((), range(3), tmp_path) == (0, 1)


@pytest.mark.parametrize(
    ("siblings", "order"), [("{0}-{1}", (0, 2, 1, 3)), ("{0},{1}", (0, 2, 1, 3))]
)
def test_second_threads_of_a_core_come_last(
    siblings: str, order: tuple[int, ...], tmp_path: Path
) -> None:
    for pair in ((0, 1), (2, 3)):
        text = siblings.format(*pair)
        _lay_out(tmp_path, {f"cpu{core}/topology/thread_siblings_list": text for core in pair})
    assert fit_cores((), range(4), tmp_path) == order


def test_the_boards_cores_are_kept_to_where_they_are(tmp_path: Path) -> None:
    assert fit_cores((0, 3, 4), range(4), tmp_path) == (0, 3)
    assert fit_cores((4, 5), range(2), tmp_path) == (0, 1)


def test_what_the_host_steals_counts_as_busy() -> None:
    looks = iter(
        (
            Snapshot({"cpu0.busy_s": 1.0, "cpu0.steal_s": 0.0, "cpu1.busy_s": 1.0}, ()),
            Snapshot({"cpu0.busy_s": 1.0, "cpu0.steal_s": 9.0, "cpu1.busy_s": 1.0}, ()),
        )
    )
    shares = busy_shares(0.0, lambda: next(looks))
    assert shares[0] > 1
    assert shares[1] == 0


def test_a_machine_that_tells_nothing_has_no_busy_core() -> None:
    assert busy_shares(0.0, lambda: Snapshot({}, ("CPU time",))) == {}


def test_the_processes_of_a_round_share_a_core(
    compile_tiny: Callable[[str], Subject], golden: Path
) -> None:
    options = BenchOptions(iterations=2, rounds=2, blocks=1, block_s=0, warmup_frames=1, warmup_s=0)
    model = ModelRecord("tiny", "0" * 64, None)
    subjects = [compile_tiny("null"), compile_tiny("onnxruntime")]
    report = run_bench(subjects, golden, options, model=model, board=load_board("local"))
    first, second = ([p.affinity for p in v.samples] for v in report.variants)
    assert first == second
    assert all(len(cores) == 1 for cores in first)
    assert set(report.settings.affinity) == {core for cores in first for core in cores}


def test_four_threads_of_a_core_are_told_apart(tmp_path: Path) -> None:
    for core in range(8):
        first = core - core % 4
        text = f"{first}-{first + 3}"
        _lay_out(tmp_path, {f"cpu{core}/topology/thread_siblings_list": text})
    assert fit_cores((), range(8), tmp_path) == (0, 4, 1, 5, 2, 6, 3, 7)
