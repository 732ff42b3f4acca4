"""Graphs of others that take and give 8-bit numbers or half floats, played like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.errors import BadInput
from edgeanim.core.quiet import quiet
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.io_numbers import HalfFloats, Numbers, QuantParams, numbers_of
from edgeanim.targets.prebuilt import load_prebuilt

SIDE = 16
SERVED = f"""<ir_version: 8, opset_import: ["" : 18]>
g (uint8[1,3,{SIDE},{SIDE}] image) => (uint8[1,3,{SIDE},{SIDE}] frame) {{
    f = Cast <to = 1> (image)
    m = Mul (f, half)
    frame = Cast <to = 2> (m)
}}"""
LEVELS = np.arange(3 * SIDE * SIDE, dtype=np.float32).reshape(1, 3, SIDE, SIDE) % 256


def _onnx(path: Path, text: str = SERVED, dtype: Any = np.float32) -> Path:
    import onnx

    model = onnx.parser.parse_model(text)
    half = np.array(0.5, dtype)
    model.graph.initializer.append(onnx.numpy_helper.from_array(half, "half"))
    path.write_bytes(model.SerializeToString())
    return path


def _openvino(path: Path) -> Path:
    import openvino as ov

    model = ov.Core().read_model(str(_onnx(path.with_suffix(".onnx"))))
    ov.save_model(model, str(path), compress_to_fp16=False)
    return path


def _tflite(path: Path) -> Path:
    import litert_torch
    import torch

    class Served(torch.nn.Module):  # type: ignore[misc]
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return (image.to(torch.float32) * 0.5).to(torch.uint8)

    example = torch.zeros((1, 3, SIDE, SIDE), dtype=torch.uint8)
    with quiet():
        litert_torch.convert(Served().eval(), (example,)).export(str(path))
    return path


MAKERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "onnxruntime": ("served.onnx", _onnx),
    "openvino": ("served.xml", _openvino),
    "tflite": ("served.tflite", _tflite),
}


@pytest.mark.parametrize("name", MAKERS)
def test_bytes_are_pictures_in_0_to_255(name: str, tmp_path: Path) -> None:
    file, make = MAKERS[name]
    contract, variant = load_prebuilt(make(tmp_path / file), tmp_path / "work")
    (spec,) = contract.graphs
    (image,), (frame,) = spec.inputs, spec.outputs
    assert (image.role, frame.role) == ("driving_frame", "frame")
    assert image.range == frame.range == (0.0, 255.0)
    session = get_backend(name).load(variant.graphs[0], SessionOptions())
    for picture in (LEVELS, LEVELS, 255 - LEVELS):  # what comes again may be bound as it is
        made = session.run({image.name: picture})[frame.name]
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, np.floor(picture / 2))
    session.close()


def _half_onnx(path: Path) -> Path:
    kind = f"float16[1,3,{SIDE},{SIDE}]"
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
    g ({kind} image) => ({kind} frame) {{
        frame = Mul (image, half)
    }}"""
    return _onnx(path, text, np.float16)


def _half_openvino(path: Path) -> Path:
    import openvino as ov

    ov.save_model(ov.Core().read_model(str(_half_onnx(path.with_suffix(".onnx")))), str(path))
    return path


@pytest.mark.parametrize(
    ("name", "file", "make"),
    [
        ("onnxruntime", "half.onnx", _half_onnx),
        ("openvino", "half.xml", _half_openvino),
    ],
)
def test_half_floats_stand_for_themselves(
    name: str, file: str, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    contract, variant = load_prebuilt(make(tmp_path / file), tmp_path / "work")
    (spec,) = contract.graphs
    (image,), (frame,) = spec.inputs, spec.outputs
    assert image.range == frame.range == (0.0, 1.0)
    session = get_backend(name).load(variant.graphs[0], SessionOptions())
    for picture in (LEVELS / 255, LEVELS / 255, 1 - LEVELS / 255):
        made = session.run({image.name: picture})[frame.name]
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, picture.astype(np.float16).astype(np.float32) / 2)
    session.close()


