"""`edgeanim bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.common import (
    PATH,
    TerminalProgress,
    board_option,
    example,
    input_option,
    json_option,
    parse_inputs,
    print_json,
    threads_option,
)

if TYPE_CHECKING:
    from edgeanim.benchmarks.scenarios import Scenario


@click.command("bench")
@click.argument("subjects", nargs=-1, required=True, metavar="BUNDLE|MODEL...", type=PATH)
@click.option("-o", "--out", type=PATH, metavar="FILE", help="Write the report (JSON) here.")
@click.option("--frames", metavar="DIR|CLIP|FILE.npz", help="Real frames for a bare model file.")
@click.option("--variant", "variants", multiple=True, help="Only this one, e.g. openvino-int8.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(["single", "stream", "soak", "cold", "batch"]),
    help="Measure this beside `single`, which always runs; may be repeated.",
)
@click.option("--fps", type=float, help="Rate of `stream` [default: that of the board's budget].")
@click.option(
    "--duration", type=float, metavar="SECONDS", help="Of `soak` [default: 600] and of `stream`."
)
@click.option("--quick", is_flag=True, help="Fewer samples: medians and p90 only.")
@threads_option
@board_option
@input_option
@json_option
@example(
    "edgeanim bench net.eab -o report.json\n"
    "edgeanim bench net.eab --scenario stream --fps 25 --scenario cold -o report.json\n"
    "edgeanim bench float.tflite int8.tflite --frames photos/"
)
def command(
    subjects: tuple[Path, ...],
    out: Path | None,
    frames: str | None,
    variants: tuple[str, ...],
    scenarios: tuple[Scenario, ...],
    fps: float | None,
    duration: float | None,
    quick: bool,
    threads: int | None,
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure every variant of a bundle here: latency, drift, memory, what really ran in INT8.

    Each variant runs in fresh processes, all interleaved, on real frames. Ready-made .onnx, .tflite
    and OpenVINO .xml files can be given as they are.

    Scenarios: `single` plays frame after frame; `stream` plays at a fixed rate and counts missed
    deadlines; `soak` plays for minutes and looks for slowing down and leaks; `cold` times a
    process from its start to its first frame; `batch` renders a clip from file to file.
    """
    from edgeanim.api import bench
    from edgeanim.report.table import table
    from edgeanim.report.verdict import verdict

    progress = TerminalProgress()
    report = bench(
        list(subjects),
        out=out,
        frames=frames,
        variants=variants,
        scenarios=scenarios,
        fps=fps,
        duration=duration,
        quick=quick,
        threads=threads,
        board=board,
        inputs=parse_inputs(inputs),
        progress=progress,
    )
    progress.close()
    if as_json:
        print_json(report)
    else:
        click.echo(table(report))
        click.echo(verdict(report))
        if out:
            click.echo(f"Report: {out}")
    # Failed variants are reported, with their diagnosis, beside those that ran.
    click.get_current_context().exit(report.exit_code)
