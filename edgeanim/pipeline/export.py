"""`edgeanim export`: a PyTorch module, or one for each graph of a contract, to a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeanim.core.choices import must_be_tolerance
from edgeanim.core.contract import (
    CONDITION,
    CONTRACT_FILE,
    Contract,
    GraphSpec,
    TensorSpec,
    dump_contract,
)
from edgeanim.core.errors import BadInput, UsageError, first_line, named
from edgeanim.core.files import atomic_folder, write_text
from edgeanim.core.packages import require
from edgeanim.core.parsing import load_toml, one_or_more, parse
from edgeanim.core.progress import SILENT, Progress
from edgeanim.graph.pytorch.from_torch import TOLERANCE, export_model
from edgeanim.graph.pytorch.program import SUFFIX as PROGRAM
from edgeanim.graph.pytorch.program import Program, load_program
from edgeanim.graph.pytorch.torch_modules import evaluating, run_module
from edgeanim.graph.reading.infer import infer_contract
from edgeanim.graph.reading.roles import OWN_CONTRACT, identifier, spec_of_shapes
from edgeanim.graph.reference import seeded_inputs
from edgeanim.pipeline.model_folder import may_become_model

if TYPE_CHECKING:
    import torch

    Modules: TypeAlias = torch.nn.Module | Mapping[str, torch.nn.Module]

Shapes = Mapping[str, tuple[int, ...]]
_CONTRACT = "Describe its tensors in a contract: `edgeanim export --contract`."
_FRAME = "frame"


@dataclass(frozen=True)
class Exported:
    """The model folder written, its contract, and each graph's largest deviation from its module
    (in units of the largest value where that exceeds 1)."""

    folder: Path
    contract: Contract
    deviations: Mapping[str, float]


def export(
    modules: torch.nn.Module | Mapping[str, torch.nn.Module] | str | Path,
    *,
    out: str | Path,
    shapes: Shapes | None = None,
    outputs: str | Sequence[str] = (),
    values: tuple[float, float] | None = None,
    contract: str | Path | Contract | None = None,
    tolerance: float = TOLERANCE,
    progress: Progress = SILENT,
) -> Exported:
    """Write PyTorch modules as a model folder that every other command takes.

    One image-to-image module needs the `shapes` of its inputs by name, in the order in which it
    takes them; `outputs` names what it returns (`frame` if that is one tensor, or `frame_out` if an
    input is called so). What the tensors mean is told by shapes and names as for a bare ONNX
    (`edgeanim inspect` shows it); `values` is the interval of its pictures, by default what its
    first and last ops tell (see `graph.reading.picture_ranges`), or 0..1.

    Any other model needs a `contract` (or the path of its model.toml), and a module for each of its
    graphs by name; a contract of one graph also takes the module alone. Modules take the inputs and
    return the outputs in the order of the contract.

    In place of a module, the path of an exported program (.pt2), which has names and shapes of its
    own for its inputs.

    Shapes are fixed, and all tensors float32. Modules are run in evaluation mode and left in the
    modes that they were in. `GateFailed` if a graph computes anything else than its module, by more
    than `tolerance`; `BadInput` if a module does not run or cannot be exported; `UsageError` for
    what contradicts itself, or if `out` is a folder of anything else than a model. Nothing is
    written then.
    """
    require("Exporting a module", "torch", "onnx", extra="compress")
    out = Path(out)
    may_become_model(out)
    must_be_tolerance(tolerance)
    given = _modules_in(modules)
    naming: AbstractContextManager[None] = nullcontext()
    if isinstance(given, Program):
        if contract is None:  # a contract names itself
            naming, shapes = named(modules), given.shapes if shapes is None else shapes
        given = given.module
    with naming:
        if contract is None:
            described, by_name = _of_shapes(given, out, shapes, one_or_more(outputs), values)
        else:
            if shapes is not None or outputs or values is not None:
                raise UsageError("The contract says what shapes, names and values there are.")
            described = _contract_in(contract)
            by_name = _modules_of(described, given)
        with atomic_folder(out) as partial:
            deviations = export_model(
                by_name, described, partial, tolerance=tolerance, progress=progress
            )
            if contract is None and values is None:
                described = _with_range_of_graph(described, partial)
    return Exported(out, described, deviations)


def _modules_in(modules: Any) -> Modules | Program:
    """What was given to export, the program read if it is the path of one; `UsageError` for
    anything else than modules."""
    import torch

    if isinstance(modules, (str, Path)):
        if Path(modules).suffix.lower() != PROGRAM:
            raise UsageError(f"{str(modules)!r} is no torch.nn.Module and no {PROGRAM} file.")
        return load_program(Path(modules))
    is_mapping = isinstance(modules, (Mapping, torch.nn.ModuleDict))
    given: Modules = dict(modules.items()) if is_mapping else modules
    for module in given.values() if isinstance(given, Mapping) else [given]:
        if not isinstance(module, torch.nn.Module):
            raise UsageError(f"A {type(module).__name__} is no torch.nn.Module.")
    return given


def _of_shapes(
    given: Modules,
    out: Path,
    shapes: Shapes | None,
    outputs: tuple[str, ...],
    values: tuple[float, float] | None,
) -> tuple[Contract, Mapping[str, torch.nn.Module]]:
    """The contract of one image-to-image module, called like the folder `out`, and the module by
    its graph's name."""
    if shapes is None or isinstance(given, Mapping):
        raise UsageError(
            "One module and the shapes of its inputs are needed, or a contract and a module for "
            "each of its graphs.",
            hint='Say shapes={"image": (1, 3, 256, 256)}, or --shape image=1x3x256x256.',
        )
    spec = _described(given, identifier(out.resolve().name), shapes, outputs, values)
    return Contract(spec.name, (spec,)), {spec.name: given}


