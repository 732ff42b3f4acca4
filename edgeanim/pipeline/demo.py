"""`edgeanim demo`: the whole job on what ships with the project."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.results.result import Report
from edgeanim.core.errors import GateFailed, UsageError, disk_errors
from edgeanim.core.files import inside, write_bytes, write_text
from edgeanim.core.limit import DriftLimit
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.models.shipped_files import SHIPPED, shipped, shipped_tracks
from edgeanim.pipeline.animate import animate
from edgeanim.pipeline.bench import bench
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.compile import Compiled, compile_model
from edgeanim.pipeline.frames.shipped import DEMO_TRACK, shipped_material
from edgeanim.pipeline.model_folder import may_become_model
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.prune import frames_for, prune_model
from edgeanim.pipeline.quantize import quantize_model
from edgeanim.pipeline.work import ALL, Work, kept_report, versions
from edgeanim.report.html import demo_page
from edgeanim.report.table import table
from edgeanim.report.verdict import choose, verdict

PRUNE = PruneSpec(ratio=0.05, round_to=8, importance="taylor", rounds=1, steps=0)
LIMIT = DriftLimit()
REPORT = "report.json"
LOCAL = "reports/local.json"
_OURS = ("animation.gif", "bundle.eab", "model", "report.html", "reports")


@dataclass(frozen=True)
class Demo:
    """Where everything is, and what came out."""

    folder: Path
    bundle: Path
    animation: Path
    reports: Path
    page: Path
    table: str
    verdict: str


def demo(
    out: str | Path = "edgeanim-demo",
    *,
    fresh: bool = False,
    quick: bool = False,
    store: Store | None = None,
    progress: Progress = SILENT,
) -> Demo:
    """Prune, quantise, compile, bench, animate and report the shipped animator on this machine.

    Leaves `bundle.eab`, `animation.gif`, `reports/local.json` and `report.html` in the folder
    `out`. Stages that the artifact store holds are not done again, unless `fresh`. `quick` measures
    fewer samples, as `bench` does.
    """
    folder = Path(out)
    _must_be_ours(folder)
    work = Work.on("local", store=store, progress=progress, fresh=fresh)
    compiled = build(work, folder)
    bundle = compiled.path
    report_file = folder / LOCAL
    report = _lay_out(_measured(work, compiled, quick), report_file)
    animation = folder / "animation.gif"
    chosen = choose(report, LIMIT)
    if chosen is None:
        raise GateFailed(verdict(report, LIMIT), where=report_file)
    best = chosen.variant.id
    with shipped("still.png") as still:
        animate(
            bundle, still=still, drive=DEMO_TRACK, out=animation, variant=best, progress=progress
        )
    page = folder / "report.html"
    caption = f"The shipped still, moved by the track “{DEMO_TRACK}”, played by {best}"
    write_text(page, demo_page(report_file, animation, caption))
    return Demo(
        folder,
        bundle,
        animation,
        report_file.parent,
        page,
        table(report).rstrip(),
        verdict(report, LIMIT),
    )


def _must_be_ours(folder: Path) -> None:
    """`UsageError` for a folder with other things in which no demo lies: what there is of the names
    of ours would be overwritten, and the rest mixed with it."""
    if not folder.is_dir() or (folder / LOCAL).is_file():
        return
    with disk_errors(folder):
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    if other := next((name for name in names if name not in _OURS), None):
        raise UsageError(
            f"The folder holds other things ({other!r}), and the demo writes several of its own.",
            where=folder,
            hint="Name a new folder.",
        )


def _measured(work: Work, compiled: Compiled, quick: bool) -> Path:
    """The report of this bundle on this machine, kept in the store like any other stage."""
    parts = {
        "bundle": compiled.sha256,
        "machine": describe().machine,
        "versions": versions(),
        "quick": quick,
    }

    def make(folder: Path) -> None:
        bench([compiled.path], out=folder / REPORT, quick=quick, progress=work.progress)

    folder, kept = work.build("report", parts, make)
    if kept:
        work.progress.stage("Measure")
        work.progress.done("kept from an earlier run; --fresh measures again")
    return folder / REPORT


def _lay_out(kept: Path, to: Path) -> Report:
    """Write the report in the store to `to`, with its pictures beside it as it names them."""
    report = kept_report(kept)
    for name in (v.worst_picture for v in report.variants if v.worst_picture is not None):
        picture = inside(to.parent, name)
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(picture, inside(kept.parent, name).read_bytes())
    write_bytes(to, kept.read_bytes())
    return report


def build(work: Work, folder: Path) -> Compiled:
    """Prune, quantise and compile the shipped animator into the bundle `bundle.eab`.

    Every stage is cached by what goes into it.
    """
    bundle = folder / "bundle.eab"
    pruned_folder, int8_folder = folder / "model" / "pruned", folder / "model" / "int8"
    for place in (pruned_folder, int8_folder):
        may_become_model(place)
    work.progress.stage("Export the shipped animator")
    original = open_model(SHIPPED, work)
    material = shipped_material()
    work.progress.done()
    work.progress.stage("Play the float32 original")
    golden = make_golden(work, original, material.held_out)
    work.progress.done()
    prune_model(work, original, shipped_material(frames_for(PRUNE)), golden, pruned_folder, PRUNE)
    pruned = open_model(pruned_folder, work)
    names = work.backends((ALL,))
    quantize_model(work, pruned, material, golden, int8_folder, names, QuantizeSpec(), LIMIT)
    quantized = open_model(int8_folder, work)
    with ExitStack() as stack:
        tracks = {name: stack.enter_context(shipped(f"{name}.npz")) for name in shipped_tracks()}
        # With all floats that this machine has: INT8 has to beat the best of them.
        return compile_model(work, quantized, int8_folder, golden, bundle, names, tracks, floats=())
