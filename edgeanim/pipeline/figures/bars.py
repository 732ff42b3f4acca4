"""What compression must reach on the shipped animator: `python -m edgeanim.pipeline.figures.bars`.

Quantises the animator for every backend: how far its frames drift, and how far its changes from
frame to frame are from the true ones, beside the float32 one's. Prunes half of a frame's
multiply-accumulates away and recovers. Quantises that as well, and plays it beside the unpruned
animator in eager PyTorch, in turns, a whole frame each: regions, generator, warp and blending. One
process, one thread. Prints each bar, what was asked and what was measured; exit code 1 if one is
missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.benchmarks.drift.frames import measure_drift
from edgeanim.benchmarks.figures.bar import Bar, line
from edgeanim.benchmarks.timing.stats import median, paired_ratio
from edgeanim.core.artifact import Array
from edgeanim.core.contract import GraphSpec
from edgeanim.core.errors import GateFailed, reports_errors
from edgeanim.core.limit import NO_LIMIT
from edgeanim.core.recipe import METHODS, Method, PruneSpec, QuantizeSpec
from edgeanim.core.scratch import scratch_folder
from edgeanim.graph.load import Model, load_model
from edgeanim.models.shipped_files import SHIPPED
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.frames.material import Material
from edgeanim.pipeline.frames.shipped import shipped_material
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.prune import Pruned, frames_for, prune_model, share_of_frame
from edgeanim.pipeline.quantize import quantize_model
from edgeanim.pipeline.variants import find_int8, make_variant
from edgeanim.pipeline.work import ALL, Work, play, player_of
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import Session
from edgeanim.targets.bundle import Variant

HALF = 0.5
MAX_DRIFT = 0.005
MAX_WORST = 0.01
MAX_TEMPORAL = 1.05
SPEEDUP = 10.0
# Puppets of the default material that the temporal error is measured on.
_FOLLOWERS = 6
_BLOCKS = 8
_FRAMES = 8


class EagerSession:
    """A graph as the PyTorch module that it was exported from, run eagerly."""

    def __init__(self, spec: GraphSpec, module: Any) -> None:
        self.spec = spec
        self._module = module

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once."""
        import torch

        given = [torch.from_numpy(np.ascontiguousarray(inputs[t.name])) for t in self.spec.inputs]
        with torch.inference_mode():
            made = self._module(*given)
        outputs = made if isinstance(made, (tuple, list)) else (made,)
        return {t.name: o.numpy() for t, o in zip(self.spec.outputs, outputs, strict=True)}

    def close(self) -> None:
        """Nothing to free."""


def eager_player(model: Model) -> Player:
    """The shipped animator in eager PyTorch, as it was trained, on one thread."""
    import torch

    from edgeanim.models.export import load_shipped

    torch.set_num_threads(1)
    modules = load_shipped().graphs()
    sessions: dict[str, Session] = {
        spec.name: EagerSession(spec, modules[spec.name].eval()) for spec in model.contract.graphs
    }
    return Player(model.contract, sessions)


def measure(work: Work, spec: PruneSpec, method: Method, only: str | None) -> Iterator[Bar]:
    """The bars, one after the other; `only` those called `int8` or `pruned`, if it is given."""
    original, material = open_model(SHIPPED, work), shipped_material(frames_for(spec))
    golden = make_golden(work, original, material.held_out)
    with scratch_folder("bars") as scratch:
        if only in (None, "int8"):
            out = scratch / "int8"
            yield from _drift_of_int8(work, original, golden, out, QuantizeSpec(method=method))
        if only in (None, "pruned"):
            folder = scratch / "pruned"
            done = prune_model(work, original, material, golden, folder, spec)
            yield _drift_of_pruned(original, done)
            yield from _against_eager(work, original, load_model(folder), material, golden, scratch)


def _drift_of_int8(
    work: Work, model: Model, golden: Path, out: Path, spec: QuantizeSpec
) -> Iterator[Bar]:
    material = shipped_material()
    names = work.backends((ALL,))
    done = quantize_model(work, model, material, golden, out, names, spec, NO_LIMIT)
    forms = find_int8(out, model)
    for row in done.variants:
        worst = 1 - row.drift.ssim_worst
        yield Bar(
            f"INT8 ({row.method}) on {row.backend} against float32",
            f"<= {MAX_DRIFT:g}, {MAX_WORST:g}",
            f"{row.drift.drift_mean:.4f} mean, {worst:.4f} worst",
            row.drift.drift_mean <= MAX_DRIFT and worst <= MAX_WORST,
        )
        float32, int8 = (
            temporal_error(work, model, make_variant(work, row.backend, graphs), material)
            for graphs in (model.graphs, forms[row.scheme])
        )
        yield Bar(
            f"its temporal error over float32's, on {row.backend}",
            f"<= {MAX_TEMPORAL:g}x",
            f"{int8 / float32:.3f}x, {float32:.2f} -> {int8:.2f} levels",
            int8 / float32 <= MAX_TEMPORAL,
        )


