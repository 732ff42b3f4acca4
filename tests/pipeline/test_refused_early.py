"""What `inspect` knows to stand in a backend's way is told before anything that takes long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgeanim import api
from edgeanim.core.errors import BadInput
from edgeanim.core.progress import Silent
from edgeanim.core.recipe import PruneSpec
from edgeanim.core.store import Store
from edgeanim.pipeline.models import open_model, refuse_obstacles
from edgeanim.pipeline.on.deploy import deploy
from edgeanim.pipeline.work import Work

SAID = "The op Acos of node 'odd' cannot be brought into PyTorch."


class Stages(Silent):
    """Progress that remembers the stages."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def stage(self, title: str, total: int | None = None) -> None:  # noqa: ARG002
        self.titles.append(title)


@pytest.fixture
def odd(tiny_onnx: Callable[..., Path], tmp_path: Path) -> Path:
    """A net with an op that PyTorch's importer does not know, of values that it takes."""
    model = onnx.load(str(tiny_onnx(32, 4)))
    graph = model.graph
    graph.node.append(onnx.helper.make_node("Acos", ["inner"], [graph.output[0].name], "odd"))
    graph.node[-2].output[0] = "inner"
    path = tmp_path / "odd.onnx"
    onnx.save(model, str(path))
    return path


def test_quantising_is_refused_before_samples_are_collected(
    odd: Path, photos: Path, tmp_path: Path
) -> None:
    stages, store = Stages(), Store(tmp_path / "store")
    with pytest.raises(BadInput, match=SAID) as told:
        api.quantize(odd, out=tmp_path / "q", calib=photos, store=store, progress=stages)
    assert stages.titles == ["Read the model"]
    assert "TFLite and pruning cannot" in str(told.value)
    (graph,) = api.inspect(odd).graphs
    assert any(SAID in warning for warning in graph.warnings)


def test_compiling_is_refused_before_golden_frames_are_made(
    odd: Path, photos: Path, tmp_path: Path
) -> None:
    stages, store = Stages(), Store(tmp_path / "store")
    for backends in ("tflite", ("onnxruntime", "torch")):
        with pytest.raises(BadInput, match=SAID):
            api.compile(
                odd,
                out=tmp_path / "o.eab",
                frames=photos,
                backends=backends,
                store=store,
                progress=stages,
            )
    assert set(stages.titles) == {"Read the model"}
    assert not (store.root / "golden").exists()


def test_pruning_is_refused_before_golden_frames_are_made(
    odd: Path, photos: Path, tmp_path: Path
) -> None:
    stages, store = Stages(), Store(tmp_path / "store")
    with pytest.raises(BadInput, match=SAID):
        api.prune(odd, out=tmp_path / "p", calib=photos, store=store, progress=stages)
    assert stages.titles == ["Read the model"]
    assert not (store.root / "golden").exists()


@pytest.mark.parametrize("command", [api.quantize, api.prune, api.optimize])
def test_pictures_too_small_to_judge_by_are_refused_before_samples_are_collected(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path, command: Callable[..., object]
) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(BadInput, match=r"11x11 pixels, and these have 8x8.*larger pictures"):
        command(tiny_onnx(8, 4), out=tmp_path / "o.eab", calib=photos, store=store)
    assert not (store.root / "samples").exists()


def test_pictures_too_small_to_prove_a_deployment_by_are_refused_before_a_board_is_called(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "o.eab"
    store = Store(tmp_path / "store")
    api.compile(tiny_onnx(8, 4), out=bundle, frames=photos, backends="onnxruntime", store=store)
    with pytest.raises(BadInput, match=r"11x11 pixels, and these have 8x8"):
        deploy(bundle, to="ssh://pi@board", connect=lambda *_: pytest.fail("called"))


def test_what_may_work_goes_on(odd: Path, photos: Path, tmp_path: Path) -> None:
    """Backends without the importer, an INT8 that the board does not run, a pruning of nothing."""
    store = Store(tmp_path / "store")
    bundle = api.compile(
        odd, out=tmp_path / "o.eab", frames=photos, backends="onnxruntime", store=store
    )
    assert bundle.variants == ("onnxruntime-float32",)
    work = Work.on("local", store=store)
    refuse_obstacles(work, open_model(odd, work), ("onnxruntime", "openvino"))
    refuse_obstacles(work, open_model(odd, work), (), prunes=PruneSpec().ratio > 0)


def test_a_known_net_passes(tiny_onnx: Callable[..., Path], tmp_path: Path) -> None:
    work = Work.on("local", store=Store(tmp_path / "store"))
    refuse_obstacles(work, open_model(tiny_onnx(32, 4), work), ("tflite", "torch"), prunes=True)
