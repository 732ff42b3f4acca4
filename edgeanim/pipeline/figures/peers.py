"""What `edgeanim optimize` picked for a model of others, beside float and the public tools' INT8.

    python -m edgeanim.pipeline.figures.peers MODEL.onnx --calib DIR --frames DIR
        [--input NAME=FILE.npy] [--picked FILE.eab ...] [--beside FILE.tflite ...] [--rounds 20]

Takes a graph from pictures to pictures. On each backend: the untouched graph and the restructured
one, in float32 and in whatever other floats it has on this processor; the public tool's default
INT8 calibrated on `--calib`; and from each bundle that `optimize -o` wrote on the same `--calib`
its variant. `--beside` adds a .tflite as its makers gave it.

All run in one process on one thread, by turns; times are of the processor, since those say the same
on a busy machine; gains are over the same backend's untouched float32, and those of INT8 over its
fastest float as well, with a bootstrap interval over blocks side by side. SSIM is to the untouched
original on `--frames`, which nothing was calibrated on or chosen by.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.timing.stats import paired_ratio
from edgeanim.core.artifact import FLOAT32, Precision, Samples
from edgeanim.core.errors import EdgeanimError, reports_errors
from edgeanim.core.limit import DriftLimit
from edgeanim.core.parsing import parse_inputs
from edgeanim.core.scratch import scratch_folder
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import make_golden, record_samples
from edgeanim.pipeline.figures.public_tools import DEFAULTS
from edgeanim.pipeline.frames.material import gather, scene_of
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.timing import opened
from edgeanim.pipeline.variants import compile_all, drift_of, make_variant
from edgeanim.pipeline.work import Work
from edgeanim.runtime.golden import Golden, load_golden
from edgeanim.targets.backends import get_backend
from edgeanim.targets.bundle import Variant, open_bundle

SAMPLES = 48
BLOCK = 3
"""Runs of one form in a row, whose median is compared with that of the others' blocks beside it."""
BARS = DriftLimit(0.02, 0.04)
Run = Callable[[], object]


@dataclass
class Row:
    """One form of the model, with its drift (`None` for files of others) and its blocks of seconds;
    `base` is the row that its gain counts from, `precision` `None` for files of others."""

    backend: str
    form: str
    run: Run
    drift: Drift | None
    base: Row | None = None
    blocks: list[list[float]] = field(default_factory=list)
    precision: Precision | None = None

    @property
    def ms(self) -> float:
        """Median milliseconds."""
        return 1e3 * statistics.median(value for block in self.blocks for value in block)


@dataclass(frozen=True)
class Bench:
    """The model with the frames to judge and to calibrate on."""

    work: Work
    model: Model
    golden: Golden
    samples: Mapping[str, Samples]
    scratch: Path
    stack: ExitStack

    def row(self, backend: str, form: str, variant: Variant, base: Row | None) -> Row:
        """One form, played on the frames and ready to run."""
        drift = drift_of(self.work, self.model, variant, self.golden)
        print(f"{backend}, {form}: SSIM {drift.ssim_mean:.4f}", file=sys.stderr)
        spec = self.model.graphs[0].spec
        session, feed = self.stack.enter_context(
            opened(self.work, variant.graphs[0], spec, self.samples)
        )
        run = partial(session.run, feed)
        return Row(backend, form, run, drift, base, precision=variant.precision)

    def rows(self, backend: str) -> Iterator[Row]:
        """The forms of one backend but for what was picked; the untouched one first."""
        graphs = self.model.graphs
        base: Row | None = None
        for floats in self.work.floats(backend):
            made = compile_all(self.work, backend, graphs, floats)
            untouched = self.row(backend, f"untouched {floats}", made, base)
            yield untouched
            base = base or untouched
            made = make_variant(self.work, backend, graphs, floats)
            yield self.row(backend, f"{floats} restructured", made, base)
        scheme = get_backend(backend).int8_scheme
        if scheme is None or scheme not in DEFAULTS:
            return
        name, tool = DEFAULTS[scheme]
        folder = self.scratch / scheme
        folder.mkdir()
        try:
            int8 = tool(self.work, graphs[0], self.samples[graphs[0].spec.name], folder)
            made = compile_all(self.work, backend, (int8,))
            yield self.row(backend, f"{name}, its default INT8", made, base)
        except EdgeanimError as error:
            print(f"{name} made nothing that {backend} runs: {error}", file=sys.stderr)


