"""A model that is not ours, through every command's function, on every backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.benchmarks.results.compare import FailedOn
from edgeanim.benchmarks.results.result import Report
from edgeanim.core.errors import BadInput, GateFailed, UsageError
from edgeanim.core.progress import Silent
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.runtime.media import read_frames
from tests.onnx_text import parsed

BACKENDS = ("openvino", "onnxruntime", "tflite")


@pytest.fixture(scope="module")
def job(
    tiny_onnx: Callable[..., Path],
    photos: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> SimpleNamespace:
    """The tiny generator quantised and compiled for all backends, with a store of its own."""
    work = tmp_path_factory.mktemp("job")
    store, model = Store(work / "store"), tiny_onnx()
    quantized = api.quantize(
        model, calib=photos, out=work / "int8", spec=QuantizeSpec(samples=6), store=store
    )
    compiled = api.compile(work / "int8", out=work / "tiny.eab", store=store)
    return SimpleNamespace(
        work=work, photos=photos, store=store, model=model, quantized=quantized, compiled=compiled
    )


class Titles(Silent):
    """Progress that remembers which stages began."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, title: str, total: int | None = None) -> None:
        del total
        self.said.append(title)


def test_a_model_that_the_reference_does_not_run_is_named_itself(
    photos: Path, tmp_path: Path
) -> None:
    """And not the copy of it in a folder that is gone. ONNX Runtime multiplies doubles nowhere, and
    only those that a file stores are taken for floats."""
    make = onnx.helper.make_node
    kernel = onnx.numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "kernel")
    nodes = [
        make("Cast", ["x"], ["double"], to=onnx.TensorProto.DOUBLE),
        make("Cast", ["kernel"], ["wide"], to=onnx.TensorProto.DOUBLE),
        make("Conv", ["double", "wide"], ["made"]),
        make("Cast", ["made"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    ends = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 3, 32, 32))]
        for name in ("x", "y")
    ]
    graph = onnx.helper.make_graph(nodes, "doubles", *ends, [kernel])
    opsets = [onnx.helper.make_opsetid("", 17)]
    path, out = tmp_path / "doubles.onnx", tmp_path / "net.eab"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    with pytest.raises(BadInput, match="NOT_IMPLEMENTED") as raised:
        api.compile(path, frames=photos, out=out, store=Store(tmp_path / "store"))
    assert raised.value.where == str(path)
    assert not out.exists()


def test_inspect_infers_the_contract(job: SimpleNamespace) -> None:
    info = api.inspect(job.model)
    (graph,) = info.graphs
    assert [spec.role for spec in graph.spec.inputs] == ["driving_frame"]
    assert graph.macs == 64 * 64 * 9 * (3 * 16 + 16 * 16 + 16 * 3)


def test_every_backend_stays_within_the_drift(job: SimpleNamespace) -> None:
    assert {row.backend for row in job.quantized.variants} == set(BACKENDS)
    assert all(0 < row.drift.drift_mean <= 0.02 for row in job.quantized.variants)
    assert job.quantized.held_out


def test_the_bundle_holds_both_precisions(job: SimpleNamespace) -> None:
    wanted = {f"{name}-{precision}" for name in BACKENDS for precision in ("float32", "int8")}
    assert set(job.compiled.variants) == wanted


def test_equal_inputs_give_an_equal_bundle_from_the_store(job: SimpleNamespace) -> None:
    again = api.compile(job.work / "int8", out=job.work / "again.eab", store=job.store)
    assert again.sha256 == job.compiled.sha256


def test_a_report_is_compared_with_itself_and_held_to_a_gate(job: SimpleNamespace) -> None:
    report = api.bench(
        [job.work / "tiny.eab"],
        out=job.work / "report.json",
        quick=True,
        variants=("onnxruntime-float32", "onnxruntime-int8"),
    )
    assert not report.failures
    comparison = api.compare(
        [job.work / "report.json", job.work / "report.json"], html=job.work / "page.html"
    )
    assert len(comparison.reports) == 2
    assert "onnxruntime" in (job.work / "page.html").read_text()
    api.compare([job.work / "report.json"], fail_on="latency.p90_ms > 10000")
    with pytest.raises(FailedOn, match=r"drift\.ssim_mean") as caught:
        api.compare([job.work / "report.json"], fail_on="drift.ssim_mean <= 1")
    assert caught.value.comparison.reports == comparison.reports[:1]


