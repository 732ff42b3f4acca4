"""The main job, end to end, as the README's first command runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from edgeanim.api import animate
from edgeanim.benchmarks.results.result import load_report
from edgeanim.benchmarks.schema import report_schema
from edgeanim.models.data.puppets.puppet import make_puppet, render
from edgeanim.models.performances import PERFORMANCES
from edgeanim.models.showcase import SEEDS
from edgeanim.runtime.media import read_frames, read_still, write_animation
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import open_bundle

BACKENDS = ("onnxruntime", "openvino", "tflite")
# All that this machine has: float32 and INT8 anywhere.
VARIANTS = {
    f"{name}-{precision}"
    for name in BACKENDS
    for precision in load_board("local").backend(name).precisions
}

# `demo_run` is a `DemoRun` of this folder's conftest, which importlib mode does not let us import.
pytestmark = pytest.mark.timeout(900)


def test_it_leaves_what_it_promises(demo_run: Any) -> None:
    left = {path.name for path in demo_run.folder.iterdir()}
    assert left == {"animation.gif", "bundle.eab", "model", "report.html", "reports"}


def test_it_ends_with_a_table_and_a_sentence(demo_run: Any) -> None:
    for backend in BACKENDS:
        assert demo_run.stdout.count(backend) >= 2
    assert "Ship " in demo_run.stdout
    assert "Traceback" not in demo_run.stderr


def test_progress_is_shown_for_every_stage(demo_run: Any) -> None:
    for stage in ("Export", "Quantise", "Compile for tflite", "Animate"):
        assert stage in demo_run.stderr
    assert "\r" not in demo_run.stderr, "no bars where there is no terminal"


def test_other_packages_keep_quiet(demo_run: Any) -> None:
    for noise in ("Warning", "WARNING", "INFO:", "Failed to load", "deprecat"):
        assert noise not in demo_run.stderr, demo_run.stderr
        assert noise not in demo_run.stdout


def test_the_bundle_holds_every_backend_in_every_precision(demo_run: Any) -> None:
    with open_bundle(demo_run.folder / "bundle.eab") as bundle:
        assert {variant.id for variant in bundle.variants} == VARIANTS
        assert bundle.golden is not None
        assert bundle.tracks


def test_the_report_is_valid_and_int8_really_executed(demo_run: Any) -> None:
    (path,) = (demo_run.folder / "reports").glob("*.json")
    jsonschema.validate(json.loads(path.read_text()), report_schema())
    report = load_report(path)
    assert {variant.id for variant in report.variants} == VARIANTS
    assert not report.failures
    for variant in report.variants:
        assert variant.drift is not None
        assert variant.executed is not None
        assert variant.latency is not None
        assert variant.latency.p90_ms is not None
        if variant.precision == "int8":
            assert variant.executed.int8_share > 0.5
            assert variant.drift.drift_mean <= 0.02
        else:
            assert variant.executed.int8_share == 0


def test_the_animation_moves_and_keeps_the_size_of_the_still(demo_run: Any) -> None:
    frames = [frame.astype(float) for frame in read_frames(demo_run.folder / "animation.gif")]
    assert len(frames) >= 24
    assert frames[0].shape == (256, 256, 3)
    assert np.mean([np.abs(a - b).mean() for a, b in pairwise(frames)]) > 0.1


def test_the_page_loads_nothing_from_anywhere(demo_run: Any) -> None:
    page = (demo_run.folder / "report.html").read_text()
    assert "data:image/gif;base64," in page
    assert page.count("data:image/png;base64,") == len(VARIANTS), "the worst frame of each"
    for outside in ("src=http", 'src="http', "href=http", 'href="http', "@import", "<script"):
        assert outside not in page


def test_a_whole_demo_reaches_no_other_machine(demo_run: Any) -> None:
    assert demo_run.calls == []


def test_the_recorder_of_calls_does_record(network_shim: Path, tmp_path: Path) -> None:
    log = tmp_path / "calls.txt"
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "try:\n    s.connect(('192.0.2.1', 9))\nexcept OSError:\n    pass\n"
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": str(network_shim),
        "NO_NETWORK_LOG": str(log),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert "connect 192.0.2.1" in log.read_text()


def test_the_bundle_animates_another_still(demo_run: Any, tmp_path: Path) -> None:
    still = np.zeros((200, 120, 4), np.uint8)
    still[40:160, 30:90] = (200, 120, 40, 255)
    Image.fromarray(still).save(tmp_path / "still.png")
    out = tmp_path / "frames"
    done = subprocess.run(
        [sys.executable, "-m", "edgeanim", "animate", str(demo_run.folder / "bundle.eab"),
         "--still", str(tmp_path / "still.png"), "--drive", "wave", "--frames", "6",
         "--variant", "onnxruntime-int8", "-o", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frames = [read_still(path) for path in sorted(out.glob("*.png"))]
    assert len(frames) == 6
    assert {frame.shape for frame in frames} == {(200, 120, 4)}, "size and transparency are kept"


def test_what_the_driver_moves_and_the_still_lacks_is_told(demo_run: Any, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (120, 120, 120)).save(tmp_path / "wall.png")
    done = subprocess.run(
        [sys.executable, "-m", "edgeanim", "animate", str(demo_run.folder / "bundle.eab"),
         "--still", str(tmp_path / "wall.png"), "--drive", "talk", "-o", str(tmp_path / "a.gif")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Not found in the still, and so not moved: mouth." in done.stderr


def test_a_driver_who_walks_away_is_told_of_unless_the_still_is_kept_in_place(
    demo_run: Any, tmp_path: Path
) -> None:
    puppet = make_puppet(SEEDS["upper body"], "upper body")
    here = render(puppet, PERFORMANCES["wave"].pose(0.0)).picture
    Image.fromarray(here).save(tmp_path / "still.png")
    away = [np.roll(here, shift, axis=1) for shift in (0, 10, 20, 30)]
    write_animation(tmp_path / "driver.gif", away, 25)
    for options, told in (((), True), (("--in-place",), False)):
        done = subprocess.run(
            [sys.executable, "-m", "edgeanim", "animate", str(demo_run.folder / "bundle.eab"),
             "--still", str(tmp_path / "still.png"), "--drive", str(tmp_path / "driver.gif"),
             "-o", str(tmp_path / "a.gif"), *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert ("--in-place keeps it where it is" in done.stderr) is told


def test_a_raised_arm_is_waved_from_where_it_is_or_takes_the_drivers_pose(
    demo_run: Any, tmp_path: Path
) -> None:
    """`wave` begins with hanging arms; relative to its own first frame it would turn the raised arm
    further up. Either way the still's arm comes down where the driver's hangs."""
    puppet = make_puppet(SEEDS["upper body"], "upper body")
    raised, rest = (render(puppet, PERFORMANCES["wave"].pose(t)).picture for t in (0.5, 0.0))
    Image.fromarray(raised).save(tmp_path / "raised.png")

    def first_frame(relative: bool) -> tuple[float, float]:
        out = tmp_path / f"frames-{relative}"
        done = animate(
            demo_run.folder / "bundle.eab", still=tmp_path / "raised.png", drive="wave",
            out=out, limit=1, relative=relative, variant="onnxruntime-float32",
        )  # fmt: skip
        arm = np.s_[60:230, 190:240]  # where it is raised, and where it hangs
        made = read_still(out / "frame_00000.png")[arm].astype(float)
        return done.reference_s, float(np.abs(made - rest[arm]).mean())

    before = np.abs(raised[60:230, 190:240].astype(float) - rest[60:230, 190:240]).mean()
    for relative in (True, False):
        reference_s, off = first_frame(relative)
        assert (reference_s > 0) is relative
        assert off < 0.5 * before


# No stage may be done again.
SECOND_RUN = """
import sys
def refuse(*a, **k): raise SystemExit('a stage was done again')
import edgeanim.pipeline.methods, edgeanim.pipeline.pruner
edgeanim.pipeline.methods.histograms_of = refuse
edgeanim.pipeline.methods.round_kernels = refuse
edgeanim.pipeline.pruner.prune_graphs = refuse
from edgeanim.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def second_run(
    demo_run: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Where the demo wrote that found all in the store, and how it ended."""
    out = tmp_path_factory.mktemp("second") / "again"
    done = subprocess.run(
        [sys.executable, "-c", SECOND_RUN, "demo", "--quick", "-o", str(out)],
        env={**os.environ, "EDGEANIM_STORE": str(demo_run.store)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return out, done


def test_a_second_run_reuses_every_stage(
    demo_run: Any, second_run: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    out, done = second_run
    assert done.returncode == 0, done.stderr
    first = (demo_run.folder / "bundle.eab").read_bytes()
    assert (out / "bundle.eab").read_bytes() == first, "equal input, equal bundle"


def test_a_second_run_takes_its_measurements_from_the_store_and_says_so(
    demo_run: Any, second_run: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    out, done = second_run
    assert "kept from an earlier run" in done.stderr
    for name in ("reports/local.json", "animation.gif"):
        assert (out / name).read_bytes() == (demo_run.folder / name).read_bytes()
