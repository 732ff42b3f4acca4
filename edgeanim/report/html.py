"""The report as one self-contained HTML page: no script, nothing fetched, every string escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from edgeanim.benchmarks.drift.picture import GAIN
from edgeanim.benchmarks.results.compare import Comparison, compare
from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.core.errors import BadInput, UsageError, disk_errors
from edgeanim.core.files import inside, write_text
from edgeanim.core.progress import SILENT, Progress
from edgeanim.report.page import TEXT, html_table, page
from edgeanim.report.plots import (
    drift_legend,
    drift_plot,
    latency_plot,
    stage_legend,
    stage_plot,
)
from edgeanim.report.sections import Grid, drift_grids, grids, region_grids, stage_grid
from edgeanim.report.state import state_in_words
from edgeanim.report.table import COLUMNS, WORDS
from edgeanim.report.verdict import verdict
from edgeanim.report.words import cautions, detectable_in_words, difference, executed_in_words

# What a browser may show from a data: URI, by the file's first bytes. No SVG: it can hold scripts.
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"\xff\xd8", "image/jpeg"),
)
_MAX_PICTURE_BYTES = 32 << 20


@dataclass(frozen=True)
class Animation:
    """A picture or animation to show: the bytes of a GIF, PNG or JPEG, and what it shows."""

    data: bytes
    caption: str

    @property
    def mime(self) -> str:
        """Its type by its first bytes; `UsageError` if it is none of the three."""
        for start, mime in _PICTURES:
            if self.data.startswith(start):
                return mime
        raise UsageError("Only a GIF, PNG or JPEG can be shown in the report.")


def render_page(
    comparison: Comparison, *, animation: Animation | None = None, progress: Progress = SILENT
) -> str:
    """The page of one or several reports."""
    progress.stage("Write the page", len(comparison.reports))
    first = comparison.reports[0]
    shown = "" if animation is None else _figure(animation)
    if len(comparison.reports) == 1:
        title = first.model.name
        above = f'<p class="sub">{escape(subtitle(first))}</p>'
        parts = [above, _section(first, comparison.names[0], comparison.folders[0], shown)]
    else:
        models = dict.fromkeys(report.model.name for report in comparison.reports)
        title = f"{len(comparison.reports)} reports of {', '.join(models)}"
        parts = [_changes(comparison), shown]
        every = zip(comparison.names, comparison.reports, comparison.folders, strict=True)
        for index, (name, report, folder) in enumerate(every):
            parts.append(_heading(report, name, _anchor(index)))
            parts.append(_section(report, name, folder, level=3))
            progress.step()
    return page(title, [f"<h1>{escape(title)}</h1>", *parts])


def write_page(path: Path, comparison: Comparison, *, progress: Progress = SILENT) -> None:
    """Write the page atomically."""
    write_text(path, render_page(comparison, progress=progress))
    progress.done()


def demo_page(report: Report | Path, animation: Path, caption: str | None = None) -> str:
    """The page of one report with the animation in the file `animation` (GIF, PNG or JPEG); that of
    a report in a file also shows the pictures beside it."""
    comparison = compare([report])
    said = caption or f"What {comparison.reports[0].model.name} made on this machine"
    with disk_errors(animation):
        shown = Animation(animation.read_bytes(), said)
    return render_page(comparison, animation=shown)


def subtitle(report: Report) -> str:
    """On what and when it was measured."""
    machine = report.environment.cpu_model or report.environment.arch
    threads = "one thread" if report.settings.threads == 1 else f"{report.settings.threads} threads"
    return f"{machine}, {threads}, {report.created.replace('T', ' ').replace('Z', ' UTC')}"


def _anchor(index: int) -> str:
    """What the heading of a report is found by, from where its changes are listed."""
    return f"report-{index + 1}"


def _heading(report: Report, name: str, anchor: str) -> str:
    what = f"{report.model.name}, {subtitle(report)}"
    return (
        f'<h2 class="report" id="{anchor}">{escape(name)}</h2>\n<p class="sub">{escape(what)}</p>'
    )


def _section(
    report: Report, name: str, folder: Path | None, figure: str = "", *, level: int = 2
) -> str:
    def head(title: str) -> str:
        return f"<h{level}>{escape(title)}</h{level}>"

    parts = [f'<p class="verdict">{escape(verdict(report))}</p>', validity(report), figure]
    parts += [head("Figures"), figures(report)]
    if plot := latency_plot(report):
        caption = (
            "Bar and number: median, with its 95 % interval over processes. Tick: 90th percentile."
        )
        parts += [head("Time of a frame"), _plot(plot, caption=caption)]
    if grid := stage_grid(report):
        parts.append(head("Where the time of a frame goes"))
        parts += [_plot(stage_plot(report), stage_legend(report)), _grid(grid)]
    for grid in grids(report):
        parts += [head(grid.title), _grid(grid)]
    if plot := drift_plot(report):
        caption = "1 − SSIM against the float32 original, frame by frame. Zero is identical."
        parts += [head("Drift by frame"), _plot(plot, drift_legend(report), caption)]
    parts += [_grid(grid) for grid in drift_grids(report)]
    if by_region := [_grid(grid) for grid in region_grids(report)]:
        parts += [head("Drift by region"), *by_region]
    parts += [_worst(variant, name, folder) for variant in report.variants]
    parts += [head("Circumstances"), _circumstances(report)]
    return "\n".join(part for part in parts if part)


def _plot(plot: str, legend: str = "", caption: str = "") -> str:
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{plot}{legend}{below}</figure>"


def figures(report: Report) -> str:
    """The table of the variants, and below it which failed."""
    table = html_table(
        [column.title for column in COLUMNS],
        map(_row, report.variants),
        words=WORDS,
        caption=f"Drift is 1 − SSIM against the float32 original over {report.frames.count} "
        "frames, mean and worst; gain is the speed against the same backend’s float32 in the same "
        "run; peak memory is that of a process that only plays.",
    )
    return "\n".join(filter(None, (table, _failures(report))))


def _grid(grid: Grid) -> str:
    rows = (
        f'<tr><th scope="row"{TEXT}>{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in grid.rows
    )
    return html_table(grid.columns, rows, words=[0], caption=grid.caption)


def _row(variant: VariantResult) -> str:
    first, *rest = COLUMNS
    cells = [f'<th scope="row"{TEXT}>{escape(first.show(variant))}</th>']
    for column in rest:
        kind = "" if column.right else TEXT
        if column.title == "gain" and variant.speedup and variant.speedup.ratio > 1:
            kind = ' class="gain"'
        hover = ""
        if column.title == "executed":
            hover = f' title="{escape(executed_in_words(variant))}"'
        cells.append(f"<td{kind}{hover}>{escape(column.show(variant))}</td>")
    return f'<tr class="{variant.precision}">{"".join(cells)}</tr>'


def _failures(report: Report) -> str:
    items = [f"{v.id}: {v.failure.message}" for v in report.variants if v.failure]
    return _care("These variants failed.", items) if items else ""


def validity(report: Report) -> str:
    """Why its times are to be read with care, if they are."""
    reasons = cautions(report)
    return _care("Read these times with care.", reasons) if reasons else ""


def _care(title: str, items: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<div class="care"><strong>{escape(title)}</strong><ul>{listed}</ul></div>'


def _figure(animation: Animation) -> str:
    data = base64.b64encode(animation.data).decode("ascii")
    caption = escape(animation.caption)
    return (
        f'<figure><img alt="{caption}" src="data:{animation.mime};base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _worst(variant: VariantResult, report: str, folder: Path | None) -> str:
    """The variant's worst frame, if the picture lies where the report of this name says."""
    if folder is None or variant.worst_picture is None or variant.drift is None:
        return ""
    try:
        path = inside(folder, variant.worst_picture)
    except BadInput as error:
        error.where = f"{report} [{variant.id}.worst_picture]"
        raise
    if not path.is_file() or path.stat().st_size > _MAX_PICTURE_BYTES:
        return ""
    with disk_errors(path):
        data = path.read_bytes()
    if not data.startswith(tuple(start for start, _ in _PICTURES)):
        raise BadInput("This is no GIF, PNG or JPEG, but the report shows it.", where=path)
    drift = variant.drift
    return _figure(
        Animation(
            data,
            f"{variant.id}, its worst frame ({drift.worst_frame}, SSIM {drift.ssim_worst:.4f}): "
            f"the original, this variant, and their difference times {GAIN} around grey",
        )
    )


