"""What the tensors of a bare ONNX mean, by their shapes and names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.core.errors import BadInput
from edgeanim.graph.load import load_model
from edgeanim.graph.reading.infer import infer_contract
from edgeanim.graph.reading.roles import spec_of_shapes

IMAGE = ("float[1,3,16,16] x", "float[1,3,16,16] y")


def test_a_number_without_an_axis_is_bad_input() -> None:
    """It ended with a traceback, of files in every form."""
    pictures = {"x": (1, 3, 16, 16)}
    with pytest.raises(BadInput, match="'t' has no axis; a single number has the shape"):
        spec_of_shapes(Path("net.tflite"), {**pictures, "t": ()}, pictures)


def test_a_still_and_a_driving_frame_are_told_apart(graph: Any, save: Any) -> None:
    inputs = "float[1,3,16,16] source_image, float[1,3,16,16] driving"
    path = save(graph(inputs, IMAGE[1], "y = Add (source_image, driving)"))
    roles = {t.name: t.role for t in infer_contract(path).graphs[0].inputs}
    assert roles == {"source_image": "still", "driving": "driving_frame"}


def test_the_frame_before_is_told_by_its_name(graph: Any, save: Any) -> None:
    inputs = "float[1,3,16,16] image, float[1,3,16,16] prev_image"
    path = save(graph(inputs, IMAGE[1], "y = Add (image, prev_image)"))
    roles = {t.name: t.role for t in infer_contract(path).graphs[0].inputs}
    assert roles == {"image": "driving_frame", "prev_image": "previous_frame"}


def test_what_a_net_made_last_is_a_state(graph: Any, save: Any) -> None:
    inputs = "float[1,3,16,16] image, float[1,3,16,16] previous"
    body = "frame = Add (image, previous) \n again = Identity (frame)"
    path = save(graph(inputs, "float[1,3,16,16] frame, float[1,3,16,16] again", body))
    (spec,) = infer_contract(path).graphs
    assert [t.role for t in spec.inputs] == ["driving_frame", "state:previous"]
    assert [t.role for t in spec.outputs] == ["frame", "state:previous"]


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
