"""Loading: a sound model comes in, anything else is one clear paragraph."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeanim.core.contract import dump_contract
from edgeanim.core.errors import BadInput
from edgeanim.graph.external import external_files
from edgeanim.graph.load import infer_contract, load_model, save_model

IMAGE = ("float[1,3,16,16] x", "float[1,3,16,16] y")


def test_a_bare_onnx_gets_a_contract(tiny_onnx: Callable[..., Path]) -> None:
    path = tiny_onnx(32)
    model = load_model(path)
    (graph,) = model.contract.graphs
    assert graph.runs == "frame"
    assert (graph.name, graph.file) == ("tiny", "tiny.onnx")
    assert graph.inputs[0].role == "driving_frame"
    assert graph.outputs[0].role == "frame"
    assert graph.outputs[0].layout == "NCHW"
    assert graph.outputs[0].range == (0.0, 1.0)
    assert model.graphs[0].path == path
    assert model.contract == infer_contract(path)


def test_a_channels_last_net_with_a_condition(style_model: Path) -> None:
    (graph,) = load_model(style_model).contract.graphs
    picture, style = graph.inputs
    assert (picture.role, picture.layout, picture.size) == ("driving_frame", "NHWC", (384, 384))
    assert style.role == "condition:mobilenet_conv_Conv_BiasAdd"
    assert (style.layout, style.range) == ("plain", None)
    assert graph.outputs[0].range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Sigmoid (x)", (0.0, 1.0)),
        ("y = Tanh (x)", (-1.0, 1.0)),
        ("t = Tanh (x) \n h = Mul (half, t) \n y = Add (h, half)", (0.0, 1.0)),
        ("t = Tanh (x) \n y = Mul (t, byte)", (-127.5, 127.5)),
        ("y = Clip (x, half, byte)", (0.5, 127.5)),
        ("y = Relu (x)", (0.0, 1.0)),
    ],
)
def test_ranges_follow_from_the_last_ops(
    graph: Any, save: Any, body: str, expected: tuple[float, float]
) -> None:
    numbers = {"half": np.array(0.5, np.float32), "byte": np.array(127.5, np.float32)}
    contract = infer_contract(save(graph(*IMAGE, body, numbers)))
    assert contract.graphs[0].outputs[0].range == expected
    assert contract.graphs[0].inputs[0].range == expected


def test_a_chain_of_ops_without_end_says_nothing_of_the_range(graph: Any, save: Any) -> None:
    links = [f"t{n + 1} = Identity (t{n})" for n in range(3000)]
    body = " \n ".join(["t0 = Tanh (x)", *links, "y = Identity (t3000)"])
    assert infer_contract(save(graph(*IMAGE, body))).graphs[0].outputs[0].range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [("min = -1.0, max = 1.0", (-1.0, 1.0)), ("max = 1.0", (0.0, 1.0))],
)
def test_limits_that_old_opsets_give_as_attributes_are_a_range_too(
    graph: Any, save: Any, limits: str, expected: tuple[float, float]
) -> None:
    model = graph(*IMAGE, f"y = Clip <{limits}> (x)", opset=10)
    assert infer_contract(save(model)).graphs[0].outputs[0].range == expected


@pytest.mark.parametrize(
    ("limits", "clipped", "expected"),
    [
        ("low = Cast <to = 1> (one)", "Clip (x, low, many)", (1.0, 255.0)),
        ("low = Constant <value_float = -1.0> ()", "Clip (x, low, many)", (-1.0, 255.0)),
        ("low = Identity (half) \n high = Sub (many, low)", "Clip (x, low, high)", (0.5, 254.5)),
        ("i = Identity (half) \n n = Neg (i)", "Clip (x, n, half)", (-0.5, 0.5)),
        ("most = Constant <value_float = 3.4028235e38> ()", "Clip (x, zero, most)", (0.0, 1.0)),
        ("low = ReduceMin <keepdims = 0> (x)", "Clip (x, low, many)", (0.0, 1.0)),
        ("i = Identity (half) \n s = Clip (x, zero, half)", "Div (s, i)", (0.0, 1.0)),
        ("low = Max (x, zero)", "Min (many, low)", (0.0, 255.0)),
        ("high = Min (x, many)", "Max (high, half)", (0.5, 255.0)),
        ("low = Max (x, zero)", "Min (low, x)", (0.0, 1.0)),
    ],
)
def test_limits_that_are_computed_from_constants_are_a_range_too(
    graph: Any, save: Any, limits: str, clipped: str, expected: tuple[float, float]
) -> None:
    """As exporters write them that convert a limit's type, or that have no Clip."""
    numbers = {
        name: np.array(value, kind)
        for name, value, kind in (
            ("zero", 0, np.float32), ("half", 0.5, np.float32), ("many", 255, np.float32),
            ("one", 1, np.int64),
        )
    }  # fmt: skip
    model = graph(*IMAGE, f"{limits} \n y = {clipped}", numbers)
    assert infer_contract(save(model)).graphs[0].outputs[0].range == expected