def temporal_error(work: Work, model: Model, variant: Variant, material: Material) -> float:
    """How far the changes from frame to frame are from the true ones, in levels of 0..255.

    Each puppet's still follows the puppet's own clip, so the true frames are the clip's.
    """
    errors = []
    with player_of(work, model.contract, variant) as player:
        for scene in material.calibration[:_FOLLOWERS]:
            drift = measure_drift(play(player, scene), np.asarray(scene.driver))
            assert drift.temporal_l1 is not None  # several frames
            errors.append(drift.temporal_l1)
    return float(np.mean(errors))


def _drift_of_pruned(model: Model, done: Pruned) -> Bar:
    share = share_of_frame(model, done.graphs)
    drift = done.drift.drift_mean
    return Bar(
        f"{share:.0%} of a frame's MACs pruned away, recovered",
        f"drift <= {MAX_DRIFT:g}",
        f"{drift:.4f} mean, {1 - done.drift.ssim_worst:.4f} worst",
        drift <= MAX_DRIFT,
    )


def _against_eager(
    work: Work, original: Model, pruned: Model, material: Material, golden: Path, scratch: Path
) -> Iterator[Bar]:
    int8 = scratch / "pruned-int8"
    names = work.backends((ALL,))
    # Drift is the other bar's business, so nothing is refused here.
    spec = QuantizeSpec(method="ptq")
    quantize_model(work, pruned, material, golden, int8, names, spec, NO_LIMIT)
    forms = find_int8(int8, pruned)
    with ExitStack() as stack:
        players = {"eager": stack.enter_context(eager_player(original))}
        for name in names:
            scheme = work.int8_scheme(name)
            if scheme in forms:
                variant = make_variant(work, name, forms[scheme])
                player = load_player(pruned.contract, variant, work.options(name, 1))
                players[name] = stack.enter_context(player)
        times = _in_turns(players, _followed(material))
    ratios = {n: paired_ratio([times["eager"]], [times[n]]) for n in players if n != "eager"}
    best = max(ratios, key=lambda name: ratios[name].value)
    found = ratios[best]
    whole = [median([t for block in times[name] for t in block]) for name in ("eager", best)]
    yield Bar(
        "pruned + INT8 + best backend against PyTorch eager",
        f">= {SPEEDUP:g}x",
        f"{found.value:.1f}x ({found.interval.low:.1f} to {found.interval.high:.1f}) with {best}, "
        f"{whole[0]:.1f} -> {whole[1]:.1f} ms",
        found.value >= SPEEDUP,
    )


def _followed(material: Material) -> Scene:
    """A puppet that follows a clip, so that every graph of a frame runs."""
    scene = material.calibration[0]
    frames = np.asarray(scene.driver)
    return replace(scene, driver=frames[np.arange(_FRAMES + 1) % len(frames)])


def _in_turns(players: Mapping[str, Player], scene: Scene) -> dict[str, list[list[float]]]:
    """Milliseconds per frame of each player, in blocks that ran by turns, after one to warm up."""
    times: dict[str, list[list[float]]] = {name: [] for name in players}
    for number in range(_BLOCKS + 1):
        order = list(players) if number % 2 else list(players)[::-1]
        for name in order:
            block = []
            for index, _ in enumerate(players[name].play(scene)):
                if index:  # the first frame holds the work done once per still
                    block.append(1e3 * sum(players[name].timings.values()))
            if number:
                times[name].append(block)
    return times


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if every bar is met."""
    parser = argparse.ArgumentParser(
        prog="python -m edgeanim.pipeline.figures.bars", description=__doc__
    )
    parser.add_argument("--steps", type=int, default=800, help="of recovery (default: 800)")
    parser.add_argument(
        "--ratio", type=float, default=HALF, help="of a frame's MACs (default: 0.5)"
    )
    parser.add_argument("--method", choices=METHODS, default="ptq", help="of INT8 (default: ptq)")
    parser.add_argument("--only", choices=("int8", "pruned"), help="these bars alone")
    options = parser.parse_args(arguments)
    spec = PruneSpec(ratio=options.ratio, rounds=4, steps=options.steps)
    met = []
    for bar in measure(Work.on("local"), spec, options.method, options.only):
        met.append(bar.met)
        print(line(bar), flush=True)
    return 0 if all(met) else GateFailed.exit_code


if __name__ == "__main__":
    sys.exit(main())
