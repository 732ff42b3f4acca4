"""Every single figure of a variant under its dotted name, as `--fail-on` and `--json` know it."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping

from edgeanim.benchmarks.drift.frames import Drift, Spread
from edgeanim.benchmarks.drift.regions import RegionDrift
from edgeanim.benchmarks.machine.circumstances import Validity
from edgeanim.benchmarks.results.result import Executed, Latency, Memory, Speedup, VariantResult
from edgeanim.benchmarks.timing.scenarios import Batch, Cold, Soak, Stage, Stream
from edgeanim.benchmarks.timing.stats import Interval, Ratio

Value = float | str | None

_SECTIONS: Mapping[str, type] = {
    "latency": Latency,
    "executed": Executed,
    "drift": Drift,
    "memory": Memory,
    "speedup": Speedup,
    "stream": Stream,
    "soak": Soak,
    "cold": Cold,
    "batch": Batch,
}
_NESTED = (Interval, Spread)
_NOT_SINGLE = {
    *(("executed", "graphs"), ("drift", "ssim"), ("drift", "regions")),
    ("stream", "responses_ms"),
    *(("soak", "windows"), ("cold", "starts"), ("batch", "stages"), ("batch", "runs")),
}


def figures(variant: VariantResult) -> dict[str, Value]:
    """All figures by name (`latency.p90_ms`, `stages.compose.p50_ms`, `precision`,
    `drift.regions.upper_arm_left.ssim.mean`), numbers as float; `None` for one that was not
    measured."""
    found: dict[str, Value] = {
        "id": variant.id,
        "backend": variant.backend,
        "precision": variant.precision,
        "size_bytes": float(variant.size_bytes),
        "throughput_fps": variant.throughput_fps,
    }
    for section, cls in _SECTIONS.items():
        found |= _section(section, cls, getattr(variant, section))
    for name, stage in variant.stages.items():
        found |= _section(f"stages.{name}", Stage, stage)
    for name, stage in variant.batch.stages.items() if variant.batch else ():
        found |= _section(f"batch.stages.{name}", Stage, stage)
    regions = (variant.drift.regions if variant.drift else None) or {}
    for word, region in zip(_words(regions), regions.values(), strict=True):
        found |= _section(f"drift.regions.{word}", RegionDrift, region)
    return found


def validity_figures(validity: Validity) -> dict[str, Value]:
    """`validity.valid` (1 or 0), and how many `reasons` and `discarded` runs there are."""
    return {
        "validity.valid": float(validity.valid),
        "validity.reasons": float(len(validity.reasons)),
        "validity.discarded": float(len(validity.discarded)),
    }


def change_figures(ratio: Ratio | None, verdict: str | None) -> dict[str, Value]:
    """`change.ratio` (a variant's latency over that in the first report) with its `interval` and
    what was `detectable`, and the `change.verdict`; `None` for what could not be compared."""
    found = _section("change", Ratio, ratio)
    return {"change.ratio": found.pop("change.value"), **found, "change.verdict": verdict}


def _words(names: Iterable[str]) -> list[str]:
    """Each name as a gate can write it, in letters of any script. One that is another's too, or
    nothing, gets a number: none may hide another."""
    words: list[str] = []
    for name in names:
        plain = re.sub(r"[\W_]+", "_", name.lower()).strip("_") or "region"
        copies = (f"{plain}_{number}" for number in itertools.count(2))
        words.append(next(w for w in itertools.chain([plain], copies) if w not in words))
    return words


def _section(prefix: str, cls: type, part: object | None) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for field in dataclasses.fields(cls):
        if (prefix, field.name) in _NOT_SINGLE:
            continue
        name = f"{prefix}.{field.name}"
        value = None if part is None else getattr(part, field.name)
        # The type is known even where the figure was not measured: annotations are text.
        inner = next((kind for kind in _NESTED if kind.__name__ in str(field.type)), None)
        if inner is not None:
            found |= _section(name, inner, value)
        else:
            found[name] = float(value) if isinstance(value, (int, float)) else value
    return found
