"""Harder, richer puppets: scenes with several characters and things that hide each other, cloth and
walls from photographs, and pictures lit, blurred and compressed as those of cameras are.

One character, the largest, is the one to animate; its regions are named. All else counts as
backdrop, though its motion is known too: other characters keep nearly still, things in front hide
the main one. Datasets are made of them (`dataset.make`); plain puppets, and what their seeds give,
stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput
from edgeanim.models.data.media import flatten, pictures_in, read_still
from edgeanim.models.data.puppets.actions import Action
from edgeanim.models.data.puppets.effects import Effects, random_effects
from edgeanim.models.data.puppets.keyposes import free_action
from edgeanim.models.data.puppets.puppet import (
    SIZE,
    Frame,
    Puppet,
    make_puppet,
    paint,
    part_transforms,
)
from edgeanim.models.data.puppets.sprites import Sprite, background, ellipse, limb
from edgeanim.models.data.puppets.wardrobe import dress, rich_look
from edgeanim.models.data.sequences import STEP, FrameSequence, paired_sequence, spread_times
from edgeanim.models.data.textures import (
    RICH_PATTERNS,
    Picture,
    photo_patch,
    random_colour,
    texture,
)
from edgeanim.models.regions import BACKGROUND

_PHOTO_SIDE = 512
_MAX_PHOTOS = 500


@dataclass(frozen=True)
class Actor:
    """A puppet and what it does; `named` if its regions are those to find."""

    puppet: Puppet
    action: Action
    named: bool


@dataclass(frozen=True)
class Scene:
    """`actors` back to front, then `things` before them: a sprite and the place (x, y) of its
    origin on the canvas."""

    backdrop: Picture
    actors: tuple[Actor, ...]
    things: tuple[tuple[Sprite, tuple[float, float]], ...]
    effects: Effects

    @property
    def regions(self) -> NDArray[np.uint8]:
        """The region index of each part, actor by actor, then things [P]."""
        rows = [
            actor.puppet.regions if actor.named else np.full_like(actor.puppet.regions, BACKGROUND)
            for actor in self.actors
        ]
        return np.concatenate([*rows, np.full(len(self.things), BACKGROUND, np.uint8)])

    def frame(self, time: float, number: int) -> Frame:
        """The scene at a time of its actions' common period; `number` seeds the frame's noise."""
        sprites: list[Picture] = []
        transforms: list[NDArray[np.float32]] = []
        order: list[int] = []
        for actor in self.actors:
            order += [len(sprites) + index for index in actor.puppet.order]
            sprites += [part.sprite.picture for part in actor.puppet.parts]
            transforms.append(part_transforms(actor.puppet, actor.action.pose(time)))
        for sprite, (x, y) in self.things:
            order.append(len(sprites))
            sprites.append(sprite.picture)
            move = [[1, 0, x - sprite.origin[0]], [0, 1, y - sprite.origin[1]]]
            transforms.append(np.array([move], np.float32))
        frame = paint(self.backdrop, sprites, np.concatenate(transforms), order)
        return replace(frame, picture=self.effects.apply(frame, number))


def make_scene(seed: int, photographs: tuple[Picture, ...] = ()) -> Scene:
    """The scene of this seed; half of all cloth and walls are cut from `photographs`, if any."""
    rng = np.random.default_rng([seed, 21])
    actors = [_actor(rng, photographs, main=True)]
    if rng.uniform() < 0.3:
        for _ in range(int(rng.integers(1, 3))):
            place = 0 if rng.uniform() < 0.7 else 1
            actors.insert(place, _actor(rng, photographs, main=False))
    things = []
    if rng.uniform() < 0.3:
        things = [_thing(rng, photographs) for _ in range(int(rng.integers(1, 3)))]
    backdrop = random_backdrop(rng, photographs)
    return Scene(backdrop, tuple(actors), tuple(things), random_effects(rng))


def scene_sequence(
    seed: int, times: Sequence[float], photographs: tuple[Picture, ...] = ()
) -> FrameSequence:
    """The scene of this seed at the given times, each with the frame before it."""
    scene = make_scene(seed, photographs)
    moments = [t for time in times for t in (time - STEP, time)]
    frames = [scene.frame(t, number) for number, t in enumerate(moments)]
    return paired_sequence(f"scene {seed}", frames, scene.regions)


def scene_at_moments(
    seed: int, moments: int, photographs: tuple[Picture, ...] = ()
) -> FrameSequence:
    """The scene of this seed at `moments` times spread over its actions."""
    times = spread_times(np.random.default_rng([seed, 22]), moments)
    return scene_sequence(seed, times, photographs)


def read_photographs(folder: Path) -> tuple[Picture, ...]:
    """The pictures of a folder, at most 512 pixels a side: material for cloth and walls.

    `BadInput` if there are none, more than 500, or one cannot be read or is under 64 pixels.
    """
    import cv2

    paths = pictures_in(folder)
    if len(paths) > _MAX_PHOTOS:
        raise BadInput(
            f"{len(paths)} photographs are more than {_MAX_PHOTOS}.",
            where=folder,
            hint="Give a folder of fewer.",
        )
    photos = []
    for path in paths:
        photo = flatten(read_still(path))
        if min(photo.shape[:2]) < 64:
            raise BadInput(
                "This photograph is smaller than 64 pixels.", where=path, hint="Leave it out."
            )
        scale = _PHOTO_SIDE / max(photo.shape[:2])
        if scale < 1:
            size = [max(64, round(side * scale)) for side in (photo.shape[1], photo.shape[0])]
            photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        photos.append(photo)
    return tuple(photos)


def _actor(rng: np.random.Generator, photographs: tuple[Picture, ...], *, main: bool) -> Actor:
    """The `main` character, or one beside it: smaller, aside, nearly still."""
    look = rich_look(rng, photographs)
    puppet = make_puppet(int(rng.integers(2**31)), None if main else "figure", look)
    parts = dress(rng, look, puppet.parts)
    place = puppet.place.copy()
    if not main:
        place[:, :2] *= rng.uniform(0.45, 0.75)
        place[0, 2] = SIZE / 2 + rng.choice([-1, 1]) * rng.uniform(60, 120)
        place[1, 2] = rng.uniform(120, 170)
    puppet = replace(puppet, parts=parts, place=place)
    lively = float(rng.choice([0.6, 1.0, 1.0] if main else [0.0, 0.1]))
    return Actor(puppet, free_action(rng, puppet, lively=lively), main)


def _thing(
    rng: np.random.Generator, photographs: tuple[Picture, ...]
) -> tuple[Sprite, tuple[float, float]]:
    """Something that stands before the character: a bar, a table's edge, a round or oval thing."""
    look = rich_look(rng, photographs)
    colour = random_colour(rng)
    if rng.uniform() < 0.4:
        long = rng.uniform(60, 300)
        bar = limb(rng, long, (rng.uniform(10, 40),) * 2, colour, look.top_pattern, look)
        if rng.uniform() < 0.5:
            return bar, (rng.uniform(0, SIZE), rng.uniform(60, SIZE))
        flat = replace(bar, picture=np.ascontiguousarray(np.rot90(bar.picture)))
        flat = replace(flat, origin=(0.0, bar.picture.shape[1] / 2))
        return flat, (rng.uniform(-80, SIZE - 60), rng.uniform(190, SIZE))
    shape = (rng.uniform(12, 45), rng.uniform(12, 45))
    ball = ellipse(rng, shape, colour, look.top_pattern, look)
    return ball, (rng.uniform(0, SIZE), rng.uniform(130, SIZE))


def random_backdrop(rng: np.random.Generator, photographs: tuple[Picture, ...]) -> Picture:
    """A wall, perhaps with a floor [SIZE, SIZE, 3]; a part is cut from `photographs`, if any."""
    import cv2

    if photographs and rng.uniform() < 0.6:
        wall = photo_patch(rng, SIZE, SIZE, photographs)
    elif rng.uniform() < 0.5:
        wall = texture(rng, SIZE, SIZE, random_colour(rng), str(rng.choice(RICH_PATTERNS)))
        floor = int(rng.uniform(150, 240))
        wall[floor:] = texture(
            rng, SIZE - floor, SIZE, random_colour(rng), str(rng.choice(RICH_PATTERNS))
        )
    else:
        wall = background(rng, SIZE).astype(np.float32)
    if rng.uniform() < 0.5:
        wall = cv2.GaussianBlur(wall, (0, 0), float(rng.uniform(0.5, 4)))
    return np.clip(wall, 0, 255).astype(np.uint8)
