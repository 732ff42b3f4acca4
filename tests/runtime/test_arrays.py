"""Archives from outside: nothing pickled, nothing surplus, nothing that claims more than it has."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.runtime.arrays import load_npy, load_npz, save_npz
from edgeanim.runtime.scene import load_condition


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def _npy_header(text: str) -> bytes:
    padded = text.encode() + b" " * (118 - len(text) - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def test_pickled_objects_are_never_opened(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, values=np.array([_Bomb()], dtype=object))
    with pytest.raises(BadInput, match="not plain numbers"):
        load_npz(path, required=("values",))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(BadInput, match="not a NumPy array"):
        load_npy(tmp_path / "b.npy")


@pytest.mark.parametrize("names", [(), ("values", "more"), ("more",)])
def test_the_names_must_be_exactly_those_expected(tmp_path: Path, names: tuple[str, ...]):
    np.savez(tmp_path / "a.npz", **{name: np.zeros(2) for name in names})
    with pytest.raises(BadInput, match=r"lacks 'values'|'more', which does not belong"):
        load_npz(tmp_path / "a.npz", required=("values",))


def test_a_header_that_claims_terabytes_allocates_nothing(tmp_path: Path):
    header = _npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }")
    (tmp_path / "a.npy").write_bytes(header + b"\0" * 64)
    with pytest.raises(BadInput, match="cut off"):
        load_npy(tmp_path / "a.npy")


def test_fortran_order_and_other_byte_orders_are_read_right(tmp_path: Path):
    values = np.arange(6, dtype=">f8").reshape(2, 3)
    np.save(tmp_path / "a.npy", np.asfortranarray(values))
    np.testing.assert_array_equal(load_npy(tmp_path / "a.npy"), values)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but no more", b"hello"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.npz"):
        load_npz(tmp_path / "a.npz", required=())


def test_missing_files_and_folders_are_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="No such file"):
        load_npz(tmp_path / "none.npz", required=())
    with pytest.raises(BadInput, match="folder"):
        load_npy(tmp_path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_read_never_anything_else(tmp_path: Path, data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("values.npy", "w") as member:
        np.lib.format.write_array(member, np.arange(20, dtype=np.float32))
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.npz"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        arrays = load_npz(path, required=("values",))
    except BadInput:
        return
    assert arrays["values"].nbytes <= len(content)


def test_equal_arrays_give_equal_bytes_and_nothing_is_left_half_written(tmp_path: Path):
    arrays = {"a": np.arange(5), "b": np.ones((2, 2), np.float32)}
    save_npz(tmp_path / "x.npz", arrays)
    save_npz(tmp_path / "y.npz", arrays)
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npz", "y.npz"]


def test_only_numbers_are_saved(tmp_path: Path):
    with pytest.raises(ValueError, match="'a' holds object"):
        save_npz(tmp_path / "x.npz", {"a": np.array([{}])})
    assert not list(tmp_path.iterdir())


def test_a_condition_must_be_finite_numbers(tmp_path: Path):
    np.save(tmp_path / "style.npy", np.ones((1, 100)))
    assert load_condition(tmp_path / "style.npy").dtype == np.float32
    np.save(tmp_path / "nan.npy", np.array([np.nan]))
    with pytest.raises(BadInput, match="NaN"):
        load_condition(tmp_path / "nan.npy")
