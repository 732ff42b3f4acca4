"""How long a frame takes, for searches: by a clock that only the sessions move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.pipeline import timing
from edgeanim.targets.backends import SessionOptions

TENSOR = TensorSpec("x", "feature:x", (1,))


class Clock:
    """Seconds that pass only where something is said to take them."""

    now = 0.0

    def tell(self) -> float:
        return self.now


def graph(name: str, runs: Any) -> Any:
    return SimpleNamespace(spec=GraphSpec(name, f"{name}.onnx", runs, (TENSOR,), (TENSOR,)))


def measured(
    monkeypatch: pytest.MonkeyPatch, costs: Mapping[str, Mapping[str, list[float]]]
) -> dict[str, float]:
    """What `measure_frames` says of variants whose graphs take these seconds, the last ones again
    and again."""
    clock = Clock()
    graphs = [graph("encode", "once"), graph("paint", "frame")]
    variants = {
        name: SimpleNamespace(
            backend="null",
            graphs=[SimpleNamespace(spec=g.spec, left=list(times[g.spec.name])) for g in graphs],
        )
        for name, times in costs.items()
    }

    @contextmanager
    def opened(_work: object, compiled: Any, *_: object) -> Iterator[tuple[Any, Any]]:
        def run(_feed: object) -> None:
            clock.now += compiled.left.pop(0) if len(compiled.left) > 1 else compiled.left[0]

        yield SimpleNamespace(run=run), {}

    monkeypatch.setattr(timing, "opened", opened)
    clocks = SimpleNamespace(process_time=clock.tell, perf_counter=clock.tell)
    monkeypatch.setattr(timing, "time", clocks)
    work: Any = SimpleNamespace(options=lambda _: SessionOptions())
    model: Any = SimpleNamespace(graphs=graphs)
    given: Any = variants
    return timing.measure_frames(work, model, given, {})


def test_what_runs_once_a_still_counts_as_if_it_were_shown_for_a_hundred_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = measured(monkeypatch, {"a": {"encode": [0.2], "paint": [0.003]}})
    assert found["a"] == pytest.approx(5.0)


def test_the_least_of_all_rounds_counts_but_for_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = {
        "a": {"encode": [0.0], "paint": [0.001, 0.004, 0.002, 0.009, 0.005]},
        "b": {"encode": [0.0], "paint": [0.007]},
    }
    found = measured(monkeypatch, costs)
    assert found == {"a": pytest.approx(2.0), "b": pytest.approx(7.0)}
