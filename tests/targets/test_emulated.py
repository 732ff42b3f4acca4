"""Emulation: what is fetched is said, nothing is fetched unasked, no time is shown."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgeanim.benchmarks.emulation import Emulation, agreement, emulate
from edgeanim.benchmarks.results.result import ModelRecord
from edgeanim.benchmarks.runner import Subject
from edgeanim.cli.emulate import command
from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.contract import Contract
from edgeanim.core.errors import DeviceFailed, MissingComponent, UsageError
from edgeanim.core.parsing import to_plain
from edgeanim.pipeline.on.emulated import set_up_emulation
from edgeanim.pipeline.on.golden import first_frames
from edgeanim.report.emulation import emulation_table
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.machine import read_machine
from edgeanim.targets.on import emulator_setup
from edgeanim.targets.on.emulator import (
    PROCESSORS,
    Emulator,
    boot,
    find_emulator,
    find_python,
    get_processor,
)
from edgeanim.targets.on.emulator_setup import plan, set_up, wheel_command
from tests.cli.called import edgeanim
from tests.targets.conftest import SPEC
from tests.targets.far_end import script

RECORD = ModelRecord("tiny", "a" * 64, None)


@pytest.mark.parametrize("name", [n for n, p in PROCESSORS.items() if p.arch == "aarch64"])
def test_the_cpuinfo_of_a_board_is_that_of_its_processor(name: str, tmp_path: Path) -> None:
    processor = PROCESSORS[name]
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(processor.cpuinfo())
    machine = read_machine(tmp_path, arch="aarch64", affinity=4)
    board = processor.load_board()
    assert set(machine.cpu_features) == set(board.cpu_features)
    assert processor.cpuinfo().count("CPU part") == board.cores
    # SDOT and half precision are what the runtimes look for.
    assert ("asimddp" in machine.cpu_features) == (processor.part == 0xD0B)


def test_the_newest_python_of_a_userland_is_taken(tmp_path: Path) -> None:
    assert find_python(tmp_path) is None
    programs = tmp_path / "usr" / "bin"
    programs.mkdir(parents=True)
    for name in ("python3.9", "python3.11", "python3.11-config", "python3"):
        (programs / name).touch()
    assert find_python(tmp_path) == programs / "python3.11"


def test_an_unknown_processor_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="raspberry-pi-4"):
        get_processor("raspberry-pi4")


def _fake_qemu(folder: Path, arch: str, body: str) -> Path:
    """A QEMU that knows its models and otherwise does `body` with the Python command as "$@"."""
    models = " ".join(processor.model for processor in PROCESSORS.values())
    return script(
        folder / f"qemu-{arch}-static",
        f'#!/bin/sh\n[ "$2" = help ] && {{ echo "{models}"; exit; }}\n'
        f'while :; do case "$1" in -*) shift 2;; *) break;; esac; done\n{body}\n',
    )


def _userland(folder: Path) -> None:
    python = folder / "aarch64" / "usr" / "bin" / "python3.11"
    script(python, f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "site").mkdir()


def _all_set_up(folder: Path) -> None:
    for arch in ("x86_64", "aarch64"):
        _fake_qemu(folder, arch, 'exec "$@"')
    _userland(folder)


def test_nothing_is_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(emulator_setup, "_run", fetched)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match="edgeanim emulate setup raspberry-pi-4"):
        find_emulator("raspberry-pi-4", tmp_path)
    asked: list[object] = []
    with pytest.raises(UsageError, match="Nothing was fetched"):
        set_up_emulation("raspberry-pi-4", root=tmp_path, agree=lambda s: bool(asked.append(s)))
    assert [step.megabytes > 0 for step in asked[0]] == [True] * 3  # type: ignore[attr-defined]
    with pytest.raises(MissingComponent, match="apt-get"):
        set_up(PROCESSORS["haswell"], tmp_path)
    assert plan(PROCESSORS["raspberry-pi-4"], tmp_path) == asked[0]


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    assert "an aarch64 userland with Python" in {
        step.what for step in plan(PROCESSORS["raspberry-pi-5"], tmp_path)
    }
    _fake_qemu(tmp_path, "aarch64", 'exec "$@"')
    _userland(tmp_path)
    assert plan(PROCESSORS["raspberry-pi-5"], tmp_path) == ()


def test_where_it_is_set_up_is_told_to_machines(tmp_path: Path) -> None:
    _all_set_up(tmp_path)
    done = edgeanim("emulate", "setup", "haswell", "--root", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["path"]).is_dir()


def test_a_failed_fetch_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin/apt-get", "#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(emulator_setup, "find_qemu", lambda *_: None)
    with pytest.raises(DeviceFailed, match="apt-get failed: E: no network"):
        set_up(PROCESSORS["haswell"], tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_wheels_are_chosen_as_the_board_would_choose_them() -> None:
    line = wheel_command("aarch64", "3.11", Path("/x"))
    assert "--only-binary=:all:" in line
    assert "manylinux_2_28_aarch64" in line
    assert not any("x86_64" in word for word in line[1:])
    assert {"cp311", "abi3"} <= set(line)
    names = " ".join(line)
    for wanted in ("numpy>=", "onnxruntime", "openvino>=", "ai-edge-litert>="):
        assert wanted in names
    assert "torch" not in names


def test_each_processor_has_its_own_machine_over_one_userland(tmp_path: Path) -> None:
    _fake_qemu(tmp_path, "aarch64", 'exec "$@"')
    _userland(tmp_path)
    four, five = (find_emulator(f"raspberry-pi-{n}", tmp_path) for n in (4, 5))
    for emulator, part in ((four, "0xd08"), (five, "0xd0b")):
        assert emulator.userland is not None
        assert part in (emulator.userland / "proc" / "cpuinfo").read_text()
        assert emulator.python.samefile(tmp_path / "aarch64/usr/bin/python3.11")
        words = emulator.command("-m", "x")
        assert words[words.index("-cpu") + 1] == emulator.processor.model
        assert words[words.index("-L") + 1] == str(emulator.userland)
        assert words[:2] == ("/usr/bin/env", "-i")


@pytest.mark.parametrize("name", ["haswell", "raspberry-pi-4"])
def test_a_folder_named_from_here_is_found_by_workers_that_run_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _all_set_up(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "code:/there")
    emulator = find_emulator(name, Path())
    for path in (emulator.qemu, emulator.python, emulator.userland, *emulator.path):
        assert path is None or path.is_absolute()
    (places,) = (w for w in emulator.command("x") if w.startswith("PYTHONPATH="))
    assert all(p.startswith("/") for p in places.removeprefix("PYTHONPATH=").split(":"))


def test_a_qemu_that_cannot_be_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    qemu = _fake_qemu(tmp_path, "x86_64", 'exec "$@"')
    qemu.write_bytes(b"\x7fELF of another machine")
    with pytest.raises(MissingComponent, match="emulate setup haswell"):
        find_emulator("haswell", tmp_path)
    qemu.chmod(0o644)
    assert plan(PROCESSORS["haswell"], tmp_path)


def test_a_python_that_dies_there_is_a_finding(tmp_path: Path) -> None:
    qemu = _fake_qemu(tmp_path, "x86_64", 'echo "uncaught target signal 4" >&2; exit 132')
    emulator = Emulator(PROCESSORS["haswell"], qemu, Path(sys.executable), None, ())
    with pytest.raises(DeviceFailed, match="uncaught target signal 4"):
        boot(emulator)


@pytest.fixture
def scene(
    compiled: Callable[..., CompiledGraph], pictures: np.ndarray, tmp_path: Path
) -> tuple[Subject, Path]:
    graph = compiled("onnxruntime")
    contract = Contract("tiny", (SPEC,))
    session = get_backend("onnxruntime").load(graph, SessionOptions())
    with Player(contract, {"tiny": session}) as player:
        whole = Scene(driver=pictures)
        golden = Golden(whole, np.stack(list(player.play(whole))))
    save_golden(tmp_path / "golden.npz", first_frames(golden, 2))
    return Subject("onnxruntime-float32", contract, (graph,)), tmp_path / "golden.npz"


def _emulate(scene: tuple[Subject, Path], emulator: Emulator) -> Emulation:
    subject, golden = scene
    return emulate([subject], golden, emulator, "x86_64 3.11", model=RECORD)


def test_a_stand_in_for_an_emulator_agrees_with_itself(
    scene: tuple[Subject, Path], tmp_path: Path
) -> None:
    qemu = _fake_qemu(tmp_path, "x86_64", 'exec "$@"')
    code = Path(__file__).resolve().parents[2]
    emulator = Emulator(PROCESSORS["haswell"], qemu, Path(sys.executable), None, (code,))
    (variant,) = (result := _emulate(scene, emulator)).variants
    assert variant.agreement is not None
    assert (variant.frames, variant.agreement.equal_frames) == (2, 2)
    assert variant.agreement.max_levels == 0
    assert result.exit_code == 0
    # No time anywhere, neither for people nor for machines.
    shown = json.dumps(to_plain(result)) + emulation_table([result])
    assert "_ms" not in shown
    assert '_s"' not in shown


def test_a_runtime_that_dies_there_is_reported(scene: tuple[Subject, Path], tmp_path: Path) -> None:
    qemu = _fake_qemu(tmp_path, "x86_64", "kill -ILL $$")
    emulator = Emulator(PROCESSORS["haswell"], qemu, Path(sys.executable), None, ())
    (variant,) = (result := _emulate(scene, emulator)).variants
    assert variant.failure is not None
    assert "instruction that this CPU does not have" in variant.failure.message
    assert variant.here is not None
    assert (result.exit_code, variant.agreement) == (5, None)
    assert "failed on Intel Haswell" in emulation_table([result])


def test_agreement_counts_levels_and_frames() -> None:
    a = np.full((3, 16, 16, 3), 100, np.uint8)
    b = a.copy()
    b[1, 2, 3, 1] = 107
    found = agreement(a, b)
    assert (found.equal_frames, found.max_levels) == (2, 7)
    assert found.ssim_mean < 1


def test_the_first_golden_frames_keep_their_scene(pictures: np.ndarray) -> None:
    frames = pictures[:4]
    track = MotionTrack(np.zeros((4, 2, 6), np.float32), 25.0)
    cut = first_frames(Golden(Scene(pictures[0], None, track), frames), 3)
    assert cut.scene.track is track
    assert len(cut.frames) == 3
    still = Golden(Scene(pictures[0]), frames)
    assert first_frames(still, 1) is still


def test_the_command_says_what_it_would_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(command, ["setup", "raspberry-pi-4", "--root", str(tmp_path)], "n\n")
    assert isinstance(done.exception, UsageError)
    assert "about 150 MB" in done.output
    assert list(tmp_path.iterdir()) == []
    done = CliRunner().invoke(command, ["check", "net.eab", "--root", str(tmp_path)])
    assert isinstance(done.exception, MissingComponent)
    assert "edgeanim emulate setup" in str(done.exception)
    assert "emulate setup haswell" in CliRunner().invoke(command, ["list"]).output


def _check(
    arguments: list[str], outcomes: dict[str, BaseException | None], monkeypatch: pytest.MonkeyPatch
) -> tuple[Result, list[str]]:
    """What `emulate check` ends in where each processor ends as `outcomes` says, and which ran."""
    ran = []

    def play(_: object, name: str, **__: object) -> Emulation:
        ran.append(name)
        if (error := outcomes[name]) is not None:
            raise error
        board = PROCESSORS[name].board
        return Emulation("edgeanim.emulation/1", name, f"of {name}", board, "3", RECORD, ())

    monkeypatch.setattr("edgeanim.pipeline.on.emulated.emulate_bundle", play)
    words = [word for name in outcomes for word in ("--processor", name)]
    return CliRunner().invoke(command, ["check", "net.eab", *words, *arguments]), ran


def test_no_processor_is_played_on_before_all_are_known_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_qemu(tmp_path, "x86_64", 'exec "$@"')
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, kind in (("raspbery-pi-4", UsageError), ("raspberry-pi-4", MissingComponent)):
        done, ran = _check(["--root", str(tmp_path)], {"haswell": None, name: None}, monkeypatch)
        assert isinstance(done.exception, kind)
        assert ran == []


@pytest.mark.parametrize("error", [DeviceFailed("Python does not start."), KeyboardInterrupt()])
def test_what_a_processor_showed_is_told_though_the_next_one_fails(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _all_set_up(tmp_path)
    outcomes = {"haswell": None, "raspberry-pi-4": error}
    done, ran = _check(["--json", "--root", str(tmp_path)], outcomes, monkeypatch)
    assert done.exit_code != 0
    assert ran == list(outcomes)
    assert [row["processor"] for row in json.loads(done.stdout)] == ["haswell"]


@pytest.fixture(scope="session")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where emulation is set up: a folder of the user's, else one into which QEMU is fetched, which
    takes seconds and is all that a processor of this machine's architecture needs."""
    if root := os.environ.get("EDGEANIM_EMULATION"):
        return Path(root)
    folder = tmp_path_factory.mktemp("emulation")
    try:
        return set_up(PROCESSORS["haswell"], folder)
    except (MissingComponent, DeviceFailed) as error:
        pytest.skip(f"{error} Install qemu-user-static, or {_BY_FOLDER}.")


_BY_FOLDER = "name in EDGEANIM_EMULATION a folder that `edgeanim emulate setup` has filled"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PROCESSORS))
def test_a_small_model_plays_on_the_real_emulator(
    name: str, scene: tuple[Subject, Path], emulation: Path
) -> None:
    try:
        emulator = find_emulator(name, emulation)
    except MissingComponent as error:
        pytest.skip(f"{error} To run it here, {_BY_FOLDER}.")
    (variant,) = _emulate(scene, emulator).variants
    assert variant.failure is None
    assert variant.agreement is not None
    assert variant.agreement.max_levels <= 1
    assert dataclasses.asdict(variant)["drift"]["ssim_mean"] > 0.999
