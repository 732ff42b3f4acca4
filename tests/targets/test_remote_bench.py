"""Bench and deploy on a board that `ssh` reaches, with the real code pushed and run there."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.benchmarks.results.result import load_report
from edgeanim.core.artifact import CompiledGraph, GraphArtifact
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.progress import SILENT, Progress
from edgeanim.pipeline.bench import Benched, bench
from edgeanim.pipeline.on import far_end
from edgeanim.pipeline.on.bench import bench_on
from edgeanim.pipeline.on.bench_call import bench_call
from edgeanim.pipeline.on.deploy import deploy, install
from edgeanim.runtime.golden import Golden, load_golden, save_golden
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, open_bundle, write_bundle
from edgeanim.targets.on import stub
from edgeanim.targets.on.link import Link, LinkLost
from edgeanim.targets.on.places import SshHost
from edgeanim.targets.on.remote import Call, Remote
from tests.benchmarks.synthetic import build_report
from tests.targets.conftest import SPEC
from tests.targets.far_end import Notes, fake_board


@pytest.fixture(scope="session")
def bundle(
    compiled: Callable[..., CompiledGraph],
    pictures: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The tiny generator for ONNX Runtime, with golden frames."""
    graph = compiled("onnxruntime")
    contract = Contract("tiny", (SPEC,))
    session = get_backend("onnxruntime").load(graph, SessionOptions())
    scene = Scene(driver=pictures)
    with Player(contract, {"tiny": session}) as player:
        frames = np.stack(list(player.play(scene)))
    folder = tmp_path_factory.mktemp("bundle")
    save_golden(folder / "golden.npz", Golden(scene, frames))
    variant = Variant("onnxruntime", "float32", (graph,))
    write_bundle(
        folder / "tiny.eab", contract=contract, variants=(variant,),
        golden=folder / "golden.npz", tracks={}, provenance={},
    )  # fmt: skip
    return folder / "tiny.eab"


