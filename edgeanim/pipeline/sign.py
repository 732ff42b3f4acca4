"""`edgeanim sign`: say who made a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeanim.pipeline.compiled import require_bundle
from edgeanim.targets.bundle import sign_bundle


@dataclass(frozen=True)
class Signed:
    """The bundle, and what the key that signed it is called."""

    bundle: Path
    signer: str


def sign(bundle: str | Path, *, key: str | Path) -> Signed:
    """Sign `bundle` in place with the private Ed25519 key in the PEM file `key`; an earlier
    signature goes. Machines on which `EDGEANIM_TRUST` names the public key open it.

    `BadInput` for what is no sound bundle or no such key, `MissingComponent` without cryptography.
    """
    require_bundle(bundle)
    path = Path(bundle)
    return Signed(path, sign_bundle(path, Path(key)).signer)
