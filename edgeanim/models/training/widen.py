"""A trained animator in a wider architecture: the same function, with room to learn more.

Training wider networks from nothing throws away hours. So the trained weights keep their places,
new channels begin as any untrained ones do, and what would carry them into trained channels begins
at zero: the wider networks compute exactly what the narrower ones did (after Net2Net, Chen et al.
2016, which copies channels instead; copies have to be told apart first before they are of any use).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from edgeanim.models.nets.backdrop import COLOURS
from edgeanim.models.regions import COUNT

_JOINED_BEHIND = {"encoder.join.0.weight": COLOURS + COUNT}
"""Convolutions over joined maps, and how many of their inputs come behind those that widen."""


def fits(state: Mapping[str, Tensor], module: nn.Module) -> bool:
    """Whether `state` is that of `module` with as many channels or fewer, and fewer somewhere."""
    wide = module.state_dict()
    if state.keys() != wide.keys():
        return False
    pairs = [(state[name].shape, wide[name].shape) for name in wide]
    # Only channels may differ: a kernel of another size computes something else.
    if any(len(one) != len(other) or one[2:] != other[2:] for one, other in pairs):
        return False
    channels = [size for one, other in pairs for size in zip(one, other, strict=True)]
    return all(a <= b for a, b in channels) and any(a < b for a, b in channels)


def widen(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The weights `state`, which `fits` `module`, filled up to its own by its untrained ones."""
    return {
        name: _filled(name, state[name], value) if value.dim() else state[name].clone()
        for name, value in module.state_dict().items()
    }


def _filled(name: str, trained: Tensor, untrained: Tensor) -> Tensor:
    filled = untrained.clone()
    outputs = trained.shape[0]
    if trained.dim() == 1:  # a bias, or what a batch norm has of each channel
        filled[:outputs] = trained
        return filled
    behind = _JOINED_BEHIND.get(name, 0)
    before = trained.shape[1] - behind
    new = slice(before, untrained.shape[1] - behind)
    filled[:outputs, :before] = trained[:, :before]
    filled[:outputs, new] = 0
    filled[:outputs, new.stop :] = trained[:, before:]
    return filled
