"""PyTorch modules of any maker, run as they are: what their code raises is an input's fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeanim.core.errors import BadInput, first_line, foreign_errors

if TYPE_CHECKING:
    import torch

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def evaluating(module: torch.nn.Module, where: str) -> Iterator[None]:
    """`module` in evaluation mode, each of its parts in its own mode again afterwards. `BadInput`
    for what is none that could be."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        raise BadInput(
            "This is a TorchScript module.",
            where=where,
            hint="Give the module that it was made from.",
        )
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
    except NotImplementedError as error:
        raise BadInput(
            f"This module has no evaluation mode: {first_line(error)}",
            where=where,
            hint="Give the module that it was made from.",
        ) from error
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def run_module(
    module: torch.nn.Module, given: tuple[torch.Tensor, ...], where: str
) -> tuple[torch.Tensor, ...]:
    """What `module` returns for these tensors; `BadInput` if it does not run, or returns anything
    else than a float32 tensor or a tuple of them."""
    import torch

    def translate(error: BaseException) -> BadInput:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in given)
        return BadInput(
            f"This module does not take float32 tensors of the shapes {shapes}: "
            f"{reason_of(error).rstrip('.')}.",
            where=where,
            hint="If it is of another precision, call .float() on it first.",
        )

    with foreign_errors(translate):
        made = module(*given)
    made = tuple(made) if isinstance(made, (tuple, list)) else (made,)
    if not all(isinstance(tensor, torch.Tensor) for tensor in made):
        raise BadInput(
            "This module returns something else than a tensor or a tuple of tensors.",
            where=where,
            hint="Wrap it in a module that does.",
        )
    if other := next((tensor.dtype for tensor in made if tensor.dtype != torch.float32), None):
        raise BadInput(
            f"This module returns {other} for float32.", where=where, hint="Call .float() on it."
        )
    return made


def reason_of(error: BaseException) -> str:
    """What is at the bottom of an error, in a line without colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, SystemExit):
        return "it ended the program (sys.exit)."
    return _COLOUR.sub("", first_line(error))
