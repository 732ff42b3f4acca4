"""What is in a bundle, for `edgeanim inspect`: read from what was verified, and never executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgeanim.core.contract import Contract
from edgeanim.core.errors import MissingComponent, UsageError
from edgeanim.pipeline.motion import StoredMotion
from edgeanim.runtime.golden import load_golden
from edgeanim.targets.backends import Availability, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, open_bundle
from edgeanim.targets.overflow import overflow_warning, overflows
from edgeanim.targets.signing import Signature, trusted_keys


@dataclass(frozen=True)
class BundledVariant:
    """A variant's files together in bytes, what its graphs compute in where they are not INT8, and
    whether it can be played here; `reason` says why not. On x86 without VNNI, one that `needs_vnni`
    is wrong."""

    id: str
    size: int
    floats: tuple[str, ...]
    runs_here: bool
    reason: str | None = None
    needs_vnni: bool = False


@dataclass(frozen=True)
class BundleSignature:
    """The key that a bundle says it is signed by, and whether it is: by one that this machine
    trusts, by one that it need not know, by none, or unknown for lack of cryptography."""

    signer: str
    state: Literal["trusted", "holds", "altered", "not checked"]


@dataclass(frozen=True)
class BundleInfo:
    """`golden_frames` are those of the float32 original that drift is counted from. `provenance`
    is what whoever made the bundle says of its making."""

    contract: Contract
    sha256: str
    size: int
    variants: tuple[BundledVariant, ...]
    tracks: tuple[StoredMotion, ...]
    golden_frames: int
    provenance: Mapping[str, Any]
    signature: BundleSignature | None = None


def inspect_bundle(path: Path) -> BundleInfo:
    """Verify the bundle `path` and describe it; `BadInput` unless it is a sound one."""
    with open_bundle(path) as bundle:
        golden = None if bundle.golden is None else load_golden(bundle.golden)
        return BundleInfo(
            contract=bundle.contract,
            sha256=bundle.sha256,
            size=path.stat().st_size,
            variants=tuple(map(_described, bundle.variants)),
            tracks=tuple(StoredMotion.of(*track) for track in sorted(bundle.tracks.items())),
            golden_frames=0 if golden is None else len(golden.frames),
            provenance=bundle.provenance,
            signature=_checked(bundle.signature) if bundle.signature else None,
        )


def _checked(signature: Signature) -> BundleSignature:
    if trusted_keys() is not None:  # or it would not have been opened
        return BundleSignature(signature.signer, "trusted")
    try:
        return BundleSignature(signature.signer, "holds" if signature.holds() else "altered")
    except MissingComponent:
        return BundleSignature(signature.signer, "not checked")


def _described(variant: Variant) -> BundledVariant:
    files = {file for graph in variant.graphs for file in graph.files}
    try:
        available = get_backend(variant.backend).available()
    except UsageError as error:  # one of a later version
        available = Availability(reason=error.what)
    if overflows(variant.graphs, load_board("local")):
        available = Availability(reason=overflow_warning(variant.id))
    return BundledVariant(
        id=variant.id,
        size=sum(file.stat().st_size for file in files),
        floats=tuple(dict.fromkeys(graph.floats for graph in variant.graphs)),
        runs_here=bool(available),
        reason=available.reason,
        needs_vnni=variant.needs_vnni,
    )
