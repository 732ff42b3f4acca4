"""The recipe: what is done to a model, as strict TOML."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from edgeanim.core.artifact import FLOAT32, FloatPrecision
from edgeanim.core.choices import check_words
from edgeanim.core.errors import UsageError
from edgeanim.core.limit import MEAN, DriftLimit
from edgeanim.core.parsing import load_toml, parse

Ranges = Literal["minmax", "percentile", "mse", "entropy"]
Rounding = Literal["compensated", "nearest"]
RANGES: tuple[Ranges, ...] = get_args(Ranges)
Method = Literal["auto", "ptq", "mixed", "distil"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class PruneSpec:
    """Structured pruning of all graphs of a model together, in `rounds`; then `steps` of recovery
    by distillation.

    `ratio` says how much goes, `of` what: of the `channels`, the same share of every group; or of
    a frame's multiply-accumulates (`macs`) or of its layers' `time` measured on the board, from
    wherever in the model a block of channels costs the frames least for what it saves.
    `latency_ms` asks instead for the least ratio at which a frame takes no longer than that on the
    board. Channels stay in multiples of `round_to` (`None`: what the board's vector units take).
    `learning_rate` is relative to each parameter's own size. `frames` is on how many frames layers
    are fitted and the whole recovers (`None`: as `ratio` and `steps` call for).
    """

    ratio: float = 0.0
    of: Literal["channels", "macs", "time"] = "macs"
    latency_ms: float | None = None
    round_to: int | None = None
    importance: Literal["reconstruction", "taylor", "magnitude", "random"] = "reconstruction"
    rounds: int = 3
    steps: int = 200
    learning_rate: float = 3e-4
    frames: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_words(self)
        if not 0 <= self.ratio <= 0.9:
            raise ValueError("`ratio` must lie between 0 and 0.9")
        if self.latency_ms is not None and (not 0 < self.latency_ms < math.inf or self.ratio):
            raise ValueError("`latency_ms` must be positive and stands instead of `ratio`")
        if (self.round_to is not None and self.round_to < 1) or self.steps < 0:
            raise ValueError("`round_to` must be at least 1 and `steps` at least 0")
        if not 1 <= self.rounds <= 20:
            raise ValueError("`rounds` must lie between 1 and 20")
        if not 0 < self.learning_rate < 1:
            raise ValueError("`learning_rate` must lie between 0 and 1")
        if self.frames is not None and self.frames < 2:
            raise ValueError("`frames` must be at least 2")


@dataclass(frozen=True)
class DistilSpec:
    """Training for INT8 by distillation: at most `steps` of one sample each.

    `learning_rate` is relative to each parameter's own size. Every `every` steps the held-out
    samples are judged; after `patience` times without a new best it ends.
    """

    steps: int = 300
    learning_rate: float = 1e-3
    every: int = 25
    patience: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.every, self.patience) < 1:
            raise ValueError("`steps`, `every` and `patience` must be at least 1")
        if not 0 < self.learning_rate < 1:
            raise ValueError("`learning_rate` must lie between 0 and 1")


@dataclass(frozen=True)
class QuantizeSpec:
    """Post-training quantisation. `ranges` says how the ranges of activations are found.

    The method `ptq` takes these; `auto` begins with them and, where the drift is too large, tries
    the others, then `mixed`, which keeps layers in float, with those that drift least; `distil`
    trains the weights for INT8 first.
    `keep_float` names nodes that stay in float, as `GRAPH:NODE` where a model has several graphs.
    `rounding` says how weights are: `compensated`, each making up for the errors of those before
    it (`quantize.rounding`), or to the `nearest`. With `other_light` calibration also plays its
    frames darker, bleached, and with less and more contrast, for pictures unlike them.
    """

    method: Method = "auto"
    ranges: Ranges = "mse"
    samples: int = 48
    rounding: Rounding = "compensated"
    reduce_range: bool = False
    keep_float: tuple[str, ...] = ()
    other_light: bool = False
    distil: DistilSpec = field(default_factory=DistilSpec)

    def __post_init__(self) -> None:
        check_words(self)
        if self.samples < 2:
            raise ValueError("`samples` must be at least 2")


@dataclass(frozen=True)
class CompileSpec:
    """Which backends, by name; empty means all that the board's file lists. And in which floats the
    float variants compute; empty means all that the board has for the backend."""

    backends: tuple[str, ...] = ()
    floats: tuple[FloatPrecision, ...] = (FLOAT32,)


@dataclass(frozen=True)
class Gates:
    """Limits that end the run with exit code 1 when missed. Drift is 1 - SSIM, its mean and, at
    the 5th percentile, `max_drift_p5` (2.5 times the mean where it is not given)."""

    max_drift: float = MEAN
    max_drift_p5: float | None = None

    def __post_init__(self) -> None:
        try:
            self.drift()
        except UsageError as error:
            raise ValueError(error.what) from error

    def drift(self, mean: float | None = None, p5: float | None = None) -> DriftLimit:
        """Both limits of drift; one that is given goes before that of the recipe, and leaves the
        other as it is there."""
        return DriftLimit.of(
            self.max_drift if mean is None else mean, self.max_drift_p5 if p5 is None else p5
        )


@dataclass(frozen=True)
class Recipe:
    """All that `prune`, `quantize` and `compile` need to know."""

    prune: PruneSpec = field(default_factory=PruneSpec)
    quantize: QuantizeSpec = field(default_factory=QuantizeSpec)
    compile: CompileSpec = field(default_factory=CompileSpec)
    gates: Gates = field(default_factory=Gates)
    schema: Literal[1] = 1


def load_recipe(path: str | Path) -> Recipe:
    """Read the recipe file `path`, strictly."""
    return parse(Recipe, load_toml(Path(path)), where=path)
