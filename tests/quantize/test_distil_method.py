"""`--method distil` from photographs to a model folder, and once only."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import GateFailed
from edgeanim.core.limit import DriftLimit
from edgeanim.core.recipe import DistilSpec, QuantizeSpec
from edgeanim.core.store import default_root
from edgeanim.graph.load import Model
from edgeanim.pipeline import distil as training
from edgeanim.pipeline.methods import Job, MeasuredIslands, Outcome
from edgeanim.pipeline.quantize import Quantized, quantize


def test_it_drifts_less_than_plain_calibration_and_is_kept(
    unet: GraphArtifact, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, picture in enumerate(np.concatenate([pictures, pictures[:, :, ::-1]])):
        Image.fromarray(picture).save(photos / f"{i}.png")

    def run(method: str) -> Quantized:
        return quantize(
            unet.path,
            out=tmp_path / method,
            calib=photos,
            backends=("onnxruntime",),
            spec=QuantizeSpec(
                method=method,  # type: ignore[arg-type]
                keep_float=("stem",),
                distil=DistilSpec(steps=20, every=10),
            ),
            max_drift=1.0,
        )

    (plain,) = run("ptq").variants
    (made,) = run("distil").variants
    assert made.method == "distil"
    assert made.drift.drift_mean < plain.drift.drift_mean
    assert not list((default_root() / "distil-states").iterdir())

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(training, "distil_graph", refuse)
    (again,) = run("distil").variants
    assert again.drift == made.drift


@pytest.mark.parametrize(
    ("plain", "trained", "with_islands", "method"),
    [
        (0.01, 0.02, None, "ptq"),
        (0.02, 0.01, None, "distil"),
        (0.08, 0.04, 0.01, "mixed"),
        (0.08, 0.04, 0.06, "distil"),
    ],
)
def test_what_drifts_least_is_handed_back_and_says_what_it_is(
    plain: float,
    trained: float,
    with_islands: float | None,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drifts = iter([plain, trained, with_islands])
    roundings = []

    def judged(_job: object, spec: QuantizeSpec) -> Outcome:
        roundings.append(spec.rounding)
        drift = next(drifts)
        assert drift is not None
        found = SimpleNamespace(drift_mean=drift, ssim_p5=1 - drift)
        return Outcome((), "minmax", found)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "ptq", judged)
    curve = (MeasuredIslands(("net:a",), 0.01, 0.99, 0.98, 2.0, 3.0, None),)
    searched = partial(replace, method="mixed", curve=curve)
    monkeypatch.setattr(training, "mixed", lambda *given: searched(judged(*given)))
    model = Model(None, (), "")  # type: ignore[arg-type]
    job = Job(None, model, model, {}, None, "onnxruntime", "onnx-qdq", DriftLimit())  # type: ignore[arg-type]
    outcome = training.distil(job, QuantizeSpec())
    assert outcome.method == method
    # Training has decided which way each weight is rounded.
    assert roundings[:2] == ["compensated", "nearest"]
    assert outcome.drift.drift_mean == min(d for d in (plain, trained, with_islands) if d)
    assert outcome.curve == (curve if with_islands else ())


def test_an_unreachable_limit_leaves_the_curve_and_proposes_nothing_that_was_tried(
    unet: GraphArtifact, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "never"
    spec = QuantizeSpec(method="distil", samples=8, distil=DistilSpec(steps=2, every=1))
    with pytest.raises(GateFailed, match=r"never\.curve\.json") as refused:
        quantize(
            unet.path, out=out, calib=photos, backends=("onnxruntime",), spec=spec, max_drift=1e-9
        )
    assert "--method" not in str(refused.value)


def test_a_graph_of_volumes_alone_is_quantised_as_it_is(photos: Path, tmp_path: Path) -> None:
    """PyTorch rounds no convolution of volumes here, which ended the command."""
    import onnx

    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[1,3,32,32] frame_in) => (float[1,3,32,32] frame) {
            volume = Reshape (frame_in, deep)
            lifted = Conv <pads = [1, 1, 1, 1, 1, 1]> (volume, kernel)
            frame = Reshape (lifted, flat) }"""
    )
    kernel = np.random.default_rng(0).normal(0, 0.2, (3, 3, 3, 3, 3)).astype(np.float32)
    stored = {"kernel": kernel, "deep": np.array([1, 3, 1, 32, 32])}
    stored["flat"] = np.array([1, 3, 32, 32])
    for name, value in stored.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.save(model, str(tmp_path / "deep.onnx"))
    spec = QuantizeSpec(method="distil", samples=8, distil=DistilSpec(steps=2, every=1))
    done = quantize(
        tmp_path / "deep.onnx",
        out=tmp_path / "int8",
        calib=photos,
        backends=("onnxruntime",),
        spec=spec,
        max_drift=1.0,
    )
    assert [row.in_float for row in done.variants] == [()]
