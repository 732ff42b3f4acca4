from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.contract import (
    Contract,
    GraphSpec,
    TensorSpec,
    dump_contract,
    load_contract,
)
from edgeanim.core.errors import BadInput
from edgeanim.core.skeleton import Bone, Skeleton

PICTURE = TensorSpec("image", "driving_frame", (1, 3, 8, 16), "NCHW", range=(0.0, 1.0))
RESULT = replace(PICTURE, name="result", role="frame")
GRAPH = GraphSpec("net", "net.onnx", "frame", (PICTURE,), (RESULT,))


def test_a_contract_survives_its_file(tmp_path: Path) -> None:
    contract = Contract("tiny", (GRAPH,))
    (tmp_path / "model.toml").write_text(dump_contract(contract))
    assert load_contract(tmp_path) == contract


MOTION = TensorSpec("motion", "motion:driving", (1, 2, 6))
SKELETON = Skeleton((Bone(), Bone("body", -1.5)), absent=0.1)
JOINTED = Contract(
    "tiny",
    (replace(GRAPH, inputs=(PICTURE, MOTION)),),
    regions=("body", "arm"),
    skeleton=SKELETON,
)


def test_a_skeleton_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(dump_contract(JOINTED))
    assert load_contract(tmp_path) == JOINTED


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('parent = "body"', 'parent = "tail"', "hangs on 'tail', which is no region"),
        ('parent = "body"', 'parent = "arm"', "in a circle"),
        ('parent = "body", ', "", "without a parent has no joint"),
        ("joint = -1.5", "joint = -99.0", "far off"),
        ("    2,\n    6,", "    3,\n    6,", r"2 bones, so 'motion' is \[1, 2, 6\]"),
        ('    "arm",\n', '    "arm",\n    "leg",\n', "2 bones for 3 regions"),
    ],
)
def test_a_skeleton_that_fits_nothing_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = dump_contract(JOINTED)
    assert old in text
    (tmp_path / "model.toml").write_text(text.replace(old, new))
    with pytest.raises(BadInput, match=said):
        load_contract(tmp_path)


@pytest.mark.parametrize("shape", ["1,\n    2,\n    2,", "1,\n    12,", "2,\n    2,\n    6,"])
def test_key_points_without_their_affines_are_no_motion(tmp_path: Path, shape: str) -> None:
    text = dump_contract(replace(JOINTED, skeleton=None))
    assert "1,\n    2,\n    6," in text
    (tmp_path / "model.toml").write_text(text.replace("1,\n    2,\n    6,", shape))
    with pytest.raises(BadInput, match=r"'motion:driving', whose shape is \[1, K, 6\]"):
        load_contract(tmp_path)


def test_a_skeleton_needs_names_of_regions() -> None:
    with pytest.raises(ValueError, match="names of its regions"):
        replace(JOINTED, regions=None)


@given(st.tuples(*[st.integers(1, 99)] * 4))
def test_layouts_are_each_others_inverse(shape: tuple[int, int, int, int]) -> None:
    spec = TensorSpec("x", "frame", shape, "NCHW")
    other = spec.in_layout("NHWC")
    assert other.size == spec.size
    assert other.in_layout("NCHW") == spec
    assert spec.in_layout("plain") == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": "stil"}, "unknown role 'stil'"),
        ({"role": "feature:"}, "unknown role"),
        ({"shape": (1, 3, 0, 8)}, "not fixed"),
        ({"shape": (3, 8, 8)}, "3 axes"),
        ({"range": (1.0, 1.0)}, "range"),
    ],
)
def test_tensors_that_make_no_sense(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PICTURE, **change)  # type: ignore[arg-type]


def test_contracts_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="at least one graph"):
        Contract("x", ())
    with pytest.raises(ValueError, match="same name"):
        Contract("x", (GRAPH, GRAPH))
    with pytest.raises(ValueError, match="same file"):
        Contract("x", (GRAPH, replace(GRAPH, name="other")))
    with pytest.raises(ValueError, match="every frame"):
        Contract("x", (replace(GRAPH, runs="once"),))
    with pytest.raises(ValueError, match="names an input twice"):
        replace(GRAPH, inputs=(PICTURE, PICTURE))
    with pytest.raises(ValueError, match="two outputs of the graph 'net' have the role 'frame'"):
        replace(GRAPH, outputs=(RESULT, replace(RESULT, name="other")))
    for role in ("feature:s8", "state:h"):  # one that nothing sets would be zero for ever
        lost = replace(PICTURE, role=role)
        with pytest.raises(ValueError, match=f"no graph makes '{role}'"):
            Contract("x", (replace(GRAPH, inputs=(lost,)),))


def test_a_contract_file_with_a_typo_names_the_key(tmp_path: Path) -> None:
    text = dump_contract(Contract("tiny", (GRAPH,))).replace("runs", "run")
    (tmp_path / "model.toml").write_text(text)
    with pytest.raises(BadInput, match="Did you mean 'runs'"):
        load_contract(tmp_path)
