"""`edgeanim demo`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.options import PATH, example, json_option
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress


@click.command("demo")
@click.option(
    "-o",
    "--out",
    type=PATH,
    default=Path("edgeanim-demo"),
    show_default=True,
    help="The folder to write.",
)
@click.option(
    "--fresh", is_flag=True, help="Ignore the artifact store: redo and remeasure everything."
)
@click.option("--quick", is_flag=True, help="Measure fewer samples: medians and p90 only.")
@json_option
@example("edgeanim demo")
def command(out: Path, fresh: bool, quick: bool, as_json: bool) -> None:
    """Run the whole workflow on the shipped animator.

    Prunes and quantises the shipped animator, compiles it for ONNX Runtime, OpenVINO and TFLite,
    measures each here against its float32 form, animates a still, and says what to ship.
    """
    from edgeanim.api import demo

    with TerminalProgress() as progress:
        result = demo(out, fresh=fresh, quick=quick, progress=progress)
    if as_json:
        print_json(result)
        return
    click.echo()
    click.echo(result.table)
    click.echo()
    click.echo(result.verdict)
    click.echo()
    click.echo(f"Animation  {result.animation}")
    click.echo(f"Bundle     {result.bundle}")
    click.echo(f"Reports    {result.reports}")
    click.echo(f"Page       {result.page}")
