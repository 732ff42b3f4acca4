"""Roofs: what a machine can do at most, in arithmetic and in memory (Williams, Waterman and
Patterson, 2009).

Of this machine they are measured, of a board they come from its file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgeanim.core.errors import DeviceFailed, UsageError
from edgeanim.core.threads import thread_settings
from edgeanim.targets.board import Board, board_names, where_shipped

# Vector instructions for 32 products of bytes against 32 in float32 (AVX2): vpmaddubsw, vpmaddwd
# and vpaddd against four fused multiply-adds; VNNI needs one.
INT8_GAIN_WITHOUT_VNNI = 4 / 3
INT8_GAIN_WITH_VNNI = 4.0
_SIZE, _REPEATS = 1024, 8
_COPIED_BYTES = 1 << 27
_SECONDS = 120


@dataclass(frozen=True)
class Roof:
    """Limits with so many `threads`: GFLOP/s in float32, GOP/s in INT8, GB/s read and written."""

    threads: int
    gflops_fp32: float
    gops_int8: float
    memory_gb_s: float

    def with_threads(self, threads: int) -> Roof:
        """The same machine with more or fewer threads: arithmetic grows with them, memory does
        not."""
        factor = threads / self.threads
        return Roof(threads, self.gflops_fp32 * factor, self.gops_int8 * factor, self.memory_gb_s)

    def arithmetic(self, precision: str) -> float:
        """The limit for arithmetic in this precision; whatever is no INT8 counts as float32."""
        return self.gops_int8 if precision == "int8" else self.gflops_fp32


def roof_of(board: Board, threads: int | None = None) -> Roof:
    """The roof of `board` with `threads` (its own number of them by default).

    `UsageError` for no threads, and if its file does not have the peaks: without them nothing can
    be projected.
    """
    peaks, used = board.peaks, board.threads if threads is None else threads
    if used < 1:
        raise UsageError("threads must be at least 1.")
    if peaks.gflops_fp32 is None or peaks.memory_gb_s is None:
        raise UsageError(
            f"The board {board.name!r} has no peaks to project on.",
            hint=f"Copy {where_shipped(board.name)}, fill in [peaks], and give that file."
            if board.name in board_names()
            else "Fill in [peaks] in its file.",
        )
    # A board without a figure for INT8 is taken to gain nothing by it.
    int8 = peaks.gops_int8 if peaks.gops_int8 is not None else peaks.gflops_fp32
    whole = Roof(board.cores, peaks.gflops_fp32, int8, peaks.memory_gb_s)
    return whole.with_threads(min(used, board.cores))


def measure_roof(*, saturates: bool) -> Roof:
    """The roof of one core of this machine, measured in a process of its own in some seconds.

    Float32 by a matrix product, memory by a copy that no cache holds; the best of several, since
    others on the machine only ever take away. INT8 follows from float32 and whether 8-bit
    multiply-add `saturates` here. `DeviceFailed` if that process fails or takes minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgeanim.benchmarks.roofline"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=os.environ | thread_settings(1),
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceFailed(
            f"The roof could not be measured: it did not finish within {_SECONDS:g} s."
        ) from error
    if done.returncode != 0:
        raise DeviceFailed(f"The roof could not be measured: {done.stderr.strip()[-200:]}")
    answer = json.loads(done.stdout)
    gain = INT8_GAIN_WITHOUT_VNNI if saturates else INT8_GAIN_WITH_VNNI
    fp32 = float(answer["gflops_fp32"])
    return Roof(1, fp32, fp32 * gain, float(answer["memory_gb_s"]))


def _main() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.random((_SIZE, _SIZE), dtype=np.float32) for _ in range(2))
    source = np.ones(_COPIED_BYTES, np.uint8)
    target = np.empty_like(source)

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(_REPEATS):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        return min(times)

    product, copy = best(lambda: a @ b), best(lambda: np.copyto(target, source))
    gflops, gb_s = 2 * _SIZE**3 / product / 1e9, 2 * _COPIED_BYTES / copy / 1e9
    print(json.dumps({"gflops_fp32": gflops, "memory_gb_s": gb_s}))


if __name__ == "__main__":
    _main()
