"""`edgeanim sign`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.options import PATH, example, json_option
from edgeanim.cli.output import print_json, say


@click.command("sign")
@click.argument("bundle", type=PATH)
@click.option(
    "--key", required=True, type=PATH, metavar="KEY.pem", help="The private key, Ed25519 in PEM."
)
@json_option
@example(
    """openssl genpkey -algorithm ed25519 -out key.pem
openssl pkey -in key.pem -pubout -out key.pub
edgeanim sign net.eab --key key.pem"""
)
def command(bundle: Path, key: Path, as_json: bool) -> None:
    """Sign BUNDLE in place, for machines that open only what you made.

    Where EDGEANIM_TRUST names a public key, or a folder of them (*.pub), `animate`, `bench`
    and all other commands refuse bundles that none of these keys signed.
    """
    from edgeanim.api import sign

    signed = sign(bundle, key=key)
    if as_json:
        print_json(signed)
        return
    say(f"{signed.bundle} is signed by {signed.signer}.")
