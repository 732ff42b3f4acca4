"""Adapting an animator to a character of one's own, and using what a training left as a model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch

from edgeanim import api
from edgeanim.cli.train import command
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.progress import Silent
from edgeanim.core.store import Store
from edgeanim.models import adapt
from edgeanim.models.animator import load_animator
from edgeanim.models.train import train
from edgeanim.models.training.config import DataConfig, Phase, Precision, TrainConfig
from edgeanim.models.training.run import Training
from edgeanim.pipeline import training as pipeline
from edgeanim.targets.machine import Machine
from tests.models.tiny_training import TINY

SHORT = (Phase(2, batch=2, sizes=(64,)),)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "me.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 96))
    rng = np.random.default_rng(0)
    for _ in range(4):
        writer.write(rng.integers(0, 255, (96, 96, 3), np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = TrainConfig(
        model=TINY, data=DataConfig(puppets=2, moments=2), regions=SHORT, generator=SHORT
    )
    return train(config, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def _briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapting takes two steps."""
    plan = adapt.adaptation

    def short(*args: object, **options: object) -> TrainConfig:
        config = plan(*args, **options)  # type: ignore[arg-type]
        data = replace(config.data, puppets=1)
        return replace(config, data=data, regions=SHORT, generator=SHORT)

    monkeypatch.setattr(adapt, "adaptation", short)


@pytest.mark.usefixtures("_briefly")
def test_an_animator_adapts_to_a_clip_from_the_weights_it_is_given(
    clip: Path, trained: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    done = api.adapt(clip, tmp_path / "mine", start=trained, threads=1)
    assert torch.get_num_threads() == 2  # as the program had it
    assert load_animator(done.folder).config == TINY
    assert "me" in (done.folder / "train.toml").read_text()
    scores = [api.evaluate(each, clips=clip).scores[1].won for each in (trained, done.folder)]
    (learned,) = done.clips
    assert learned.name == "me"
    assert (learned.before, learned.after) == pytest.approx(scores, abs=1e-4)


@pytest.mark.usefixtures("_briefly")
def test_it_is_told_what_it_learned(
    clip: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(still), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 96))
    for _ in range(3):
        writer.write(np.full((96, 96, 3), 90, np.uint8))
    writer.release()
    given = ["--clips", str(clip.parent), "--from", str(trained), "-o", str(tmp_path / "mine")]
    command.main([*given, "--threads", "1"], standalone_mode=False)
    said = capsys.readouterr().out
    assert re.search(r"^me: won back -?\d\.\d\d before, -?\d\.\d\d now$", said, re.MULTILINE)
    assert "still: won back nothing (nothing moves) before" in said
    assert "on another clip tells more" in said
    command.main([*given, "--threads", "1", "--json"], standalone_mode=False)  # done already
    me, rests = json.loads(capsys.readouterr().out)["clips"]
    assert f"me: won back {me['before']:.2f} before, {me['after']:.2f} now" in said
    assert rests == {"name": "still", "before": None, "after": None}


