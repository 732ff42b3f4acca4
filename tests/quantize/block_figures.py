"""Prints what INT8 gains for building blocks of networks, on each backend.

    python -m tests.quantize.block_figures [--backend NAME ...] [--block TEXT ...]

Each net of `block_nets` on 128 x 128, exported, quantised by `--method ptq` and compiled, on one
thread; times are the least of some rounds in which float32 and INT8 run by turns, drift is to the
float32 frames. Weights are random, so that drift says where rounding hurts by itself, not how a
trained net fares.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from edgeanim import api
from edgeanim.core.errors import EdgeanimError, first_line
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline.calibrate import record_samples
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.timing import measure_frames
from edgeanim.pipeline.work import Work
from edgeanim.targets.bundle import open_bundle
from tests.quantize.block_nets import BLOCKS, Block, Net
from tests.quantize.cyclegan import photographs

SIZE = 128
BACKENDS = ("openvino", "onnxruntime", "tflite")
_SAMPLES = 8


def cells(block: Block, backends: Sequence[str], photos: Path, out: Path) -> Iterator[str]:
    """For each backend float32's milliseconds, INT8's, the gain and the drift."""
    torch.manual_seed(0)
    work = Work.on("local", store=Store(out / "store"))
    api.export(Net(block).eval(), shapes={"picture": (1, 3, SIZE, SIZE)}, out=out / "net")
    model = open_model(out / "net", work)
    samples = record_samples(work, model, gather(model.contract, photos, {}, limit=_SAMPLES), 1)
    for backend in backends:
        try:
            made = api.quantize(
                out / "net", calib=photos, out=out / backend, backends=backend,
                spec=QuantizeSpec(samples=_SAMPLES), max_drift=2.0, store=work.store,
            )  # fmt: skip
            path = api.compile(
                out / backend, out=out / f"{backend}.eab", backends=backend, floats="float32",
                store=work.store,
            ).path  # fmt: skip
            with open_bundle(path) as bundle:
                variants = {variant.precision: variant for variant in bundle.variants}
                ms = measure_frames(work, model, variants, samples)
        except EdgeanimError as error:
            yield first_line(error)
            continue
        gain, drift = ms["float32"] / ms["int8"], made.variants[0].drift.drift_mean
        yield f"{ms['float32']:.1f} | {ms['int8']:.1f} | {gain:.2f}x | {drift:.4f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backend", action="append", choices=BACKENDS, default=[])
    parser.add_argument("--block", action="append", metavar="TEXT", default=[])
    options = parser.parse_args(arguments)
    backends = options.backend or BACKENDS
    wanted = {
        name: block
        for name, block in BLOCKS.items()
        if not options.block or any(text in name for text in options.block)
    }
    if not wanted:
        parser.error(f"no block has {' or '.join(options.block)} in its name")
    print(
        "| block | "
        + " | ".join(f"{name}: float32 | INT8 | gain | drift" for name in backends)
        + " |"
    )
    print("|---" * (1 + 4 * len(backends)) + "|")
    with TemporaryDirectory(prefix="edgeanim-") as scratch:
        photos = Path(scratch) / "photos"
        photos.mkdir()
        for i, (picture,) in enumerate(photographs(2 * _SAMPLES, SIZE, seed=5)):
            pixels = np.rint(255 * picture.transpose(1, 2, 0)).astype(np.uint8)
            Image.fromarray(pixels).save(photos / f"{i}.png")
        for i, (name, block) in enumerate(wanted.items()):
            row = cells(block, backends, photos, Path(scratch) / str(i))
            print(f"| {name} | " + " | ".join(row) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
