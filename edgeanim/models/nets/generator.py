"""The generator: cached features and motion to flow, alpha and colour. It runs for every frame.

Built around what the runtimes are fast at:

- A convolution over joined maps is a sum of convolutions, and the share of the still's features is
  the same in every frame. So the encoder hands over that share and the generator only adds it.
- All glue is elementwise with broadcasting over NCHW, so no backend inserts a transpose. A fixed
  zero score for the background lets exp, sum and divide stand in for a softmax over channels.
- One 16-channel head at stride 4 makes everything: fewer channels would leave lanes of an INT8
  kernel empty. Its outputs share one quantisation range, so all are scaled to use about -8..8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeanim.models.config import AnimatorConfig
from edgeanim.models.nets.blocks import ConvBlock, ConvNorm, Convolution, upsample
from edgeanim.models.nets.moments import axis
from edgeanim.models.regions import COUNT, MIN_DETERMINANT, NEUTRAL_SCORE

_BOUND = 8.0
"""The head's outputs are clamped to this."""
_RESIDUAL = 0.03
"""Flow per unit of the head's output: at most 0.24, or 31 pixels of a 256-pixel picture."""
_OPAQUE = 3.0
"""Added to alpha's score: an untrained generator shows the warped still."""
_TINT = 0.12
"""A channel of the colour that differs from the backdrop's by less is the backdrop's: 31 levels."""
_FAINT = 0.08
"""And so is the whole colour, where what is left in no channel is more: 20 levels, which a limb
that comes to light has nearly everywhere, and a halo beside one that has left has not. At twice as
much nothing is taken away. Asked channel by channel, skin would turn green: its red is the wall's.
"""
_FAINTEST = -40.0
"""Exponents of heat and weights end here, at 4e-18: below 1e-38 numbers lose precision, and Intel's
processors take many times as long for each. Asking a runtime to take those for zero would change
the arithmetic of the whole process that it runs in."""
_FLOW_GAIN = 8.0
"""Brings flows, mostly below 0.1, to the scale of the heat maps beside them."""
_INPUTS = 3 * COUNT


