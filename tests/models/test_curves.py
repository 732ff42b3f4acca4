"""The losses as a picture: what is read, what is joined, what is drawn."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.models.training.curves import Curve, draw, join, main, read_losses, write_curves

NUMBER = st.floats(allow_nan=True, allow_infinity=True, width=32)


def written(path, rows):
    path.write_text("step,term,value\n" + "".join(f"{s},{t},{v}\n" for s, t, v in rows))
    return path


def test_two_parts_are_joined_one_after_the_other(tmp_path):
    one = written(tmp_path / "a.csv", [(100, "pixels", 0.5), (200, "pixels", 0.4)])
    two = written(tmp_path / "b.csv", [(50, "pixels", 0.3), (50, "flow", 0.1)])
    curves, starts = join([read_losses(one), read_losses(two)])
    assert curves["pixels"] == Curve((100, 200, 250), (0.5, 0.4, 0.3))
    assert curves["flow"] == Curve((250,), (0.1,))
    assert starts == (200,)
    write_curves([one, two], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_the_figures_at_an_axis_end_before_it():
    picture = draw({"smoothness": Curve((50, 100), (0.000108, 0.000164))}).astype(int)
    at_both_ends = np.r_[24:38, 142:156]
    rows = picture[at_both_ends].max(axis=2)
    axis = np.flatnonzero((rows == 205).sum(axis=1) > 100)
    begins = np.flatnonzero(rows[axis[0]] == 205)[0]
    figures = np.flatnonzero((rows[:, : begins + 12] < 120).any(axis=0))
    assert figures[-1] < begins


def test_a_curve_goes_down_where_the_loss_goes_down():
    steps = tuple(float(i) for i in range(1, 21))
    picture = draw({"pixels": Curve(steps, tuple(1 / s for s in steps))}).astype(int)
    blue = (picture[..., 2] - picture[..., 0]) > 60
    ys = [np.flatnonzero(blue[:, x]).mean() for x in range(picture.shape[1]) if blue[:, x].any()]
    assert ys[0] < 40
    assert ys[-1] > 130
    assert all(a <= b + 2 for a, b in itertools.pairwise(ys))


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12), st.lists(NUMBER, min_size=1, max_size=8), min_size=1
    )
)
def test_anything_that_was_measured_can_be_drawn(terms):
    curves = {
        term: Curve(tuple(float(i + 1) for i in range(len(values))), tuple(values))
        for term, values in terms.items()
    }
    picture = draw(curves)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "losses.csv"), "-o", str(tmp_path / "curves.png")]) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "content", ["", "step,term,value\n", "a,b\n1,2\n", "step,term,value\nx,y,z\n"]
)
def test_what_is_no_list_of_losses_is_refused(tmp_path, content):
    path = tmp_path / "losses.csv"
    path.write_text(content)
    with pytest.raises(BadInput, match="losses"):
        read_losses(path)


@pytest.mark.parametrize(
    ("losses", "out", "code"),
    [
        ("a.csv", "curves.png", 0),
        ("absent.csv", "curves.png", 3),
        ("a.csv", "folder.png", 3),
        ("a.csv", "curves.jpg", 2),  # a PNG by another name
        ("called.png", "called.png", 2),
    ],
)
def test_the_command_ends_with_the_code_of_what_is_wrong(tmp_path, losses, out, code):
    for name in ("a.csv", "called.png"):
        written(tmp_path / name, [(50, "pixels", 0.3)])
    (tmp_path / "folder.png").mkdir()
    before = (tmp_path / "called.png").read_bytes()
    assert main([str(tmp_path / losses), "-o", str(tmp_path / out)]) == code
    assert (tmp_path / "called.png").read_bytes() == before
    assert (tmp_path / "curves.png").exists() == (code == 0)
