"""Linear algebra by one thread gives the same sums however many processors there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from edgeanim.api import make_dataset
from edgeanim.core.progress import Silent
from edgeanim.core.threads import one_blas_thread


def threads() -> set[int]:
    """Of NumPy's own library; OpenCV brings one as well."""
    np.ones((8, 8)) @ np.ones((8, 8))  # so that the library is loaded
    blas = (each for each in threadpool_info() if each["user_api"] == "blas")
    return {each["num_threads"] for each in blas if "numpy" in each["filepath"]}


def test_one_thread_and_then_as_many_as_before() -> None:
    before = threads()
    with one_blas_thread():
        assert threads() == {1}
    assert threads() == before


def test_datasets_are_drawn_by_one(tmp_path: Path) -> None:
    seen = []

    class Watching(Silent):
        def step(self, *_: object, **__: object) -> None:
            seen.append(threads())

    make_dataset(tmp_path / "data", puppets=2, moments=1, progress=Watching())
    assert seen == [{1}, {1}]
