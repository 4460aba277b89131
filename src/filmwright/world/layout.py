"""What a layout is, and the helpers that every event's staging shares."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from numpy.random import Generator

from filmwright.world.bodies import (
    LYING,
    UPRIGHT,
    Body,
    Quaternion,
    axis_quaternion,
    bottle,
    glass,
    half_size,
    lighthouse,
    plain,
    quaternion_product,
    rounded,
)  # fmt: skip
from filmwright.world.looks import COLOUR
from filmwright.world.mechanics import Push
from filmwright.world.scene import Float, Script, SubjectSpec

__all__ = [
    "Layout",
    "arrange",
    "bystanders",
    "composite",
    "first_radius",
    "heading_sign",
    "run_seconds",
    "somewhere",
    "standing",
    "turned",
    "whole",
]

Vector = tuple[float, float, float]
Z: Vector = (0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Bodies as they start, the plain camera's target (metres), elevation (radians) and zoom, and stated facts.

    `follow` is the plan that must stay in the picture.
    """

    bodies: tuple[Body, ...]
    target: Vector
    elevation: float
    zoom: float = 1.0
    follow: int = 0
    facts: dict[str, float] = field(default_factory=dict)
    waves: Float | None = None  # of the sea
    push: Push | None = None  # a force law, as `mechanics.run` takes it
    shards: tuple[Body, ...] = ()  # what plan 0 breaks into at its first touch, in its own frame


def turned(yaw: float, base: Quaternion = UPRIGHT) -> Quaternion:
    """The turn `base` followed by one of `yaw` radians about the vertical."""
    return quaternion_product(axis_quaternion(Z, yaw), base)


def whole(
    subject: int, spec: SubjectSpec, rng: Generator, *, slender: float = 1.0, scale: float = 1.0
) -> tuple[Body, float]:
    """A plain solid standing on its own, and half its height."""
    half = half_size(spec.size, scale * float(rng.uniform(0.95, 1.05)))
    shape, solid, rise = plain(spec.kind, half, slender=slender)
    return Body(subject=subject, material=spec.material, shapes=(shape,), solids=(solid,)), rise


def composite(subject: int, spec: SubjectSpec, rng: Generator, *, scale: float = 1.0) -> tuple[Body, float]:
    """A bottle, glass, lighthouse or plain solid standing on its own, and half its height in metres."""
    jitter = scale * float(rng.uniform(0.95, 1.05))
    if spec.kind == "bottle":
        shapes, solids, rise = bottle(half_size(spec.size, 1.20 * jitter))
    elif spec.kind == "glass":
        shapes, solids, rise = glass(half_size(spec.size, 1.30 * jitter))
    elif spec.kind == "lighthouse":
        shapes, solids, rise = lighthouse(half_size(spec.size, 1.50 * jitter), COLOUR[spec.colour])
    else:
        return whole(subject, spec, rng, scale=scale)
    return Body(subject=subject, material=spec.material, shapes=shapes, solids=solids), rise


def first_radius(body: Body) -> float:
    """Radius in metres of the first solid, that on which round things roll."""
    return body.solids[0].sizes[0]


def heading_sign(script: Script) -> float:
    """-1 for a script that goes left, else 1."""
    return -1.0 if script.direction == "left" else 1.0


def somewhere(rng: Generator) -> tuple[float, float]:
    """A place (x, y) near the middle, metres."""
    return float(rng.uniform(-0.15, 0.15)), float(rng.uniform(-0.15, 0.15))


def arrange(
    rng: Generator,
    bodies: list[Body],
    *,
    height: float = 0.45,
    low: bool = False,
    zoom: float = 1.0,
    **facts: float,
) -> Layout:
    """Bodies under a plain view whose centre is `height` metres above the floor."""
    return Layout(
        bodies=tuple(bodies),
        target=(float(rng.uniform(-0.10, 0.10)), 0.0, height),
        elevation=float(rng.uniform(0.12, 0.18) if low else rng.uniform(0.18, 0.30)),
        zoom=zoom * float(rng.uniform(0.97, 1.07)),
        facts=facts,
    )


def standing(
    subject: int, spec: SubjectSpec, rng: Generator, x: float, y: float, *, scale: float = 1.0
) -> Body:
    """A solid at rest at (x, y), standing or, where it could not stand for long, lying."""
    body, rise = composite(subject, spec, rng, scale=scale)
    turn = turned(float(rng.uniform(-math.pi, math.pi)))
    if spec.kind == "capsule" or (spec.kind == "cylinder" and rng.random() < 0.3):
        turn, rise = turned(float(rng.uniform(0.5, 2.6)), LYING), first_radius(body)
        body = replace(body, solids=tuple(map(rounded, body.solids)))
    return replace(body, position=(x, y, rise), quaternion=turn)


def run_seconds(script: Script) -> float:
    """Seconds from the first frame to the last, at least half a second."""
    return max((script.num_frames - 1) / script.fps, 0.5)


def bystanders(script: Script, rng: Generator, first: int) -> list[Body]:
    """Subjects `first` and later at rest behind the main action, each in a place of its own."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    places = ((0.85 * side, 0.95), (-0.75 * side, 1.25), (0.05 * side, 1.75))
    found = []
    for subject in range(first, len(script.subjects)):
        x, y = places[(subject - first) % len(places)]
        x, y = x + float(rng.uniform(-0.1, 0.1)), y + float(rng.uniform(-0.08, 0.08))
        found.append(standing(subject, script.subjects[subject], rng, x, y, scale=0.85))
    return found
