"""The gate of `compile`: in float32, every backend shows the frames that the model itself makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeanim.core.errors import GateFailed
from edgeanim.core.files import sha256_files
from edgeanim.core.parsing import to_plain
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import own_frames
from edgeanim.pipeline.variants import make_variant
from edgeanim.pipeline.work import REFERENCE, Work, artifact_digest, player_of, versions
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import ComputesNothing, get_backend

TOLERANCE = 0.25
"""Levels of 0..255. Sums in another order bring few values to the next level: 0.01 in the mean over
a frame, of deep nets too; an op that a runtime takes otherwise moves whole frames by more."""
_RECORD = "parity.json"


@dataclass(frozen=True)
class Parity:
    """The frame that is farthest from the model's own, by its index, and how far in `levels`: the
    mean absolute difference of its values 0..255."""

    levels: float
    frame: int


def require_parity(
    work: Work, model: Model, backend: str, scene: Scene, tolerance: float
) -> Parity | None:
    """How far the frames of `scene` on `backend`, in float32, are from those of `model` as it is;
    `None` of a fake, and of one that does not run here. `GateFailed` where that is more than
    `tolerance` levels."""
    runtime = get_backend(backend)
    if isinstance(runtime, ComputesNothing):
        return None
    work.progress.stage(f"Check float32 on {backend}")
    if not runtime.available():
        work.progress.done("not checked: it does not run here")
        return None
    found = _parity(work, model, backend, scene)
    if not found.levels <= tolerance:
        raise GateFailed(
            f"In float32 {backend} shows other frames than the model itself on {REFERENCE}: frame "
            f"{found.frame} is off by {found.levels:.2g} levels of 255 in the mean, more than "
            f"{tolerance:g}. No bundle was written.",
            hint="An op is computed otherwise there: please report it with the model. `--backend` "
            "leaves this one out; if the frames will do, --tolerance lets them pass.",
        )
    work.progress.done(f"off by {found.levels:.2g} levels of 255 at most")
    return found


def _parity(work: Work, model: Model, backend: str, scene: Scene) -> Parity:
    own = own_frames(work, model, scene)
    parts = {
        "graphs": [artifact_digest(graph) for graph in model.graphs],
        "own": sha256_files((own,)),
        "backend": backend,
        "board": to_plain(work.board),
        "versions": versions(),
    }

    def find() -> Parity:
        golden = load_golden(own)
        variant = make_variant(work, backend, model.graphs)
        with player_of(work, model.contract, variant) as player:
            shown = player.play(golden.scene)
            off = [
                float(np.abs(frame.astype(np.int16) - wanted).mean())
                for frame, wanted in zip(shown, golden.frames, strict=True)
            ]
        worst = int(np.argmax(off))
        return Parity(off[worst], worst)

    return work.record("parity", parts, _RECORD, Parity, find)
