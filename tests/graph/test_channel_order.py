"""Files that say that their pictures are in BGR compute the same of RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.core.errors import BadInput
from edgeanim.graph.load import load_model, save_model
from edgeanim.graph.reading.adopt import adopt
from edgeanim.graph.reference import Reference

ENDS = "float[1,3,16,16] x", "float[1,3,16,16] y"
CONV = "c = Conv <pads = [1,1,1,1]> (x, w) \n y = Sigmoid (c)"
LAST = {"last": (3, 4, 1, 1), "bias": (3,), "mean": (1, 3, 1, 1), "byte": np.array(255, np.float32)}
WEIGHTS = {"w": (4, 3, 3, 3), "d": (3, 1, 3, 3), "slopes": (3, 1, 1), "grey": (1, 3, 1, 1), **LAST}


def told(model: Any, said: str, *names: str, key: str = "Image.BitmapPixelFormat") -> Any:
    """The same model, which says how the pictures at these ends are, as Windows ML's converters."""
    model.metadata_props.add(key=key, value=said)
    for value in (*model.graph.input, *model.graph.output):
        if value.name in names:
            value.type.denotation = "IMAGE"
    return model


def swapped(picture: Any, axis: int) -> Any:
    return picture.take([2, 1, 0, 3][: picture.shape[axis]], axis)


@pytest.mark.parametrize(
    ("body", "gathers"),
    [
        ("c = Conv <pads = [1,1,1,1]> (x, w) \n y = Conv (c, last, bias)", 0),
        (
            "n = Sub (x, mean) \n b = Div (n, byte) \n c = Conv <pads = [1,1,1,1]> (b, w) \n"
            "o = Conv (c, last, bias) \n t = Tanh (o) \n m = Mul (slopes, t) \n y = Add (m, mean)",
            0,
        ),
        (
            'p = Pad <mode = "reflect"> (x, border) \n a = Conv (p, w) \n e = Conv (p, w) \n'
            "s = Add (a, e) \n y = Conv (s, last)",
            0,
        ),
        ("c = Conv <pads = [1,1,1,1], group = 3> (x, d) \n y = Sigmoid (c)", 2),
        ("c = Conv <pads = [1,1,1,1]> (x, w) \n o = Conv (c, last) \n y = Mul (o, x)", 2),
        ("g = Conv (x, grey) \n y = Mul (g, slopes)", 1),
        ("y = Sigmoid (x)", 2),
    ],
)
def test_pictures_in_bgr_are_given_in_rgb(graph: Any, save: Any, body: str, gathers: int) -> None:
    border = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    model = told(graph(*ENDS, body, {**WEIGHTS, "border": border}), "Bgr8", "x", "y")
    found = adopt(save(model))
    assert found is not None
    assert found.changes == ("Colours (x, y) are in the order RGB, not BGR.",)
    made = found.model()
    assert sum(node.op_type == "Gather" for node in made.graph.node) == gathers
    picture = np.random.default_rng(0).uniform(0, 1, (1, 3, 16, 16)).astype(np.float32)
    wanted = swapped(Reference(model).run({"x": swapped(picture, 1)})["y"], 1)
    np.testing.assert_allclose(Reference(made).run({"x": picture})["y"], wanted, atol=1e-5)
    load_model(save(made))
    assert adopt(save(made)) is None  # it is told once


@pytest.mark.parametrize(("channels", "said"), [(3, "bgr8"), (4, "BGRA8")])
def test_so_are_those_whose_channels_come_last(
    graph: Any, save: Any, channels: int, said: str
) -> None:
    shape = f"float[n,16,16,{channels}]"
    slopes = {"k": (channels,)}
    model = graph(f"{shape} x", f"{shape} y", "m = Mul (x, k) \n y = Tanh (m)", slopes)
    found = adopt(save(told(model, said, "x", "y", key="image.bitmappixelformat")))
    assert found is not None
    made = found.model()
    picture = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, channels)).astype(np.float32)
    wanted = swapped(Reference(model).run({"x": swapped(picture, 3)})["y"], 3)
    np.testing.assert_allclose(Reference(made).run({"x": picture})["y"], wanted, atol=1e-6)


def test_only_what_a_file_says_of_its_pictures_counts(graph: Any, save: Any) -> None:
    for said, names in (("Rgb8", "xy"), ("Bgra8", "xy"), ("Gray8", "xy"), ("Bgr8", "")):
        model = graph(*ENDS, CONV, {"w": (3, 3, 3, 3)})
        assert adopt(save(told(model, said, *names))) is None
    found = adopt(save(told(graph(*ENDS, CONV, {"w": (3, 3, 3, 3)}), "Bgr8", "x")))
    assert found is not None
    assert found.changes == ("Colours (x) are in the order RGB, not BGR.",)


def test_in_a_model_folder_they_are_refused(graph: Any, save: Any, tmp_path: Path) -> None:
    """Its contract, which knows of RGB alone, had them play in swapped colours without a word."""
    plain = graph(*ENDS, CONV, {"w": (3, 3, 3, 3)})
    contract = load_model(save(plain)).contract
    folder = save_model(
        contract, {spec.name: save(plain) for spec in contract.graphs}, tmp_path / "m"
    )
    (spec,) = load_model(folder).contract.graphs
    save(told(plain, "Bgr8", "x", "y")).replace(folder / spec.file)
    with pytest.raises(BadInput, match=r"pictures \(x, y\) are in BGR"):
        load_model(folder)


def test_bytes_in_bgr_are_floats_in_rgb(graph: Any, save: Any) -> None:
    body = "f = Cast <to = 1> (x) \n c = Conv (f, w) \n t = Abs (c) \n y = Cast <to = 2> (t)"
    ends = "uint8[1,3,16,16] x", "uint8[1,3,16,16] y"
    model = told(graph(*ends, body, {"w": (3, 3, 1, 1)}), "Bgr8", "x", "y")
    found = adopt(save(model))
    assert found is not None
    made = found.model()
    assert adopt(save(made)) is None
    picture = np.random.default_rng(0).integers(0, 99, (1, 3, 16, 16)).astype(np.uint8)
    wanted = swapped(Reference(model).run({"x": swapped(picture, 1)})["y"], 1)
    given = Reference(made).run({"x": picture.astype(np.float32)})["y"]
    np.testing.assert_allclose(given - wanted, 0.5, atol=0.501)  # the fractions that a cast drops


def test_what_a_net_normalises_by_is_still_seen(graph: Any, save: Any) -> None:
    body = "n = Div (x, byte) \n g = Conv <group = 3> (n, one) \n y = Sigmoid (g)"
    weights = {"byte": np.array(255, np.float32), "one": (3, 1, 1, 1)}
    found = adopt(save(told(graph(*ENDS, body, weights), "Bgr8", "x", "y")))
    assert found is not None
    (spec,) = load_model(save(found.model())).contract.graphs
    assert spec.inputs[0].range == (0.0, 255.0)
