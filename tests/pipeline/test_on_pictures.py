"""Pictures from another machine: they arrive under names of our own, and nothing else arrives."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.benchmarks.results.result import Report
from edgeanim.core.errors import BadInput
from edgeanim.pipeline.on.pictures import pack_pictures, unpack_pictures
from tests.benchmarks.synthetic import build_report

PNG = b"\x89PNG\r\n\x1a\n"


def _report(*pictures: str | None) -> Report:
    report = build_report()
    variants = (
        replace(variant, worst_picture=picture)
        for variant, picture in zip(report.variants, pictures, strict=True)
    )
    return replace(report, variants=tuple(variants))


def _packed(**contents: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name.removeprefix("n"), data)
    return stream.getvalue()


def test_pictures_arrive_beside_the_report_that_names_them(tmp_path: Path) -> None:
    far, near = tmp_path / "far", tmp_path / "near"
    (far / "there").mkdir(parents=True)
    (far / "there" / "two.png").write_bytes(PNG + b"two")
    sent = _report(None, "there/two.png")
    pack_pictures(sent, far, far / "pictures.zip")
    data = (far / "pictures.zip").read_bytes()
    report = unpack_pictures(data, sent, near / "report-frames", where="pi")
    assert report.variants[0].worst_picture is None
    name = report.variants[1].worst_picture
    assert name is not None
    assert name.startswith("report-frames/2-onnxruntime-int8-worst-")
    assert (near / name).read_bytes() == PNG + b"two"
    # Where no report is written, no picture is.
    assert unpack_pictures(data, sent, None, where="pi") == _report(None, None)


def test_a_picture_that_stayed_there_is_not_named(tmp_path: Path) -> None:
    report = _report("../../etc/passwd", "there/two.png")
    unpacked = unpack_pictures(_packed(), report, tmp_path / "f", where="pi")
    assert [variant.worst_picture for variant in unpacked.variants] == [None, None]


def test_a_host_writes_nothing_but_pictures_and_chooses_no_name(tmp_path: Path) -> None:
    report = _report("../evil.png", None)
    archive = _packed(n1=PNG, **{"../evil.png": PNG})
    unpacked = unpack_pictures(archive, report, tmp_path / "f", where="pi")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [
        Path(unpacked.variants[0].worst_picture or "").name
    ]
    with pytest.raises(BadInput, match="is none"):
        unpack_pictures(_packed(n1=b"<svg>"), report, tmp_path, where="pi")
    with pytest.raises(BadInput, match=r"pi: pictures\.zip: This archive cannot be read"):
        unpack_pictures(_packed(n1=PNG)[:-9], report, tmp_path, where="pi")


@given(data=st.data())
def test_damage_to_an_archive_is_bad_input(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(_packed(n1=PNG, **{"nnämä": PNG}))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadInput):
        folder = tmp_path_factory.mktemp("f")
        unpack_pictures(bytes(content), _report("a/b.png", None), folder, where="pi")


def test_what_zipfile_itself_trips_over_is_bad_input(tmp_path: Path) -> None:
    content = _packed(n1=PNG, **{"nnämä": PNG})
    no_text = content.replace("nämä".encode(), b"n\xff\xffm\xff\xff")
    larger_than_it_is = content[:-10] + b"\xff\xff\x00\x00" + content[-6:]
    for damaged in (no_text, larger_than_it_is):
        assert damaged != content
        with pytest.raises(BadInput, match="pi: "):
            unpack_pictures(damaged, _report(None, None), tmp_path, where="pi")


def test_an_archive_that_would_swell_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1", PNG + bytes(1 << 20))
    with pytest.raises(BadInput, match="not stored"):
        unpack_pictures(stream.getvalue(), _report("a/b.png", None), tmp_path, where="pi")
