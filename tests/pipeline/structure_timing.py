"""What restructuring buys a model of others, on every backend, in float32 and in INT8.

    python tests/pipeline/structure_timing.py MODEL.onnx --photos DIR [--input NAME=FILE.npy]
        [--beside FILE.tflite] [--backend NAME ...] [--rounds 40] [--float-only]

Prints a Markdown table: processor time of a frame on one thread (median of all rounds; processor
time, since it says the same on a busy machine), the gain over the same backend's untouched float32
from rounds run by turns with its bootstrap interval, and the SSIM of the frames held out against
the untouched float32 original. INT8 has percentile ranges and nothing kept in float: what structure
alone gives. `--beside` adds a prebuilt .tflite as its makers gave it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.timing.stats import paired_ratio
from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.limit import NO_LIMIT
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import find_golden, record_samples
from edgeanim.pipeline.figures.peers import timed
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.methods import Job, ptq
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.structure import restructured_model
from edgeanim.pipeline.variants import drift_of
from edgeanim.pipeline.work import Work
from edgeanim.runtime.golden import Golden, load_golden
from edgeanim.runtime.scene import load_condition
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.bundle import Variant

SAMPLES = 12


@dataclass
class Row:
    """One form of the model on one backend, with its blocks of processor seconds."""

    backend: str
    form: str
    graph: CompiledGraph
    drift: Drift
    blocks: list[list[float]] = field(default_factory=list)


def rows(
    work: Work, name: Path, photos: Path, inputs: Mapping[str, Path], options: argparse.Namespace
) -> Iterator[Row]:
    """All forms of the model, compiled, with their drift."""
    model = open_model(name, work)
    material = gather(model.contract, photos, inputs, limit=2 * SAMPLES)
    golden = load_golden(find_golden(work, name, model, material.held_out))
    samples = record_samples(work, model, material, SAMPLES)
    for backend in work.backends(tuple(options.backend)):
        scheme = get_backend(backend).int8_scheme
        forms = {
            "untouched": model,
            "restructured": restructured_model(work, model, backend),
        }
        for form, own in forms.items():
            yield _row(work, own, backend, form, work.compile(own.graphs[0], backend), golden)
            if scheme is None or options.float_only:
                continue
            job = Job(work, model, own, samples, golden, backend, scheme, limit=NO_LIMIT)
            made = ptq(job, QuantizeSpec(ranges="percentile")).graphs[0]
            yield _row(work, own, backend, f"{form}, INT8", work.compile(made, backend), golden)


def _row(
    work: Work, model: Model, backend: str, form: str, graph: CompiledGraph, golden: Golden
) -> Row:
    drift = drift_of(work, model, Variant(backend, graph.precision, (graph,)), golden)
    print(f"{backend}, {form}: SSIM {drift.ssim_mean:.4f}", file=sys.stderr)
    return Row(backend, form, graph, drift)


def runner(row: Row, inputs: Mapping[str, Path]) -> Callable[[], object]:
    """A function that runs the row's graph once, on seeded pictures and the fixed inputs."""
    from edgeanim.graph.reference import seeded_inputs

    session = get_backend(row.backend).load(row.graph, SessionOptions(threads=1))
    feeds = seeded_inputs(session.spec.inputs)
    for tensor in session.spec.inputs:
        if tensor.name in inputs:
            feeds[tensor.name] = load_condition(inputs[tensor.name]).reshape(tensor.shape)
    return lambda: session.run(feeds)


def prebuilt(path: Path) -> Callable[[], object]:
    """The same for a .tflite of others, on zeros."""
    import numpy as np

    from edgeanim.targets.tflite_graph import open_interpreter

    interpreter = open_interpreter(path)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.full(detail["shape"], 0.5, detail["dtype"]))
    return lambda: interpreter.invoke()


def table(found: list[Row], beside: Mapping[str, list[list[float]]]) -> Iterator[str]:
    """The lines of the Markdown table."""
    yield "| backend | form | ms | gain (95 %) | SSIM mean | 5th percentile |"
    yield "|---|---|---|---|---|---|"
    for name, blocks in beside.items():
        yield f"| TFLite | {name}, as its makers gave it | {_ms(blocks):.1f} | | | |"
    for row in found:
        base = next(r for r in found if r.backend == row.backend)
        gain = ""
        if row is not base:
            ratio = paired_ratio([base.blocks], [row.blocks])
            low, high = ratio.interval.low, ratio.interval.high
            gain = f"{ratio.value:.2f}x ({low:.2f} to {high:.2f})"
        ssim = f"{row.drift.ssim_mean:.4f} | {row.drift.ssim_p5:.4f}"
        yield f"| {row.backend} | {row.form} | {_ms(row.blocks):.1f} | {gain} | {ssim} |"


def _ms(blocks: list[list[float]]) -> float:
    return 1e3 * statistics.median(value for block in blocks for value in block)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE.npy")
    parser.add_argument("--backend", action="append", default=[])
    parser.add_argument("--beside", type=Path, action="append", default=[])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--float-only", action="store_true")
    options = parser.parse_args()
    inputs = {name: Path(file) for name, _, file in (e.partition("=") for e in options.input)}
    found = list(rows(Work.on("local"), options.model, options.photos, inputs, options))
    runs = [runner(row, inputs) for row in found]
    others = {path.name: prebuilt(path) for path in options.beside}
    for run in (*runs, *others.values()):
        timed(run)
    beside: dict[str, list[list[float]]] = {name: [] for name in others}
    for _ in range(options.rounds):
        for row, run in zip(found, runs, strict=True):
            row.blocks.append(timed(run))
        for name, run in others.items():
            beside[name].append(timed(run))
    print("\n".join(table(found, beside)))


if __name__ == "__main__":
    main()
