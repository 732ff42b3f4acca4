"""A bundle round-trips and is deterministic."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeanim.core.artifact import CompiledGraph, FloatPrecision
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.bundle import Variant, open_bundle, write_bundle
from edgeanim.targets.manifest import variants_called
from tests.targets.bundles import (
    CONTRACT,
    PROVENANCE,
    SPEC,
    make_variant,
)


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


def test_a_machine_that_may_write_nowhere_is_told_what_it_lacks(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(DeviceFailed, match=r"temporary files .* TMPDIR"), open_bundle(bundle):
        pass


def test_an_error_names_the_bundle_not_where_it_was_unpacked(bundle: Path) -> None:
    with pytest.raises(BadInput) as caught, open_bundle(bundle) as opened:
        (graph,) = opened.variants[0].graphs
        raise BadInput(f"{graph.files[0]} is damaged.", where=graph.files[0], hint="Hm.")
    error = caught.value
    assert error.where is not None
    assert error.where.startswith(f"{bundle}!variants/")
    assert str(error) == f"{error.where}: {error.where} is damaged. Hm."


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


def in_floats(variant: Variant, floats: FloatPrecision) -> Variant:
    graphs = (replace(graph, precision=floats, floats=floats) for graph in variant.graphs)
    return replace(variant, precision=floats, graphs=tuple(graphs))


def test_variants_that_differ_in_what_they_compute_in_share_their_files(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    (whole,) = parts["variants"]
    variants = [whole, in_floats(make_variant(tmp_path / "again"), "bfloat16")]
    write_bundle(tmp_path / "b.eab", **{**parts, "variants": variants})
    with open_bundle(tmp_path / "b.eab") as opened:
        assert [variant.id for variant in opened.variants] == ["null-float32", "null-bfloat16"]
        assert [variant.graphs[0].floats for variant in opened.variants] == ["float32", "bfloat16"]
        assert opened.variants[0].graphs[0].files == opened.variants[1].graphs[0].files
    half = in_floats(whole, "float16")
    write_bundle(tmp_path / "half.eab", **{**parts, "variants": [half]})
    with open_bundle(tmp_path / "half.eab") as opened:
        assert opened.variants[0].id == "null-float16"


def test_a_variant_that_is_named_twice_is_one() -> None:
    variants = [SimpleNamespace(id=name) for name in ("a-float32", "a-int8", "b-int8")]
    chosen = variants_called(("b-int8", "a-int8", "b-int8"), variants)
    assert [variant.id for variant in chosen] == ["b-int8", "a-int8"]
    assert variants_called((), variants) == tuple(variants)
    with pytest.raises(UsageError, match="There is no variant 'b-int4'"):
        variants_called(("b-int4",), variants)


def test_variants_that_claim_one_file_with_two_contents_are_refused(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    other = in_floats(make_variant(tmp_path / "again"), "bfloat16")
    other.graphs[0].files[0].write_text("something else")
    with pytest.raises(UsageError, match="not the same"):
        write_bundle(tmp_path / "b.eab", **{**parts, "variants": [*parts["variants"], other]})


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


def test_a_disk_that_refuses_while_unpacking_is_no_fault_of_the_bundle(bundle: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        with pytest.raises(DeviceFailed, match="too large"), open_bundle(bundle):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