def _changes(comparison: Comparison) -> str:
    parts = []
    if comparison.differences:
        parts.append(_care("Read this comparison with care.", comparison.differences))
    rows = [
        f'<tr><th scope="row"{TEXT}>{escape(change.variant)}</th>'
        f'<td{TEXT}><a href="#{_anchor(change.report)}">'
        f"{escape(comparison.names[change.report])}</a></td>"
        f"<td>{change.ratio.value:.3f}</td>"
        f"<td>{change.ratio.interval.low:.3f} to {change.ratio.interval.high:.3f}</td>"
        f"<td>{difference(change.ratio.detectable)}</td>"
        f"<td{TEXT}>{escape(change.verdict)}</td></tr>"
        for change in comparison.changes
    ]
    if rows:
        titles = ("variant", "report", "latency", "interval", "detectable", "verdict")
        caption = (
            f"Median latency as a multiple of that in {comparison.names[0]}, with its 95 % "
            "interval; detectable is the smallest difference that is found in 19 of 20 such "
            "comparisons."
        )
        changed = html_table(titles, rows, words=(0, 1, 5), caption=caption)
        parts.append(f"<h2>What changed</h2>{changed}")
    return "\n".join(parts)


def _detectable(report: Report) -> str:
    seen = detectable_in_words(report)
    return f"differences in latency of {seen}, in 19 of 20 such runs" if seen else "not known"


