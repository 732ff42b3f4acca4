"""Files of tensors: safetensors, never pickles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeanim.core.errors import BadInput
from edgeanim.core.files import read_bytes, write_bytes

if TYPE_CHECKING:
    import torch

_MAX_BYTES = 4 << 30
_PICKLED = (b"PK\x03\x04", b"\x80\x02")
"""How the files of `torch.save` begin, today's and older ones."""
_CHECKPOINT = (
    "Checkpoints of torch.save are pickles, which are never opened here. Load it yourself with "
    "torch.load(…, weights_only=True), and write it with safetensors.torch.save_file."
)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write `tensors` as safetensors, whole or not at all, whatever device they are on."""
    from safetensors.torch import save

    # The library's own way into a file raises an error of its own where the disk refuses.
    portable = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(portable))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file; `BadInput` if it is not one, or for the first tensor that
    is not finite."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_bytes(path, _MAX_BYTES, "This file")
    try:
        tensors: dict[str, Any] = load(data)
    except (SafetensorError, ValueError) as error:
        raise BadInput(
            f"This is not a safetensors file: {error}.",
            where=path,
            hint=_CHECKPOINT if data.startswith(_PICKLED) else None,
        ) from error
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadInput(f"The tensor {name!r} has values that are not finite.", where=path)
    return tensors
