"""`edgeanim inspect`: what a model is, before anything is done to it."""

from __future__ import annotations

from pathlib import Path

from edgeanim.core.contract import dump_contract
from edgeanim.core.files import must_exist, write_text
from edgeanim.core.store import Store
from edgeanim.graph.inspect import ModelInfo, inspect_model
from edgeanim.pipeline.models import model_path
from edgeanim.pipeline.work import Work


def inspect(
    model: str | Path,
    *,
    contract: Path | None = None,
    save_contract: Path | None = None,
    store: Store | None = None,
) -> ModelInfo:
    """Check `model` and describe its graphs, contract, size, and what stands in a backend's way.

    `contract` replaces the inferred one; `save_contract` writes the one in use, to be edited.
    """
    if contract is not None:
        must_exist(contract)  # told before an animator is exported, which takes long
    info = inspect_model(model_path(model, Work.on("local", store=store)), contract)
    if save_contract is not None:
        write_text(save_contract, dump_contract(info.contract))
    return info