def test_beyond_the_range_of_half_floats_there_is_infinity() -> None:
    numbers = HalfFloats().encode(np.array([7e4, -7e4, 65504, 0.1], np.float32))
    np.testing.assert_array_equal(numbers, np.array([np.inf, -np.inf, 65504, 0.1], np.float16))


@pytest.mark.parametrize("signed", [False, True])
def test_tflites_full_integers_stand_for_what_their_file_says(
    signed: bool, compiled: Callable[..., CompiledGraph], tmp_path: Path
) -> None:
    """Our INT8 without the rounding at its ends, as other converters leave it out."""
    ours = compiled("tflite", "int8")
    path = tmp_path / "full.tflite"
    kinds = _without_ends(ours.files[0], path)
    assert kinds == {"int8"}
    contract, variant = load_prebuilt(path, tmp_path / "work")
    (spec,) = contract.graphs
    (image,), (frame,) = spec.inputs, spec.outputs
    for tensor in (image, frame):
        assert tensor.range is not None
        np.testing.assert_allclose(tensor.range, (0, 1), atol=0.02)
    values = np.random.default_rng(0).random(image.shape, dtype=np.float32)
    values = -values if signed else values  # beyond the range they are clipped
    backend = get_backend("tflite")
    theirs = backend.load(variant.graphs[0], SessionOptions()).run({image.name: values})
    wanted = backend.load(ours, SessionOptions()).run({ours.spec.inputs[0].name: values})
    (made,), (float_made,) = theirs.values(), wanted.values()
    step = (frame.range[1] - frame.range[0]) / 255
    np.testing.assert_allclose(made, float_made, atol=step)


def _without_ends(source: Path, path: Path) -> set[str]:
    """Write the file without the ops that round its input and unround its output; the types of the
    ends that are left."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

    model = flatbuffer.read_model(str(source))
    (graph,) = model.subgraphs
    codes = [code.builtinCode for code in model.operatorCodes]
    quantize, dequantize = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE
    first = next(op for op in graph.operators if codes[op.opcodeIndex] == quantize)
    last = next(op for op in graph.operators if codes[op.opcodeIndex] == dequantize)
    graph.inputs, graph.outputs = [first.outputs[0]], [last.inputs[0]]
    graph.operators = [op for op in graph.operators if op is not first and op is not last]
    model.signatureDefs = None
    flatbuffer.write_model(model, str(path))
    names = {value: key.lower() for key, value in vars(schema.TensorType).items()}
    return {names[graph.tensors[i].type] for i in (*graph.inputs, *graph.outputs)}


def test_integers_of_which_nobody_knows_what_they_mean_are_refused(tmp_path: Path) -> None:
    text = SERVED.replace("uint8", "int8").replace("to = 2", "to = 3")
    with pytest.raises(BadInput, match="'image' is int8; a graph's ends are to be float32"):
        load_prebuilt(_onnx(tmp_path / "signed.onnx", text), tmp_path / "work")


@settings(deadline=None)
@given(
    st.sampled_from(["uint8", "int8"]),
    st.floats(1e-4, 10),
    st.integers(-128, 127),
    st.lists(st.floats(-500, 500, width=32), min_size=1, max_size=20),
)
def test_rounding_and_back_is_the_nearest_number_of_the_grid(
    dtype: Any, scale: float, zero: int, values: list[float]
) -> None:
    quant = QuantParams(dtype, scale, zero)
    given_values = np.array(values, np.float32)
    least, most = quant.range
    back = quant.decode(quant.encode(given_values))
    error = np.abs(back - given_values.clip(least, most))
    assert (error <= scale * 0.5 + 1e-3 * scale * 256).all()
    np.testing.assert_array_equal(quant.encode(back), quant.encode(given_values))


@pytest.mark.parametrize(
    ("given_as", "numbers"),
    [
        (("float32",), None),
        (("int64", 0.5, 3), None),
        (("int8",), None),
        (("int8", 0.5, -3), QuantParams("int8", 0.5, -3)),
        (("uint8",), QuantParams("uint8", 1.0, 0)),
        (("uint8", 0.5, 128), QuantParams("uint8", 0.5, 128)),
        (("float16",), HalfFloats()),
    ],
)
def test_what_numbers_stand_for(given_as: Any, numbers: Numbers | None) -> None:
    assert numbers_of(*given_as) == numbers
