"""`edgeanim optimize`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import (
    NAME,
    PATH,
    Number,
    Whole,
    board_option,
    calib_option,
    example,
    input_option,
    json_option,
    max_drift_p5_option,
    offering,
    offering_backends,
    parse_milliseconds,
    recipe_option,
)
from edgeanim.cli.output import print_json, say, warn, warn_unless_held_out
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.choices import MAX_THREADS
from edgeanim.core.parsing import parse_inputs

if TYPE_CHECKING:
    from edgeanim.pipeline.frames.given import Frames
    from edgeanim.pipeline.search.outcome import Optimized


def _methods() -> Iterable[str]:
    from edgeanim.pipeline.optimize import SEARCHED

    return SEARCHED


@click.command("optimize")
@click.argument("model", type=NAME)
@calib_option("Real frames to calibrate and judge on; the shipped animator has its own.")
@click.option("-o", "--out", type=PATH, metavar="FILE.eab", help="Write the chosen bundle here.")
@click.option(
    "--max-drift",
    type=Number(0, 1),
    help="Drift allowed: 1 - mean SSIM to the float model on held-out frames [default: 0.02].",
)
@max_drift_p5_option
@click.option("--max-latency", metavar="MS", help="Exit with 1 if a frame takes longer, e.g. 50ms.")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    shell_complete=offering_backends,
    help="Only this backend; may be repeated [default: all].",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    shell_complete=offering(_methods),
    help="Only this INT8 method (ptq, mixed or distil), besides float32; may be repeated [default: "
    "all].",
)
@click.option(
    "--prune",
    "prunes",
    type=Number(0, 0.9),
    multiple=True,
    default=(0.25, 0.5),
    show_default=True,
    help="Also prune away this share of the multiply-accumulates; 0 for none; may be repeated.",
)
@click.option(
    "--threads",
    type=Whole(1, MAX_THREADS),
    multiple=True,
    help="Number of threads; may be repeated [default: the board's].",
)
@recipe_option
@click.option("--html", type=PATH, help="Write a page with the plot here.")
@click.option("--fresh", is_flag=True, help="Ignore trials in the artifact store.")
@board_option
@input_option
@json_option
@example(
    "edgeanim optimize net.onnx --calib photos/ --max-drift 0.02 --max-latency 50ms -o net.eab\n"
    "edgeanim optimize shipped --max-drift 0.01 --threads 1 --threads 2 --html search.html"
)
def command(
    model: str,
    calib: str | Frames | None,
    out: Path | None,
    max_drift: float | None,
    max_drift_p5: float | None,
    max_latency: str | None,
    backends: tuple[str, ...],
    methods: tuple[str, ...],
    prunes: tuple[float, ...],
    threads: tuple[int, ...],
    recipe: Path | None,
    html: Path | None,
    fresh: bool,
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Search for the fastest form of MODEL on this machine within a drift limit.

    Tries pruning, several INT8 methods, backends and threads, and measures each here. Every trial
    is stored: Ctrl-C reports the best so far, and running it again resumes. INT8 is chosen only if
    it beats the best float form by more than the confidence interval. MODEL is an .onnx, a .pt2, a
    model folder or `shipped`.
    """
    from edgeanim.api import optimize
    from edgeanim.core.errors import EXIT_INTERRUPTED
    from edgeanim.pipeline.search.outcome import Unreachable

    try:
        with TerminalProgress() as progress:
            found = optimize(
                model,
                calib=calib,
                out=out,
                board=board,
                max_drift=max_drift,
                max_drift_p5=max_drift_p5,
                max_latency_ms=None if max_latency is None else parse_milliseconds(max_latency),
                backends=backends,
                methods=methods,
                prunes=prunes,
                threads=threads,
                recipe=recipe,
                html=html,
                inputs=parse_inputs(inputs),
                progress=progress,
                fresh=fresh,
            )
    except Unreachable as error:
        _show(error.result, as_json=as_json, sentence=False)
        raise
    _show(found, as_json=as_json)
    if not found.complete:
        click.echo("Run it again to go on: finished trials are kept.", err=True)
        click.get_current_context().exit(EXIT_INTERRUPTED)


def _show(found: Optimized, *, as_json: bool, sentence: bool = True) -> None:
    warn_unless_held_out(found.held_out)
    if as_json:
        print_json(found)
    else:
        _show_table(found, sentence=sentence)
    warn(found.note)


def _show_table(found: Optimized, *, sentence: bool) -> None:
    from edgeanim.report.pareto import pareto_table
    from edgeanim.report.table import table

    click.echo(
        f"Every candidate, timed on its own beside the original:\n{pareto_table(found.points)}"
    )
    if found.report is not None:
        finals = table(found.report).rstrip()
        click.echo(f"\nThe finalists, timed anew beside each other, which decides:\n{finals}")
    if sentence:
        say("", found.verdict)
    if found.bundle is not None and found.chosen is not None:
        threads = found.trials[found.chosen].threads
        say(f"Bundle: {found.bundle}, to be played with --threads {threads}")
