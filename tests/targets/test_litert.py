"""The converter to TFLite."""

import gc
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import MissingComponent
from edgeanim.targets import litert


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
        litert._import_converter()
    except MissingComponent:
        assert not starts
    assert hook not in gc.callbacks
    assert _collected in gc.callbacks
    assert gc.isenabled()


def test_weights_of_one_shape_are_not_taken_for_each_other(tmp_path: Path) -> None:
    import onnx

    rng = np.random.default_rng(0)
    body = "".join(f"v{k + 1} = MatMul (v{k}, w{k})\n" for k in range(6))
    head = '<ir_version: 8, opset_import: ["" : 18]>'
    model = onnx.parser.parse_model(
        f"{head} g (float[1,8,8,16] v0) => (float[1,8,8,16] v6) {{ {body} }}"
    )
    for k in range(6):
        weight = rng.normal(0, 0.3, (16, 16)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, f"w{k}"))
    path = tmp_path / "products.onnx"
    path.write_bytes(model.SerializeToString())
    ends = [TensorSpec(name, "condition:any", (1, 8, 8, 16)) for name in ("v0", "v6")]
    spec = GraphSpec("products", path.name, "frame", (ends[0],), (ends[1],))
    litert.convert(path, spec, tmp_path / "products.tflite")  # its gate compares
