"""What is not exactly one sound bundle is refused, and nothing is left of it."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.targets.bundle import open_bundle, write_bundle
from tests.targets.bundles import (
    SEAL,
    SPEC,
    edited,
    rebuilt,
    sealed,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_noticed(bundle: Path, data: st.DataObject) -> None:
    content = bytearray(bundle.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    content[where] ^= data.draw(st.integers(1, 255))
    damaged = bundle.with_name("damaged.eab")
    damaged.write_bytes(content)
    with pytest.raises(BadInput), open_bundle(damaged):
        pass


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hostile_bytes_under_a_good_seal_never_escape_as_a_traceback(
    bundle: Path, data: st.DataObject
) -> None:
    content = bytearray(bundle.read_bytes()[: -len(SEAL) - 64])
    for _ in range(data.draw(st.integers(1, 6))):
        where = data.draw(st.integers(0, len(content) - 1))
        content[where] = data.draw(st.integers(0, 255))
    body = bytes(content) + SEAL
    hostile = bundle.with_name("hostile.eab")
    hostile.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    try:
        with open_bundle(hostile) as opened:
            # A change in a zip's own slack (dates, version numbers) leaves everything as it was.
            assert opened.contract.graphs
    except BadInput:
        pass


def _directory_entries(content: bytes) -> list[int]:
    """Where the entries of the zip's central directory begin."""
    end = content.rindex(b"PK\x05\x06")
    count, _, start = struct.unpack_from("<HII", content, end + 10)
    places = []
    for _ in range(count):
        places.append(start)
        start += 46 + sum(struct.unpack_from("<HHH", content, start + 28))
    return places


@pytest.mark.parametrize("shift", [1, 100, 1 << 20])
@pytest.mark.parametrize("of", ["directory", "first member", "last member"])
def test_offsets_that_point_outside_the_archive_are_refused(
    bundle: Path, tmp_path: Path, of: str, shift: int
) -> None:
    """zipfile adds to every offset what the directory's own seems to be wrong by."""
    content = bytearray(bundle.read_bytes()[:-64])
    if of == "directory":
        place = content.rindex(b"PK\x05\x06") + 16
    else:
        place = _directory_entries(content)[0 if of == "first member" else -1] + 42
    (offset,) = struct.unpack_from("<I", content, place)
    struct.pack_into("<I", content, place, offset + shift)
    hostile = tmp_path / "b.eab"
    hostile.write_bytes(bytes(content) + hashlib.sha256(content).hexdigest().encode())
    with pytest.raises(BadInput, match=r"b\.eab"), open_bundle(hostile):
        pass


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 4000), tail=st.binary(max_size=80))
def test_cut_or_extended_bundles_are_refused(bundle: Path, size: int, tail: bytes) -> None:
    content = bundle.read_bytes()
    made = content[:size] + tail
    broken = bundle.with_name("cut.eab")
    broken.write_bytes(made if made != content else b"")
    with pytest.raises(BadInput), open_bundle(broken):
        pass


def _listed(name: str) -> Callable[[dict[str, bytes]], None]:
    """A track of this name is added, and listed as it should be."""

    def change(members: dict[str, bytes]) -> None:
        entry = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
        edited(lambda m: m["files"].update({name: entry}) or m["tracks"].update(t=name))(members)
        members[name] = b"x"

    return change


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\b", "c:x"])
def test_names_that_lead_outside_are_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    hostile = rebuilt(bundle, tmp_path / "b.eab", _listed(name))
    with pytest.raises(BadInput, match=r"b\.eab: .*outside"), open_bundle(hostile):
        pass
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["./x", "a//b", "golden.npz/x", "x" * 300, "a\nb"])
def test_names_that_are_no_plain_file_names_are_refused(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    hostile = rebuilt(bundle, tmp_path / "b.eab", _listed(name))
    with pytest.raises(BadInput, match="not usable"), open_bundle(hostile):
        pass


def _add(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: b"x"})


def _swap(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith(".null"))
    members[name] = members[name].replace(b"image", b"imagE")


def _other_result(**fields: object) -> Callable[[dict[str, bytes]], None]:
    """A variant whose output is not that of the contract."""
    return edited(lambda m: m["variants"][0]["graphs"][0]["spec"]["outputs"][0].update(fields))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_add("extra.txt"), "does not list"),
        (lambda m: m.pop("golden.npz"), "not in the bundle"),
        (lambda m: m.pop("manifest.json"), "manifest"),
        (_swap, "not what it should be"),
        (lambda m: m.update({"golden.npz": b"short"}), "size"),
        (edited(lambda m: m.update(schema="edgeanim.bundle/2")), "edgeanim.bundle/2"),
        (edited(lambda m: m.update(extra=1)), "Unknown key 'extra'. It may be of another version"),
        (edited(lambda m: m.pop("contract")), "'contract' is missing"),
        (edited(lambda m: m["variants"].append(m["variants"][0])), "same backend"),
        (edited(lambda m: m["variants"].clear()), "no variant"),
        (edited(lambda m: m["variants"][0]["graphs"][0].update(floats="float16")), "in float16"),
        (_other_result(layout="plain"), "another interface"),
        (_other_result(shape=[1, 3, 4, 4]), "another interface"),
        (edited(lambda m: m["files"].pop("golden.npz")), "no hash"),
        (edited(lambda m: m.pop("golden")), "nothing uses"),
        (edited(lambda m: m["files"]["golden.npz"].update(sha256="z" * 64)), "hexadecimal"),
        (lambda m: m.update({"manifest.json": b"[1]"}), "schema"),
        (lambda m: m.update({"manifest.json": b"{"}), "JSON"),
        (lambda m: m.update({"manifest.json": b"\xff\xfe"}), "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bundle_that_contradicts_itself_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], says: str
) -> None:
    hostile = rebuilt(bundle, tmp_path / "b.eab", change)
    with pytest.raises(BadInput, match=says), open_bundle(hostile):
        pass


