"""What edgeanim must reach in speed and memory: `python -m edgeanim.benchmarks.figures.bars`.

Prints each bar, what was asked, what was measured and whether it is met; exit code 1 if one is not.
Everything runs through the `edgeanim` command as a user would run it, with a cold artifact store.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeanim.benchmarks.figures.bar import Bar, line
from edgeanim.benchmarks.results.result import Report, load_report
from edgeanim.benchmarks.timing.stats import as_times, paired_ratio
from edgeanim.core.errors import BadInput, DeviceFailed, GateFailed, reports_errors
from edgeanim.core.native import write_png
from edgeanim.core.scratch import scratch_folder
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.motion import save_track
from edgeanim.targets.bundle import open_bundle

HELP_RATIO = 4.0
BUILD_SECONDS = 30.0
DEMO_SECONDS = 180.0
MAX_DRIFT = 0.01
SPEEDUPS = {"onnxruntime": 1.8, "openvino": 2.5, "tflite": 2.5}
MODEL = "shipped"
_STARTS = 15
_EDGEANIM = (sys.executable, "-m", "edgeanim")

# Every Python process below the one that has this on its path leaves a list of what it imported.
_SPY = """
import atexit, os, pathlib, sys
def _leave():
    names = "\\n".join(sorted({name.partition(".")[0] for name in sys.modules}))
    pathlib.Path(os.environ["EDGEANIM_BARS_SPY"], f"{os.getpid()}.txt").write_text(names)
atexit.register(_leave)
"""


class Bench:
    """Runs the commands in a scratch folder, with a store and environment of their own."""

    def __init__(self, folder: Path, command: Sequence[str] = _EDGEANIM) -> None:
        self.folder = folder
        self._command = tuple(command)
        self.environment = os.environ | {"EDGEANIM_STORE": str(folder / "store")}

    def edgeanim(self, *arguments: str, **environment: str) -> float:
        """Run a command; the seconds it took. `DeviceFailed` with its last words if it failed."""
        began = time.perf_counter()
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr.strip() or done.stdout.strip())[-1000:]
            raise DeviceFailed(f"edgeanim {' '.join(arguments)} failed: {words}")
        return time.perf_counter() - began

    def start_up(self) -> Iterator[Bar]:
        """`edgeanim --help` against `python -c pass`, in turn."""
        ours: list[list[float]] = []
        bare: list[list[float]] = []
        for _ in range(_STARTS):
            ours.append([self.edgeanim("--help")])
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], cwd=self.folder, check=True)
            bare.append([time.perf_counter() - began])
        ratio = paired_ratio([[t] for t in ours], [[t] for t in bare])
        yield Bar(
            "edgeanim --help against python -c pass",
            f"< {HELP_RATIO:g}x",
            ratio.times,
            ratio.value < HELP_RATIO,
        )

    def build(self) -> Iterator[Bar]:
        """Quantise and compile the shipped animator for all backends.

        Its export from PyTorch is a step before that, done first and shown beside.
        """
        exported = self.edgeanim("inspect", MODEL)
        seconds = self.edgeanim("quantize", MODEL, "-o", "int8")
        seconds += self.edgeanim("compile", "int8", "-o", "net.eab", "--backend", "all")
        yield Bar(
            "quantise and compile for all backends",
            f"< {BUILD_SECONDS:g} s",
            f"{seconds:.1f} s, after an export of {exported:.1f} s",
            seconds < BUILD_SECONDS,
        )

    def run_variants(self) -> Iterator[Bar]:
        """INT8 against float32 in one interleaved run on one thread, and what it imported."""
        with self._spying("bench") as imported:
            self.edgeanim("bench", "net.eab", "-o", "report.json", "--threads", "1", **imported.env)
        yield imported.bar()
        yield from _speedups(load_report(self.folder / "report.json"))

    def animate(self) -> Iterator[Bar]:
        """Play the bundle's own scene, and what that imported."""
        scene = ("--still", "still.png", "--drive", "track.npz")
        self._unpack_scene()
        with self._spying("animate") as imported:
            self.edgeanim("animate", "net.eab", *scene, "-o", "animation.gif", **imported.env)
        yield imported.bar()

    def demo(self) -> Iterator[Bar]:
        """The demo from a cold store, then again."""
        cold = self.edgeanim("demo", "-o", "demo", EDGEANIM_STORE=str(self.folder / "cold"))
        yield Bar(
            "demo from a cold store",
            f"< {DEMO_SECONDS:g} s",
            f"{cold:.0f} s",
            cold < DEMO_SECONDS,
        )

    def _unpack_scene(self) -> None:
        with open_bundle(self.folder / "net.eab") as bundle:
            if bundle.golden is None:
                raise BadInput("The bundle has no golden frames.")
            scene = load_golden(bundle.golden).scene
        if scene.still is None or scene.track is None:
            raise BadInput("The bundle's golden scene is no still with a motion.")
        write_png(self.folder / "still.png", scene.still[:, :, :3])
        save_track(self.folder / "track.npz", scene.track)

    @contextmanager
    def _spying(self, command: str) -> Iterator[Imports]:
        folder = self.folder / f"spy-{command}"
        (folder / "seen").mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(_SPY)
        yield Imports(command, folder)


@dataclass(frozen=True)
class Imports:
    """What the processes of a command imported."""

    command: str
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """What makes every Python process below leave its list."""
        return {"PYTHONPATH": str(self.folder), "EDGEANIM_BARS_SPY": str(self.folder / "seen")}

    def bar(self) -> Bar:
        """Whether none of them imported torch."""
        lists = [file.read_text().split() for file in (self.folder / "seen").iterdir()]
        guilty = sum("torch" in names for names in lists)
        return Bar(
            f"no torch in a process of {self.command}",
            "0 processes",
            f"{guilty} of {len(lists)} processes",
            guilty == 0 and bool(lists),
        )


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the bars and print them; 0 if all are met."""
    parser = argparse.ArgumentParser(
        prog="python -m edgeanim.benchmarks.figures.bars", description=__doc__
    )
    parser.add_argument("--skip-demo", action="store_true", help="leave out the demo (minutes)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    bars: list[Bar] = []
    with scratch_folder("bars") as scratch:
        bench = Bench(scratch)
        steps = [bench.start_up, bench.build, bench.run_variants, bench.animate]
        for step in steps if options.skip_demo else [*steps, bench.demo]:
            for bar in step():
                bars.append(bar)
                if not options.json:
                    print(line(bar), flush=True)
    if options.json:
        print(json.dumps([asdict(bar) for bar in bars], indent=1))
    return 0 if all(bar.met for bar in bars) else GateFailed.exit_code


def _speedups(report: Report) -> Iterator[Bar]:
    for backend, asked in SPEEDUPS.items():
        variant = report.variant(f"{backend}-int8")
        speedup = variant.speedup if variant else None
        drift = variant.drift if variant else None
        found = "not measured"
        if speedup is not None:
            found = as_times(speedup.ratio, speedup.interval)
        met = speedup is not None and speedup.ratio >= asked
        yield Bar(f"INT8 against float32, {backend}", f">= {asked:g}x", found, met)
        yield Bar(
            f"mean SSIM drift of INT8, {backend}",
            f"<= {MAX_DRIFT:g}",
            "not measured" if drift is None else f"{drift.drift_mean:.4f}",
            drift is not None and drift.drift_mean <= MAX_DRIFT,
        )


if __name__ == "__main__":
    sys.exit(main())
