"""What to look at while a training runs: sample sheets and the losses as CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeanim.core.errors import disk_errors
from edgeanim.core.files import atomic_path, write_text
from edgeanim.core.native import write_png
from edgeanim.models.animator import Animator
from edgeanim.models.dataset.sheet import caption
from edgeanim.models.regions import region_colours
from edgeanim.models.training.batches import Batch
from edgeanim.models.training.losses import compose

_COLUMNS = ("still", "driving frame", "regions", "warped still", "share of it", "made frame")


def sample_sheet(animator: Animator, batch: Batch) -> NDArray[np.uint8]:
    """A row per pair, below the columns' names; `batch` is on the animator's device."""
    training = animator.training
    animator.eval()
    with torch.no_grad():
        still_mask, still_motion = animator.regions(batch.still, torch.zeros_like(batch.cue))
        mask, motion = animator.regions(batch.driving, batch.cue)
        features = animator.encoder(batch.still, still_mask)
        flow, alpha, colour = animator.generator(*features, still_motion, motion)
        frame, warped = compose(batch.still, flow, alpha, colour)
    animator.train(training)
    rest = 1 - mask.sum(1, keepdim=True)
    colours = torch.from_numpy(region_colours()).to(mask.device)
    painted = torch.einsum("nkhw,kc->nchw", torch.cat([mask, rest], 1), colours)
    columns = [batch.still, batch.driving, painted, warped, alpha.expand(-1, 3, -1, -1), frame]
    size = batch.still.shape[2:]
    columns = [torch.nn.functional.interpolate(c, size) for c in columns]
    rows = _to_uint8(torch.cat([torch.cat(list(c), dim=1) for c in columns], dim=2))
    return np.vstack([np.hstack([caption(name, size[1]) for name in _COLUMNS]), rows])


def write_sheet(path: Path, sheet: NDArray[np.uint8]) -> None:
    """Write a sheet [H, W, 3] as PNG, whole or not at all."""
    with atomic_path(path) as partial:
        write_png(partial, sheet)


def append_losses(path: Path, step: int, losses: dict[str, float]) -> None:
    """Add a line per term to the CSV `step,term,value`, all or none: half a line, of a disk that
    was full, would keep the training from ever going on. They replace what a training that was
    killed before its checkpoint has told of this step."""
    with disk_errors(path):
        before = path.read_text(encoding="utf-8") if path.exists() else "step,term,value\n"
    kept = (line for line in before.splitlines(True) if not line.startswith(f"{step},"))
    lines = (f"{step},{term},{value:.6g}\n" for term, value in losses.items())
    write_text(path, "".join([*kept, *lines]))


def _to_uint8(picture: Tensor) -> NDArray[np.uint8]:
    values = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy())