def _archive(path: Path, *infos: zipfile.ZipInfo, content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for info in infos:
            archive.writestr(info, content)
    return sealed(path)


def _info(name: str, mode: int, compress: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = compress
    return info


def test_links_folders_bombs_and_twins_are_refused(tmp_path: Path) -> None:
    regular = stat.S_IFREG | 0o644
    link = _archive(tmp_path / "a.eab", _info("manifest.json", stat.S_IFLNK | 0o777))
    folder = _archive(tmp_path / "b.eab", _info("manifest.json/", stat.S_IFDIR | 0o755))
    bomb = _archive(
        tmp_path / "c.eab",
        _info("manifest.json", regular, zipfile.ZIP_DEFLATED),
        content=b"\0" * 10_000_000,
    )
    assert bomb.stat().st_size < 20_000
    for path in (link, folder, bomb):
        with pytest.raises(BadInput, match="plain stored file"), open_bundle(path):
            pass
    with pytest.warns(UserWarning, match="Duplicate"):
        twins = _archive(tmp_path / "d.eab", *[_info("manifest.json", regular)] * 2)
    with pytest.raises(BadInput, match="same name"), open_bundle(twins):
        pass


def test_members_that_claim_more_than_the_file_has_are_refused(
    bundle: Path, tmp_path: Path
) -> None:
    """As those of zip bombs do, which lie over each other."""
    content = bytearray(bundle.read_bytes()[:-64])
    for entry in _directory_entries(content):
        struct.pack_into("<II", content, entry + 20, len(content), len(content))
    hostile = tmp_path / "b.eab"
    hostile.write_bytes(bytes(content) + hashlib.sha256(content).hexdigest().encode())
    with pytest.raises(BadInput, match="claim more bytes"), open_bundle(hostile):
        pass


def test_a_member_of_two_sizes_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Stored as it is, what it takes is what it holds."""
    content = bytearray(bundle.read_bytes()[:-64])
    entry = _directory_entries(content)[-1]
    (size,) = struct.unpack_from("<I", content, entry + 20)
    struct.pack_into("<I", content, entry + 20, size + 1)
    hostile = tmp_path / "b.eab"
    hostile.write_bytes(bytes(content) + hashlib.sha256(content).hexdigest().encode())
    with pytest.raises(BadInput, match="has two sizes"), open_bundle(hostile):
        pass


def test_a_manifest_beyond_all_bounds_is_not_read(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(bundle) as archive:
        size = archive.getinfo("manifest.json").file_size
    monkeypatch.setattr("edgeanim.targets.unpack._MAX_MANIFEST", size)
    with open_bundle(bundle):
        pass
    monkeypatch.setattr("edgeanim.targets.unpack._MAX_MANIFEST", size - 1)
    with pytest.raises(BadInput, match=r"no usable manifest\.json"), open_bundle(bundle):
        pass


def test_a_bundle_of_too_many_members_is_neither_written_nor_opened(
    bundle: Path, parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(bundle) as archive:
        count = len(archive.namelist())
    for module in ("bundle", "unpack"):
        monkeypatch.setattr(f"edgeanim.targets.{module}.MAX_MEMBERS", count)
    write_bundle(tmp_path / "b.eab", **parts)
    with open_bundle(tmp_path / "b.eab"):
        pass
    for module in ("bundle", "unpack"):
        monkeypatch.setattr(f"edgeanim.targets.{module}.MAX_MEMBERS", count - 1)
    with pytest.raises(UsageError, match="too much for one bundle"):
        write_bundle(tmp_path / "c.eab", **parts)
    with pytest.raises(BadInput, match=f"{count} members"), open_bundle(bundle):
        pass


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"hello" * 100])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.eab"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"b\.eab"), open_bundle(path):
        pass
    for other in (tmp_path, tmp_path / "absent.eab"):
        with pytest.raises(BadInput), open_bundle(other):
            pass


def test_contradictions_are_refused_before_anything_is_written(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "b.eab"
    (variant,) = parts["variants"]
    other = replace(variant.graphs[0], spec=replace(SPEC, name="other"))
    renamed = replace(SPEC, inputs=(replace(SPEC.inputs[0], name="bild"),))
    wrong: list[dict[str, Any]] = [
        {"variants": [variant, variant]},
        {"variants": [replace(variant, graphs=(other,))]},
        {"variants": [replace(variant, graphs=())]},
        {"variants": [replace(variant, graphs=(replace(variant.graphs[0], spec=renamed),))]},
        *({"tracks": {n: parts["tracks"]["walk"]}} for n in ("../walk", "a/walk", ".walk", "")),
        {"provenance": {"figure": float("nan")}},
        {"provenance": {"figure": object()}},
    ]
    for change in wrong:
        with pytest.raises(UsageError):
            write_bundle(path, **{**parts, **change})
    with pytest.raises(BadInput, match="absent"):
        write_bundle(path, **{**parts, "golden": tmp_path / "absent.npz"})
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_told_as_one(bundle: Path) -> None:
    end, start = os.pipe()
    try:
        os.write(start, bundle.read_bytes()[:1000])
        os.close(start)
        refused = pytest.raises(BadInput, match="a pipe, and a file is needed")
        with refused, open_bundle(Path(f"/dev/fd/{end}")):
            pass
    finally:
        os.close(end)
