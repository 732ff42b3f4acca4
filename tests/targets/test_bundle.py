"""A bundle round-trips, is deterministic, and refuses everything that is not exactly one."""

from __future__ import annotations

import hashlib
import json
import resource
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.artifact import CompiledGraph, GraphArtifact
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, open_bundle, write_bundle

SPEC = GraphSpec(
    "tiny",
    "tiny.onnx",
    "frame",
    inputs=(TensorSpec("image", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0)),),
    outputs=(TensorSpec("result", "frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0)),),
)
CONTRACT = Contract("tiny", (SPEC,))
PROVENANCE = {"recipe": {"prune": 0.5}, "tools": {"numpy": "2"}, "none": None}
SEAL = b"edgeanim-sha256:"


def make_variant(folder: Path, backend: str = "null") -> Variant:
    compiled = get_backend("null").compile(
        GraphArtifact(SPEC, folder / "unused"), load_board("local"), folder
    )
    return Variant(backend, "float32", (replace(compiled, backend=backend),))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("parts")
    for name in ("golden", "walk"):
        np.savez(folder / f"{name}.npz", values=np.arange(6, dtype=np.float32))
    return {
        "contract": CONTRACT,
        "variants": [make_variant(folder / "one")],
        "golden": folder / "golden.npz",
        "tracks": {"walk": folder / "walk.npz"},
        "provenance": PROVENANCE,
    }


@pytest.fixture(scope="module")
def bundle(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny.eab"
    write_bundle(path, **parts)
    return path


def sealed(path: Path) -> Path:
    """Seal an archive anew, as someone who tampers with it would."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = SEAL + b"0" * 64
    body = path.read_bytes()[:-64]
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    return path


def rebuilt(bundle: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with its members changed and sealed anew."""
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return sealed(target)


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def apply(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        members["manifest.json"] = json.dumps(manifest).encode()

    return apply


def test_what_goes_in_comes_out(bundle: Path, parts: dict[str, Any]) -> None:
    with open_bundle(bundle) as opened:
        assert opened.contract == CONTRACT
        assert opened.provenance == PROVENANCE
        assert opened.golden is not None
        assert opened.golden.read_bytes() == parts["golden"].read_bytes()
        assert {n: p.read_bytes() for n, p in opened.tracks.items()} == {
            "walk": parts["tracks"]["walk"].read_bytes()
        }
        (variant,) = opened.variants
        assert variant.id == "null-float32"
        (graph,) = variant.graphs
        assert graph.spec == SPEC
        session = get_backend(variant.backend).load(graph, SessionOptions())
        picture = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
        np.testing.assert_array_equal(session.run({"image": picture})["result"], picture)
        folder = graph.files[0].parent
    assert not folder.exists()


def test_the_files_go_even_if_the_block_fails(bundle: Path) -> None:
    def use() -> None:
        with open_bundle(bundle) as opened:
            folders.append(opened.variants[0].graphs[0].files[0])
            raise RuntimeError

    folders: list[Path] = []
    with pytest.raises(RuntimeError):
        use()
    assert not folders[0].exists()


def test_golden_and_tracks_may_be_absent(parts: dict[str, Any], tmp_path: Path) -> None:
    write_bundle(tmp_path / "b.eab", **{**parts, "golden": None, "tracks": {}})
    with open_bundle(tmp_path / "b.eab") as opened:
        assert opened.golden is None
        assert opened.tracks == {}


def test_the_same_content_gives_the_same_bytes(
    bundle: Path, parts: dict[str, Any], tmp_path: Path
) -> None:
    variant = make_variant(tmp_path / "elsewhere")
    write_bundle(tmp_path / "again.eab", **{**parts, "variants": [variant]})
    assert (tmp_path / "again.eab").read_bytes() == bundle.read_bytes()


def test_every_runtime_loads_its_graph_from_a_bundle(
    compiled: Callable[..., CompiledGraph], tmp_path: Path
) -> None:
    graphs = [compiled(name) for name in ("onnxruntime", "openvino", "null")]
    contract = Contract("tiny", (graphs[0].spec,))
    write_bundle(
        tmp_path / "b.eab",
        contract=contract,
        variants=[Variant(g.backend, g.precision, (g,)) for g in graphs],
        golden=None,
        tracks={},
        provenance={},
    )
    with open_bundle(tmp_path / "b.eab") as opened:
        for variant in opened.variants:
            (graph,) = variant.graphs
            (tensor,) = graph.spec.inputs
            session = get_backend(variant.backend).load(graph, SessionOptions())
            session.run({tensor.name: np.zeros(tensor.shape, np.float32)})


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


def test_a_disk_that_refuses_while_unpacking_is_no_fault_of_the_bundle(bundle: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        with pytest.raises(DeviceFailed, match="too large"), open_bundle(bundle):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 4000), tail=st.binary(max_size=80))
def test_cut_or_extended_bundles_are_refused(bundle: Path, size: int, tail: bytes) -> None:
    content = bundle.read_bytes()
    made = content[:size] + tail
    broken = bundle.with_name("cut.eab")
    broken.write_bytes(made if made != content else b"")
    with pytest.raises(BadInput), open_bundle(broken):
        pass


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\b", "c:x"])
def test_names_that_lead_outside_are_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    def change(members: dict[str, bytes]) -> None:
        entry = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
        edited(lambda m: m["files"].update({name: entry}) or m["tracks"].update(t=name))(members)
        members[name] = b"x"

    hostile = rebuilt(bundle, tmp_path / "b.eab", change)
    with pytest.raises(BadInput, match="outside"), open_bundle(hostile):
        pass
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["./x", "a//b", "golden.npz/x", "x" * 300, "a\nb"])
def test_names_that_are_no_plain_file_names_are_refused(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    def change(members: dict[str, bytes]) -> None:
        entry = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
        edited(lambda m: m["files"].update({name: entry}) or m["tracks"].update(t=name))(members)
        members[name] = b"x"

    hostile = rebuilt(bundle, tmp_path / "b.eab", change)
    with pytest.raises(BadInput, match="not usable"), open_bundle(hostile):
        pass


def _add(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: b"x"})


def _swap(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith(".null"))
    members[name] = members[name].replace(b"image", b"imagE")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_add("extra.txt"), "does not list"),
        (lambda m: m.pop("golden.npz"), "not in the bundle"),
        (lambda m: m.pop("manifest.json"), "manifest"),
        (_swap, "not what it should be"),
        (lambda m: m.update({"golden.npz": b"short"}), "size"),
        (edited(lambda m: m.update(schema="edgeanim.bundle/2")), "edgeanim.bundle/2"),
        (edited(lambda m: m.update(extra=1)), "Unknown key 'extra'"),
        (edited(lambda m: m.pop("contract")), "'contract' is missing"),
        (edited(lambda m: m["variants"].append(m["variants"][0])), "same backend"),
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
        {"tracks": {"../walk": parts["tracks"]["walk"]}},
        {"provenance": {"figure": float("nan")}},
        {"provenance": {"figure": object()}},
    ]
    for change in wrong:
        with pytest.raises(UsageError):
            write_bundle(path, **{**parts, **change})
    with pytest.raises(BadInput, match="absent"):
        write_bundle(path, **{**parts, "golden": tmp_path / "absent.npz"})
    assert list(tmp_path.iterdir()) == []