def test_a_still_and_a_driving_frame_are_told_apart(graph: Any, save: Any) -> None:
    inputs = "float[1,3,16,16] source_image, float[1,3,16,16] driving"
    path = save(graph(inputs, IMAGE[1], "y = Add (source_image, driving)"))
    roles = {t.name: t.role for t in infer_contract(path).graphs[0].inputs}
    assert roles == {"source_image": "still", "driving": "driving_frame"}


def test_ambiguous_pictures_ask_for_a_contract(graph: Any, save: Any) -> None:
    inputs = "float[1,3,16,16] a, float[1,3,16,16] b"
    with pytest.raises(BadInput, match=r"2 could be the picture .* `source`.* model\.toml"):
        load_model(save(graph(inputs, IMAGE[1], "y = Add (a, b)")))


@pytest.mark.parametrize(
    ("others", "finished"),
    [
        ({"alpha": "1,1,16,16"}, "y"),  # as mattes, attention masks and occlusion maps are
        ({"alpha": "1,16,16,1", "mask": "1,1,16,16"}, "y"),
        ({"warped": "1,3,16,16"}, None),
        ({"frame": "1,3,16,16"}, "frame"),
        ({"frame": "1,1,16,16"}, "frame"),
        ({"frame_before": "1,3,16,16", "frame_after": "1,3,16,16"}, None),
    ],
)
def test_of_several_pictures_the_one_in_colour_or_called_frame_is_the_finished_one(
    graph: Any, save: Any, others: dict[str, str], finished: str | None
) -> None:
    declared = ", ".join(f"float[{shape}] {name}" for name, shape in others.items())
    body = "y = Sigmoid (x)" + "".join(f"\n {name} = Relu ({name}_of)" for name in others)
    weights = {f"{name}_of": tuple(map(int, shape.split(","))) for name, shape in others.items()}
    path = save(graph(IMAGE[0], f"{IMAGE[1]}, {declared}", body, weights))
    if finished is None:
        with pytest.raises(BadInput, match=r"could be the finished picture.*`frame`"):
            infer_contract(path)
        return
    outputs = {t.name: t.role for t in infer_contract(path).graphs[0].outputs}
    assert outputs.pop(finished) == "frame"
    assert outputs == {name: f"feature:{name}" for name in outputs}


