"""What a training does, as strict TOML. The weights that ship are the product of one such file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgeanim.core.choices import MAX_THREADS
from edgeanim.core.errors import BadInput
from edgeanim.core.parsing import load_toml, nearest, parse, to_plain
from edgeanim.models.config import SIZES, AnimatorConfig

CONFIG_FILE = "train.toml"
"""Where a training's folder says what it does."""
Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "cuda"]
"""Where a training runs: of the machine, not of the recipe, so no configuration has it."""


@dataclass(frozen=True)
class DataConfig:
    """`puppets` puppets seen at `moments` moments each. `clips` is a folder of real clips, of which
    those named in `clip_names` are used, for `clip_share` of each batch; with `weak_labels`, faces
    and hands found by colour teach the regions (`data.weak_labels`), and with `optical_flow` the
    flow that two frames show teaches the generator (`data.optical_flow`). Without `recolour_clips`
    the clips keep their colours, which one character always has; with `disguise_clips` they get
    other builds and backdrops, for people in general (`data.disguise`), and with `bend_clips` what
    moves in them is bent (`data.bends`).

    `datasets` are folders as `edgeanim dataset` makes them: of their training split, sequences
    whose masks are known join the puppets, the others the clips. With them, `puppets` may be 0.

    `cue = "off"` hides what changed since the frame before: an arm of `models.ablation`.
    """

    puppets: int = 1200
    moments: int = 4
    first_seed: int = 1000
    clips: Path | None = None
    clip_names: tuple[str, ...] = ()
    clip_share: float = 0.25
    weak_labels: bool = False
    optical_flow: bool = False
    recolour_clips: bool = True
    disguise_clips: bool = False
    bend_clips: bool = False
    datasets: tuple[Path, ...] | None = None
    cue: Literal["off"] | None = None

    def __post_init__(self) -> None:
        if self.puppets < (0 if self.datasets else 1) or self.moments < 2:
            raise ValueError("`puppets` must be at least 1 and `moments` at least 2")
        if self.first_seed < 0:
            raise ValueError("`first_seed` must be at least 0")
        if not 0 <= self.clip_share <= 1:
            raise ValueError("`clip_share` must lie between 0 and 1")
        if self.clip_names and self.clips is None:
            raise ValueError("`clip_names` needs the folder `clips`")
        if self.clips is not None and not self.clip_names:
            raise ValueError("the folder `clips` needs `clip_names`, those that are used")


MOST_STEPS, MOST_PAIRS, MOST_PIXELS = 1_000_000, 1024, 1024
"""Of a phase, of a batch, and of a side. Pairs by the million take all memory there is."""


@dataclass(frozen=True)
class Phase:
    """`steps` steps on batches of `batch` pairs, at each of `sizes` pixels in turn.

    `learning_rate` is the peak: it is reached over the first steps and falls as a cosine to a
    tenth at the phase's end. Alternating sizes keeps the norms' statistics right for all of them.
    """

    steps: int
    batch: int = 16
    sizes: tuple[int, ...] = (128,)
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MOST_STEPS or not 1 <= self.batch <= MOST_PAIRS:
            raise ValueError(
                f"`steps` must be at least 1 and at most {MOST_STEPS}, `batch` at most {MOST_PAIRS}"
            )
        if not self.sizes or any(s % 32 or not 64 <= s <= MOST_PIXELS for s in self.sizes):
            raise ValueError(f"`sizes` must be multiples of 32 between 64 and {MOST_PIXELS}")
        if not 0 < self.learning_rate < 1:
            raise ValueError("`learning_rate` must lie between 0 and 1")


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts. `moving` is the extra weight of pixels that change, `tips` that of
    pixels which show forearms and hands, eyes and mouth: small, and all that people look at."""

    pixels: float = 4.0
    structure: float = 1.0
    warp: float = 2.0
    flow: float = 4.0
    visibility: float = 0.3
    smoothness: float = 0.02
    regions: float = 0.3
    adversarial: float = 0.05
    features: float = 0.3
    moving: float = 4.0
    tips: float = 1.0
    consistency: float = 4.0
    """In the stage `qat` alone: how near the rounded networks are to stay to the float ones."""

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"`{name}` must not be negative")


@dataclass(frozen=True)
class TrainConfig:
    """All stages. `start` is a folder with the weights to start from, or `shipped` (untrained if it
    is not given); a stage without phases is skipped. `optimizer` moves all networks but the
    discriminator, whose is AdamW. `precision` is what convolutions compute in and hand on to each
    other; weights and all else stay float32. `bfloat16` is faster on accelerators and on some
    processors. `joint` lets the regions learn on from the reconstruction in stage 2; the
    discriminator joins after the share `gan_from` of stage 2."""

    model: AnimatorConfig = field(default_factory=AnimatorConfig)
    data: DataConfig = field(default_factory=DataConfig)
    start: Path | None = None
    regions: tuple[Phase, ...] = (Phase(2000),)
    generator: tuple[Phase, ...] = (Phase(4000),)
    qat: tuple[Phase, ...] = ()
    """The last stage: the averaged weights learn on in networks that round to 8 bits, in float32.
    With it and `start`, `generator` may be empty."""
    losses: LossWeights = field(default_factory=LossWeights)
    optimizer: Literal["adamw", "muon"] = "adamw"
    precision: Precision = "float32"
    joint: bool = True
    gan_from: float = 0.5
    ema: float = 0.998
    checkpoint_every: int = 200
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.generator or (self.start and self.qat)) or not (self.regions or self.start):
            raise ValueError(
                "a stage needs at least one phase (with `start`, `regions` needs none, "
                "and `generator` none if there is `qat`)"
            )
        if not 0 <= self.ema < 1 or not 0 <= self.gan_from <= 1:
            raise ValueError("`ema` must lie in 0..1 (not 1) and `gan_from` in 0..1")
        if self.checkpoint_every < 1 or self.seed < 0:
            raise ValueError("`checkpoint_every` must be at least 1, and `seed` at least 0")
        if not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"`threads` must be at least 1 and at most {MAX_THREADS}")


def load_train_config(path: Path) -> TrainConfig:
    """Read a training's file, strictly; `model = "nano"` stands for the table of that size."""
    data = load_toml(path)
    size = data.get("model")
    if isinstance(size, str):
        if size not in SIZES:
            raise BadInput(
                f"There is no animator of the size {size!r}.",
                where=f"{path}: model",
                hint=nearest(size, list(SIZES)),
            )
        data["model"] = to_plain(SIZES[size])
    return parse(TrainConfig, data, where=path)
