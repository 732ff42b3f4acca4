"""The converter to TFLite: how it is started, and what it says of graphs that it does not take."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.errors import BadInput, DeviceFailed, MissingComponent
from edgeanim.targets import litert
from tests.targets.lite_graphs import WEIGHED, convert, weighed


def _collected(*_: object) -> None:
    pass


@pytest.mark.parametrize("starts", [True, False])
def test_ctrl_c_is_not_lost_in_the_hook_that_jax_hangs_on_garbage_collection(
    starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(*_: object) -> None:
        raise KeyboardInterrupt

    hook.__module__ = "jax._src.lib"

    def starting(*_: object, **__: object) -> None:
        assert not gc.isenabled()
        gc.callbacks.append(hook)
        if not starts:
            raise MissingComponent("No converter.", extra="compress")

    monkeypatch.setattr(litert, "require", starting)
    monkeypatch.setattr(gc, "callbacks", [*gc.callbacks, _collected])
    try:
        litert.get_ready()
    except MissingComponent:
        assert not starts
    assert hook not in gc.callbacks
    assert _collected in gc.callbacks
    assert gc.isenabled()


def test_what_rounding_alone_moves_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """The last bits of the convolution, some hundreds of times."""
    graph = """g (float[1,16,32,32] x) => (float[1,8,30,30] y) {
            c = Conv (x, w)
            steep = Constant <value_float = 300.0> ()
            m = Mul (c, steep)
            y = Sin (m)
        }"""
    weight = np.random.default_rng(0).normal(0, 0.4, (8, 16, 3, 3)).astype(np.float32)
    assert convert(tmp_path, graph, {"w": weight}).is_file()


def test_what_adds_up_on_one_place_is_named(tmp_path: Path) -> None:
    """The converter takes it, and TFLite names a number of its own for it."""
    graph = """g (float[1,3,16] x) => (float[1,3,16] y) {
        a = ArgMax <axis = 2> (x)
        p = Expand (a, whole)
        [splat] y = ScatterElements <axis = 2, reduction = "add"> (x, p, x)
    }"""
    with pytest.raises(BadInput, match=r"op ScatterElements of node 'splat': it adds up"):
        convert(tmp_path, graph, {"whole": np.array([1, 3, 16])}, plain="x y")


def test_a_node_that_the_converter_fails_at_is_named(tmp_path: Path) -> None:
    """It names a line of code that nobody has a file of."""
    graph = weighed('Einsum <equation = "...j,jk->...k"> (f, m)')
    with pytest.raises(BadInput, match=r"the op Mul of node 'weigh'.*--backend") as refused:
        convert(tmp_path, graph, WEIGHED)
    assert "eval_with_key" not in str(refused.value)
    assert refused.value.where == str(tmp_path / "graph.onnx")


def test_a_file_that_tflite_does_not_take_is_the_graphs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user has no file but the graph."""

    def refusing(path: Path) -> None:
        raise DeviceFailed("TFLite refuses this graph: Node number 4 failed.", where=path)

    monkeypatch.setattr(litert, "open_interpreter", refusing)
    with pytest.raises(BadInput, match=r"Node number 4 failed.*--backend") as refused:
        convert(tmp_path, weighed("Relu (f)"), WEIGHED)
    assert refused.value.where == str(tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.tflite").exists()
