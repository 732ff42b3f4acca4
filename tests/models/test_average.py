"""Weights between those of two trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeanim.core.errors import UsageError
from edgeanim.core.files import write_text
from edgeanim.core.parsing import to_toml
from edgeanim.graph.pytorch.module_weights import save_weights
from edgeanim.models.animator import Animator, load_animator
from edgeanim.models.average import average, main
from edgeanim.models.config import AnimatorConfig
from edgeanim.models.shipped_files import ARCHITECTURE, WEIGHTS
from tests.models.tiny_training import TINY


def written(folder: Path, seed: int, config: AnimatorConfig = TINY) -> Path:
    """The folder of an animator with random weights, as a training leaves it."""
    folder.mkdir()
    torch.manual_seed(seed)
    save_weights(Animator(config), folder / WEIGHTS)
    write_text(folder / ARCHITECTURE, to_toml(config))
    return folder


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_every_weight_lies_between(tmp_path: Path, share: float) -> None:
    first, second = (written(tmp_path / name, seed) for seed, name in enumerate("ab"))
    assert main([str(first), str(second), "--share", str(share), "-o", str(tmp_path / "c")]) == 0
    ends = [load_animator(folder).state_dict() for folder in (first, second)]
    for name, value in load_animator(tmp_path / "c").state_dict().items():
        if value.is_floating_point():
            expected = (1 - share) * ends[0][name] + share * ends[1][name]
            torch.testing.assert_close(value, expected)


def test_networks_that_are_not_named_stay_as_they_are(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name, seed) for seed, name in enumerate("ab"))
    main([str(first), str(second), "--only", "regions", "-o", str(tmp_path / "c")])
    before, after = (load_animator(folder) for folder in (first, tmp_path / "c"))
    for network in ("encoder", "generator"):
        expected = before.get_submodule(network).state_dict()
        for name, value in after.get_submodule(network).state_dict().items():
            assert torch.equal(value, expected[name])
    moved = zip(before.regions.parameters(), after.regions.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in moved)


def test_animators_of_other_widths_have_no_average(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "a", 0)
    second = written(tmp_path / "b", 1, AnimatorConfig())
    assert main([str(first), str(second), "-o", str(tmp_path / "c")]) == 3
    assert "other widths" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["file", "file/within"])
def test_a_file_cannot_hold_an_animator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    first = written(tmp_path / "a", 0)
    (tmp_path / "file").touch()
    assert main([str(first), str(first), "-o", str(tmp_path / name)]) == 3
    assert "This is a file; a folder is needed" in capsys.readouterr().err


def test_a_share_beyond_the_ends_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="from 0 to 1"):
        average(tmp_path / "a", tmp_path / "b", tmp_path / "c", share=1.5)