def _timed_on(cores: Sequence[int]) -> str:
    if not cores:
        return "any core"
    named = f"core{'s' if len(cores) > 1 else ''} {', '.join(map(str, cores))}"
    return f"{named}, the processes of a round on the same"


def _circumstances(report: Report) -> str:
    env, run = report.environment, report.settings
    packages = ", ".join(f"{name} {version}" for name, version in sorted(env.packages.items()))
    missing = "; ".join(text for log in report.sensors for text in log.missing)
    rows = (
        ("Board", f"{report.board.title} ({report.board.name})"),
        ("Processor", f"{env.cpu_model or 'unknown'}, {env.cores} cores, {env.arch}"),
        ("Memory", f"{env.memory_mb / 1024:.1f} GB"),
        ("Governor", env.governor or "not told by this machine"),
        ("System", f"Linux {env.kernel}, {env.libc or 'libc unknown'}, Python {env.python}"),
        ("Packages", f"edgeanim {report.edgeanim}, {packages}"),
        (
            "Method",
            f"{run.rounds} fresh processes of each variant, {run.blocks} blocks in turn, at least "
            f"{run.block_frames} frames and {run.block_s:g} s each, after a warm-up of at least "
            f"{run.warmup_frames} frames and {run.warmup_s:g} s; {report.duration_s:.0f} s in all",
        ),
        ("Timed on", _timed_on(run.affinity)),
        ("Detectable", _detectable(report)),
        ("Over the run", state_in_words(report) or "not told by this machine"),
        ("Measured again", "; ".join(report.validity.discarded) or "never"),
        ("Not measured", missing or "nothing was missing"),
        ("Model", f"{report.model.name}, SHA-256 {report.model.digest}"),
        (
            "Frames",
            f"{report.frames.count} of {report.frames.width}×{report.frames.height}, "
            f"SHA-256 {report.frames.digest}",
        ),
    )
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in rows)
    return f"<dl>{items}</dl>"
