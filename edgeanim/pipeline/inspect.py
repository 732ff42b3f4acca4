"""`edgeanim inspect`: what a model is, before anything is done to it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from edgeanim.core.contract import dump_contract
from edgeanim.core.files import must_exist, write_text
from edgeanim.core.store import Store
from edgeanim.graph.inspect import ModelInfo, inspect_model
from edgeanim.pipeline.models import adopted, model_path, own_name
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
    work = Work.on("local", store=store)
    path, changes = adopted(model_path(model, work), work)
    with own_name(model) if changes else nullcontext():
        info = inspect_model(path, contract)
    if changes:
        (graph,) = info.graphs
        info = replace(info, graphs=(replace(graph, warnings=(*changes, *graph.warnings)),))
    if save_contract is not None:
        write_text(save_contract, dump_contract(info.contract))
    return info
