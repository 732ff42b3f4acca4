"""`edgeanim inspect`: what a model is, before anything is done to it, or what is in a bundle."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from edgeanim.core.contract import dump_contract
from edgeanim.core.errors import UsageError, named
from edgeanim.core.files import must_exist, must_spare, write_text
from edgeanim.core.store import Store
from edgeanim.graph.inspect import ModelInfo, inspect_model
from edgeanim.pipeline.inspect_bundle import BundleInfo, inspect_bundle
from edgeanim.pipeline.models import adopted, files_of_model, model_path
from edgeanim.pipeline.work import Work
from edgeanim.targets.bundle import SUFFIX


def inspect(
    model: str | Path,
    *,
    contract: str | Path | None = None,
    save_contract: str | Path | None = None,
    store: Store | None = None,
) -> ModelInfo | BundleInfo:
    """Check `model` and describe its graphs, contract, size, and what stands in a backend's way; of
    a bundle what it holds.

    `contract` replaces the inferred one; `save_contract` writes the one in use, to be edited.
    `UsageError` for a `contract` beside a bundle, which has its own.
    """
    contract = None if contract is None else Path(contract)
    save_contract = None if save_contract is None else Path(save_contract)
    if save_contract is not None:
        given = [] if contract is None else [contract]
        must_spare(save_contract, [model, *files_of_model(model), *given])
    if Path(model).suffix == SUFFIX:
        return _bundle(Path(model), contract, save_contract)
    if contract is not None:
        must_exist(contract)  # told before an animator is exported, which takes long
    work = Work.on("local", store=store)
    path, changes = adopted(model_path(model, work), work)
    with named(model) if changes else nullcontext():
        info = inspect_model(path, contract)
    if changes:
        (graph,) = info.graphs
        info = replace(info, graphs=(replace(graph, warnings=(*changes, *graph.warnings)),))
    if save_contract is not None:
        write_text(save_contract, dump_contract(info.contract))
    return info


def _bundle(path: Path, contract: Path | None, save_contract: Path | None) -> BundleInfo:
    if contract is not None:
        raise UsageError("A bundle has a contract of its own.", where="--contract")
    info = inspect_bundle(path)
    if save_contract is not None:
        write_text(save_contract, dump_contract(info.contract))
    return info
