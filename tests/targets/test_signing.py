"""Signed bundles: it is known who made them, and nothing else is opened where that is asked."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from edgeanim.api import animate, inspect, sign
from edgeanim.core.errors import BadInput, MissingComponent, UsageError
from edgeanim.targets.bundle import open_bundle
from edgeanim.targets.signing import TRUST
from edgeanim.targets.signing import sign as sign_manifest
from edgeanim.targets.smoke import run_smoke
from tests.cli.called import edgeanim, fails

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def make_pair(folder: Path, seed: int) -> Path:
    """The private key's file; the public one lies beside it, with the suffix .pub."""
    folder.mkdir(exist_ok=True)
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    path = folder / f"key{seed}.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_pair(tmp_path / "keys", 1)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    with resources.as_file(resources.files("edgeanim.targets").joinpath("smoke.eab")) as shipped:
        return Path(shutil.copy(shipped, tmp_path / "net.eab"))


def test_a_signature_of_the_same_bytes_for_something_else_is_none_of_a_bundle(key: Path) -> None:
    manifest, private = b"{}", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    made = sign_manifest(manifest, key)
    assert made.holds()
    assert not replace(made, signature=private.sign(manifest)).holds()


def test_a_signature_changes_nothing_but_says_who_made_it(mine: Path, key: Path) -> None:
    before = inspect(mine)
    signer = sign(mine, key=key).signer
    after = inspect(mine)
    assert before.signature is None
    assert (after.signature.signer, after.signature.state) == (signer, "holds")
    assert after.variants == before.variants
    assert after.sha256 != before.sha256
    assert f"signed by {signer}: the signature holds" in edgeanim("inspect", mine).stdout


def test_signing_again_replaces_the_signature_and_gives_the_same_bytes(
    mine: Path, key: Path
) -> None:
    unsigned = mine.read_bytes()
    sign(mine, key=key)
    once = mine.read_bytes()
    other = make_pair(key.parent, 2)
    assert sign(mine, key=other).signer != sign(mine, key=key).signer
    assert mine.read_bytes() == once
    assert len(once) > len(unsigned)


def test_where_a_key_is_trusted_only_what_it_signed_is_opened(
    mine: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(key.with_suffix(".pub"), trusted)
    monkeypatch.setenv(TRUST, str(trusted))
    fails(3, "inspect", mine, says="not signed")
    with pytest.raises(BadInput, match="not signed"):
        animate(mine, drive="wave", out=tmp_path / "x.gif")
    sign(mine, key=make_pair(key.parent, 2))
    with pytest.raises(BadInput, match=r"none of the keys that EDGEANIM_TRUST names.*\.pub file"):
        inspect(mine)
    sign(mine, key=key)
    assert inspect(mine).signature.state == "trusted"
    monkeypatch.setenv(TRUST, str(key.with_suffix(".pub")))
    assert inspect(mine).signature.state == "trusted"


def test_a_link_to_a_bundle_stays_one_and_rights_stay_as_they_are(
    mine: Path, key: Path, tmp_path: Path
) -> None:
    mine.chmod(0o640)
    (link := tmp_path / "current.eab").symlink_to(mine)
    sign(link, key=key)
    assert link.is_symlink()
    assert inspect(mine).signature.state == "holds"
    assert mine.stat().st_mode & 0o777 == 0o640


def resealed(path: Path, signature: bytes) -> None:
    """Put `signature` before the seal, and seal it as whoever altered it would."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = signature + b"edgeanim-sha256:" + b"0" * 64
    whole = path.read_bytes()[:-64]
    path.write_bytes(whole + hashlib.sha256(whole).hexdigest().encode())


def test_an_altered_bundle_is_known(
    mine: Path, key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sign(mine, key=key)
    with zipfile.ZipFile(mine) as archive:
        signature = archive.comment[:-80]
    other = Path(shutil.copy(mine, tmp_path / "other.eab"))
    resealed(other, signature[:-1] + (b"1" if signature.endswith(b"0") else b"0"))
    assert inspect(other).signature.state == "altered"
    assert "somebody has altered" in edgeanim("inspect", other).stdout
    monkeypatch.setenv(TRUST, str(key.with_suffix(".pub")))
    with pytest.raises(BadInput, match=r"somebody has altered it.*Get it anew"):
        inspect(other)


@pytest.mark.parametrize("comment", [b"x", b"edgeanim-ed25519:", b"edgeanim-ed25519:" + b"g" * 192])
def test_what_stands_before_the_seal_is_a_signature_or_nothing(mine: Path, comment: bytes) -> None:
    resealed(mine, comment)
    with pytest.raises(BadInput, match=r"signature is damaged.*Get it anew"), open_bundle(mine):
        pass


def test_keys_that_are_none_are_named(mine: Path, key: Path, tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    locked, foreign, garbage = (tmp_path / f"{name}.pem" for name in ("locked", "other", "junk"))
    sealed = BestAvailableEncryption(b"secret")
    locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    foreign.write_bytes(
        X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    garbage.write_bytes(b"\x00\xff")
    whole = mine.read_bytes()
    for file, said in (
        (locked, r"no private key in PEM \(.*\)\. Make a pair:"),
        (foreign, "no private Ed25519 key"),
        (garbage, r"no private key in PEM \(.*\)\. Make a pair:"),
        (key.with_suffix(".pub"), "no private key in PEM"),
        (tmp_path / "absent.pem", "No such file"),
    ):
        with pytest.raises(BadInput, match=said):
            sign(mine, key=file)
    assert mine.read_bytes() == whole


def test_a_trusted_folder_without_keys_trusts_nobody(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").mkdir()
    monkeypatch.setenv(TRUST, str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"without \.pub files"):
        inspect(mine)
    monkeypatch.setenv(TRUST, str(tmp_path / "absent"))
    with pytest.raises(BadInput, match=r"EDGEANIM_TRUST=.*absent: No such file"):
        inspect(mine)
    monkeypatch.setenv(TRUST, "")
    with pytest.raises(UsageError, match="set but empty"):
        inspect(mine)


def test_what_ships_with_edgeanim_needs_no_signature(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUST, str(key.with_suffix(".pub")))
    assert run_smoke("onnxruntime")


def test_without_cryptography_a_signed_bundle_plays_unless_a_key_is_trusted(
    mine: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(mine, key=key)

    def lacking(*_: object, extra: str) -> None:
        raise MissingComponent("cryptography is missing.", extra=extra)

    monkeypatch.setattr("edgeanim.targets.signing.require", lacking)
    assert inspect(mine).signature.state == "not checked"
    monkeypatch.setenv(TRUST, str(key.with_suffix(".pub")))
    with pytest.raises(MissingComponent):
        inspect(mine)
