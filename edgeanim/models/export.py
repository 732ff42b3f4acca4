"""From trained weights to a model folder: three ONNX graphs and their contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeanim.core.files import atomic_folder
from edgeanim.core.packages import require
from edgeanim.models.shipped_files import ARCHITECTURE, is_shipped, shipped

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator


def shipped_folder() -> Path:
    """The folder of all that ships."""
    with shipped(ARCHITECTURE) as path:
        return path.parent


def animator_folder(name: str | Path) -> Path:
    """The folder that `name` means: a training's, or of what ships (see `is_shipped`)."""
    return shipped_folder() if is_shipped(name) else Path(name)


def load_shipped() -> Animator:
    """The trained animator that ships with the package, in evaluation mode."""
    return open_animator(shipped_folder())


def open_animator(folder: Path) -> Animator:
    """The animator that a training wrote into `folder`. `MissingComponent` without torch."""
    require("Building the animator", "torch", extra="compress")
    from edgeanim.models.animator import load_animator

    return load_animator(folder)


def export_animator(folder: Path, animator: Animator | None = None) -> Path:
    """Write `animator` (the shipped one if none is given) as a model folder and return it.

    Batch norms are folded, so the graphs hold plain convolutions. Every graph passes the gate of
    `graph.pytorch.from_torch` (deviation from PyTorch at most 1e-4) or nothing is written.
    """
    from copy import deepcopy

    model = load_shipped() if animator is None else animator
    from edgeanim.graph.pytorch.from_torch import export_model
    from edgeanim.models.animator import contract_of
    from edgeanim.models.nets.blocks import fold_batch_norm

    modules = {
        name: fold_batch_norm(deepcopy(module).cpu().float())
        for name, module in model.graphs().items()
    }
    with atomic_folder(folder) as partial:
        export_model(modules, contract_of(model.config), partial)
    return folder
