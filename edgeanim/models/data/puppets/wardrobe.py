"""What makes a plain puppet richer: photographed cloth, hands with fingers, noses, hair, things in
its hands. Each function takes parts and gives more of them, so any mixture is a puppet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from edgeanim.models.data.puppets.anatomy import Part
from edgeanim.models.data.puppets.sprites import (
    Look,
    Sprite,
    draw_sprite,
    ellipse,
    limb,
    random_look,
)
from edgeanim.models.data.textures import RICH_PATTERNS, Colour, Picture, random_colour

_SIDES = (("left", -1.0), ("right", 1.0))


def rich_look(rng: np.random.Generator, photographs: tuple[Picture, ...] = ()) -> Look:
    """A look from more patterns; with photographs, half of all cloth is cut from them."""
    look = random_look(rng)
    patterns = RICH_PATTERNS + ("photo",) * (len(RICH_PATTERNS) if photographs else 0)
    return replace(
        look,
        top_pattern=str(rng.choice(patterns)),
        bottom_pattern=str(rng.choice(patterns)),
        shading=float(rng.choice([0.0, 0.25, 0.5, 0.8])),
        photographs=photographs,
    )


def dress(rng: np.random.Generator, look: Look, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Hands, a nose, perhaps hair and something in a hand."""
    parts = with_nose(rng, look, parts)
    if rng.uniform() < 0.6:
        parts = with_hair(rng, look, parts)
    if any(part.name.startswith("forearm") for part in parts):
        parts = with_hands(rng, look, parts)
        if rng.uniform() < 0.25:
            parts = with_held_thing(rng, look, parts)
    return parts


def with_hands(rng: np.random.Generator, look: Look, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """A hand with fingers, open or closed, at the end of each forearm. It turns on its own."""
    added = []
    open_hand = rng.uniform() < 0.8
    size = rng.uniform(0.9, 1.4)
    for part in parts:
        if not part.name.startswith("forearm"):
            continue
        reach, thick = _tip(part.sprite)
        side = -1.0 if part.name.endswith("left") else 1.0
        sprite = _hand(rng, look, thick * size, side, open_hand=open_hand)
        name = part.name.replace("forearm", "hand")
        joint = (0.0, reach - thick * 0.8)
        added.append(Part(name, part.region, sprite, part.name, joint, part.depth + 0.2))
    return (*parts, *added)


def with_nose(rng: np.random.Generator, look: Look, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """A nose on the middle of the head, darker or lighter than the skin."""
    radius, tall = head_size(parts)
    tone = np.clip(look.skin * rng.uniform(0.75, 1.1), 0, 255).astype(np.float32)
    size = (radius * rng.uniform(0.09, 0.16), tall * rng.uniform(0.10, 0.18))
    nose = ellipse(rng, size, tone, "flat", look)
    return (*parts, Part("nose", "head", nose, "head", (0.0, -tall * 0.92), 2.1))


def with_hair(rng: np.random.Generator, look: Look, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Long hair behind the head, a bun, or ears."""
    radius, tall = head_size(parts)
    kind = rng.choice(["long", "bun", "ears"])
    if kind == "ears":
        tone = look.skin if rng.uniform() < 0.6 else look.hair
        shape = (radius * rng.uniform(0.2, 0.4), tall * rng.uniform(0.2, 0.45))
        high = rng.uniform(0.9, 1.9)
        ears = [
            Part(
                f"ear {side}",
                "head",
                ellipse(rng, shape, tone, "flat", look),
                "head",
                (sign * radius * (1.0 if high < 1.4 else 0.6), -tall * high),
                0.8,
            )
            for side, sign in _SIDES
        ]
        return (*parts, *ears)
    if kind == "bun":
        ball = ellipse(rng, (radius * 0.5, radius * 0.5), look.hair, "noise", look)
        return (*parts, Part("hair", "head", ball, "head", (0.0, -tall * 2.0), 0.8))
    mane = ellipse(
        rng,
        (radius * rng.uniform(1.05, 1.3), tall * rng.uniform(1.1, 1.6)),
        look.hair,
        "noise",
        look,
    )
    return (*parts, Part("hair", "head", mane, "head", (0.0, -tall * 0.85), -0.2))


def with_held_thing(
    rng: np.random.Generator, look: Look, parts: tuple[Part, ...]
) -> tuple[Part, ...]:
    """A stick, a ball or a card in one hand; it moves, and counts, with that hand."""
    hands = [part for part in parts if part.name.startswith("hand")]
    hand = hands[int(rng.integers(len(hands)))]
    colour, pattern = random_colour(rng), str(rng.choice(RICH_PATTERNS))
    kind = rng.choice(["stick", "ball", "card"])
    if kind == "stick":
        long, thick = rng.uniform(25, 60), rng.uniform(3, 7)
        sprite = limb(rng, long, (thick, thick), colour, pattern, look)
    else:
        shape = (rng.uniform(7, 14), rng.uniform(7, 18))
        sprite = ellipse(rng, (shape[0],) * 2 if kind == "ball" else shape, colour, pattern, look)
    depth = hand.depth + (0.1 if rng.uniform() < 0.6 else -0.5)
    return (*parts, Part("held", hand.region, sprite, hand.name, (0.0, 6.0), depth))


def head_size(parts: tuple[Part, ...]) -> tuple[float, float]:
    """Half the width and half the height of the head, in pixels."""
    head = next(part for part in parts if part.name == "head")
    height, width = head.sprite.picture.shape[:2]
    return (width - 6) / 2, (height - 6) / 2


def _tip(sprite: Sprite) -> tuple[float, float]:
    """How far a limb reaches from its joint, and half its width near the end."""
    solid = sprite.picture[:, :, 3] > 127
    last = int(np.nonzero(solid.any(1))[0][-1])
    width = float(solid[max(0, last - 6)].sum())
    return last - sprite.origin[1], max(2.0, width / 2)


def _hand(
    rng: np.random.Generator, look: Look, size: float, side: float, *, open_hand: bool
) -> Sprite:
    """A palm about the joint with four fingers downwards and a thumb towards the body."""
    import cv2

    spread = rng.uniform(0.1, 0.35) if open_hand else 0.12
    long = size * (rng.uniform(1.5, 2.2) if open_hand else 0.5)
    fingers = [(spread * k, long * (1 - 0.06 * k * k)) for k in (-1.5, -0.5, 0.5, 1.5)]
    fingers.append((-side * rng.uniform(0.8, 1.2), long * 0.75))
    thick = size * rng.uniform(0.36, 0.46)

    def draw(mask: Any, to_pixel: Callable[[float, float], tuple[int, int]], scale: float) -> None:
        cv2.circle(mask, to_pixel(0, size * 0.4), round(size * 0.95 * scale), 255, -1)
        for angle, length in fingers:
            base = (size * 0.6 * np.sin(angle), size * 0.4 + size * 0.5 * np.cos(angle))
            end = (base[0] + length * np.sin(angle), base[1] + length * np.cos(angle))
            cv2.line(mask, to_pixel(*base), to_pixel(*end), 255, max(1, round(thick * scale)))

    reach = size + long
    colour: Colour = np.clip(look.skin * rng.uniform(0.9, 1.05), 0, 255).astype(np.float32)
    box = (-reach, -size, reach, size + reach)
    return draw_sprite(rng, box, draw, colour, "flat", look)
