"""A model's graphs as PyTorch modules, for a training of one's own; `export` takes them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeanim.core.packages import require
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.store import Store
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.work import Work

if TYPE_CHECKING:
    import torch


def modules(
    model: str | Path, *, progress: Progress = SILENT, store: Store | None = None
) -> dict[str, torch.nn.Module]:
    """The graphs of `model` in PyTorch, by name: of any ONNX, of what `prune` wrote, of `shipped`.

    Each module takes the inputs and returns a tuple of the outputs in the order of the contract, in
    float32, and is in evaluation mode; its parameters can be trained. Norms that the graph has
    folded into its convolutions stay folded. Convolutional graphs take several pictures at once,
    unless a reshape in them counts on the one that the file is made for.

    `export(modules, contract=..., out=...)` with the model's own contract (`inspect MODEL
    --save-contract model.toml`) makes a model of them again.

    `BadInput` names an op that cannot be brought over, `GateFailed` one that computes anything else
    in PyTorch than in ONNX Runtime; `MissingComponent` without torch.
    """
    require("Bringing a model into PyTorch", "torch", "onnx", extra="compress")
    progress.stage("Read the model")
    opened = open_model(model, Work.on("local", store=store, progress=progress))
    progress.done()
    progress.stage("Bring into PyTorch", len(opened.graphs))
    made = {}
    for graph in opened.graphs:
        made[graph.spec.name] = import_torch(graph.path).in_order(graph.spec)
        progress.step()
    progress.done()
    return made