@pytest.mark.parametrize(
    ("inputs", "pictures"),
    [
        ({"image": "1,3,16,16", "mask": "1,1,16,16"}, {"image": "driving_frame"}),
        ({"image": "1,16,16,3", "depth": "1,16,16,1", "edges": "1,1,16,16"},
         {"image": "driving_frame"}),
        ({"noise": "1,3,16,16", "image": "1,3,16,16"}, {"image": "driving_frame"}),
        ({"denoised": "1,3,16,16", "source": "1,3,16,16", "mask": "1,1,16,16"},
         {"denoised": "driving_frame", "source": "still"}),
        ({"driving": "1,1,16,16", "source": "1,3,16,16"},
         {"driving": "driving_frame", "source": "still"}),
        ({"driving": "1,3,16,16", "source": "1,1,16,16"},
         {"driving": "driving_frame", "source": "still"}),
        ({"noise": "1,3,16,16"}, {"noise": "driving_frame"}),
        ({"noise": "1,1,16,16"}, {"noise": "driving_frame"}),
        ({"z": "1,64", "noise1": "1,1,8,8", "noise2": "1,1,16,16"}, {}),  # StyleGAN
        ({"z": "1,64", "face": "1,1,16,16"}, {"face": "driving_frame"}),
        ({"t": "1,1", "noise": "1,3,16,16"}, {"noise": "driving_frame"}),  # diffusion
    ],
)  # fmt: skip
def test_what_lies_beside_a_picture_and_is_none_is_a_condition(
    graph: Any, save: Any, inputs: dict[str, str], pictures: dict[str, str]
) -> None:
    """Masks, depths and edges, and the noise of diffusion models and style generators."""
    declared = ", ".join(f"float[{shape}] {name}" for name, shape in inputs.items())
    body = "".join(f"{name}_mean = ReduceMean <keepdims = 0> ({name}) \n" for name in inputs)
    body += f"s = Sum ({', '.join(f'{name}_mean' for name in inputs)}) \n y = Add (zeros, s)"
    path = save(graph(declared, IMAGE[1], body, {"zeros": (1, 3, 16, 16)}))
    found = {t.name: t.role for t in infer_contract(path).graphs[0].inputs}
    assert found == {name: f"condition:{name}" for name in inputs} | pictures


@pytest.mark.parametrize(
    ("sound", "face"),
    [
        ("1,1,80,16", "1,3,96,96"),
        ("1,80,16,1", "1,3,96,96"),
        ("1,1,16,29", "1,3,96,96"),  # about as wide as a cropped picture might be
        ("1,3,80,16", "1,3,48,48"),
        ("1,3,34,16", "1,3,48,48"),  # more than twice as long as wide
    ],
)
def test_a_spectrogram_beside_a_picture_is_a_condition(
    graph: Any, save: Any, sound: str, face: str
) -> None:
    path = save(graph(
        f"float[{sound}] mel, float[{face}] face", "float[1,3,96,96] y",
        """m = ReduceMean <keepdims = 0> (mel)
           f = Resize (face, , , sizes)
           y = Add (f, m)""",
        {"sizes": np.array([1, 3, 96, 96])},
    ))  # fmt: skip
    roles = {t.name: t.role for t in infer_contract(path).graphs[0].inputs}
    assert roles == {"mel": "condition:mel", "face": "driving_frame"}


def test_a_picture_of_any_shape_is_one_where_it_is_alone(graph: Any, save: Any) -> None:
    sizes = {"sizes": np.array([1, 1, 32, 48])}
    body = "y = Resize (grey, , , sizes)"
    path = save(graph("float[1,1,96,16] grey", "float[1,1,32,48] y", body, sizes))
    assert infer_contract(path).graphs[0].inputs[0].role == "driving_frame"


def test_a_stack_of_pictures_beside_sound_is_told_of(graph: Any, save: Any) -> None:
    """The sound was taken for the driver's picture."""
    path = save(graph(
        "float[1,1,80,16] mel, float[1,6,96,96] face", "float[1,3,96,96] y",
        """m = ReduceMean <keepdims = 0> (mel)
           a, b = Split <axis = 1, num_outputs = 2> (face)
           s = Add (a, b)
           y = Add (s, m)""",
    ))  # fmt: skip
    with pytest.raises(BadInput, match=r"none could be the picture.*'face' seems to hold 2 pict"):
        infer_contract(path)