@pytest.fixture(scope="module")
def ready_made(job: SimpleNamespace) -> tuple[Report, Path]:
    """The report of the generator's own file, and where it was written."""
    out = job.work / "ready-made.json"
    return api.bench([job.model], frames=job.photos, quick=True, out=out), out


def test_ready_made_files_are_benched_as_they_are(ready_made: tuple[Report, Path]) -> None:
    report, _ = ready_made
    (variant,) = report.variants
    assert variant.id == "onnxruntime-float32"
    assert variant.drift is not None
    assert variant.drift.ssim_mean == 1.0


def test_an_image_to_image_bundle_plays_a_clip(job: SimpleNamespace) -> None:
    out = job.work / "clip.gif"
    done = api.animate(job.work / "tiny.eab", drive=job.photos, out=out, variant="tflite-int8")
    assert done.frames == len(list(read_frames(out))) == 8
    assert done.ms_per_frame > 0


def test_pruning_saves_and_keeps_the_picture(job: SimpleNamespace) -> None:
    pruned = api.prune(
        job.model,
        calib=job.photos,
        out=job.work / "pruned",
        spec=PruneSpec(ratio=0.5, round_to=8, steps=40, learning_rate=3e-3),
        store=job.store,
    )
    (graph,) = pruned.graphs
    assert graph.macs_after < 0.6 * graph.macs_before
    assert pruned.drift.ssim_mean > 0.5
    left = {path.suffix for path in (job.work / "pruned" / "pruning").iterdir()}
    assert left == {".json", ".safetensors"}


def test_pruning_that_removes_nothing_says_so(job: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match="removes nothing"):
        api.prune(
            job.model, calib=job.photos, out=job.work / "none",
            spec=PruneSpec(ratio=0.1, round_to=16), store=job.store,
        )  # fmt: skip
    assert not (job.work / "none").exists()


def test_pruning_what_has_no_free_channels_says_why(photos: Path, tmp_path: Path) -> None:
    graph = """shuffled (float[1,3,16,16] image) => (float[1,3,16,16] result) {
            a = Conv <pads = [1,1,1,1]> (image, first)
            g = Reshape (a, groups)
            t = Transpose <perm = [0,2,1,3,4]> (g)
            b = Reshape (t, back)
            result = Conv <pads = [1,1,1,1]> (b, last)
        }"""
    sizes = {"groups": np.array([1, 2, 4, 16, 16]), "back": np.array([1, 8, 16, 16])}
    weights = {"first": (8, 3, 3, 3), "last": (3, 8, 3, 3), **sizes}
    model = parsed(graph, weights, opset=17, spread=0.2)
    onnx.save(model, str(tmp_path / "grouped.onnx"))
    with pytest.raises(UsageError, match="No convolution of this model has channels"):
        api.prune(
            tmp_path / "grouped.onnx", calib=photos, out=tmp_path / "none",
            spec=PruneSpec(ratio=0.1, round_to=1), store=Store(tmp_path / "store"),
        )  # fmt: skip


@pytest.mark.parametrize("limits", [{"max_drift": 0.0}, {"max_drift": 1.0, "max_drift_p5": 0.0}])
def test_a_missed_drift_limit_writes_nothing(
    job: SimpleNamespace, limits: dict[str, float]
) -> None:
    with pytest.raises(GateFailed, match="drifts by"):
        api.quantize(
            job.model, calib=job.photos, out=job.work / "strict", spec=QuantizeSpec(samples=6),
            backends=("onnxruntime",), store=job.store, **limits,
        )  # fmt: skip
    assert not (job.work / "strict").exists()


