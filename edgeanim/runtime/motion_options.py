"""What a player does with a driver's motion before frames are made of it."""

from __future__ import annotations

from dataclasses import dataclass

from edgeanim.core.choices import must_be_strength
from edgeanim.core.contract import Contract
from edgeanim.core.errors import UsageError
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.transfer import TransferRule


@dataclass(frozen=True)
class MotionOptions:
    """How a driver's motion becomes that of a still.

    `transfer` is how it is carried over (see `runtime.transfer`): by default relative wherever the
    model finds the still's motion. `smooth` takes the tremble out of it, which needs one frame more
    (see `runtime.smoothing`), and `refine` mends it by the driver's own frames, which takes 13 to
    37 frames more (see `runtime.refining`). `in_place` keeps the still's body where it is, wherever
    the driver goes, and `strength` says how many times as strong its motion is (see
    `runtime.strength`).
    """

    transfer: TransferRule | None = None
    smooth: bool = False
    refine: bool = False
    in_place: bool = False
    strength: float = 1.0

    def check(self, contract: Contract) -> None:
        """`UsageError` that names the option which the model of `contract` cannot heed, or a
        strength that none can."""
        must_be_strength(self.strength)
        if (self.in_place or self.strength != 1) and contract.joints() is None:
            raise UsageError(
                f"The model {contract.name!r} does not say how its regions are connected, so "
                "they cannot move differently from the driver's.",
                hint="Leave out --in-place and --strength, or add a [skeleton] to model.toml.",
            )
        for asked, doing in ((self.smooth, "smooth"), (self.refine, "refine")):
            if asked and not Needs.of(contract).moves_alone:
                raise UsageError(
                    f"The model {contract.name!r} makes its frames from more than motion, so "
                    f"it does not help to {doing} that alone.",
                    hint=f"Leave out --{doing}.",
                )
        if self.refine and contract.remembers:
            raise UsageError(
                f"The model {contract.name!r} carries a state from frame to frame, so its frames "
                "do not tell how good a motion is.",
                hint="Leave out --refine.",
            )