def test_what_a_net_takes_and_gives_again_is_its_state(graph: Any, save: Any) -> None:
    path = save(graph(
        f"{IMAGE[0]}, float[1,8,4,4] h, float[1,8,4,4] c, float[1,8] style",
        f"{IMAGE[1]}, float[1,8,4,4] hn, float[1,8,4,4] cn, float[1,8] code",
        """y = Sigmoid (x)
           hn = Add (h, c)
           cn = Tanh (c)
           code = Relu (style)""",
    ))  # fmt: skip
    (spec,) = infer_contract(path).graphs
    assert {t.name: t.role for t in (*spec.inputs, *spec.outputs)} == {
        "x": "driving_frame", "h": "state:h", "c": "state:c", "style": "condition:style",
        "y": "frame", "hn": "state:h", "cn": "state:c", "code": "feature:code",
    }  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_state_of_as_many_channels_as_a_picture_is_one(
    graph: Any, save: Any, channels: int
) -> None:
    """A temporal shift of 4 channels was taken for a second picture."""
    shape = f"float[1,{channels},8,8]"
    path = save(graph(
        f"{IMAGE[0]}, {shape} before", f"float[1,3,16,16] frame, {shape} after",
        "frame = Sigmoid (x) \n after = Tanh (before)",
    ))  # fmt: skip
    (spec,) = infer_contract(path).graphs
    assert {t.name: t.role for t in (*spec.inputs, *spec.outputs)} == {
        "x": "driving_frame", "before": "state:before", "frame": "frame", "after": "state:before",
    }  # fmt: skip


def test_a_net_of_vectors_alone_makes_a_picture_of_conditions(graph: Any, save: Any) -> None:
    """A style generator needed a contract written by hand."""
    body = """n = Add (z, pose)
              p = Reshape (n, size)
              y = Sigmoid (p)"""
    inputs = "float[1,768] z, float[768] pose"
    path = save(graph(inputs, IMAGE[1], body, {"size": np.array([1, 3, 16, 16])}))
    roles = {t.name: t.role for t in infer_contract(path).graphs[0].inputs}
    assert roles == {"z": "condition:z", "pose": "condition:pose"}


def test_maps_that_are_no_pictures_ask_for_a_contract(graph: Any, save: Any) -> None:
    path = save(graph("float[1,12,8,8] z", IMAGE[1], "y = DepthToSpace <blocksize = 2> (z)"))
    with pytest.raises(BadInput, match="none could be the picture"):
        infer_contract(path)


def test_an_own_contract_replaces_the_inferred_one(tiny_onnx: Any, tmp_path: Path) -> None:
    path = tiny_onnx(32)
    contract = infer_contract(path)
    spec = contract.graphs[0]
    signed = replace(spec, inputs=(replace(spec.inputs[0], range=(-1.0, 1.0)),))
    toml = tmp_path / "model.toml"
    toml.write_text(dump_contract(replace(contract, graphs=(signed,))))
    model = load_model(path, toml)
    assert model.contract.graphs[0].inputs[0].range == (-1.0, 1.0)
    assert model.digest != load_model(path).digest

    wrong = replace(spec, inputs=(replace(spec.inputs[0], shape=(1, 3, 64, 64)),))
    toml.write_text(dump_contract(replace(contract, graphs=(wrong,))))
    with pytest.raises(BadInput, match=r"\[1, 3, 64, 64\]; in the graph it is \[1, 3, 32, 32\]"):
        load_model(path, toml)


def test_a_saved_folder_loads_again(tiny_onnx: Any, tmp_path: Path) -> None:
    path = tiny_onnx(32)
    contract = infer_contract(path)
    folder = save_model(contract, {"tiny": path}, tmp_path / "model")
    model = load_model(folder)
    assert model.contract == contract
    assert model.graphs[0].path == folder / "tiny.onnx"
    assert load_model(folder).digest == model.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize("name", [b"r\xff.onnx", b"9:16.onnx", b"a\\b.onnx", b"my net.onnx"])
