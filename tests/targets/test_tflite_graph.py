"""A TFLite file as the interpreter sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.errors import BadInput
from edgeanim.targets.tflite_graph import op_macs, open_interpreter


def test_the_work_of_a_convolution_of_volumes_is_counted() -> None:
    """What stays in float was left out of the share that runs in INT8."""
    x, kernel = (1, 8, 32, 32, 24), (3, 3, 3, 24, 16)
    assert op_macs("CONV_3D", [x, kernel, (16,)], 8 * 32 * 32 * 16) == 8 * 32 * 32 * 16 * 27 * 24


def test_a_file_that_asks_for_a_huge_input_is_refused_before_it_gets_one(
    compiled: Callable[..., CompiledGraph], tmp_path: Path
) -> None:
    """A byte that was changed made the runtime take 10 GB, out of Ctrl-C's reach."""
    sound = compiled("tflite").files[0]
    data, (given, *_) = sound.read_bytes(), open_interpreter(sound).get_input_details()
    shape = tuple(given["shape"])
    small, large = (np.array(s, "<i4").tobytes() for s in (shape, (*shape[:2], 1 << 23, shape[3])))
    assert small in data
    path = tmp_path / "huge.tflite"
    path.write_bytes(data.replace(small, large))
    with pytest.raises(BadInput, match="the limit is 1024"):
        open_interpreter(path)