@pytest.mark.slow
def test_a_bench_on_boards_gives_a_labelled_report_of_each(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_board(tmp_path, monkeypatch)
    notes = Notes()
    good, bad = bench_on(
        [bundle], ["ssh://pi@board", "ssh://gone"],
        out=tmp_path / "report.json", quick=True, progress=notes, connect=_connect,
    )  # fmt: skip
    assert isinstance(bad.error, DeviceFailed)
    assert good.report is not None
    assert good.report.variants[0].failure is None
    assert good.report.variants[0].drift is not None
    assert good.report.variants[0].drift.ssim_worst == 1.0
    assert good.path == tmp_path / "report.pi-board.json"
    assert load_report(good.path) == good.report
    assert any("profile" in note for note in notes.steps)
    picture = good.report.variants[0].worst_picture
    assert picture is not None
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


class _Gone(Remote):
    """A host that is switched off."""

    def run(self, call: Call) -> dict[str, bytes]:
        del call
        raise DeviceFailed("It is not there.", where=self.host.label)


def _connect(host: SshHost, progress: Progress) -> Remote:
    return (Remote if host.host == "board" else _Gone)(host, progress)


def test_a_place_that_fails_unforeseen_does_not_cost_the_others_theirs(
    bundle: Path, tmp_path: Path
) -> None:
    class Odd(Remote):
        """A host with which something goes wrong that nobody thought of."""

        def run(self, call: Call) -> dict[str, bytes]:
            del call
            raise ZeroDivisionError(self.host.host)

    on = ["ssh://odd", "ssh://gone"]
    odd, gone = bench_on(
        [bundle], on, out=tmp_path / "r.json",
        connect=lambda host, progress: (Odd if host.host == "odd" else _Gone)(host, progress),
    )  # fmt: skip
    assert isinstance(odd.error, DeviceFailed)
    assert "ZeroDivisionError: odd" in str(odd.error)
    assert "It is not there" in str(gone.error)


@pytest.mark.parametrize("on", [["local"], ["local", "ssh://gone"]])
def test_a_report_that_cannot_be_written_is_there_all_the_same(
    on: list[str], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DeviceFailed("The disk is full.")

    report = build_report()
    monkeypatch.setattr("edgeanim.pipeline.on.bench.bench", lambda *_, **__: report)
    monkeypatch.setattr("edgeanim.pipeline.on.bench.save_report", full)
    placed = bench_on(bundle, on, out=tmp_path / "r.json", connect=_connect)[0]
    assert (placed.report, placed.path, placed.exit_code) == (report, None, 5)
    assert str(placed.error) == "The disk is full."


@pytest.mark.parametrize(
    ("end", "stopped"),
    [
        (KeyboardInterrupt(), True),
        (SystemExit(128 + signal.SIGTERM), True),
        (SystemExit(128 + signal.SIGHUP), False),
    ],
)
def test_what_ends_us_ends_the_runs_there_but_a_closed_terminal_does_not(
    bundle: Path, end: BaseException, stopped: bool
) -> None:
    """A cancelled job must leave no board busy for the next one."""
    told: list[str] = []

    class Ended(Remote):
        def run(self, call: Call) -> dict[str, bytes]:
            del call
            raise end

        def stop(self, call: Call) -> None:
            told.append(call.function)

    with pytest.raises(type(end)):
        bench_on(bundle, "ssh://pi@board", connect=Ended)
    with pytest.raises(type(end)):
        deploy(bundle, to="ssh://pi@board", connect=Ended)
    assert told == (["bench", "install"] if stopped else [])


def test_a_deployed_bundle_plays_there(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = fake_board(tmp_path, monkeypatch)
    deployed = deploy(bundle, to="ssh://pi@board")
    there = deployed.installed
    assert there.variant == "onnxruntime-float32"
    assert there.ssim == pytest.approx(1.0)
    assert (board.folder / "bundles" / "tiny.eab").read_bytes() == bundle.read_bytes()
    assert deployed.play.startswith("ssh -l pi board ")
    done = subprocess.run(
        [there.command, "boards", "local", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["name"] == "local"


PICTURE = (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("role", "output", "animates"),
    [
        ("still", TensorSpec("made", "frame", PICTURE, "NCHW", range=(0.0, 1.0)), False),
        ("driving_frame", TensorSpec("flow", "flow", (1, 2, 16, 16), "NCHW"), True),
    ],
)
def test_a_still_and_inputs_are_asked_for_where_the_model_takes_them(
    role: str, output: TensorSpec, animates: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = TensorSpec("image", role, PICTURE, "NCHW", range=(0.0, 1.0))
    mood = TensorSpec("mood", "condition:mood", (1, 4))
    spec = GraphSpec("net", "net.onnx", "frame", (image, mood), (output,))
    artifact = GraphArtifact(spec, tmp_path / "net.onnx")
    graph = get_backend("null").compile(artifact, load_board("local"), tmp_path)
    write_bundle(
        tmp_path / "net.eab", contract=Contract("net", (spec,)), golden=None, tracks={},
        variants=[Variant("null", "float32", (graph,))], provenance={},
    )  # fmt: skip
    fake_board(tmp_path, monkeypatch)
    line = deploy(tmp_path / "net.eab", to="ssh://pi@board").play
    assert ("--still" in line) == animates
    assert "--input mood=FILE.npy" in line


def test_what_a_deployment_did_before_its_link_was_lost_is_not_taken_for_one_made_now(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(Remote):
        def _finish(self, link: Link, call: Call, end: Mapping[str, Any]) -> dict[str, bytes]:
            del link, call, end
            raise LinkLost("The link was lost.")

    board = fake_board(tmp_path, monkeypatch)
    there = board.folder / "bundles" / "tiny.eab"
    lost = partial(Lost, retry_s=())
    with pytest.raises(DeviceFailed, match="goes on there"):
        deploy(bundle, to="ssh://pi@board", connect=lost)
    there.write_bytes(b"another, deployed meanwhile")
    deploy(bundle, to="ssh://pi@board")
    assert there.read_bytes() == bundle.read_bytes()


def test_a_bundle_that_shows_something_else_there_is_not_installed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bundle(bundle) as opened:
        assert opened.golden is not None
        golden = load_golden(opened.golden)
        save_golden(tmp_path / "golden.npz", Golden(golden.scene, 255 - golden.frames))
        write_bundle(
            tmp_path / "other.eab", contract=opened.contract, variants=opened.variants,
            golden=tmp_path / "golden.npz", tracks={}, provenance={},
        )  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(DeviceFailed, match="does not show what it should: SSIM"):
        install(tmp_path / "other.eab")
    assert not (tmp_path / "home").exists()
    assert install(bundle).ssim == pytest.approx(1.0)
    assert (tmp_path / "home/.edgeanim/bundles/tiny.eab").read_bytes() == bundle.read_bytes()


def test_a_bundle_without_golden_frames_is_deployed_unproven(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bundle(bundle) as opened:
        write_bundle(
            tmp_path / "bare.eab", contract=opened.contract, variants=opened.variants,
            golden=None, tracks={}, provenance={},
        )  # fmt: skip
    fake_board(tmp_path, monkeypatch)
    assert deploy(tmp_path / "bare.eab", to="ssh://pi@board").installed.ssim is None


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"frames": "photos"}, "--frames"),
        ({"inputs": {"style": Path("style.npy")}}, "--input: A bundle .* compile the original"),
        ({"fps": 25.0}, "--fps.*stream"),
        ({"fps": 25.0, "scenarios": ("soak",)}, "--fps.*stream"),
        ({"duration": 60.0, "scenarios": ("cold",)}, "--duration.*soak"),
    ],
)
def test_what_a_bench_would_not_heed_is_refused(
    given: dict[str, Any], option: str, bundle: Path
) -> None:
    for place in ("local", "ssh://pi@board", "emulated:haswell"):
        with pytest.raises(UsageError, match=option):
            bench_on([bundle], [place], **given)
    with pytest.raises(UsageError, match=option):
        bench([bundle], **given)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"scenarios": ("stream",), "fps": 25.0}, "--scenario"),
        ({"board": "raspberry-pi-5"}, "--board"),
        ({"threads": 2}, "--threads"),
        ({"quick": True}, "--quick"),
        ({"retries": 1}, "--retries"),
    ],
)
def test_what_emulation_would_not_heed_is_refused(
    given: dict[str, Any], option: str, bundle: Path
) -> None:
    with pytest.raises(UsageError, match=f"{option}: Emulation measures no time"):
        bench_on([bundle], ["emulated:haswell"], **given)