def test_a_file_of_any_name_becomes_a_folder(name: bytes, tiny_onnx: Any, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(tiny_onnx(16).read_bytes())
    model = load_model(path)
    (graph,) = model.graphs
    folder = save_model(model.contract, {graph.spec.name: path}, tmp_path / "saved")
    assert load_model(folder).contract == model.contract


def test_a_folder_without_a_contract_or_graph(tmp_path: Path, tiny_onnx: Any) -> None:
    with pytest.raises(BadInput, match=r"holds no model\.toml"):
        load_model(tmp_path)
    (tmp_path / "model.toml").write_text(dump_contract(infer_contract(tiny_onnx(32))))
    with pytest.raises(BadInput, match="No such file"):
        load_model(tmp_path)


def test_a_graph_outside_the_folder_is_refused(tmp_path: Path, tiny_onnx: Any) -> None:
    contract = infer_contract(tiny_onnx(32))
    escaped = replace(contract, graphs=(replace(contract.graphs[0], file="../tiny.onnx"),))
    (tmp_path / "model.toml").write_text(dump_contract(escaped))
    with pytest.raises(BadInput, match="leads outside"):
        load_model(tmp_path)


def test_files_that_are_no_graph(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        load_model(tmp_path / "absent.onnx")
    empty = tmp_path / "empty.onnx"
    empty.touch()
    with pytest.raises(BadInput, match="empty"):
        load_model(empty)
    picture = tmp_path / "picture.onnx"
    Image.new("RGB", (8, 8)).save(picture, format="PNG")
    with pytest.raises(BadInput, match="PNG picture, not an ONNX graph"):
        load_model(picture)
    text = tmp_path / "text.onnx"
    text.write_text("not a protobuf at all, but a few words")
    with pytest.raises(BadInput, match="a text file, not an ONNX graph"):
        load_model(text)
    contract = tmp_path / "model.toml"
    contract.write_text('name = "net"\n')
    with pytest.raises(BadInput, match="Give the folder that holds it"):
        load_model(contract)
    flat = tmp_path / "net.tflite"
    flat.write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(BadInput, match=r"a TFLite model, not an ONNX graph.*edgeanim bench"):
        load_model(flat)
    traced = tmp_path / "net.pt"
    traced.write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(BadInput, match=r"a zip archive.*not an ONNX graph.*edgeanim export"):
        load_model(traced)
    huge = tmp_path / "huge.onnx"
    with huge.open("wb") as stream:
        stream.truncate(3 << 30)
    with pytest.raises(BadInput, match=r"3\.0 GiB"):
        load_model(huge)


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 0.999))
def test_a_file_that_is_cut_off_is_refused(
    tiny_onnx: Any, tmp_path_factory: Any, share: float
) -> None:
    data = _tiny_bytes(tiny_onnx)
    path = tmp_path_factory.mktemp("cut") / "cut.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadInput):
        load_model(path)


@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 0.999), value=st.integers(0, 255))
def test_a_flipped_byte_never_escapes_as_another_error(
    tiny_onnx: Any, tmp_path_factory: Any, place: float, value: int
) -> None:
    data = bytearray(_tiny_bytes(tiny_onnx))
    data[int(len(data) * place)] = value
    path = tmp_path_factory.mktemp("flip") / "flip.onnx"
    path.write_bytes(data)
    with suppress(BadInput):
        load_model(path)


_CACHE: dict[str, bytes] = {}


def _tiny_bytes(tiny_onnx: Any) -> bytes:
    if "tiny" not in _CACHE:
        _CACHE["tiny"] = tiny_onnx(8, 2).read_bytes()
    return _CACHE["tiny"]


def test_dynamic_shapes_name_input_and_axis(graph: Any, save: Any) -> None:
    path = save(graph("float[1,3,height,16] x", "float[1,3,height,16] y", "y = Relu (x)"))
    with pytest.raises(BadInput, match=r"Axis 2 \(height\) of the input 'x' is dynamic") as caught:
        load_model(path)
    assert "make_dynamic_shape_fixed --input_name x --input_shape 1,3,N,16" in str(caught.value)


def test_dynamic_outputs_are_found_by_running(graph: Any, save: Any) -> None:
    path = save(graph(IMAGE[0], "float[1,3,h,w] y", "y = Sigmoid (x)"))
    assert load_model(path).contract.graphs[0].outputs[0].shape == (1, 3, 16, 16)


def test_inputs_of_another_type_than_float32_are_refused(graph: Any, save: Any) -> None:
    path = save(graph("uint8[1,3,16,16] x", IMAGE[1], "y = Cast <to=1> (x)"))
    with pytest.raises(BadInput, match="The input 'x' is uint8"):
        load_model(path)


def test_a_graph_of_doubles_is_to_be_exported_in_float32(graph: Any, save: Any) -> None:
    """It was said to hold a conversion."""
    path = save(graph("double[1,3,16,16] x", "double[1,3,16,16] y", "y = Relu (x)"))
    with pytest.raises(BadInput, match=r"'x' is double; only float32.*\.float\(\) on the net"):
        load_model(path)