def _with_range_of_graph(contract: Contract, folder: Path) -> Contract:
    """The contract of one graph with the pictures' intervals that its ops tell, now
    that there is a graph; written into `folder`."""
    found = infer_contract(folder / contract.graphs[0].file)
    described = replace(found, name=contract.name)
    write_text(folder / CONTRACT_FILE, dump_contract(described))
    return described


def _contract_in(contract: str | Path | Contract) -> Contract:
    if isinstance(contract, Contract):
        return contract
    return parse(Contract, load_toml(Path(contract)), where=contract)


def _modules_of(contract: Contract, modules: Modules) -> Mapping[str, torch.nn.Module]:
    """The module of each graph; `UsageError` unless there is exactly one for each."""
    names = [spec.name for spec in contract.graphs]
    if not isinstance(modules, Mapping) and len(names) == 1:
        return {names[0]: modules}
    if not isinstance(modules, Mapping) or set(modules) != set(names):
        given = map(str, modules) if isinstance(modules, Mapping) else ["one module without a name"]
        raise UsageError(
            f"The contract has the graphs {', '.join(names)}; given are {', '.join(given)}."
        )
    return modules


def _described(
    module: torch.nn.Module,
    name: str,
    shapes: Shapes,
    outputs: tuple[str, ...],
    values: tuple[float, float] | None,
) -> GraphSpec:
    """The spec of one image-to-image module, which is run once to see what it returns."""
    import torch

    where = type(module).__name__
    try:
        inputs = [TensorSpec(key, f"{CONDITION}any", tuple(shape)) for key, shape in shapes.items()]
        given = tuple(torch.from_numpy(value) for value in seeded_inputs(inputs).values())
    except (TypeError, ValueError) as error:
        raise UsageError(f"These are not shapes: {first_line(error)}.") from error
    with evaluating(module, where), torch.no_grad():
        made = run_module(module, given, where)
    names = outputs or _usual_names(len(made), shapes)
    if len(names) != len(made):
        raise UsageError(
            f"The module returns {len(made)} tensors; the names given are {', '.join(names)}."
        )
    found = {key: tuple(tensor.shape) for key, tensor in zip(names, made, strict=True)}
    try:
        span = () if values is None else (values,)
        return spec_of_shapes(Path(f"{name}.onnx"), shapes, found, *span)
    except BadInput as error:
        hint = (error.hint or "").replace(OWN_CONTRACT, _CONTRACT)
        raise BadInput(error.what, where=where, hint=hint) from error
    except ValueError as error:  # an empty tensor, say
        raise BadInput(f"{first_line(error)}.", where=where) from error


def _usual_names(count: int, taken: Shapes) -> tuple[str, ...]:
    """`frame`, `frame1` and so on; `frame_out` where an input is called `frame`, as many nets call
    theirs."""
    names = (f"{_FRAME}{number or ''}" for number in range(count))
    return tuple(f"{name}_out" if name in taken else name for name in names)