class Generator(nn.Module):  # type: ignore[misc]
    """U-Net over strides 8, 16, 4 that weighs the regions' affine flows and refines their sum."""

    def __init__(self, config: AnimatorConfig) -> None:
        super().__init__()
        w4, w8, w16 = config.generator
        self.enter = ConvNorm(_INPUTS, w8)
        self.mix8 = ConvBlock(w8, w8)
        self.down16 = nn.Sequential(
            ConvBlock(w8, w16, stride=2), ConvBlock(w16, w16), ConvBlock(w16, w16)
        )
        self.bridge16 = ConvBlock(w16, w8, kernel=1)
        self.up8 = nn.Sequential(ConvBlock(w8, w8), ConvBlock(w8, w8))
        self.bridge8 = ConvNorm(w8, w4, kernel=1)
        self.up4 = ConvBlock(w4, w4)
        self.head = Convolution(w4, COUNT + 6, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-2)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.head.bias[:COUNT], NEUTRAL_SCORE)

    def forward(
        self, s4: Tensor, s8: Tensor, backdrop: Tensor, still: Tensor, driving: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the still, its backdrop, its motion and the driving motion [N, K, 6].

        Returns at stride 4: flow [N, 2, h/4, w/4] (x, y; offset in half pictures to where a pixel
        comes from), alpha [N, 1, h/4, w/4] and colour [N, 3, h/4, w/4], both in 0..1. The colour is
        the backdrop's own and a difference: where a limb has left there is nothing to be guessed.
        """
        coefficients = affine_coefficients(still, driving)
        x = self.enter(_heat_and_flow(*coefficients, s8.shape[2], s8.shape[3]))
        x = self.mix8(functional.relu(x + s8))
        x = self.up8(x + upsample(self.bridge16(self.down16(x))))
        x = self.up4(functional.relu(upsample(self.bridge8(x)) + s4))
        out = self.head(x).float().clamp(-_BOUND, _BOUND)
        flow = compose_flows(out[:, :COUNT], *coefficients) + out[:, COUNT : COUNT + 2] * _RESIDUAL
        alpha = (out[:, COUNT + 2 : COUNT + 3] + _OPAQUE).sigmoid()
        difference = without_tint(out[:, COUNT + 3 :] * (1 / _BOUND))
        colour = (backdrop + difference).clamp(0, 1)
        return flow, alpha, colour


def without_tint(difference: Tensor) -> Tensor:
    """All differences smaller by `_TINT`, those below it none (soft thresholding), and none where
    they are `_FAINT` in all channels.

    The gradient passes as if nothing were taken away: what is none yet could not grow otherwise.
    """
    difference = difference - difference.detach().clamp(-_TINT, _TINT)
    kept = difference.detach()
    faint = (2 - kept.abs().amax(1, keepdim=True) * (1 / _FAINT)).clamp(0, 1)
    return difference - kept * faint


def affine_coefficients(still: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
    """What each region's motion [N, K, 6] means for a pixel z, as forms in (x, y, 1).

    Returns [N, K, 2, 3] each: u = A_d^-1 (z - c_d), the place in the region's own frame, and the
    flow c_s + A_s u - z (region-wise affine motion, Siarohin et al. 2021).
    """
    count = still.shape[1]
    unit = torch.tensor([[1.0, 0.0], [0.0, 1.0]], device=still.device)
    unit = unit.expand(len(still), count, 2, 2)
    a_s = still[:, :, 2:].reshape(-1, count, 2, 2)
    a, b, c, d = (driving[:, :, i : i + 1] for i in range(2, 6))
    det = (a * d - b * c).clamp(min=MIN_DETERMINANT)
    inverse = (torch.cat([d, -b, -c, a], dim=2) / det).reshape(-1, count, 2, 2)
    place = inverse @ torch.cat([unit, -driving[:, :, :2].unsqueeze(3)], dim=3)
    flow = a_s @ place + torch.cat([-unit, still[:, :, :2].unsqueeze(3)], dim=3)
    return place, flow


def _evaluate(form: Tensor, row: int, height: int, width: int) -> Tensor:
    """Row `row` of forms [N, K, 2, 3] at every pixel: [N, K, h, w].

    The sum of a term in x and one in y, so only one operation runs over all pixels.
    """
    p, q, r = (form[:, :, row, i : i + 1].unsqueeze(3) for i in range(3))
    return p * axis(width, form).view(1, 1, 1, width) + (
        q * axis(height, form).view(1, 1, height, 1) + r
    )


def _distances(place: Tensor, height: int, width: int) -> Tensor:
    """Half the squared Mahalanobis distance of each pixel from each region: [N, K, h, w]."""
    place = place * 0.5**0.5
    x, y = (_evaluate(place, row, height, width) for row in (0, 1))
    return x * x + y * y


def _heat_and_flow(place: Tensor, flow: Tensor, height: int, width: int) -> Tensor:
    """What the generator sees of the motion [N, 3K, h, w]: heat maps, and flows under them."""
    heat = (-_distances(place, height, width)).clamp(min=_FAINTEST).exp()
    x, y = (heat * _evaluate(flow, row, height, width) for row in (0, 1))
    return torch.cat([heat, x * _FLOW_GAIN, y * _FLOW_GAIN], dim=1)


def compose_flows(score: Tensor, place: Tensor, flow: Tensor) -> Tensor:
    """The regions' flows weighed by softmax(score - distance), the background's score being 0.

    A weighted sum of affine flows is affine in (x, y, 1) with weighted coefficients, so one product
    of a [7, K] matrix with the weights replaces a dozen passes over [K, h, w].
    """
    count, height, width = score.shape[1:]
    weight = (score - _distances(place, height, width)).clamp(min=_FAINTEST).exp()
    weight = weight.reshape(-1, count, height * width)
    rows = torch.cat([flow.reshape(-1, count, 6), torch.ones_like(flow[:, :, 0, :1])], dim=2)
    sums = (rows.transpose(1, 2) @ weight).reshape(-1, 7, height, width)
    x = axis(width, score).view(1, 1, 1, width)
    y = axis(height, score).view(1, 1, height, 1)
    affine = [
        sums[:, i : i + 1] * x + sums[:, i + 1 : i + 2] * y + sums[:, i + 2 : i + 3] for i in (0, 3)
    ]
    return torch.cat(affine, dim=1) / (sums[:, 6:7] + 1.0)