def test_unknown_ops_and_domains_are_named(graph: Any, save: Any) -> None:
    model = graph(*IMAGE, "y = Relu (x)")
    model.graph.node[0].op_type = "Sharpen"
    with pytest.raises(BadInput, match="The op Sharpen of node 'node0' does not exist"):
        load_model(save(model))
    model.graph.node[0].domain = "com.example"
    with pytest.raises(BadInput, match=r"The op com\.example\.Sharpen of node 'node0'"):
        load_model(save(model))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("n = RandomNormalLike (x) \n y = Add (x, n)", "RandomNormalLike of node 'node0' draws"),
        ("y = Dropout (x, half, yes)", "Dropout of node 'node0' is in training mode"),
        (
            "on = Constant <value = bool {1}> () \n y = Dropout (x, half, on)",
            "Dropout of node 'node1' is in training mode",
        ),
    ],
)
def test_a_graph_that_draws_at_random_is_refused(
    graph: Any, save: Any, body: str, said: str
) -> None:
    """Its golden frames would be one draw, and the drift the distance to another."""
    stored = {"half": np.array(0.5, np.float32), "yes": np.array(True)}
    with pytest.raises(BadInput, match=said):
        load_model(save(graph(*IMAGE, body, stored)))


@pytest.mark.parametrize(
    ("norm", "opset"),
    [
        ("y, m, v = BatchNormalization <training_mode=1> (x, s, b, a, b)", 18),
        ("y = BatchNormalization <training_mode=1> (x, s, b, a, b)", 18),
        ("y = BatchNormalization <training_mode=1> (x, s, b, a, b)", 14),
        ("y, m, v, sm, sv = BatchNormalization (x, s, b, a, b)", 13),
    ],
)
def test_a_batch_norm_in_training_is_refused_when_read(
    graph: Any, save: Any, norm: str, opset: int
) -> None:
    """Runtimes disagree about it: one takes the picture's mean, another the stored one's part."""
    stored = {name: np.ones(3, np.float32) for name in "sab"}
    with pytest.raises(BadInput, match="BatchNormalization of node 'node0' is in training") as told:
        load_model(save(graph(*IMAGE, norm, stored, opset=opset)))
    assert ".eval()" in str(told.value)


def test_a_batch_norm_at_rest_is_taken(graph: Any, save: Any) -> None:
    stored = {name: np.ones(3, np.float32) for name in "sab"}
    for opset in (9, 13, 14, 18):
        body = "y = BatchNormalization (x, s, b, a, b)"
        assert load_model(save(graph(*IMAGE, body, stored, opset=opset)))


