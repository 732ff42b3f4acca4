"""Where a model folder is written, nothing else may lie: it would be gone."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim import api
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.progress import Silent
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.graph.load import load_model, save_model
from edgeanim.pipeline.calibrate import GOLDEN_FILE
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.scene import Scene


class Idle(Silent):
    """Progress that no stage may begin of."""

    def stage(self, title: str, total: int | None = None) -> None:
        del total
        raise AssertionError(f"{title} began")


@pytest.mark.parametrize("command", [api.quantize, api.prune])
def test_a_folder_of_other_things_is_refused_before_any_work(
    command: Any, tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(photos, mine)
    with pytest.raises(UsageError, match="holds other things") as caught:
        command(tiny_onnx(), calib=mine, out=mine, progress=Idle())
    assert caught.value.where == str(mine)
    assert len(list(mine.iterdir())) == 8


@pytest.mark.parametrize("command", [api.quantize, api.prune])
def test_the_model_that_is_read_is_not_replaced_by_what_is_made_of_it(
    command: Any, tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    made, mine = load_model(tiny_onnx()), tmp_path / "mine"
    save_model(made.contract, {graph.spec.name: graph.path for graph in made.graphs}, mine)
    graph = next(mine.glob("*.onnx"))
    for given in (mine, graph):
        with pytest.raises(UsageError, match="This is an input of the command"):
            command(given, calib=photos, out=mine, progress=Idle())


def test_the_demo_replaces_no_folder_but_its_own_either(tmp_path: Path) -> None:
    mine = tmp_path / "model" / "int8" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        api.demo(tmp_path, progress=Idle())
    assert mine.read_text() == "mine"


def test_the_demo_does_not_write_between_other_things(tmp_path: Path) -> None:
    for name in ("thesis.txt", "report.html"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=r"other things \('thesis\.txt'\).*Name a new folder"):
        api.demo(tmp_path, progress=Idle())
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "local.json").write_text("of a demo before")
    with pytest.raises(AssertionError, match="Export the shipped animator began"):
        api.demo(tmp_path, progress=Idle())
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_file_in_its_place_is_told_before_any_work(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadInput, match="This is a file"):
        api.quantize(tiny_onnx(), calib=photos, out=tmp_path / "out", progress=Idle())


def test_a_model_folder_is_replaced_until_something_else_lies_in_it(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    out, model = tmp_path / "out", tiny_onnx()
    out.mkdir()  # an empty one may be replaced by anything
    spec = PruneSpec(ratio=0.5, round_to=8, rounds=1, steps=0)
    api.prune(model, calib=photos, out=out, spec=spec)
    common: dict[str, Any] = {"calib": photos, "out": out, "backends": ("onnxruntime",)}
    api.quantize(model, spec=QuantizeSpec(samples=6), **common)
    assert (out / "quantization.json").is_file()
    assert not (out / "pruning").exists()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        api.quantize(model, spec=QuantizeSpec(samples=6), progress=Idle(), **common)
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_the_model_is_written_where_it_leads(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path, there: bool
) -> None:
    real, link = tmp_path / "large" / "disk", tmp_path / "out"
    if there:
        real.mkdir(parents=True)
    link.symlink_to(real)
    given: dict[str, Any] = {"calib": photos, "backends": "onnxruntime", "out": link}
    for _ in range(2):  # what the first one wrote may be replaced
        api.quantize(tiny_onnx(), spec=QuantizeSpec(samples=6), **given)
        assert link.is_symlink()
        assert (real / "quantization.json").is_file()
    (real / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        api.quantize(tiny_onnx(), progress=Idle(), **given)


def test_a_disk_that_is_full_when_the_model_is_written_is_told(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def copy_until_full(source: Path, target: Path, **options: Any) -> None:
        """As `shutil.copyfile` tells it, with both names."""
        if "int8" in Path(target).parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, target)
        copy(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", copy_until_full)
    out = tmp_path / "new" / "out"
    with pytest.raises(DeviceFailed, match="The disk is full") as caught:
        api.quantize(
            tiny_onnx(), calib=photos, out=out, backends="onnxruntime", spec=QuantizeSpec(samples=6)
        )
    assert Path(str(caught.value.where)).is_relative_to(out / "int8")
    assert not out.parent.exists()


@pytest.mark.parametrize("command", [api.optimize, api.compile])
def test_a_folder_or_a_pipe_in_the_place_of_a_file_is_told_before_any_work(
    command: Any, tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, wrong in ((tmp_path, BadInput), (tmp_path / "pipe", UsageError)):
        with pytest.raises(wrong, match=r"This is a (folder|pipe)"):
            command(tiny_onnx(), out=place, progress=Idle())
    with pytest.raises(UsageError, match="This is a pipe"):
        api.bench([tiny_onnx()], out=tmp_path / "pipe", progress=Idle())


def test_inputs_beside_golden_frames_that_were_made_with_others_are_refused(
    tiny_onnx: Callable[..., Path], pictures: np.ndarray, photos: Path, tmp_path: Path
) -> None:
    """They were left out without a word. Others can be given where golden frames are made."""
    made, mine, out = load_model(tiny_onnx()), tmp_path / "mine", tmp_path / "net.eab"
    save_model(made.contract, {graph.spec.name: graph.path for graph in made.graphs}, mine)
    save_golden(mine / GOLDEN_FILE, Golden(Scene(driver=pictures), pictures))
    given = {"model": mine, "out": out, "backends": "onnxruntime", "inputs": {"style": "s.npy"}}
    with pytest.raises(UsageError, match=r"--input: The model folder brings.*give --frames too"):
        api.compile(**given)
    with pytest.raises(UsageError, match="has no fixed input 'style'"):
        api.compile(**given, frames=photos)


@pytest.mark.parametrize("command", [api.compile, api.quantize])
def test_damaged_golden_frames_are_told_by_the_name_that_the_user_knows(
    command: Any, tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    model = load_model(tiny_onnx())
    folder, out = tmp_path / "model", tmp_path / "out.eab"
    save_model(model.contract, {g.spec.name: g.path for g in model.graphs}, folder)
    np.savez(folder / "golden.npz", frames=np.zeros((2, 64, 64, 3), np.uint8))
    whole = (folder / "golden.npz").read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (folder / "golden.npz").write_bytes(content)
        given = {} if command is api.compile else {"calib": photos}
        with pytest.raises(BadInput) as caught:
            command(folder, out=out, backends=("null",), **given)
        assert caught.value.where == str(folder / "golden.npz")
        assert not out.exists()
