"""Places the subjects of a script and sets them going: a `Layout` is the start of a take and its plain view.

Main motion runs along x, because every first camera looks along +y. Random numbers vary sizes, places and speeds
within what the words of the script say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from numpy.random import Generator

from filmwright.world.bodies import (
    LYING, MATERIAL, UPRIGHT, Body, Quaternion, axis_quaternion, half_size, plain, quaternion_product, rounded,
)  # fmt: skip
from filmwright.world.mechanics import BOUNCE, GRAVITY, GRIP
from filmwright.world.scene import Script, SubjectSpec

__all__ = ["Layout", "lay_out"]

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


def _turned(yaw: float, base: Quaternion = UPRIGHT) -> Quaternion:
    return quaternion_product(axis_quaternion(Z, yaw), base)


def _whole(
    subject: int, spec: SubjectSpec, rng: Generator, *, slender: float = 1.0, scale: float = 1.0
) -> tuple[Body, float]:
    """A plain solid standing on its own, and half its height."""
    half = half_size(spec.size, scale * float(rng.uniform(0.95, 1.05)))
    shape, solid, rise = plain(spec.kind, half, slender=slender)
    return Body(subject=subject, material=spec.material, shapes=(shape,), solids=(solid,)), rise


def _radius(body: Body) -> float:
    """Radius in metres of the first solid, that on which round things roll."""
    return body.solids[0].sizes[0]


def _sign(script: Script) -> float:
    return -1.0 if script.direction == "left" else 1.0


def _start(rng: Generator) -> tuple[float, float]:
    return float(rng.uniform(-0.15, 0.15)), float(rng.uniform(-0.15, 0.15))


def _layout(
    rng: Generator, bodies: list[Body], *, height: float = 0.45, low: bool = False, zoom: float = 1.0, **facts: float
) -> Layout:
    """Bodies under a plain view whose centre is `height` metres above the floor."""
    return Layout(
        bodies=tuple(bodies),
        target=(float(rng.uniform(-0.10, 0.10)), 0.0, height),
        elevation=float(rng.uniform(0.12, 0.18) if low else rng.uniform(0.18, 0.30)),
        zoom=zoom * float(rng.uniform(0.97, 1.07)),
        facts=facts,
    )


def _standing(subject: int, spec: SubjectSpec, rng: Generator, x: float, y: float) -> Body:
    """A plain solid at rest at (x, y), standing or, where it could not stand for long, lying."""
    body, rise = _whole(subject, spec, rng)
    turn = _turned(float(rng.uniform(-math.pi, math.pi)))
    if spec.kind == "capsule" or (spec.kind == "cylinder" and rng.random() < 0.3):
        turn, rise = _turned(float(rng.uniform(0.5, 2.6)), LYING), _radius(body)
        body = replace(body, solids=tuple(map(rounded, body.solids)))
    return replace(body, position=(x, y, rise), quaternion=turn)


def _rest(script: Script, rng: Generator) -> Layout:
    return _layout(rng, [_standing(0, script.subjects[0], rng, *_start(rng))])


def _drop(script: Script, rng: Generator) -> Layout:
    spec = script.subjects[0]
    body, rise = _whole(0, spec, rng)
    height = min(float(rng.uniform(0.65, 1.25)), 1.85 - 2.0 * rise)
    x, y = _start(rng)
    turn = _turned(float(rng.uniform(-math.pi, math.pi)))
    if spec.kind != "ball":
        lean, about = float(rng.uniform(0.03, 0.22)), float(rng.uniform(-math.pi, math.pi))
        turn = quaternion_product(axis_quaternion((math.cos(about), math.sin(about), 0.0), lean), turn)
    body = replace(body, position=(x, y, rise + height), quaternion=turn)
    restitution = MATERIAL[spec.material].restitution * BOUNCE[script.setting]
    return _layout(rng, [body], height=0.82, low=True, drop_height=height, restitution=restitution)


def _roller(
    subject: int, spec: SubjectSpec, rng: Generator, speed: float, x: float, y: float, drift: float = 0.0
) -> tuple[Body, float]:
    """Something that rolls along x at `speed` m/s (signed) without slipping, now at (x, y); and its radius."""
    body, rise = _whole(subject, spec, rng)
    radius = rise if spec.kind == "ball" else _radius(body)
    heading = math.atan2(drift * (1.0 if speed > 0 else -1.0), abs(speed))
    return (
        replace(
            body,
            solids=tuple(map(rounded, body.solids)) if spec.kind == "cylinder" else body.solids,
            position=(x, y, radius),
            quaternion=_turned(heading, LYING),
            velocity=(speed, drift, 0.0),
            spin=(-drift / radius, speed / radius, 0.0),
            striped=True,
        ),
        radius,
    )


def _seconds(script: Script) -> float:
    return max((script.num_frames - 1) / script.fps, 0.5)


def _roll(script: Script, rng: Generator) -> Layout:
    sign = _sign(script)
    length = float(rng.uniform(1.7, 2.2))
    speed = sign * length / _seconds(script)
    _, y = _start(rng)
    drift = float(rng.uniform(-0.12, 0.12))
    body, radius = _roller(0, script.subjects[0], rng, speed, -sign * length / 2.0, y, drift)
    return _layout(rng, [body], speed=math.hypot(speed, drift), radius=radius)


def _slide(script: Script, rng: Generator) -> Layout:
    spec, sign = script.subjects[0], _sign(script)
    body, rise = _whole(0, spec, rng)
    friction = min(MATERIAL[spec.material].friction * GRIP[script.setting], 0.30)
    length = float(rng.uniform(1.3, 1.8))
    speed = sign * math.sqrt(2.0 * friction * GRAVITY * length)
    _, y = _start(rng)
    body = replace(
        body,
        position=(-sign * length / 2.0, y, rise),
        quaternion=_turned(float(rng.uniform(-0.5, 0.5))),
        velocity=(speed, 0.0, 0.0),
        friction=friction,
    )
    return _layout(rng, [body], friction=friction, speed=abs(speed))


def _spin(script: Script, rng: Generator) -> Layout:
    spec = script.subjects[0]
    body, rise = _whole(0, spec, rng)
    rate = float(rng.uniform(4.5, 7.0)) * (1.0 if rng.random() < 0.5 else -1.0)
    x, y = _start(rng)
    turn = UPRIGHT
    if spec.kind == "capsule":
        turn, rise = LYING, _radius(body)
    body = replace(
        body,
        position=(x, y, rise),
        quaternion=_turned(float(rng.uniform(-math.pi, math.pi)), turn),
        spin=(0.0, 0.0, rate),
        striped=True,
        friction=0.015,
    )
    return _layout(rng, [body], spin=abs(rate))


_EVENTS: dict[str, Callable[[Script, Generator], Layout]] = {
    "rest": _rest,
    "drop": _drop,
    "roll": _roll,
    "slide": _slide,
    "spin": _spin,
}


def lay_out(script: Script, rng: Generator) -> Layout:
    """The start of a take of `script`, with the details drawn from `rng`."""
    return _EVENTS[script.event](script, rng)