def prebuilt(path: Path) -> Run:
    """A .tflite of others, run on one grey."""
    from edgeanim.targets.tflite_graph import open_interpreter

    interpreter = open_interpreter(path)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.full(detail["shape"], 0.5, detail["dtype"]))
    return lambda: interpreter.invoke()


def timed(run: Run) -> list[float]:
    """One block of processor seconds."""
    times = []
    for _ in range(BLOCK):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return times


def table(rows: list[Row]) -> Iterator[str]:
    """The lines of the Markdown table."""
    yield "| backend | form | ms | gain (95 %) | over the best float | SSIM mean | 5th pct. | |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        gain = _gain(row.base, row) if row.base else ""
        over = _gain(_best_float(rows, row.backend), row) if row.precision == "int8" else ""
        said = " | | "
        if row.drift is not None:
            kept = "kept" if BARS.holds(row.drift) else "**missed**"
            said = f"{row.drift.ssim_mean:.4f} | {row.drift.ssim_p5:.4f} | {kept}"
        yield f"| {row.backend} | {row.form} | {row.ms:.1f} | {gain} | {over} | {said} |"


def _best_float(rows: list[Row], backend: str) -> Row:
    floats = (r for r in rows if r.backend == backend and r.precision not in ("int8", None))
    return min(floats, key=lambda row: row.ms)


def _gain(base: Row, row: Row) -> str:
    return paired_ratio([base.blocks], [row.blocks]).times


def measured(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """All rows, run by turns."""
    rows: list[Row] = []
    for path in options.beside:
        rows.append(Row("TFLite", f"{path.name}, as its makers gave it", prebuilt(path), None))
    for backend in bench.work.backends(tuple(options.backend)):
        own = list(bench.rows(backend))
        for path in options.picked:
            with open_bundle(path) as bundle:
                # Loaded while the bundle is open; a running graph needs its files no more.
                own += [
                    bench.row(
                        backend, f"`optimize` picked {_name(bundle.provenance, v)}", v, own[0]
                    )
                    for v in bundle.variants
                    if v.backend == backend
                ]
        rows += own
    for row in rows:
        timed(row.run)
    for _ in range(options.rounds):
        for row in rows:
            row.blocks.append(timed(row.run))
    return rows


def _name(provenance: Mapping[str, object], variant: Variant) -> str:
    """What was picked: the method of INT8, and what the rest computes in if not in float32."""
    trial, floats = provenance.get("trial"), variant.graphs[0].floats
    quantize = trial.get("quantize") if isinstance(trial, Mapping) else None
    if not isinstance(quantize, Mapping):
        return variant.precision
    return f"INT8, {quantize['method']}" + (f", {floats}" if floats != FLOAT32 else "")


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--calib", type=Path, required=True)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE.npy")
    parser.add_argument("--backend", action="append", default=[])
    parser.add_argument("--picked", type=Path, action="append", default=[], metavar="FILE.eab")
    parser.add_argument("--beside", type=Path, action="append", default=[], metavar="FILE.tflite")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    inputs = parse_inputs(options.input)
    work = Work.on("local")
    model = open_model(options.model, work)
    material = gather(model.contract, options.calib, inputs, limit=2 * SAMPLES)
    scene = scene_of(model.contract, options.frames, inputs)
    samples = record_samples(work, model, material, SAMPLES)
    golden = load_golden(make_golden(work, model, scene))
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder("beside"))
        rows = measured(Bench(work, model, golden, samples, scratch, stack), options)
    print("\n".join(table(rows)))
    print(
        f"\n{len(golden.frames)} frames; kept: mean SSIM {1 - BARS.mean:g}, "
        f"{1 - BARS.p5:g} at the 5th percentile."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
