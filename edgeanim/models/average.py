"""Weights between those of two trainings: `python -m edgeanim.models.average FROM TO -o OUT`.

A training that goes on from weights on other material wins something and forgets something. On the
straight line between both there are weights that keep most of either, at no cost at play (Wortsman
et al., "Robust fine-tuning of zero-shot models", 2022). Networks that the line does no good stay as
they were.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from edgeanim.core.errors import BadInput, UsageError, reports_errors
from edgeanim.core.files import may_hold_files, write_text
from edgeanim.core.parsing import to_toml
from edgeanim.graph.pytorch.module_weights import save_weights
from edgeanim.models.animator import load_animator
from edgeanim.models.shipped_files import ARCHITECTURE, WEIGHTS

NETWORKS = "regions", "encoder", "generator"


def average(
    first: Path, second: Path, out: Path, *, share: float, networks: Sequence[str] = NETWORKS
) -> None:
    """Write into the folder `out` the animator in the folder `first`, with every weight of these
    `networks` by `share` of the way to the one in the folder `second`.

    `BadInput` unless both have one architecture and `out` can be written to, `UsageError` for a
    share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"The share must be from 0 to 1, not {share:g}.")
    may_hold_files(out)
    animator, other = load_animator(first), load_animator(second)
    if animator.config != other.config:
        raise BadInput(
            "These two animators have other widths or sizes.",
            where=f"{first}, {second}",
            hint="Give a training and the one that it started from.",
        )
    for network in networks:
        _move(animator.get_submodule(network), other.get_submodule(network), share)
    out.mkdir(parents=True, exist_ok=True)
    save_weights(animator, out / WEIGHTS)
    write_text(out / ARCHITECTURE, to_toml(animator.config))


def _move(module: nn.Module, goal: nn.Module, share: float) -> None:
    """Take the module's weights by `share` of the way to those of `goal`."""
    ends = goal.state_dict()
    between = {
        # Batch norms count their steps in whole numbers, which `lerp` does not take.
        name: value.lerp(ends[name], share) if value.is_floating_point() else ends[name]
        for name, value in module.state_dict().items()
    }
    module.load_state_dict(between)


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    import argparse

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path, metavar="FROM", help="the folder of a training")
    parser.add_argument("second", type=Path, metavar="TO", help="of one that started from it")
    parser.add_argument("--share", type=float, default=0.5, help="of the way to TO (0.5)")
    parser.add_argument(
        "--only", choices=NETWORKS, nargs="+", default=NETWORKS, help="these networks (all)"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write")
    given = parser.parse_args(arguments)
    average(given.first, given.second, given.out, share=given.share, networks=given.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
