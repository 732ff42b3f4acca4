"""People in the round: who they are, what they do, and the sequences that they give.

Puppets and drawings are flat. Here heads turn and show another side, arms reach forward, and light
falls on all of it; masks and flow are known as exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.people.acting import Posture, random_acting
from edgeanim.models.data.people.bodies import Body, posed, random_body
from edgeanim.models.data.people.faces import FEATURES, painted
from edgeanim.models.data.people.geometry import Floats
from edgeanim.models.data.people.heads import feature_transforms
from edgeanim.models.data.people.looks import (
    FRAMINGS,
    random_build,
    random_clothes,
    random_colours,
)
from edgeanim.models.data.people.pictures import (
    Surroundings,
    facing_quads,
    picture_of,
    random_camera,
    random_lamp,
)
from edgeanim.models.data.people.rooms import random_room
from edgeanim.models.data.people.surfaces import CHART, Chart, widened
from edgeanim.models.data.puppets.effects import Effects, random_effects
from edgeanim.models.data.puppets.puppet import Frame
from edgeanim.models.data.puppets.scenes import random_backdrop
from edgeanim.models.data.sequences import STEP, FrameSequence, paired_sequence, spread_times
from edgeanim.models.data.textures import Picture
from edgeanim.models.regions import REGIONS

_HEAD = 2
"""The head's number among a body's surfaces."""
_LARGE = 45.0
"""Pixels of a head whose eyes and mouth are regions of their own; on a smaller one they are just
its texture."""
_THINNEST_FEATURE = 0.05
"""Heads that a shut eye is still high, so that its transform can be inverted."""


@dataclass(frozen=True)
class Person:
    """`posture(time)` has period 1."""

    body: Body
    posture: Callable[[float], Posture]
    around: Surroundings
    effects: Effects

    @property
    def regions(self) -> NDArray[np.uint8]:
        """The region index of each patch, surface by surface, then those of `FEATURES` [P]."""
        names = [region for surface in self.body.surfaces for region in surface.regions]
        large = self.around.camera.zoom > _LARGE
        for feature in FEATURES:
            names.append(("mouth" if feature == "mouth" else "eyes") if large else "head")
        return np.array([REGIONS.index(name) for name in names], np.uint8)

    @property
    def sheets(self) -> NDArray[np.uint8]:
        """Which chart each patch lies in [P]."""
        counts = [len(surface.regions) for surface in self.body.surfaces] + [1] * len(FEATURES)
        return np.repeat(np.arange(len(counts)), counts).astype(np.uint8)


def make_person(seed: int, photographs: tuple[Picture, ...] = ()) -> Person:
    """The person of this seed; the same one every time. Some clothes and walls are cut from
    `photographs`, if any."""
    rng = np.random.default_rng([seed, 61])
    own = np.random.default_rng([seed, 62])
    hair_long, hair_bulk, hand = (
        own.uniform(0.8, 1.7),
        own.uniform(0.03, 0.16),
        own.uniform(0.95, 1.25),
    )
    framing = FRAMINGS[int(rng.choice(3, p=[0.36, 0.46, 0.18]))]
    build = random_build(rng, hand)
    colours = random_colours(rng, hair_long, hair_bulk)
    body = random_body(rng, build, colours, random_clothes(rng, photographs), framing)
    posture = random_acting(rng, build, framing)
    backdrop = random_backdrop(rng, photographs) if rng.uniform() < 0.5 else random_room(rng)
    effects = replace(random_effects(rng), shadow=None)
    lamp = random_lamp(rng)
    camera = random_camera(rng, framing, build.neck)
    return Person(body, posture, Surroundings(backdrop, lamp, camera), effects)


def person_sequence(
    seed: int, times: Sequence[float], photographs: tuple[Picture, ...] = ()
) -> FrameSequence:
    """The person of this seed at the given times, each with the frame before it."""
    person = make_person(seed, photographs)
    moments = [t for time in times for t in (time - STEP, time)]
    first = posed(person.body, person.posture(moments[0]))
    charts = [Chart(*each) for each in zip(person.body.surfaces, first, strict=True)]
    frames = []
    for number, time in enumerate(moments):
        frame = render(person, time, charts)
        frames.append(replace(frame, picture=person.effects.apply(frame, number)))
    return paired_sequence(f"person {seed}", frames, person.regions, person.sheets)


def person_at_moments(
    seed: int, moments: int, photographs: tuple[Picture, ...] = ()
) -> FrameSequence:
    """The person of this seed at `moments` times spread over what they do."""
    times = spread_times(np.random.default_rng([seed, 63]), moments)
    return person_sequence(seed, times, photographs)


def render(person: Person, time: float, charts: Sequence[Chart]) -> Frame:
    """One frame; `charts` are those of the body's surfaces."""
    body, camera = person.body, person.around.camera
    posture = person.posture(time)
    vertices = posed(body, posture)
    seen = [camera.seen(grid) for grid in vertices]
    face, labels = painted(body.face, posture.expression)
    textures = [surface.texture for surface in body.surfaces]
    textures[_HEAD] = face
    picture, parts = picture_of(
        body.surfaces, textures, facing_quads(vertices, seen), person.around, {_HEAD: labels}
    )
    transforms = [
        chart.transforms(places, camera.zoom) for chart, places in zip(charts, seen, strict=True)
    ]
    features = feature_transforms(body.face, posture.expression, seen[_HEAD])
    transforms.append(_feature_maps(features, camera.zoom))
    return Frame(picture, parts, np.concatenate(transforms).astype(np.float32))


def _feature_maps(features: Sequence[tuple[Floats, Floats]], zoom: float) -> Floats:
    least = _THINNEST_FEATURE * zoom / CHART
    return np.array([np.column_stack([widened(axes, least), middle]) for axes, middle in features])
