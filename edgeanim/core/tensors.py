"""Files of tensors: safetensors, never pickles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgeanim.core.files import write_bytes

if TYPE_CHECKING:
    import torch


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write `tensors` as safetensors, whole or not at all, whatever device they are on."""
    from safetensors.torch import save

    # The library's own way into a file raises an error of its own where the disk refuses.
    portable = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(portable))
