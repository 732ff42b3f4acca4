"""How thoroughly a bench measures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgeanim.benchmarks.timing.scenarios import Scenario
from edgeanim.benchmarks.timing.trials import Plan
from edgeanim.core.choices import must_be_one_of, must_be_threads
from edgeanim.core.errors import UsageError

_SOAK_S = 600.0
_MAX_DURATION_S = 7 * 86400.0
_MAX_RATE_FPS = 1000.0
# The longest stream of one variant that nobody has asked for by its duration.
_MAX_STREAM_S = 3600.0
_COUNTS = (
    *("iterations", "rounds", "blocks", "warmup_frames"),
    *("stream_frames", "batch_frames", "cold_starts"),
)


@dataclass(frozen=True)
class BenchOptions:
    """How thoroughly to measure. `iterations` is the least number of timed frames of a variant,
    spread over `rounds` processes of `blocks` blocks; a block also lasts at least `block_s`.

    `scenarios` come on top of `single`. A stream runs at `rate_fps`, or by `None` at the rate that
    the board's latency budget allows, and has `stream_frames` over all its processes, or more if
    it is to last `duration_s`, as a soak does. With `times_only` neither drift nor memory is
    measured, and what executed is read of INT8 alone.
    """

    threads: int = 1
    iterations: int = 96
    rounds: int = 4
    # Short blocks in turn: what disturbs one then disturbs its neighbour, too.
    blocks: int = 7
    block_s: float = 0.1
    warmup_frames: int = 10
    warmup_s: float = 1.0
    timeout_s: float = 600.0
    scenarios: tuple[Scenario, ...] = ()
    rate_fps: float | None = None
    duration_s: float | None = None
    stream_frames: int = 132
    batch_frames: int = 64
    cold_starts: int = 5
    times_only: bool = False

    def __post_init__(self) -> None:
        must_be_threads(self.threads)
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', ' ')} must be at least 1.")
        for name in ("block_s", "warmup_s", "timeout_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be a number of seconds, not negative.")
        must_be_one_of(Scenario, "scenarios", *self.scenarios)
        if self.rate_fps is not None and not 0 < self.rate_fps <= _MAX_RATE_FPS:
            raise UsageError(f"A stream runs at more than 0 and at most {_MAX_RATE_FPS:g} fps.")
        if self.duration_s is not None and not 1 <= self.duration_s <= _MAX_DURATION_S:
            raise UsageError(f"A stream or a soak lasts from 1 to {_MAX_DURATION_S:g} s.")

    @property
    def block_frames(self) -> int:
        """Frames of a block, so that all blocks together reach `iterations`."""
        return -(-self.iterations // (self.rounds * self.blocks))

    def quick(self) -> BenchOptions:
        """As fast as a p90 allows: the fewest samples, short blocks, a short warm-up."""
        return replace(
            self,
            iterations=66,
            blocks=2,
            block_s=0.0,
            warmup_s=0.2,
            stream_frames=66,
            batch_frames=24,
            cold_starts=3,
        )

    def refuse_endless(self, rate_fps: float) -> None:
        """`UsageError` if the frames that a stream needs at the least would take more than an hour
        at this rate, and longer than it was asked to last."""
        takes = self.stream_frames / rate_fps
        longest = max(_MAX_STREAM_S, self.duration_s or 0)
        if "stream" not in self.scenarios or takes <= longest:
            return
        # Rounded up: the rate that is told must itself be taken.
        enough = math.ceil(1e3 * self.stream_frames / longest) / 1e3
        raise UsageError(
            f"A stream has at least {self.stream_frames} frames: at {rate_fps:g} fps that takes "
            f"{takes / 3600:.1f} hours for each variant.",
            where="--fps",
            hint=f"Give --fps {enough:g} or more.",
        )

    def plan(self, rate_fps: float) -> Plan:
        """The further scenarios at this rate."""
        frames = max(self.stream_frames, math.ceil((self.duration_s or 0) * rate_fps))
        return Plan(
            rate_fps=rate_fps,
            stream_frames=-(-frames // self.rounds),
            batch_frames=self.batch_frames,
            soak_s=self.duration_s or _SOAK_S,
            warmup_frames=self.warmup_frames,
            warmup_s=self.warmup_s,
        )
