"""Who made a bundle: Ed25519 signatures (RFC 8032), and the keys that this machine trusts.

A signature is over the manifest, which lists the hash of every other member, so it says all of
what is in a bundle. It stands before the seal, in the archive's comment, with the public key of its
maker. A machine on which `EDGEANIM_TRUST` names public keys opens no bundle that none of them
signed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput, UsageError, first_line, named
from edgeanim.core.files import must_exist, read_bytes
from edgeanim.core.packages import require

TRUST = "EDGEANIM_TRUST"
_MARK = b"edgeanim-ed25519:"
_COMMENT = re.compile(re.escape(_MARK) + rb"([0-9a-f]{64})([0-9a-f]{128})")
# So that what was signed for another purpose is no bundle.
_CONTEXT = b"edgeanim.bundle/1 manifest\n"
_MAX_KEY = 64 << 10
_SUFFIX = ".pub"
_ANEW = "Get it anew from its maker."
_KEYS = (
    "Make a pair: openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem "
    "-pubout -out key.pub"
)


@dataclass(frozen=True)
class Signature:
    """The signature (64 bytes) of a `manifest` by a public `key` (32 bytes): what a bundle says,
    until `holds` has been asked."""

    manifest: bytes
    key: bytes
    signature: bytes

    @property
    def signer(self) -> str:
        """What the key is called: the beginning of its SHA-256."""
        return name_of(self.key)

    def holds(self) -> bool:
        """Whether the key did sign this manifest. `MissingComponent` without cryptography."""
        _require_cryptography()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(self.key)
            key.verify(self.signature, _CONTEXT + self.manifest)
        except InvalidSignature:
            return False
        return True

    def to_comment(self) -> bytes:
        """How it stands in the archive's comment."""
        return _MARK + self.key.hex().encode() + self.signature.hex().encode()

    @staticmethod
    def from_comment(comment: bytes, manifest: bytes, where: Path) -> Signature | None:
        """The one in the `comment` of the bundle at `where`, none if that is empty; `BadInput` if
        it holds anything else."""
        if not comment:
            return None
        found = _COMMENT.fullmatch(comment)
        if found is None:
            raise BadInput("This bundle's signature is damaged.", where=where, hint=_ANEW)
        return Signature(
            manifest, bytes.fromhex(found[1].decode()), bytes.fromhex(found[2].decode())
        )


def name_of(key: bytes) -> str:
    """What a public key (32 bytes) is called."""
    return f"ed25519:{hashlib.sha256(key).hexdigest()[:16]}"


def sign(manifest: bytes, key: Path) -> Signature:
    """Sign a `manifest` with the private key in the PEM file `key`. `BadInput` for what is no
    unencrypted Ed25519 key, `MissingComponent` without cryptography."""
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    def load(data: bytes) -> Any:
        return load_pem_private_key(data, password=None)

    private = _key_in(key, load, Ed25519PrivateKey, "private")
    public = private.public_key().public_bytes_raw()
    return Signature(manifest, public, private.sign(_CONTEXT + manifest))


def require_trusted(signature: Signature | None, where: Path) -> None:
    """`BadInput` unless a key that `EDGEANIM_TRUST` names signed the bundle at `where`; nothing if
    it is not set."""
    trusted = trusted_keys()
    if trusted is None:
        return
    if signature is None:
        raise BadInput(
            f"This bundle is not signed, and {TRUST} is set, so that only signed ones are opened.",
            where=where,
            hint="Have its maker sign it: edgeanim sign BUNDLE --key KEY.pem",
        )
    if not signature.holds():
        raise BadInput(
            "This bundle's signature is not by the key it names: somebody has altered it.",
            where=where,
            hint=_ANEW,
        )
    if signature.key not in trusted:
        raise BadInput(
            f"This bundle is signed by {signature.signer}, which is none of the keys that {TRUST} "
            f"names ({', '.join(map(name_of, trusted))}).",
            where=where,
            hint=f"If you trust that one, add its {_SUFFIX} file to the folder that {TRUST} names.",
        )


def trusted_keys() -> tuple[bytes, ...] | None:
    """The public keys (32 bytes each) in the file, or the .pub files of the folder, that
    `EDGEANIM_TRUST` names; `None` if it is not set. `UsageError` if there is none in it."""
    given = os.environ.get(TRUST)
    if given is None:
        return None
    if not given:  # a variable that a script meant to fill: it asked for signatures all the same
        raise UsageError(
            f"{TRUST} is set but empty, so that nobody is trusted.",
            hint="Name a public key in it, or unset it to open every bundle.",
        )
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    path = Path(given)
    with named(f"{TRUST}={given}"):
        must_exist(path)
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix == _SUFFIX)
    keys = [_key_in(file, load_pem_public_key, Ed25519PublicKey, "public") for file in files]
    if not keys:
        raise UsageError(f"{TRUST} names a folder without {_SUFFIX} files.", where=path)
    return tuple(key.public_bytes_raw() for key in keys)


def _key_in(path: Path, load: Callable[[bytes], Any], kind: type, which: str) -> Any:
    data = read_bytes(path, _MAX_KEY, "A key")
    try:
        key = load(data)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise BadInput(
            f"This is no {which} key in PEM ({first_line(error)}).", where=path, hint=_KEYS
        ) from error
    except Exception as error:  # a kind of key that cryptography does not know
        raise BadInput(f"This key cannot be read ({first_line(error)}).", where=path) from error
    if not isinstance(key, kind):
        raise BadInput(f"This is no {which} Ed25519 key.", where=path, hint=_KEYS)
    return key


def _require_cryptography() -> None:
    require("Signing a bundle, or checking a signature,", "cryptography", extra="sign")