def test_a_backend_on_which_the_board_runs_no_int8_is_named(
    job: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeanim.cli.quantize import command

    board = tmp_path / "picky.toml"
    board.write_text(
        'schema = 1\nname = "picky"\ntitle = "Picky"\narch = "x86_64"\nmemory_mb = 1024\n'
        "cores = 1\n"
        '[[backends]]\nname = "onnxruntime"\n'
        '[[backends]]\nname = "openvino"\nprecisions = ["float32"]\nnote = "INT8 runs in float."\n'
    )
    out = tmp_path / "int8"
    command.main(
        [str(job.model), "--calib", str(job.photos), "-o", str(out), "--board", str(board),
         "--samples", "6", "--json"],
        standalone_mode=False,
    )  # fmt: skip
    said = capsys.readouterr()
    left_out = {"openvino": "INT8 runs in float."}
    assert json.loads(said.out)["left_out"] == left_out
    assert json.loads((out / "quantization.json").read_text())["left_out"] == left_out
    assert "openvino is left out: the board runs no INT8 on it. INT8 runs in float." in said.err
    assert [row["backend"] for row in json.loads(said.out)["variants"]] == ["onnxruntime"]


def test_auto_tries_other_ranges_only_where_the_drift_is_too_large(job: SimpleNamespace) -> None:
    progress = Titles()
    said = progress.said
    common = {"calib": job.photos, "backends": ("onnxruntime",), "store": job.store}
    spec = QuantizeSpec(samples=6)
    first = api.quantize(job.model, out=job.work / "a", spec=spec, progress=progress, **common)
    assert [row.ranges for row in first.variants] == ["mse"]
    assert not [title for title in said if "percentile" in title]
    # A limit far below what these give makes it look further.
    drift = first.variants[0].drift.drift_mean
    with pytest.raises(GateFailed, match="drifts by"):
        api.quantize(
            job.model, out=job.work / "b", spec=spec, progress=progress, max_drift=drift / 100,
            **common,
        )  # fmt: skip
    assert [title for title in said if "percentile" in title]
    said.clear()
    with pytest.raises(GateFailed):
        api.quantize(
            job.model, out=job.work / "c", spec=QuantizeSpec(samples=6, method="ptq"),
            progress=progress, max_drift=drift / 100, **common,
        )  # fmt: skip
    assert not [title for title in said if "percentile" in title]


def test_a_node_kept_in_float_is_named_with_or_without_its_graph(job: SimpleNamespace) -> None:
    common = {"calib": job.photos, "backends": ("onnxruntime",), "store": job.store}
    drifts = []
    for names in ((), ("conv2",), ("tiny:conv2",)):
        spec = QuantizeSpec(samples=6, keep_float=names)
        (row,) = api.quantize(job.model, out=job.work / "k", spec=spec, **common).variants
        drifts.append(row.drift.drift_mean)
    assert drifts[1] == drifts[2] != drifts[0]
    with pytest.raises(UsageError, match=r"^tiny: .*Did you mean 'conv2'"):
        api.quantize(
            job.model, out=job.work / "k", spec=QuantizeSpec(samples=6, keep_float=("conv22",)),
            **common,
        )  # fmt: skip


def test_unlike_things_are_not_compared(
    job: SimpleNamespace, ready_made: tuple[Report, Path], tmp_path: Path
) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    for i, path in enumerate(sorted(job.photos.iterdir())[::-1]):
        Image.open(path).rotate(90).save(other / f"{i}.png")
    api.bench([job.model], frames=other, quick=True, out=tmp_path / "b.json")
    reports = [ready_made[1], tmp_path / "b.json"]
    with pytest.raises(UsageError, match="frames"):
        api.compare(reports)
    allowed = api.compare(reports, allow={"frames"})
    assert allowed.differences


def test_a_damaged_bundle_is_refused(job: SimpleNamespace, tmp_path: Path) -> None:
    data = bytearray((job.work / "tiny.eab").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.eab").write_bytes(data)
    with pytest.raises(BadInput, match="bundle"):
        api.bench([tmp_path / "bad.eab"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_magentas_style_net_goes_all_the_way(
    style_model: Path, media: Path, tmp_path: Path
) -> None:
    style = {"mobilenet_conv/Conv/BiasAdd": style_model.with_name("style_bottleneck.npy")}
    clip = media / "clips_asl" / "again.mkv"
    spec = QuantizeSpec(samples=8)
    quantized = api.quantize(
        style_model, calib=clip, inputs=style, out=tmp_path / "int8", spec=spec, max_drift=0.1
    )
    assert {row.backend for row in quantized.variants} == set(BACKENDS)
    api.compile(tmp_path / "int8", out=tmp_path / "style.eab")
    report = api.bench([tmp_path / "style.eab"], quick=True, out=tmp_path / "report.json")
    assert len(report.variants) == 6
    assert not report.failures
    for variant in report.variants:
        assert variant.drift is not None
        assert variant.drift.ssim_mean > (0.9 if variant.precision == "int8" else 0.9999)
    api.compare([tmp_path / "report.json"], html=tmp_path / "page.html")
