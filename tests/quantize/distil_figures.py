"""Prints what INT8 does to the CycleGAN-style generator: public tools' defaults beside ours.

    python -m tests.quantize.distil_figures [BACKEND...]

Trains the generator, quantises it by each public tool's own defaults, by plain calibration and by
`--method distil`, and plays all of them on the same pictures, which no calibration saw.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.recipe import Method, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import Model, load_model, save_model
from edgeanim.pipeline.calibrate import make_golden, record_samples
from edgeanim.pipeline.figures.public_tools import DEFAULTS
from edgeanim.pipeline.frames.material import gather, scene_of
from edgeanim.pipeline.quantize import quantize
from edgeanim.pipeline.variants import compile_all, drift_of, find_int8, make_variant
from edgeanim.pipeline.work import Work
from edgeanim.runtime.golden import Golden, load_golden
from edgeanim.targets.backends import get_backend
from tests.quantize.cyclegan import photographs, train_generator

SIZE = 48
BACKENDS = ("onnxruntime", "openvino", "tflite")
_SAMPLES = 48
_SPEC = QuantizeSpec(ranges="mse", samples=_SAMPLES)


@dataclass(frozen=True)
class Row:
    """One form of the generator: SSIM to the float one on pictures that no calibration saw."""

    backend: str
    form: str
    mean: float
    worst: float


@dataclass(frozen=True)
class Lab:
    """The trained generator as a model folder, with pictures to calibrate on, and the float
    original's own drawings of others."""

    work: Work
    model: Model
    folder: Path
    photos: Path
    unseen: Golden

    @staticmethod
    def at(out: Path) -> Lab:
        """Draw the pictures and train, everything below `out`."""
        work = Work.on("local", store=Store(out / "store"))
        net = train_generator(out / "net.onnx", size=SIZE, width=8, blocks=2, steps=200, batch=2)
        folder = _folder_of(net, out / "model")
        model = load_model(folder)
        photos = _written(photographs(64, SIZE, seed=55), out / "photos")
        others = _written(photographs(14, SIZE, seed=777), out / "others")
        unseen = make_golden(work, model, scene_of(model.contract, others, {}))
        return Lab(work, model, folder, photos, load_golden(unseen))

    def by_default(self, backend: str, out: Path) -> Row:
        """What the backend's public tool makes of it with all its defaults."""
        scheme = get_backend(backend).int8_scheme
        assert scheme is not None
        name, tool = DEFAULTS[scheme]
        (graph,) = self.model.graphs
        material = gather(self.model.contract, self.photos, {}, limit=2 * _SAMPLES)
        samples = record_samples(self.work, self.model, material, _SAMPLES)
        out.mkdir(parents=True)
        made = tool(self.work, graph, samples[graph.spec.name], out)
        variant = compile_all(self.work, backend, (made,))
        drift = drift_of(self.work, self.model, variant, self.unseen)
        return Row(backend, f"{name}, its default", drift.ssim_mean, drift.ssim_worst)

    def ours(self, backend: str, method: Method, out: Path) -> Row:
        """What `edgeanim quantize --method METHOD` hands back, without a limit for `ptq`."""
        (row,) = quantize(
            self.folder,
            out=out,
            calib=self.photos,
            backends=(backend,),
            spec=QuantizeSpec(method, _SPEC.ranges, _SPEC.samples),
            max_drift=2.0 if method == "ptq" else 0.02,
            store=self.work.store,
        ).variants
        variant = make_variant(self.work, backend, find_int8(out, self.model)[row.scheme])
        drift = drift_of(self.work, self.model, variant, self.unseen)
        handed = row.method if not row.islands else f"{row.method}, {len(row.islands)} in float"
        said = "" if handed == method else f" (handed back: {handed})"
        return Row(backend, f"--method {method}{said}", drift.ssim_mean, drift.ssim_worst)

    def rows(self, backend: str, out: Path) -> Iterator[Row]:
        """All forms of one backend."""
        yield self.by_default(backend, out / "default")
        yield self.ours(backend, "ptq", out / "ptq")
        yield self.ours(backend, "distil", out / "distil")


def _folder_of(net: GraphArtifact, folder: Path) -> Path:
    name = net.spec.name
    return save_model(Contract(name, (net.spec,)), {name: net.path}, folder)


def _written(pictures: Array, folder: Path) -> Path:
    folder.mkdir()
    for i, picture in enumerate(pictures[:, 0].transpose(0, 2, 3, 1)):
        Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


def main() -> None:
    """Print the table."""
    began = time.process_time()
    with TemporaryDirectory(prefix="edgeanim-") as scratch:
        lab = Lab.at(Path(scratch))
        print(f"Trained in {time.process_time() - began:.0f} s.\n")
        print("| backend | INT8 | SSIM mean | worst | s |\n|---|---|---|---|---|")
        for backend in sys.argv[1:] or BACKENDS:
            began = time.process_time()
            for row in lab.rows(backend, Path(scratch) / backend):
                took = time.process_time() - began
                figures = f"{row.mean:.4f} | {row.worst:.4f} | {took:.0f}"
                print(f"| {row.backend} | {row.form} | {figures} |", flush=True)
                began = time.process_time()


if __name__ == "__main__":
    main()