def test_a_dropout_at_rest_is_taken(graph: Any, save: Any) -> None:
    stored = {"half": np.array(0.5, np.float32), "no": np.array(False)}
    for body in ("y = Dropout (x, half, no)", "y = Dropout (x, half)", "y = Dropout (x)"):
        assert load_model(save(graph(*IMAGE, body, stored)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_weights_are_named(graph: Any, save: Any, bad: float) -> None:
    scale = np.array([1, bad, 1], np.float32).reshape(3, 1, 1)
    path = save(graph(*IMAGE, "y = Mul (x, scale)", {"scale": scale}))
    with pytest.raises(BadInput, match="'scale' holds NaN or infinite"):
        load_model(path)


def test_weights_that_are_no_floats_are_looked_at_too(graph: Any, save: Any) -> None:
    model = graph(*IMAGE, "y = Reshape (x, s)", {"s": np.array([1, 3, 16, 16])})
    model.graph.initializer[0].raw_data += b"\0"
    with pytest.raises(BadInput, match="'s' is damaged"):
        load_model(save(model))


def test_a_version_beyond_any_integer_is_refused(graph: Any, save: Any) -> None:
    model = graph(*IMAGE, "y = Relu (x)")
    model.opset_import[0].version = 1 << 62
    with pytest.raises(BadInput, match="does not exist in ONNX opset"):
        load_model(save(model))


def test_an_input_too_large_for_any_machine_is_refused(graph: Any, save: Any) -> None:
    model = graph("float[1,3,2147483648,64] x", "float[1,3,2147483648,64] y", "y = Relu (x)")
    with pytest.raises(BadInput, match="more than 2 GiB"):
        load_model(save(model))


def test_a_single_number_may_be_infinite_and_no_other_weight(graph: Any, save: Any) -> None:
    limits = {"low": np.array(0, np.float32), "high": np.array(np.inf, np.float32)}
    assert load_model(save(graph(*IMAGE, "y = Clip (x, low, high)", limits)))
    weights = {"scale": np.array([1, np.inf, 1], np.float32).reshape(3, 1, 1)}
    with pytest.raises(BadInput, match="'scale' holds NaN or infinite values"):
        load_model(save(graph(*IMAGE, "y = Mul (x, scale)", weights)))


def test_local_functions_are_expanded(save: Any) -> None:
    text = """<ir_version: 8, opset_import: ["": 18, "local": 1]>
      g (float[1,3,16,16] x) => (float[1,3,16,16] y) { y = local.twice (x) }
      <opset_import: ["": 18], domain: "local"> twice (a) => (b) { b = Add (a, a) }"""
    assert load_model(save(onnx.parser.parse_model(text))).contract.graphs[0].outputs


def _external(graph: Any, folder: Path, location: str) -> Path:
    model = graph(*IMAGE, "y = Mul (x, scale)", {"scale": (3, 1, 1)})
    tensor = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_file_are_read_hashed_and_missed(
    graph: Any, tmp_path: Path
) -> None:
    path = _external(graph, tmp_path, "weights.bin")
    model = load_model(path)
    folder = save_model(model.contract, {model.contract.graphs[0].name: path}, tmp_path / "m")
    assert sorted(p.name for p in folder.iterdir()) == ["model.onnx", "model.toml"]

    changed = bytearray((tmp_path / "weights.bin").read_bytes())
    changed[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(changed)
    assert load_model(path).digest != model.digest, "the digest covers external weights"

    (tmp_path / "weights.bin").write_bytes(changed[:-4])
    with pytest.raises(BadInput, match=r"short|raw_data size"):
        load_model(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BadInput, match="external data file of the weight 'scale' is missing"):
        load_model(path)


def test_external_data_are_found_beside_numbers_below_zero(graph: Any, tmp_path: Path) -> None:
    """Protobuf writes them in ten bytes."""
    path = _external(graph, tmp_path, "weights.bin")
    model = onnx.load(str(path), load_external_data=False)
    model.graph.node[0].output[0] = "scaled"
    model.graph.node.append(onnx.helper.make_node("Softmax", ["scaled"], ["y"], axis=-1))
    path.write_bytes(model.SerializeToString())
    assert [file.name for file in external_files(path)] == ["weights.bin"]


def test_external_data_of_branches_and_functions_are_found(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 18, "local": 1]>
      g (float[1] x) => (float[1] y) {
        y = If (c) <
          then_branch = one () => (float[1] p) { p = Constant <value = float[1] {1.0}> () },
          else_branch = two () => (float[1] q) { q = local.half (x) }
        >
      }
      <opset_import: ["": 18], domain: "local">
      half (a) => (b) { k = Constant <value = float[1] {0.5}> () \n b = Mul (a, k) }"""
    model = onnx.parser.parse_model(text)
    branch = model.graph.node[0].attribute[0].g.node[0].attribute[0].t
    for tensor, name in ((branch, "b.bin"), (model.functions[0].node[0].attribute[0].t, "f.bin")):
        (tmp_path / name).write_bytes(tensor.raw_data)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert [file.name for file in external_files(path)] == ["b.bin", "f.bin"]


@given(data=st.data())
def test_damage_is_bad_input_where_external_data_are_looked_for(
    graph: Any, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = _external(graph, tmp_path_factory.mktemp("damaged"), "weights.bin")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(BadInput):
        assert len(external_files(path)) <= 1


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "", "link.bin"])
def test_external_data_outside_is_refused(graph: Any, tmp_path: Path, location: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = _external(graph, inner, location)
    (tmp_path / "weights.bin").write_bytes(bytes(12))
    (inner / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(BadInput, match="leads outside its folder"):
        load_model(path)
