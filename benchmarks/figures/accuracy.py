"""How far the harness can be trusted: `python -m edgeanim.benchmarks.figures.accuracy net.eab`.

Prints each bar, what was asked and what was measured; exit code 1 if one is missed. What is
compared runs block by block in turn, so that a busy machine disturbs both alike. A soak of ten
minutes: `--only soak --soak 600`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edgeanim.benchmarks.figures.bar import Bar, line
from edgeanim.benchmarks.figures.loops import LoopedGraph, benchmark_app, onnxruntime_loop
from edgeanim.benchmarks.figures.slowed import MODULE as SLOWED
from edgeanim.benchmarks.options import BenchOptions
from edgeanim.benchmarks.timing.process import WorkerPool, WorkerProcess
from edgeanim.benchmarks.timing.protocol import Job
from edgeanim.benchmarks.timing.scenarios import summarize_soak
from edgeanim.benchmarks.timing.schedule import Schedule
from edgeanim.benchmarks.timing.stats import Ratio, paired_ratio
from edgeanim.benchmarks.timing.trials import Trials
from edgeanim.core.errors import GateFailed, reports_errors
from edgeanim.core.progress import SILENT
from edgeanim.core.scratch import scratch_folder
from edgeanim.targets.bundle import Bundle, open_bundle
from edgeanim.targets.manifest import variant_called

BARE, OTHERS = 0.03, 0.05
SLOWER = 0.10
RIGHT = 0.95
GROWTH_MB = 2.0
# Short blocks, so that what disturbs one disturbs its neighbour, too.
_BLOCKS, _FRAMES = 120, 2
_TOOL_RUNS, _TOOL_FRAMES, _TOOL_WARMUP = 12, 40, 5
_TRIAL = BenchOptions(warmup_s=0.5)
PARTS = ("bare", "onnxruntime", "benchmark_app", "same", "slower", "soak")


class Accuracy:
    """The checks on the variants of one bundle, each in processes of its own but for the loops."""

    def __init__(self, bundle: Bundle, variant: str, options: argparse.Namespace) -> None:
        self._bundle, self._variant = bundle, variant
        self._options = options

    def bare(self) -> Iterator[Bar]:
        """The harness's median against the same session's own `run`."""
        looped = LoopedGraph(self._job(self._variant))
        ratio = _in_turn(looped.harness, looped.bare)
        yield _near(f"a bare loop over the same session ({self._variant})", ratio, BARE)

    def onnxruntime(self) -> Iterator[Bar]:
        """Against ONNX Runtime alone on the same file."""
        looped = LoopedGraph(self._job("onnxruntime-float32"))
        ratio = _in_turn(looped.harness, onnxruntime_loop(looped, threads=1))
        yield _near("a plain loop over onnxruntime, same file", ratio, OTHERS)

    def benchmark_app(self) -> Iterator[Bar]:
        """Against OpenVINO's `benchmark_app` on the same file, run after run in turn."""
        if not Path(sys.executable).with_name("benchmark_app").exists():
            return
        looped = LoopedGraph(self._job("openvino-float32"))
        ours, theirs = [], []
        for _ in range(_TOOL_RUNS):
            # The other process has left the caches cold; it does not count its own start either.
            looped.harness(_TOOL_WARMUP)
            ours.append([list(looped.harness(_TOOL_FRAMES))])
            theirs.append([[benchmark_app(looped.compiled, 1, _TOOL_FRAMES)]])
        yield _near("OpenVINO's benchmark_app, same file", paired_ratio(ours, theirs), OTHERS)

    def same(self) -> Iterator[Bar]:
        """A variant against an identical copy of itself."""
        verdicts = [self._trial(0.0).verdict for _ in range(self._options.trials)]
        yield _often("an identical copy: no difference", verdicts, "no difference")

    def slower(self) -> Iterator[Bar]:
        """The copy is busy for a tenth of each frame's time."""
        verdicts = [self._trial(SLOWER).verdict for _ in range(self._options.trials)]
        yield _often(f"a copy that is {SLOWER:.0%} slower: found", verdicts, "higher")

    def soak(self) -> Iterator[Bar]:
        """Growth of a process that plays."""
        seconds = self._options.soak
        plan = BenchOptions(duration_s=seconds).plan(20.0)
        with scratch_folder("accuracy") as folder, WorkerPool(folder) as pool:
            soak = summarize_soak(Trials(pool, plan, folder).soak(self._job(self._variant)))
        if not self._options.quiet:
            sizes = (f"{w.rss_mb:.2f}" for w in soak.windows if w.rss_mb is not None)
            print(f"  resident MB by window: {' '.join(sizes)}", flush=True)
        grown = soak.growth_mb
        yield Bar(
            f"growth over a soak of {seconds:.0f} s, {soak.frames} frames",
            f"< {GROWTH_MB:g} MB",
            "not measured" if grown is None else f"{grown:.2f} MB",
            grown is not None and grown < GROWTH_MB,
        )

    def _trial(self, share: float) -> Ratio:
        """One comparison as a bench makes it: the copy's latency over the first one's."""
        job = self._job(self._variant)
        slowed = (sys.executable, "-m", SLOWED, str(share))
        started: list[Job] = []

        def start(job: Job, folder: Path) -> WorkerProcess:
            # Each round starts the first and then the copy.
            started.append(job)
            plain = len(started) % 2 == 1 or not share
            return (
                WorkerProcess(job, folder) if plain else WorkerProcess(job, folder, command=slowed)
            )

        with scratch_folder("accuracy") as folder, WorkerPool(folder, start) as pool:
            jobs = {"first": job, "copy": job}
            measured = Schedule(jobs, _TRIAL, pool, folder, SILENT, rate_fps=20.0).time()
        first, copy = ([p.blocks_ms for p in measured[n].samples] for n in ("first", "copy"))
        ratio = paired_ratio(copy, first)
        if not self._options.quiet:
            low, high = ratio.interval.low, ratio.interval.high
            said = f"{ratio.verdict}; finds {ratio.detectable:.1%}"
            print(f"  {ratio.value:.3f} ({low:.3f} to {high:.3f}) {said}", flush=True)
        return ratio

    def _job(self, name: str) -> Job:
        variant = variant_called(name, self._bundle.variants)
        golden = self._bundle.must_have_golden()
        return Job(self._bundle.contract, variant.graphs, golden, 1, False, {})


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Check the harness and print the bars; 0 if all are met."""
    parser = argparse.ArgumentParser(
        prog="python -m edgeanim.benchmarks.figures.accuracy",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("bundle", type=Path, help="a bundle (.eab) with golden frames")
    parser.add_argument("--variant", default="onnxruntime-float32")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--soak", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--quiet", action="store_true", help="the bars alone")
    options = parser.parse_args(arguments)
    met = True
    with open_bundle(options.bundle) as bundle:
        accuracy = Accuracy(bundle, options.variant, options)
        for part in options.only or PARTS:
            for bar in getattr(accuracy, part)():
                print(line(bar), flush=True)
                met &= bar.met
    return 0 if met else GateFailed.exit_code


def _in_turn(
    ours: Callable[[int], Sequence[float]], theirs: Callable[[int], Sequence[float]]
) -> Ratio:
    """The ratio of the medians of blocks that ran one after the other, in changing order."""
    above: list[list[Sequence[float]]] = []
    below: list[list[Sequence[float]]] = []
    for number in range(_BLOCKS):
        turns = ((ours, above), (theirs, below))
        for loop, times in turns if number % 2 == 0 else reversed(turns):
            # The blocks are what repeats here, not the processes: there is only one.
            times.append([loop(_FRAMES)])
    return paired_ratio(above, below)


def _near(against: str, ratio: Ratio, limit: float) -> Bar:
    low, high = ratio.interval.low, ratio.interval.high
    return Bar(
        f"harness against {against}",
        f"within {limit:.0%}",
        f"{ratio.value - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})",
        abs(ratio.value - 1) <= limit,
    )


def _often(what: str, verdicts: Sequence[str], right: str) -> Bar:
    count = sum(verdict == right for verdict in verdicts)
    need = RIGHT * len(verdicts)
    return Bar(
        what, f">= {need:.0f} of {len(verdicts)}", f"{count} of {len(verdicts)}", count >= need
    )


if __name__ == "__main__":
    sys.exit(main())
