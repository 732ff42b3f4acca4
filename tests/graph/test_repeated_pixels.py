"""Pixels repeated in axes of their own: the same numbers by one Resize, which is an upsampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import repeated_pixels
from tests.graph.applied import applied

WAYS = {
    "Expand": "a = Unsqueeze (m, beside)\n e = Expand (a, spread)\n y = Reshape (e, large)",
    "Tile": "a = Reshape (m, apart)\n e = Tile (a, copies)\n y = Reshape (e, large)",
    "two Unsqueezes": """
        b = Unsqueeze (m, three)
        a = Unsqueeze (b, five)
        e = Expand (a, spread)
        y = Reshape (e, large)
    """,
    "one axis after the other": """
        a = Unsqueeze (m, three)
        b = Expand (a, higher)
        c = Reshape (b, high)
        d = Unsqueeze (c, four)
        e = Expand (d, wider)
        y = Reshape (e, large)
    """,
}

CONVOLUTION = "y = Conv <pads = [1, 1, 1, 1]> (z, kernel)"


def repeated(
    graph: Any,
    steps: str,
    map_shape: tuple[int, int, int, int] = (1, 4, 5, 6),
    rows: int = 2,
    columns: int = 2,
    **others: list[int],
) -> Any:
    """`m`, minus the input, is enlarged by `steps`; `others` replace their constants."""
    count, channels, height, width = map_shape
    tall, broad = height * rows, width * columns
    whole = {
        "apart": [count, channels, height, 1, width, 1],
        "copies": [1, 1, 1, rows, 1, columns],
        "spread": [count, channels, height, rows, width, columns],
        "higher": [count, channels, height, rows, width],
        "high": [count, channels, tall, width],
        "wider": [count, channels, tall, width, columns],
        "large": [count, channels, tall, broad],
        "beside": [3, 5],
        **{word: [number] for number, word in ((3, "three"), (4, "four"), (5, "five"))},
    } | others
    constants = {name: np.array(numbers, np.int64) for name, numbers in whole.items()}
    return graph(
        f"float[{','.join(map(str, map_shape))}] x",
        f"float[{','.join(map(str, whole['large']))}] y",
        f"m = Neg (x)\n {steps}",
        {**constants, "kernel": (channels, channels, 3, 3)},
    )


@settings(max_examples=40)
@given(
    steps=st.sampled_from(sorted(WAYS)),
    map_shape=st.tuples(*[st.integers(1, n) for n in (2, 4, 7, 7)]),
    factors=st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda pair: pair != (1, 1)),
)
def test_one_resize_gives_the_very_pixels(
    graph: Any,
    difference: Any,
    steps: str,
    map_shape: tuple[int, int, int, int],
    factors: tuple[int, int],
) -> None:
    assume(1 not in factors or steps != "one axis after the other")
    model = repeated(graph, WAYS[steps], map_shape, *factors)
    count, copy, ops = applied(repeated_pixels, model)
    assert count in (1, 2)
    assert ops == {"Neg": 1, "Resize": 1}
    assert difference(model, copy) == 0


TILES = WAYS["Tile"]
TURNED = "t = Transpose <perm = [0, 1, 3, 2, 4, 5]> (e)\n y = Reshape (t, large)"


@pytest.mark.parametrize(
    ("steps", "others"),
    [
        (TILES, {"apart": [1, 4, 1, 5, 1, 6], "copies": [1, 1, 2, 1, 2, 1]}),
        (TILES.replace("y = Reshape (e, large)", TURNED), {}),
        (TILES, {"copies": [1, 2, 1, 1, 1, 1], "large": [1, 8, 5, 6]}),
        # As many copies as rows: shapes alone do not tell which is which.
        (
            TILES,
            {"apart": [1, 4, 1, 5, 6, 1], "copies": [1, 1, 5, 1, 1, 2], "large": [1, 4, 25, 12]},
        ),
        ("y = Tile (m, copies)", {"copies": [1, 1, 2, 2]}),
    ],
    ids=["the whole picture", "transposed", "channels", "all rows", "without a reshape"],
)
def test_what_is_repeated_otherwise_stays(
    graph: Any, steps: str, others: dict[str, list[int]]
) -> None:
    assert applied(repeated_pixels, repeated(graph, steps, **others))[0] == 0


def test_whole_numbers_stay(graph: Any) -> None:
    """Not every runtime resizes them."""
    whole = TILES.replace("(m", "(n").replace("y =", "z =")
    model = repeated(graph, f"n = Cast <to = 7> (x)\n {whole}\n y = Cast <to = 1> (z)")
    assert applied(repeated_pixels, model)[0] == 0


@pytest.mark.parametrize("steps", sorted(WAYS))
def test_a_convolution_behind_moves_before_it(graph: Any, difference: Any, steps: str) -> None:
    model = repeated(graph, f"{WAYS[steps].replace('y =', 'z =')}\n {CONVOLUTION}")
    made = restructure(model)
    assert made.changes["repeated_pixels"]
    assert made.changes["upsampled"] == 1
    assert difference(model, made.model) < 1e-6
