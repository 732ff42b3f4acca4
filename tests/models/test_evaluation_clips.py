"""Which clips are scored, what of them is looked at, and how the sets are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from click.testing import CliRunner
from PIL import Image

from edgeanim import api
from edgeanim.cli.evaluate import command
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import write_text
from edgeanim.core.parsing import to_plain
from edgeanim.graph.pytorch.module_weights import save_weights
from edgeanim.models.animator import Animator
from edgeanim.models.evaluation import sets
from edgeanim.models.evaluation.clips import _MAX_FRAMES, clip_frames, find_clips
from edgeanim.models.evaluation.sets import _CLIP_FRAMES
from edgeanim.models.shipped_files import ARCHITECTURE, WEIGHTS
from tests.models.notes import Notes
from tests.models.tiny_training import TINY


def write_gif(path: Path, frames: int = 4, *, plain: bool = False) -> Path:
    """A wide animation: noise, or a block that moves over plain ground near its left edge."""
    rng = np.random.default_rng(len(path.stem))
    pictures = []
    for index in range(frames):
        if plain:
            picture = np.full((64, 128, 3), 255, np.uint8)
            picture[20:40, 2 + index : 22 + index] = (200, 30, 30)
        else:
            picture = rng.integers(0, 255, (64, 128, 3)).astype(np.uint8)
        pictures.append(Image.fromarray(picture))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("people/anna", "people/bert", "birds/anna"):
        write_gif(tmp_path / f"{name}.gif")
    return tmp_path


def test_files_and_folders_are_found_and_names_choose_among_them(folders: Path) -> None:
    places = [folders / "people", folders / "birds" / "anna.gif"]
    assert [p.relative_to(folders).as_posix() for p in find_clips(places)] == [
        "people/anna.gif",
        "people/bert.gif",
        "birds/anna.gif",
    ]
    assert [p.parent.name for p in find_clips(places, ["anna"])] == ["people", "birds"]


def test_a_name_that_no_clip_has_is_an_error_and_not_left_out(folders: Path) -> None:
    with pytest.raises(UsageError, match="'berta'") as caught:
        find_clips([folders / "people"], ["berta"])
    assert "bert" in str(caught.value.hint)


def test_a_folder_without_clips_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no clips"):
        find_clips([tmp_path])


def test_what_is_drawn_on_plain_ground_is_shown_whole_and_a_filmed_one_filled(
    tmp_path: Path,
) -> None:
    drawn = clip_frames(write_gif(tmp_path / "drawn.gif", plain=True))
    assert (drawn.pictures[0] != 255).any(axis=-1)[:, :60].any()  # the middle square begins at 64
    filmed = clip_frames(write_gif(tmp_path / "filmed.gif"))
    top = filmed.pictures[0][:8].astype(int)
    assert np.abs(np.diff(top, axis=0)).mean() > 1  # no edge repeated above it


def test_a_single_picture_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two frames"):
        clip_frames(write_gif(tmp_path / "one.gif", 1))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_weights(Animator(TINY), folder / WEIGHTS)
    write_text(folder / ARCHITECTURE, tomli_w.dumps(to_plain(TINY)))
    return folder


def test_sets_are_named_by_folder_and_clip_and_their_folders_have_means(
    folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "PUPPETS", 1)
    arguments = [str(weights), "--size", "64"]
    for place in ("people", "birds/anna.gif"):
        arguments += ["--clips", str(folders / place)]
    result = CliRunner().invoke(command, [*arguments, "--names", "anna, bert"])
    assert result.exit_code == 0, result.output
    first = result.stdout.split("\n\n")[0]
    names = [line.split("  ")[0] for line in first.splitlines()]
    assert names[0] == "set"
    assert names[2:6] == ["puppets", "people/anna", "people/bert", "birds/anna"]
    assert names[6:8] == ["people: mean", "mean"]
    assert names[8].startswith("least: ")


def test_json_holds_the_main_score(
    folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "PUPPETS", 1)
    arguments = [str(weights), "--clips", str(folders / "birds"), "--size", "64"]
    scores = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)["scores"]
    for score in scores:
        lost = 1 - score["still"]["moving"]
        for key, made in (("won", "animator"), ("won_affine", "affine")):
            won_back = score[made]["moving"] - score["still"]["moving"]
            assert score[key] == pytest.approx(won_back / lost)


@pytest.mark.parametrize(("size", "instead"), [(65, 64), (3, 4), (0, 4), (-4, 4)])
def test_pictures_of_which_masks_are_no_quarter_are_refused(
    size: int, instead: int, folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "PUPPETS", 1)
    with pytest.raises(UsageError, match=rf"--size.*multiple of 4\. Take {instead}\."):
        api.evaluate(weights, clips=folders / "birds", size=size)


def test_a_clip_that_cannot_be_read_is_told_before_anything_is_scored(
    folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "score_set", None)
    (folders / "birds" / "empty.mp4").touch()
    with pytest.raises(BadInput, match="empty"):
        api.evaluate(weights, clips=folders / "birds", size=64)


def test_a_clip_that_breaks_off_is_told_before_anything_is_scored(
    folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "score_set", None)
    whole = write_gif(folders / "cut.gif", 8).read_bytes()
    (folders / "birds" / "cut.gif").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(BadInput, match="cut off"):
        api.evaluate(weights, clips=folders / "birds", size=64)


def test_a_clip_that_is_given_by_dots_is_called_by_its_folder_all_the_same(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders / "people" / "below").mkdir()
    monkeypatch.chdir(folders / "people" / "below")
    (found,) = sets.shot_sets(puppets=0, clips=[Path("../anna.gif")])
    assert found.name == "people/anna"  # it was ../anna


def test_while_a_set_is_scored_its_characters_are_counted(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "PUPPETS", 3)
    progress = Notes()
    api.evaluate(weights, size=64, progress=progress)
    assert progress.notes[:3] == ["puppets, 1", "puppets, 2", "puppets, 3"]


def test_evaluate_takes_one_clip_as_it_is(
    folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "PUPPETS", 1)
    scores = api.evaluate(weights, clips=folders / "birds" / "anna.gif", size=64).scores
    assert [score.group for score in scores] == ["puppets", "birds"]


def test_the_help_says_how_much_of_a_clip_is_looked_at():
    said = " ".join((command.help or "").split())
    assert f"{_CLIP_FRAMES} frames spread over the rest" in said
    assert f"no more than the first {_MAX_FRAMES} frames" in said
