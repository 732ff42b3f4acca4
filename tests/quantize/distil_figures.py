"""Prints what INT8 does to the CycleGAN-style generator: public tools' defaults beside ours.

    python -m tests.quantize.distil_figures [SCHEME...]

Trains the generator, quantises it by each tool's own defaults and by our schemes with and without
distillation, and plays all of them on the same pictures, which no calibration saw.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgeanim.cli.common import TerminalProgress
from edgeanim.core import offline
from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import DistilSpec, QuantizeSpec
from edgeanim.quantize.calibration import ArraySamples
from edgeanim.quantize.distil import distil_graph
from edgeanim.quantize.fake_quant import SAFE_WEIGHT_LIMIT, WEIGHT_LIMIT
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board, load_board
from tests.quantize.cyclegan import (
    as_samples,
    default_int8,
    photographs,
    played,
    played_int8,
    similarity,
    train_generator,
)

SIZE = 48
RANGES = "mse"
SCHEMES = ("onnx-qdq", "openvino-int8", "tflite-int8")


def nncf_default(artifact: GraphArtifact, samples: ArraySamples, out: Path) -> GraphArtifact:
    """What `nncf.quantize` makes of the graph with all its defaults, as OpenVINO IR."""
    offline.apply()
    with quiet():
        import nncf
        import openvino as ov

        model = ov.Core().read_model(str(artifact.path))
        data = nncf.Dataset(list(samples), lambda sample: {0: sample["image"]})
        path = out / "nncf" / "cyclegan.xml"
        path.parent.mkdir(parents=True)
        ov.save_model(nncf.quantize(model, data), str(path), compress_to_fp16=False)
    return GraphArtifact(artifact.spec, path, "openvino-int8")


def ai_edge_default(
    artifact: GraphArtifact, samples: ArraySamples, board: Board, out: Path
) -> Path:
    """What ai-edge-quantizer's `static_wi8_ai8` recipe makes of it, with its own calibration."""
    from ai_edge_quantizer import quantizer, recipe

    (out / "float").mkdir()
    converted: CompiledGraph = get_backend("tflite").compile(artifact, board, out / "float")
    given = converted.spec.inputs[0]
    name = converted.bindings["image"]
    nhwc = given.layout == "NHWC"
    fed: list[dict[str, Any]] = [
        {name: s["image"].transpose(0, 2, 3, 1) if nhwc else s["image"]} for s in samples
    ]
    path = out / "ai-edge" / "cyclegan.tflite"
    path.parent.mkdir(parents=True)
    with quiet():
        job = quantizer.Quantizer(str(converted.files[0]), recipe.static_wi8_ai8())
        signatures = converted_signatures(converted.files[0])
        job.quantize(job.calibrate({signatures: _renamed(fed, converted.files[0])})).export_model(
            str(path)
        )
    return path


def played_integers(path: Path, samples: ArraySamples) -> Array:
    """What a TFLite file with 8-bit inputs and outputs gives, as floats, NCHW."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    frames = []
    for sample in samples:
        scale, zero = given["quantization"]
        levels = np.rint(sample["image"].transpose(0, 2, 3, 1) / scale + zero)
        interpreter.set_tensor(given["index"], levels.clip(-128, 127).astype(np.int8))
        interpreter.invoke()
        scale, zero = result["quantization"]
        made = interpreter.get_tensor(result["index"]).astype(np.float32)
        frames.append(((made - zero) * scale).transpose(0, 3, 1, 2))
    return np.concatenate(frames)


def converted_signatures(path: Path) -> str:
    """The name of the file's only signature."""
    from ai_edge_litert.interpreter import Interpreter

    return str(next(iter(Interpreter(model_path=str(path)).get_signature_list())))


def _renamed(fed: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Calibration goes by the signature's names, not by the tensors'."""
    from ai_edge_litert.interpreter import Interpreter

    signature = next(iter(Interpreter(model_path=str(path)).get_signature_list().values()))
    (name,) = signature["inputs"]
    return [{name: next(iter(sample.values()))} for sample in fed]


def show(label: str, found: Array, wanted: Array) -> None:
    """One row of the table."""
    scores = similarity(found, wanted)
    print(f"| {label} | {scores.mean():.4f} | {scores.min():.4f} |", flush=True)


def main() -> None:
    """Print the table."""
    board = load_board("local")
    calibration = as_samples(photographs(48, SIZE, seed=55))
    unseen = as_samples(photographs(14, SIZE, seed=777))
    with TemporaryDirectory(prefix="edgeanim-") as scratch:
        out = Path(scratch)
        net = train_generator(out / "net.onnx", size=SIZE, width=8, blocks=2, steps=200, batch=2)
        wanted = played(net.path, unseen)
        print("| INT8 | SSIM mean | worst |\n|---|---|---|")
        show(
            "ORT default",
            played(default_int8(net.path, calibration, out / "d.onnx"), unseen),
            wanted,
        )
        made = nncf_default(net, calibration, out)
        show("NNCF default", played_int8(made, board, unseen, out / "n"), wanted)
        path = ai_edge_default(net, calibration, board, out)
        show("ai-edge-quantizer default", played_integers(path, unseen), wanted)
        started = time.process_time()
        limit = SAFE_WEIGHT_LIMIT if board.saturates_u8s8 else WEIGHT_LIMIT
        distilled = distil_graph(
            net,
            calibration,
            DistilSpec(),
            out / "distilled",
            ranges=RANGES,  # type: ignore[arg-type]
            weight_limit=limit,
            progress=TerminalProgress(),
        )
        seconds = time.process_time() - started
        spec = QuantizeSpec(ranges=RANGES)  # type: ignore[arg-type]
        for scheme in sys.argv[1:] or SCHEMES:
            for label, graph in (("without", net), ("with", distilled)):
                made = get_scheme(scheme).quantize(
                    graph, calibration, spec, board, out / scheme / label
                )
                folder = out / scheme / f"{label}-compiled"
                show(
                    f"{scheme}, {label} distillation",
                    played_int8(made, board, unseen, folder),
                    wanted,
                )
        print(f"\nDistillation took {seconds:.0f} s of one core.")


if __name__ == "__main__":
    main()
