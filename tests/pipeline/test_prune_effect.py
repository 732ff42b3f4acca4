"""Where pruning stops short it names what holds the rest, and what would help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from edgeanim import api
from edgeanim.core.errors import UsageError
from edgeanim.core.recipe import PruneSpec

SHAPES = {"picture": (1, 3, 32, 32)}


def conv(read: int, made: int) -> nn.Conv2d:
    return nn.Conv2d(read, made, 3, padding=1)


class Recurrent(nn.Module):  # type: ignore[misc]
    """Most of it counts on a state of 24 channels that it is given and gives."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.step, self.head = conv(3, 8), conv(24, 24), conv(8, 3)
        self.read, self.write = nn.Conv2d(8, 24, 1), nn.Conv2d(24, 8, 1)

    def forward(self, picture: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(picture).relu()
        memory = (self.step(memory) + self.read(x)).tanh()
        return self.head((x + self.write(memory)).relu()).sigmoid(), memory


class Volumes(nn.Module):  # type: ignore[misc]
    """A convolution of volumes amid those of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv(3, 16), conv(16, 3)
        self.inner = nn.Conv3d(4, 4, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.stem(picture).relu()
        x = self.inner(x.reshape(1, 4, 4, 32, 32)).reshape(1, 16, 32, 32)
        return self.head(x.relu()).sigmoid()


class Attentive(nn.Module):  # type: ignore[misc]
    """Attention of every place of a small map on every other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.ConvTranspose2d(8, 3, 4, stride=4)
        self.inner = conv(8, 8)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.inner(self.stem(picture).relu())
        rows = x.flatten(2)
        weights = (rows.transpose(1, 2) @ rows).softmax(-1)
        x = (rows @ weights.transpose(1, 2)).reshape(1, 8, 8, 8)
        return self.head(x).sigmoid()


class Crossed(nn.Module):  # type: ignore[misc]
    """Channels that are all scaled by one number."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = conv(3, 16), conv(16, 16), conv(16, 3)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.stem(picture).relu()
        x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-3)
        x = self.inner(x)
        return self.head(x / x.norm(dim=1, keepdim=True).clamp(min=1e-3)).sigmoid()


def refusal(net: nn.Module, shapes: Any, photos: Path, folder: Path, spec: PruneSpec) -> UsageError:
    api.export(net, shapes=shapes, out=folder / "net")
    with pytest.raises(UsageError) as caught:
        api.prune(folder / "net", calib=photos, out=folder / "pruned", spec=spec)
    return caught.value


def spec(ratio: float, unit: int) -> PruneSpec:
    return PruneSpec(ratio=ratio, round_to=unit, importance="magnitude", rounds=1, steps=0)


def test_a_state_is_named_with_its_share(photos: Path, tmp_path: Path) -> None:
    shapes = {**SHAPES, "memory": (1, 24, 32, 32)}
    error = refusal(Recurrent(), shapes, photos, tmp_path, spec(0.6, 1))
    assert "is carried from frame to frame" in error.what
    assert "86% of a frame's multiply-accumulates" in error.what
    assert error.hint == "Ask for less with --ratio."


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (Volumes, "a Conv3d loses no channels"),
        (Attentive, "products of two values"),
        (Crossed, "ReduceL2 '"),
    ],
)
def test_layers_that_lose_no_channels_are_named(
    net: type[nn.Module], named: str, photos: Path, tmp_path: Path
) -> None:
    assert named in refusal(net(), SHAPES, photos, tmp_path, spec(0.9, 1)).what


def test_what_cannot_go_is_refused_before_anything_is_pruned(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the minutes that pruning takes to say so."""

    def cut(*_: object) -> None:
        raise AssertionError("pruned")

    plain = nn.Sequential(conv(3, 16), nn.ReLU(), conv(16, 16), nn.ReLU(), conv(16, 3))
    api.export(plain, shapes=SHAPES, out=tmp_path / "net")
    monkeypatch.setattr("edgeanim.pipeline.pruner.Pruner.cut", cut)
    with pytest.raises(UsageError, match=r"Only \d+% of .* not 80%"):
        api.prune(tmp_path / "net", calib=photos, out=tmp_path / "p", spec=spec(0.8, 8))
    with pytest.raises(AssertionError, match="pruned"):
        api.prune(tmp_path / "net", calib=photos, out=tmp_path / "p", spec=spec(0.4, 8))


def test_a_lower_multiple_is_advised_only_where_more_goes_with_it(
    photos: Path, tmp_path: Path
) -> None:
    plain = nn.Sequential(conv(3, 16), nn.ReLU(), conv(16, 16), nn.ReLU(), conv(16, 3))
    error = refusal(plain, SHAPES, photos, tmp_path, spec(0.8, 8))
    assert "between channels that cannot go" not in error.what
    assert "All layers keep at least" in error.what
    assert "or lower --round-to, with which up to 95% can go" in str(error.hint)


def test_only_a_lower_multiple_is_advised_where_no_ratio_would_do(
    photos: Path, tmp_path: Path
) -> None:
    plain = nn.Sequential(conv(3, 12), nn.ReLU(), conv(12, 3))
    error = refusal(plain, SHAPES, photos, tmp_path, spec(0.2, 16))
    assert error.hint == "Lower --round-to."
