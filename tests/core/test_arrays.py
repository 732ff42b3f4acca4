"""Archives from outside: nothing pickled, nothing surplus, nothing that claims more than it has."""

from __future__ import annotations

import pickle
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgeanim.core.arrays import load_npy, load_npz, save_npz
from edgeanim.core.errors import BadInput
from edgeanim.runtime.scene import load_condition


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


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


def test_two_arrays_of_one_name_are_refused(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, values=np.zeros(2))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("values.npy", archive.read("values.npy"))
    with pytest.raises(BadInput, match="two arrays of one name"):
        load_npz(path, required=("values",))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2500000000, ), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000, 1000000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 80 + "), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, ), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (16L, ), 'more': 1, }",
        "{'descr': ('<f4', (1000000, 1000000)), 'fortran_order': False, 'shape': (1, ), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, ), }",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (4, ), }",
        "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (8, ), }",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (8, ), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -4), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 99,
        "{'descr",
        "  1\n 2\n",
        "-" * 9000 + "1",
        "(" * 9000,
        " " * 20000,
    ],
    ids=lambda header: header[:70].strip() or "spaces",
)
def test_headers_that_lie_or_are_no_headers_are_refused(tmp_path: Path, header: str):
    for version in (1, 2, 3):
        text = header.encode() + b"\n"
        width = 2 if version == 1 else 4
        start = b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little")
        content = start + text + b"\0" * 64
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(BadInput, match=r"a\.npy"):
            load_npy(tmp_path / "a.npy")
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("values.npy", content)
        with pytest.raises(BadInput, match=r"a\.npz"):
            load_npz(tmp_path / "a.npz", required=("values",))


def test_arrays_that_claim_gigabytes_together_are_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in "abc":
            archive.writestr(f"{name}.npy", b"x" * 100)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    entry = content.index(b"PK\x01\x02")
    for _ in "abc":
        struct.pack_into("<I", content, entry + 24, 0x7FFFFFFF)
        entry = content.find(b"PK\x01\x02", entry + 1)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BadInput, match="unpacks to 6143 MiB"):
        load_npz(tmp_path / "a.npz", required="abc")


def _archive(path: Path, method: int, name: str = "values.npy") -> Path:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w", method) as archive, archive.open(name, "w") as member:
        np.lib.format.write_array(member, rng.integers(0, 9, 200).astype(np.float32))
    return path


def _patch(path: Path, place: int, form: str, value: int) -> None:
    """Overwrite a field of the only entry in the zip's central directory."""
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, content.rindex(b"PK\x01\x02") + place, value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("place", "form", "value"),
    [
        *((8, "<H", flag) for flag in (0x1, 0x20, 0x40)),  # encrypted, patched, encrypted more
        *((10, "<H", method) for method in (1, 12, 14, 99)),
        (6, "<H", 99),  # made for a later version
        (42, "<I", 0x7FFFFFFF),  # a place behind the end
        (62, "<I", 5000),  # the directory's own place, by which zipfile corrects the members'
    ],
)
def test_members_that_no_numpy_writes_are_refused(
    tmp_path: Path, place: int, form: str, value: int
):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, "v.npy")
    if place == 62:
        content = bytearray(path.read_bytes())
        struct.pack_into(form, content, len(content) - 6, value)
        path.write_bytes(content)
    else:
        _patch(path, place, form, value)
    with pytest.raises(BadInput, match=r"a\.npz"):
        load_npz(path, required=("v",))


def test_an_archive_of_other_things_is_refused(tmp_path: Path):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_STORED, "v.txt")
    with pytest.raises(BadInput, match=r"holds 'v\.txt', which is no array"):
        load_npz(path, required=("v",))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_STORED)
    _patch(path, 8, "<H", 0x800)
    _patch(path, 46, "<B", 0xFF)
    with pytest.raises(BadInput, match=r"a\.npz"):
        load_npz(path, required=("values",))


@pytest.mark.parametrize("place", range(0, 120, 7))
def test_damaged_compressed_data_are_refused(tmp_path: Path, place: int):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    start = 30 + len("values.npy") + place
    content[start : start + 4] = bytes(255 - byte for byte in content[start : start + 4])
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.npz"):
        load_npz(path, required=("values",))


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
@given(data=st.data(), method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_a_damaged_archive_is_refused_or_read_never_anything_else(
    tmp_path: Path, data: st.DataObject, method: int
):
    path = _archive(tmp_path / "a.npz", method)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(content))) if data.draw(st.booleans()) else len(content)
    path.write_bytes(content[:end])
    try:
        arrays = load_npz(path, required=("values",))
    except BadInput:
        return
    assert arrays["values"].nbytes <= 8 * 200


_LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["<f4", "O"]),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries({"descr": _LITERALS, "fortran_order": _LITERALS, "shape": _LITERALS})
    .map(str)
    .flatmap(lambda text: st.tuples(st.just(text), st.integers(0, len(text))))
)
@example(("{'descr': (), 'fortran_order': False, 'shape': ()}", 0))
def test_a_hostile_header_is_refused_or_read_never_anything_else(
    tmp_path_factory: pytest.TempPathFactory, header: tuple[str, int]
):
    text, cut = header
    content = text[:cut].encode() if len(text) % 3 == 0 else text.encode()
    path = tmp_path_factory.getbasetemp() / "hostile.npy"
    start = b"\x93NUMPY\x02\x00" + len(content).to_bytes(4, "little")
    path.write_bytes(start + content + b"\0" * 8)
    with suppress(BadInput):
        assert load_npy(path).nbytes == 8


def test_equal_arrays_give_equal_bytes_and_nothing_is_left_half_written(tmp_path: Path):
    arrays = {"a": np.arange(5), "b": np.ones((2, 2), np.float32)}
    save_npz(tmp_path / "x.npz", arrays)
    save_npz(tmp_path / "y.npz", arrays)
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npz", "y.npz"]
    np.testing.assert_equal(load_npz(tmp_path / "x.npz", required=("a", "b")), arrays)


def test_only_numbers_are_saved(tmp_path: Path):
    with pytest.raises(ValueError, match="'a' holds object"):
        save_npz(tmp_path / "x.npz", {"a": np.array([{}])})
    assert not list(tmp_path.iterdir())


def test_a_condition_must_be_finite_numbers(tmp_path: Path):
    np.save(tmp_path / "style.npy", np.ones((1, 100)))
    assert load_condition(tmp_path / "style.npy").dtype == np.float32
    np.save(tmp_path / "strength.npy", np.float64(0.5))
    np.testing.assert_array_equal(load_condition(tmp_path / "strength.npy"), [0.5])
    np.save(tmp_path / "nan.npy", np.array([np.nan]))
    with pytest.raises(BadInput, match="NaN"):
        load_condition(tmp_path / "nan.npy")
