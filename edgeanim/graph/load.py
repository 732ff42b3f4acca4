"""A model on disk: a folder with `model.toml`, or a single ONNX whose contract is inferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import (
    CONTRACT_FILE,
    Contract,
    GraphSpec,
    TensorSpec,
    dump_contract,
    load_contract,
)
from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import atomic_folder, inside, sha256_bytes, sha256_file, write_bytes
from edgeanim.core.parsing import load_toml, parse
from edgeanim.graph.queries import graph_inputs, shape_of
from edgeanim.graph.reading.channel_order import bgr_pictures
from edgeanim.graph.reading.external import external_files
from edgeanim.graph.reading.infer import contract_of, infer_contract, output_shapes
from edgeanim.graph.reading.read import read_onnx

__all__ = ["Model", "infer_contract", "load_model", "save_model"]


@dataclass(frozen=True)
class Model:
    """A checked model: its contract, its float32 graphs in the contract's order.

    `digest` is a SHA-256 over the contract and all the files, external weights included.
    """

    contract: Contract
    graphs: tuple[GraphArtifact, ...]
    digest: str

    def graph(self, name: str) -> GraphArtifact:
        """The graph called `name`; `KeyError` if there is none."""
        return next(g for g in self.graphs if g.spec == self.contract.graph(name))


def load_model(path: Path, overrides: Path | None = None) -> Model:
    """Load and check a model folder or a single `.onnx`.

    `overrides` is a `model.toml` to use instead of the folder's own or the inferred contract.
    `BadInput` says what is wrong with the files, or where graphs and contract disagree.
    """
    with disk_errors(path):
        is_folder = path.stat() and path.is_dir()
    contract = parse(Contract, load_toml(overrides), where=overrides) if overrides else None
    if is_folder:
        contract = contract or _contract_in(path)
        files = _checked_files(path, contract)
    else:
        contract = _checked_contract(path, contract, overrides)
        files = [path]
    graphs = tuple(
        GraphArtifact(spec, file) for spec, file in zip(contract.graphs, files, strict=True)
    )
    return Model(contract, graphs, _digest(contract, files))


def _contract_in(folder: Path) -> Contract:
    if not (folder / CONTRACT_FILE).is_file():
        models = (file.parent for file in folder.glob(f"*/{CONTRACT_FILE}"))
        found = min((*folder.glob("*.onnx"), *models), default=None)
        such = "" if found is None else f", like {found.name}"
        raise BadInput(
            f"This folder holds no {CONTRACT_FILE}.",
            where=folder,
            hint=f"Give the folder of a model, or an .onnx file itself{such}.",
        )
    return load_contract(folder)


def _checked_files(folder: Path, contract: Contract) -> list[Path]:
    """The files of the contract's graphs, which agree with it."""
    files = [inside(folder, spec.file) for spec in contract.graphs]
    for spec, file in zip(contract.graphs, files, strict=True):
        model = read_onnx(file)
        _must_be_rgb(model, file)
        check_against(spec, model, file)
    return files


def _checked_contract(file: Path, contract: Contract | None, overrides: Path | None) -> Contract:
    """The contract of a single file: the one given, with which it agrees, or an inferred one."""
    model = read_onnx(file)
    contract = contract or contract_of(model, file)
    if len(contract.graphs) != 1:
        raise BadInput(
            f"This contract describes {len(contract.graphs)} graphs; the model is one file.",
            where=overrides,
            hint="Put the graphs and the contract into one folder and give that.",
        )
    check_against(contract.graphs[0], model, file)
    return contract


def save_model(contract: Contract, graphs: Mapping[str, Path], folder: Path) -> Path:
    """Write a model folder: `model.toml` and each graph of `graphs` (by name) under its file name.

    Weights are brought inline. The folder appears only if all of it is sound; returns it.
    """
    missing = [spec.name for spec in contract.graphs if spec.name not in graphs]
    if missing:
        raise BadInput(f"No file is given for the graph {missing[0]!r}.", where=folder)
    with atomic_folder(folder) as partial:
        for spec in contract.graphs:
            source = graphs[spec.name]
            model = read_onnx(source)
            check_against(spec, model, source)
            write_bytes(inside(partial, spec.file), model.SerializeToString(deterministic=True))
        (partial / CONTRACT_FILE).write_text(dump_contract(contract), encoding="utf-8")
    return folder


def check_against(spec: GraphSpec, model: Any, path: Path) -> None:
    """`BadInput` where the inputs and outputs of the file are not those of its contract."""
    made = {value.name: shape_of(value) or () for value in graph_inputs(model)}
    _check_side("input", spec.inputs, made, path)
    _check_side("output", spec.outputs, output_shapes(model, path), path)


def _must_be_rgb(model: Any, path: Path) -> None:
    """The colours of a file alone are put in order (see `adopt`); a folder's is taken as it is."""
    if names := bgr_pictures(model):
        raise BadInput(
            f"This file says that its pictures ({', '.join(names)}) are in BGR, and those of a "
            "model folder are in RGB.",
            where=path,
            hint="Give the .onnx file itself, or export it for RGB.",
        )


def _check_side(
    kind: str, declared: tuple[TensorSpec, ...], made: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    for tensor in declared:
        if tensor.name not in made:
            raise BadInput(
                f"The contract names an {kind} {tensor.name!r}, which the graph does not have.",
                where=path,
                hint=f"It has: {', '.join(made)}.",
            )
        if tensor.shape != made[tensor.name]:
            raise BadInput(
                f"The contract says that the {kind} {tensor.name!r} is {list(tensor.shape)}; in "
                f"the graph it is {list(made[tensor.name])}.",
                where=path,
                hint="Correct the contract, or export the graph for that shape.",
            )
    extra = set(made) - {tensor.name for tensor in declared}
    if extra and kind == "input":
        raise BadInput(
            f"The graph has an input {min(extra)!r}, which the contract does not name.",
            where=path,
            hint="Name it there with its role, or make it a constant and export the graph again.",
        )


def _digest(contract: Contract, files: list[Path]) -> str:
    lines = [sha256_bytes(dump_contract(contract).encode())]
    for file in files:
        lines += [sha256_file(part) for part in (file, *external_files(file))]
    return sha256_bytes("\n".join(lines).encode())
