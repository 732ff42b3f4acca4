"""Distillation to INT8: a float graph learns to give its own outputs through 8-bit grids.

The float net is its own teacher, so frames need no labels. Channels are equalised and biases
corrected where that helps, then the weights are trained with every rounding of the schemes in
place (`fake_quant`), and written back into the ONNX graph. Any scheme quantises that like any
other graph: on the same samples and by the same method it finds the ranges that were trained for.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeanim.core.artifact import GraphArtifact, Samples
from edgeanim.core.errors import BadInput, memory_errors
from edgeanim.core.files import sha256_file, write_text
from edgeanim.core.packages import require
from edgeanim.core.parsing import to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.recipe import DistilSpec, Ranges
from edgeanim.core.threads import torch_threads
from edgeanim.quantize.onnx_nodes import has_convolutions

if TYPE_CHECKING:
    from edgeanim.graph.pytorch.to_torch import ImportedGraph
    from edgeanim.quantize.distillation.placement import Placement
    from edgeanim.quantize.distillation.train import GraphTask

MIN_SAMPLES = 6
# What is held in memory to draw from; more samples are thinned out evenly.
_HELD = 64
_HELD_OUT_EVERY = 6
# Samples from which ranges are taken while training; the schemes take all in the end.
_RANGED = 12
# Of a picture's kernel.
_KERNEL_AXES = (4,)
# Exponents tried for equalisation, beside none.
_STRENGTHS = (None, 0.5, 1.0)


@dataclass(frozen=True)
class Grids:
    """How the trained graph will be quantised: with activations in `ranges` by this method, a
    channel's largest weight at `weight_limit` steps (see `fake_quant`), and the nodes `keep_float`
    left out. `results` says whether what convolutions give is rounded where float ops read it (see
    `find_placement`)."""

    ranges: Ranges = "minmax"
    keep_float: tuple[str, ...] = ()
    weight_limit: float = 127.0
    results: bool = True


@dataclass(frozen=True)
class DistilRecord:
    """What was done to a graph. `source` is the SHA-256 of the ONNX file that it started from.

    `strength` is the exponent of the equalisation (`None`: it did not help), `bias_shift` the
    largest bias correction in standard deviations. Losses are on held-out samples, of the graph
    rounded to 8 bits: `plain` as it came, `held_out` before the first step and then one every
    `every` steps, of which the least was kept.
    """

    source: str
    spec: DistilSpec
    ranges: Ranges
    weight_limit: float
    strength: float | None
    bias_shift: float
    plain: float
    every: int
    held_out: tuple[float, ...]
    schema: Literal[1] = 1


_USUAL = Grids()


def trains_any_of(path: Path, keep_float: Collection[str] = ()) -> bool:
    """Whether anything of the float32 ONNX graph at `path` is trained for INT8, `keep_float` aside:
    convolutions of pictures are, those of sequences and volumes are not."""
    return has_convolutions(path, keep_float, kernel_axes=_KERNEL_AXES)


def distil_graph(
    artifact: GraphArtifact,
    samples: Samples,
    spec: DistilSpec,
    out: Path,
    *,
    grids: Grids = _USUAL,
    state: Path | None = None,
    progress: Progress = SILENT,
) -> GraphArtifact:
    """Train the float32 graph `artifact` for INT8 on the `grids` that it will have, with `samples`;
    the result is float32 again.

    Writes `<graph>.onnx`, whose nodes keep their names, and `<graph>.distil.json` into `out`. Every
    sixth sample is held out; what does best there is kept. Deterministic under `spec.seed`. With a
    folder `state` a killed run goes on from its last check and ends with the same weights.

    `BadInput` for fewer than six samples or a graph that PyTorch cannot hold; `GateFailed` if the
    training diverges.
    """
    require("Distilling", "torch", "onnx", "safetensors", extra="compress")
    _require_enough(samples, artifact)
    from edgeanim.graph.pytorch.to_torch import import_torch
    from edgeanim.graph.pytorch.traced import traced_shapes
    from edgeanim.graph.pytorch.write_back import trainable, write_back
    from edgeanim.quantize.distillation.fake_quant import remove_rounding
    from edgeanim.quantize.distillation.placement import find_placement
    from edgeanim.quantize.distillation.train import Trainer

    with torch_threads(1):
        imported = import_torch(artifact.path)
        task = _task(imported, artifact, samples)
        shapes = traced_shapes(imported.module, task.batches[0])
        kept = imported.submodules_of(grids.keep_float)
        placement = find_placement(imported.module, shapes, kept, results=grids.results)
        student, repair = _repaired(imported, task, placement, grids, progress)
        parameters = trainable(imported, student)
        trainer = Trainer(student, parameters, task, spec, grids.ranges, state)
        with memory_errors(
            "Distilling needs more memory than there is.",
            "Quantise without it, `--method mixed`, or export the net for smaller pictures.",
        ):
            held_out = trainer.run(progress)
        remove_rounding(student)
        path = out / f"{artifact.spec.name}.onnx"
        write_back(imported, student, path)
    done = DistilRecord(
        source=sha256_file(artifact.path),
        spec=spec,
        ranges=grids.ranges,
        weight_limit=grids.weight_limit,
        every=spec.every,
        held_out=held_out,
        **repair,
    )
    text = json.dumps(to_plain(done), indent=1) + "\n"
    write_text(out / f"{artifact.spec.name}.distil.json", text)
    return GraphArtifact(artifact.spec, path)


def _require_enough(samples: Samples, artifact: GraphArtifact) -> None:
    if len(samples) < MIN_SAMPLES:
        raise BadInput(
            f"{len(samples)} samples are too few to distil {artifact.spec.name!r}; at least "
            f"{MIN_SAMPLES} are needed, and 48 or more are sensible.",
            hint="Give a clip or a folder with more pictures.",
        )


def _task(imported: ImportedGraph, artifact: GraphArtifact, samples: Samples) -> GraphTask:
    """The samples in PyTorch's form, what the float net makes of them, and the losses."""
    import torch

    from edgeanim.quantize.distillation.train import GraphTask

    step = max(1, -(-len(samples) // _HELD))
    batches = [imported.tensors(sample) for sample in islice(samples, 0, None, step)]
    with torch.no_grad():
        wanted = [imported.module(*inputs) for inputs in batches]
    specs = {spec.name: spec for spec in artifact.spec.outputs}
    outputs = [specs[name] for name in imported.output_names]
    return GraphTask.split(batches, wanted, outputs, every=_HELD_OUT_EVERY, ranged=_RANGED)


def _repaired(
    imported: ImportedGraph,
    task: GraphTask,
    placement: Placement,
    grids: Grids,
    progress: Progress,
) -> tuple[Any, dict[str, Any]]:
    """The graph with its rounding, equalised and with biases corrected where that lowers the
    held-out loss, and what `DistilRecord` says of it."""
    from edgeanim.quantize.distillation.bias import correct_biases
    from edgeanim.quantize.distillation.equalise import equalise
    from edgeanim.quantize.distillation.fake_quant import collect_ranges, insert_rounding

    progress.stage("Equalise channels and correct biases", 2 * len(_STRENGTHS))
    tried = []
    for strength in _STRENGTHS:
        student = deepcopy(imported.module)
        if strength is not None:
            equalise(student, placement, task.ranged, strength=strength)
        insert_rounding(student, placement, weight_limit=grids.weight_limit)
        collect_ranges(student, task.ranged, grids.ranges)
        tried.append((task.held_out_loss(student), student, strength, 0.0))
        progress.step(note=f"loss {tried[-1][0]:.4f}")
        corrected = deepcopy(student)
        shift = correct_biases(corrected, task.ranged)
        tried.append((task.held_out_loss(corrected), corrected, strength, shift))
        progress.step(note=f"loss {tried[-1][0]:.4f}")
    loss, student, strength, shift = min(tried, key=lambda row: row[0])
    plain = tried[0][0]
    progress.done(f"held-out loss {plain:.4f} -> {loss:.4f}")
    return student, {"strength": strength, "bias_shift": shift, "plain": plain}