def test_adapting_to_what_is_no_clip_says_so(tmp_path: Path, trained: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match=r"empty: There are no clips \(.*\.mp4"):
        api.adapt(empty, tmp_path / "mine", start=trained)
    with pytest.raises(BadInput, match=r"absent\.mp4: No such file"):
        api.adapt(tmp_path / "absent.mp4", tmp_path / "mine", start=trained)
    (tmp_path / "text.txt").write_text("no clip")
    with pytest.raises(BadInput, match=r"text\.txt: Clips are read from .*\.mp4"):
        api.adapt(tmp_path / "text.txt", tmp_path / "mine", start=trained)
    (tmp_path / "broken.mp4").write_text("no clip")
    with pytest.raises(BadInput, match=r"broken\.mp4: This is neither"):
        api.adapt(tmp_path / "broken.mp4", tmp_path / "mine", start=trained)
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_nothing_can_be_written_into_is_refused_before_the_processor_is_tried(
    clip: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial takes up to half a minute."""
    monkeypatch.setattr(adapt, "_seconds_of_a_step", Mock(side_effect=AssertionError("tried")))
    with pytest.raises(BadInput, match=r"me\.avi: This is a file; a folder is needed"):
        api.adapt(clip, clip / "mine", start=trained)


@pytest.mark.usefixtures("operators_read_once")
def test_adapting_without_a_thread_is_refused(clip: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="threads must be at least 1"):
        api.adapt(clip, tmp_path / "mine", start=trained, threads=0)


def test_what_a_training_left_is_a_model_for_every_command(trained: Path, tmp_path: Path) -> None:
    info = api.inspect(trained, store=Store(tmp_path / "store"))
    assert [graph.name for graph in info.contract.graphs] == ["regions", "encode", "animate"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "either a CONFIG.toml or --clips"),
        (["a.toml", "--clips", "b.mp4"], "either a CONFIG.toml or --clips"),
        (["a.toml", "--from", "shipped"], "go with --clips"),
    ],
)
def test_a_contradictory_train_is_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        command.main([*arguments, "-o", "out"], standalone_mode=False)


@pytest.mark.parametrize(
    ("seconds", "steps"), [(0.1, 1000), (0.45, 849), (0.5, 750), (1.0, 600), (60.0, 600)]
)
def test_a_slow_processor_adapts_in_fewer_steps(
    trained: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    monkeypatch.setattr(adapt, "_seconds_of_a_step", lambda *_: seconds)
    course = adapt.adaptation([Path("clips/me.mp4")], trained)
    pace = adapt.measured_pace(course, ["float32"])
    assert pace == adapt.Pace("float32", steps)
    course = adapt.adaptation([Path("clips/me.mp4")], trained, steps=pace.steps)
    assert sum(phase.steps for phase in course.generator) == steps


@pytest.mark.parametrize(
    ("full", "half", "precision"),
    [
        (0.5, 0.4, "bfloat16"),
        (0.4, 0.5, "float32"),
        (0.2, 0.1, "float32"),  # which has time for all steps, and learns more by each
        (5.0, 2.0, "bfloat16"),
        (2.0, 5.0, "float32"),
    ],
)
def test_adapting_computes_in_what_leaves_time_for_more_steps(
    trained: Path, monkeypatch: pytest.MonkeyPatch, full: float, half: float, precision: Precision
) -> None:
    seconds = {"float32": full, "bfloat16": half}
    monkeypatch.setattr(adapt, "_seconds_of_a_step", lambda course, _: seconds[course.precision])
    course = adapt.adaptation([Path("clips/me.mp4")], trained)
    assert adapt.measured_pace(course, ["float32", "bfloat16"]).precision == precision


def test_a_trial_takes_a_step_as_it_is_trained(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Mock(side_effect=adapt.generator_step)
    monkeypatch.setattr(adapt, "generator_step", taken)
    course = adapt.adaptation([Path("clips/me.mp4")], trained, threads=1)
    course = replace(course, generator=SHORT)
    assert adapt.measured_pace(course, ["float32"]).steps == adapt.MOST_STEPS
    batches = [call.args[1] for call in taken.call_args_list]
    assert {(len(batch.still), batch.still.shape[-1]) for batch in batches} == {
        (SHORT[0].batch, SHORT[0].sizes[0])
    }


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Adapting takes a hundredth of its steps, on one puppet. What was planned comes here."""
    plan, planned = adapt.adaptation, []

    def short(*args: object, **options: object) -> TrainConfig:
        config = plan(*args, **options)  # type: ignore[arg-type]
        phases = tuple(
            replace(phase, steps=phase.steps // 100, batch=1, sizes=(64,))
            for phase in config.generator
        )
        data = replace(config.data, puppets=1)
        planned.append(replace(config, data=data, regions=SHORT, generator=phases))
        return planned[-1]

    monkeypatch.setattr(adapt, "adaptation", short)
    return planned


@pytest.mark.usefixtures("briefly")
def test_an_adapting_that_has_begun_keeps_its_steps_and_its_precision(
    clip: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Mock(spec=Silent)
    for pace in (adapt.Pace("bfloat16", 700), adapt.Pace("float32", 1000)):
        monkeypatch.setattr(pipeline, "_pace", lambda *_, pace=pace: pace)
        api.adapt(clip, tmp_path / "mine", start=trained, threads=1, progress=told)
    titles = [call.args[0] for call in told.stage.call_args_list]
    assert titles.count("Adapting in bfloat16, 6 steps of all networks") == 2


@pytest.mark.parametrize(
    ("features", "tried"),
    [("avx512f", ["float32"]), ("avx512_bf16", ["float32", "bfloat16"])],
)
def test_bfloat16_is_tried_where_the_processor_multiplies_it(
    clip: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    features: str,
    tried: list[Precision],
) -> None:
    asked = []

    def refused(_: TrainConfig, precisions: Sequence[Precision]) -> adapt.Pace:
        asked.extend(precisions)
        raise UsageError("That is enough.")

    machine = Machine("x86_64", 2, 4096, (features,))
    monkeypatch.setattr(pipeline, "read_machine", lambda: machine)
    monkeypatch.setattr(adapt, "measured_pace", refused)
    with pytest.raises(UsageError):
        api.adapt(clip, tmp_path / "mine", start=trained, threads=1)
    assert asked == tried


def test_a_device_that_is_not_there_ends_with_its_code(trained: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    arguments = [str(trained / "train.toml"), "-o", str(tmp_path / "out"), "--device", "cuda"]
    with pytest.raises(DeviceFailed, match="no CUDA device"):
        command.main(arguments, standalone_mode=False)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def written() -> str:
    """A configuration as a user writes it, of a training of no time."""
    return (
        "# two puppets are enough\n"
        "regions = [{steps = 1, batch = 1, sizes = [64]}]\n"
        "generator = [{steps = 1, batch = 1, sizes = [64]}]\n"
        "[model]\nsize = 64\nregions = [8, 8, 8, 8, 8]\nencoder = [8, 8, 8]\n"
        "generator = [8, 8, 8]\n"
        "[data]\npuppets = 2\nmoments = 2\n"
    )


def test_a_configuration_that_lies_where_it_trains_keeps_its_comments(
    written: str, tmp_path: Path
) -> None:
    config = tmp_path / "train.toml"
    config.write_text(written)
    for _ in range(2):
        api.train(config, tmp_path)
        assert config.read_text() == written


def test_a_configuration_called_as_the_architecture_is_not_overwritten(
    written: str, tmp_path: Path
) -> None:
    config = tmp_path / "animator.toml"
    config.write_text(written)
    with pytest.raises(UsageError, match=r"animator\.toml: This is an input of the command"):
        api.train(config, tmp_path)
    assert config.read_text() == written
    assert [path.name for path in tmp_path.iterdir()] == ["animator.toml"]


def test_a_training_that_finds_no_memory_says_what_to_lower(
    clip: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Training, "take", lambda *_: torch.empty(1 << 50))
    with pytest.raises(DeviceFailed, match=r"needs more memory .* Lower `batch` or `sizes`"):
        api.train(trained / "train.toml", tmp_path / "out")
    with pytest.raises(DeviceFailed, match=r"needs more memory .* shorter clips"):
        api.adapt(clip, tmp_path / "mine", start=trained, threads=1)


@pytest.mark.parametrize("kind", ["adapt", "train"])
def test_without_pytorch_what_a_training_needs_is_told(
    kind: str, clip: Path, tmp_path: Path
) -> None:
    """Adapting told to install all that edgeanim always needs, and not PyTorch."""
    (tmp_path / "config.toml").touch()
    given = {"adapt": ["--clips", str(clip)], "train": [str(tmp_path / "config.toml")]}[kind]
    code = "import sys\nsys.modules['torch'] = None\nfrom edgeanim.cli.main import main\nmain()\n"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *given, "-o", str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "Training needs the package 'torch'" in done.stderr
