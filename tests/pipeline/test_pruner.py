"""The search for the least ratio that reaches a time, and on how many frames is pruned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.errors import GateFailed, UsageError
from edgeanim.core.progress import SILENT
from edgeanim.core.recipe import PruneSpec
from edgeanim.pipeline.prune import frames_for, prune
from edgeanim.pipeline.pruner import Pruner
from edgeanim.quantize.pruning.prune import Cut
from edgeanim.runtime.scene import Scene
from edgeanim.targets.machine import read_machine


class Promised(Pruner):
    """A frame takes 20 ms unpruned and 10 ms less with all channels gone."""

    most = 1.0

    def cut(self, spec: PruneSpec) -> Any:
        assert spec.steps == 0, "the search does not recover"
        graphs: Any = spec.ratio
        return Cut(graphs, 1 - min(spec.ratio, self.most))

    def frame_ms(self, graphs: Any) -> float:
        return 20.0 - 10.0 * (graphs or 0.0)


class Stuck(Promised):
    """The same by chance, as no more than 40 % can go."""

    most = 0.4


def pruner(kind: type[Promised] = Promised) -> Promised:
    work: Any = SimpleNamespace(progress=SILENT)
    model: Any = SimpleNamespace(graphs=())
    return kind(work, model, {}, Scene(), "onnxruntime")


@given(st.floats(11.1, 19.9))
def test_the_least_ratio_that_is_fast_enough_is_found(limit: float) -> None:
    found = pruner().ratio_for(PruneSpec(latency_ms=limit))
    needed = (20.0 - limit) / 10.0
    assert needed - 1e-9 <= found <= needed + 0.03


def test_no_more_is_asked_for_than_can_go() -> None:
    """It was refused for a ratio that nobody gave."""
    assert pruner(Stuck).ratio_for(PruneSpec(latency_ms=13.0)) == pytest.approx(0.4)


def test_what_is_fast_enough_already_is_left_alone() -> None:
    assert pruner().ratio_for(PruneSpec(latency_ms=25.0)) == 0.0


def test_a_time_out_of_reach_tells_the_measured_curve() -> None:
    with pytest.raises(GateFailed, match=r"20\.0 ms at 0, 11\.0 ms at 0\.9"):
        pruner().ratio_for(PruneSpec(latency_ms=5.0))


@pytest.mark.parametrize(
    ("of", "told"), [("macs", r"6\d% of .* mul"), ("time", r"\d+% of .* time")]
)
def test_a_share_that_cannot_go_is_refused_with_the_one_that_can(
    of: Any,
    told: str,
    tiny_onnx: Callable[..., Path],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 16 channels in multiples of 8 half can go: half of each layer, a quarter of the second's
    multiply-accumulates stays. No time is spent on a recovery."""
    pytest.importorskip("torch")
    from edgeanim.quantize.distillation.train import Trainer

    monkeypatch.setattr(Trainer, "run", lambda *_: pytest.fail("it was recovered"))
    spec = PruneSpec(ratio=0.9, of=of, round_to=8, rounds=1, steps=200)
    with pytest.raises(UsageError, match=f"Only {told}.* not 90%"):
        prune(tiny_onnx(), out=tmp_path / "out", calib=photos, spec=spec)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spec", [PruneSpec(latency_ms=20.0), PruneSpec(ratio=0.3, of="time")])
def test_times_of_a_board_of_another_kind_are_not_measured_here(
    spec: PruneSpec, tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    """What a frame takes here was said to be what it takes there."""
    board = "raspberry-pi-5" if read_machine().arch == "x86_64" else "x86-avx2"
    with pytest.raises(UsageError, match=f"The board {board} is .* cannot be measured here"):
        prune(tiny_onnx(), calib=photos, out=tmp_path / "out", spec=spec, board=board)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spec", "frames"),
    [
        (PruneSpec(0.05, steps=0), 96),
        (PruneSpec(0.5, steps=0), 256),
        (PruneSpec(0.5, steps=800), 800),
        (PruneSpec(0.5, steps=5000), 1024),
        (PruneSpec(0.5, steps=5000, frames=2600), 2600),
        (PruneSpec(0.05, steps=0, frames=8), 8),
    ],
)
def test_a_longer_recovery_gets_more_frames_and_any_number_that_is_asked_for(
    spec: PruneSpec, frames: int
) -> None:
    assert frames_for(spec) == frames


def test_a_frame_is_not_enough() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        PruneSpec(0.5, frames=1)
