"""`edgeanim emulate`: another processor's wheels and numbers, on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import PATH, Whole, example, json_option, offering, variants_option
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress

if TYPE_CHECKING:
    from edgeanim.benchmarks.emulation import Emulation
    from edgeanim.targets.on.emulator_setup import Step


def _processors() -> Iterable[str]:
    from edgeanim.targets.on.emulator import PROCESSORS

    return PROCESSORS


_offering_processors = offering(_processors)
_root_option = click.option(
    "--root", type=PATH, metavar="DIR", help="Where it is set up [default: the artifact store]."
)


@click.group("emulate")
@example("edgeanim emulate setup raspberry-pi-4\nedgeanim emulate check net.eab")
def command() -> None:
    """Test a bundle on an emulated processor: that it installs, loads and computes the same.

    Emulation says nothing about time, so no latency is shown anywhere.
    """


@command.command("list")
@_root_option
@json_option
@example("edgeanim emulate list")
def list_processors(root: Path | None, as_json: bool) -> None:
    """List the processors that can be emulated, and whether they are set up."""
    from edgeanim.api import emulated_processors

    rows = emulated_processors(root)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = f"run `edgeanim emulate setup {row.name}`" if row.missing else "ready"
        click.echo(f"{row.name:<18}{row.title:<34}{state}")


@command.command("setup")
@click.argument("processor", shell_complete=_offering_processors)
@click.option("--yes", is_flag=True, help="Fetch without asking for confirmation.")
@_root_option
@json_option
@example("edgeanim emulate setup raspberry-pi-4")
def setup(processor: str, yes: bool, root: Path | None, as_json: bool) -> None:
    """Fetch what a processor needs (QEMU, a userland, the board's wheels), after saying what.

    PROCESSOR is one that `edgeanim emulate list` names. Uses the configured sources of apt-get and
    pip and installs nothing on this machine. It needs no privileges; everything goes into one
    folder.
    """
    from edgeanim.api import set_up_emulation

    def agree(steps: tuple[Step, ...]) -> bool:
        for step in steps:
            click.echo(f"{step.what}: about {step.megabytes} MB, {step.source}", err=True)
        return yes or _agreed()

    with TerminalProgress() as progress:
        folder = set_up_emulation(processor, root=root, agree=agree, progress=progress)
    if as_json:
        print_json({"path": str(folder)})
        return
    click.echo(f"Ready in {folder}. Try: edgeanim emulate check BUNDLE --processor {processor}")


def _agreed() -> bool:
    """The answer on standard input; no, if it ends without one, as where nobody can be asked."""
    try:
        return click.confirm("Fetch this?", err=True)
    except click.Abort as end:
        if not isinstance(end.__context__, EOFError):
            raise
        click.echo(err=True)
        return False


@command.command("check")
@click.argument("bundle", type=PATH)
@click.option(
    "--processor",
    "processors",
    multiple=True,
    metavar="NAME",
    shell_complete=_offering_processors,
    help="Only this one of `edgeanim emulate list`; may be repeated [default: all set up].",
)
@variants_option("bundle", "tflite-int8")
@click.option(
    "--frames",
    type=Whole(1),
    default=4,
    show_default=True,
    help="How many golden frames to play; emulation is slow.",
)
@_root_option
@json_option
@example("edgeanim emulate check net.eab --processor raspberry-pi-4 --processor haswell")
def check(
    bundle: Path,
    processors: tuple[str, ...],
    variants: tuple[str, ...],
    frames: int,
    root: Path | None,
    as_json: bool,
) -> None:
    """Play BUNDLE's first golden frames on emulated processors and here, and compare them."""
    from edgeanim.api import emulate_bundle, emulated_processors
    from edgeanim.targets.on.emulator import find_emulator, not_set_up

    rows = emulated_processors(root)
    ready = [row.name for row in rows if not row.missing]
    if not processors and not ready:
        raise not_set_up("No processor is set up.", rows[0].name)
    names = processors or ready
    for name in names:  # before any of them takes its minutes
        find_emulator(name, root)
    results: list[Emulation] = []
    try:
        with TerminalProgress() as progress:
            for name in names:
                results.append(
                    emulate_bundle(
                        bundle, name, root=root, frames=frames, variants=variants, progress=progress
                    )
                )
    finally:  # one that fails, or Ctrl-C, takes nothing from those before it
        if results:
            _show(results, as_json=as_json)
    click.get_current_context().exit(next((r.exit_code for r in results if r.exit_code), 0))


def _show(results: Sequence[Emulation], *, as_json: bool) -> None:
    from edgeanim.report.emulation import emulation_table

    if as_json:
        print_json(results)
    else:
        click.echo(emulation_table(results))
