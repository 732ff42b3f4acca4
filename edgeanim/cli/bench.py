"""`edgeanim bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import (
    PATH,
    Number,
    Whole,
    board_option,
    example,
    frames_option,
    input_option,
    json_option,
    range_option,
    threads_option,
    variants_option,
)
from edgeanim.cli.output import print_json, say
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.errors import printable
from edgeanim.core.parsing import parse_inputs

if TYPE_CHECKING:
    from edgeanim.benchmarks.emulation import Emulation
    from edgeanim.benchmarks.results.result import Report
    from edgeanim.benchmarks.timing.scenarios import Scenario
    from edgeanim.pipeline.on.bench import Placed


@click.command("bench")
@click.argument("subjects", nargs=-1, required=True, metavar="BUNDLE|MODEL...", type=PATH)
@click.option(
    "-o",
    "--out",
    type=PATH,
    metavar="FILE",
    help="Write the report (JSON) here, and the frames that drifted most to the folder "
    "FILE-frames next to it (FILE without its suffix).",
)
@frames_option("--frames", "Real frames for a bare model file.")
@range_option("Value range of a bare model file's pictures [default: 0..1].")
@variants_option("subjects", "openvino-int8")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(["single", "stream", "soak", "cold", "batch"]),
    help="Measure this besides `single`, which always runs; may be repeated.",
)
@click.option(
    "--fps",
    type=Number(0, min_open=True),
    help="Rate of `stream` [default: from the board's budget].",
)
@click.option(
    "--duration",
    type=Number(1),
    metavar="SECONDS",
    help="Length of `soak` [default: 600], and of `stream` at the least.",
)
@click.option("--quick", is_flag=True, help="Fewer samples: medians and p90 only.")
@click.option(
    "--retries",
    type=Whole(0, 10),
    default=0,
    show_default=True,
    metavar="N",
    help="Repeat runs spoiled by throttling, load or the like, at most N times.",
)
@click.option(
    "--on",
    "places",
    multiple=True,
    metavar="PLACE",
    help="Where to run: local, ssh://[user@]host[:port], or emulated:BOARD (no times); may be "
    "repeated [default: local].",
)
@threads_option
@board_option
@input_option
@json_option
@example(
    "edgeanim bench net.eab -o report.json\n"
    "edgeanim bench net.eab --scenario stream --fps 25 --scenario cold -o report.json\n"
    "edgeanim bench float.tflite int8.tflite --frames photos/\n"
    "edgeanim bench net.eab --on ssh://pi@pi4 --on ssh://pi@pi5 -o report.json"
)
def command(
    subjects: tuple[Path, ...],
    out: Path | None,
    frames: str | None,
    values: tuple[float, float] | None,
    variants: tuple[str, ...],
    scenarios: tuple[Scenario, ...],
    fps: float | None,
    duration: float | None,
    quick: bool,
    retries: int,
    places: tuple[str, ...],
    threads: int | None,
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure every variant of a bundle here: latency, drift, memory, what really ran in INT8.

    Each variant runs in fresh processes, all interleaved, on real frames. Existing .onnx, .tflite
    and OpenVINO .xml files can be given unchanged.

    Scenarios: `single` plays frame after frame; `stream` plays at a fixed rate and counts missed
    deadlines; `soak` plays for minutes and looks for slowdown and leaks; `cold` times a process
    from its start to its first frame; `batch` renders a clip from file to file.

    With --on it runs on that machine: edgeanim's code and the files are pushed (only changes). The
    run continues if the link is lost, and the same command reconnects. It needs the OpenSSH client,
    a key, and Python with edgeanim's base install there; anything missing is reported. An emulated
    processor (see `edgeanim emulate`) shows the computed results, but no times. With --json several
    places give a list of objects with `place`, `report` and `error`.
    """
    from edgeanim.api import bench_on

    with TerminalProgress() as progress:
        results = bench_on(
            list(subjects),
            places or ("local",),
            out=out,
            frames=frames,
            values=values,
            variants=variants,
            scenarios=scenarios,
            fps=fps,
            duration=duration,
            quick=quick,
            retries=retries,
            threads=threads,
            board=board,
            inputs=parse_inputs(inputs),
            progress=progress,
        )
    if as_json:
        print_json(results[0].report if len(results) == 1 else [_plain(r) for r in results])
    for result in results:
        if not as_json:
            if places:
                click.echo(f"On {result.place}:")
            _show(result, subjects, board)
        if result.error is not None:
            click.echo(f"Error: {printable(str(result.error))}", err=True)
    # Failed variants are reported, with their diagnosis, beside those that ran.
    codes = [result.exit_code for result in results]
    click.get_current_context().exit(next((code for code in codes if code), 0))


def _plain(placed: Placed) -> dict[str, object]:
    """One of several places: its report is null where there is none, and its error where all went
    well."""
    error = None if placed.error is None else str(placed.error)
    return {"place": placed.place, "report": placed.report, "error": error}


def _show(placed: Placed, subjects: tuple[Path, ...], board: str) -> None:
    """The tables of one place, how to play what is to be shipped, and where it is written."""
    from edgeanim.benchmarks.results.result import Report

    report = placed.report
    if isinstance(report, Report):
        _show_report(report)
        if placed.place == "local":
            _show_how_to_play(subjects, report, board)
    elif report is not None:
        _show_emulation(report)
    if report is not None and placed.path is not None:
        _show_files(placed.path, report)


def _show_report(report: Report) -> None:
    from edgeanim.report.table import table
    from edgeanim.report.verdict import verdict

    click.echo(table(report))
    say(verdict(report))


def _show_emulation(emulation: Emulation) -> None:
    from edgeanim.report.emulation import emulation_table

    click.echo(emulation_table([emulation]))


def _show_how_to_play(subjects: tuple[Path, ...], report: Report, board: str) -> None:
    from edgeanim.pipeline.playable import how_to_play

    if (told := how_to_play(subjects, report, board)) is not None:
        say(told)


def _show_files(path: Path, report: Report | Emulation) -> None:
    from edgeanim.benchmarks.drift.picture import pictures_beside
    from edgeanim.benchmarks.results.result import Report

    click.echo(f"Report: {path}")
    if isinstance(report, Report) and any(variant.worst_picture for variant in report.variants):
        click.echo(f"The frames that drifted most: {pictures_beside(path)}/")