def test_what_cannot_be_pushed_is_refused_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        bench_on([tmp_path / "absent.eab"], ["ssh://pi@board"])
    places = ["ssh://pi@pi4", "ssh://pi-pi4"]
    with pytest.raises(UsageError, match=r"pi@pi4 and pi-pi4 .* one file, report.pi-pi4.json"):
        bench_on([tmp_path / "absent.eab"], places, out=tmp_path / "report.json")
    with pytest.raises(UsageError, match=r"given twice.*Leave one"):
        bench_on([tmp_path / "absent.eab"], ["ssh://pi@board", "ssh://pi@board"])
    with pytest.raises(UsageError, match="not a host"):
        deploy(tmp_path / "x.eab", to="local")


@pytest.mark.parametrize("named", [".", ".."])
def test_a_folder_of_frames_may_be_named_by_dots(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos" / "in"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "a.png").touch()
    (tmp_path / "net.tflite").touch()
    monkeypatch.chdir(folder)
    call = bench_call(Benched((tmp_path / "net.tflite",), named, {}, None, "local"), {})
    frames = str(call.options["frames"]).removeprefix(far_end.PUSHED)
    assert f"{frames}/a.png" in call.files.files
    for name in call.files.files:
        stub.below(Path("in"), name)


def test_the_far_end_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "call.json").write_text(json.dumps({"function": "erase", "options": {}}))
    far_end.main()
    record = json.loads((tmp_path / "done.json").read_text())
    assert record["error"]["class"] == "BadInput"
    with pytest.raises(BadInput):
        far_end.bench_here(
            {"subjects": ["x.eab"], "variants": [], "inputs": {}, "frames": None}, SILENT
        )
