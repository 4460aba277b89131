"""Places the subjects of a script and sets them going, event by event.

Main motion runs along x, because every first camera looks along +y. Random numbers vary sizes, places and speeds
within what the words of the script say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from numpy.random import Generator

from filmwright.world.bodies import (
    LYING,
    MATERIAL,
    UPRIGHT,
    Body,
    axis_quaternion,
    car,
    half_size,
    quaternion_product,
    rounded,
)
from filmwright.world.layout import (
    Layout,
    arrange,
    bystanders,
    composite,
    first_radius,
    heading_sign,
    run_seconds,
    somewhere,
    standing,
    turned,
    whole,
)  # fmt: skip
from filmwright.world.mjcf import BOUNCE, GRAVITY, GRIP
from filmwright.world.scene import Script, SubjectSpec
from filmwright.world.setpieces import dominoes, floating, pendulum, resting_boat, shatter, stack, topple

__all__ = ["EXPECTED", "lay_out"]

EXPECTED: dict[str, str] = {
    "rest": "rests", "drop": "lands", "roll": "rolls", "slide": "slides", "collide": "hits",
    "topple": "topples", "spin": "spins", "swing": "swings", "shatter": "shatters", "float": "floats",
}  # fmt: skip
"""What the log must say of subject 0 for an event to have happened."""


def _rest(script: Script, rng: Generator) -> Layout:
    spec = script.subjects[0]
    x, y = somewhere(rng)
    others = bystanders(script, rng, 1)
    if others:  # side by side, rather than one behind the other
        x = -0.45 * math.copysign(1.0, others[0].position[0])
    scale = 0.85 if others else 1.0
    if spec.kind in ("stack", "dominoes"):
        build = stack if spec.kind == "stack" else dominoes
        return arrange(
            rng, [*build(0, spec, rng, x, y), *others], height=0.6 if spec.kind == "stack" else 0.45
        )
    if spec.kind == "car":
        yaw = float(rng.uniform(-0.9, 0.9)) + (math.pi if rng.random() < 0.5 else 0.0)
        return arrange(rng, [*_car(0, spec, rng, x, y, 0.0, yaw, scale=scale), *others])
    if spec.kind == "boat":
        return arrange(rng, [resting_boat(0, spec, rng, x, y), *others])
    zoom = 0.95 if spec.kind == "lighthouse" else 1.0
    return arrange(rng, [standing(0, spec, rng, x, y, scale=scale), *others], zoom=zoom)


def _drop(script: Script, rng: Generator) -> Layout:
    spec = script.subjects[0]
    body, rise = whole(0, spec, rng)
    height = min(float(rng.uniform(0.65, 1.20)), 1.66 - 2.0 * rise)
    x, y = somewhere(rng)
    turn = turned(float(rng.uniform(-math.pi, math.pi)))
    if spec.kind != "ball":
        lean, about = float(rng.uniform(0.03, 0.22)), float(rng.uniform(-math.pi, math.pi))
        turn = quaternion_product(axis_quaternion((math.cos(about), math.sin(about), 0.0), lean), turn)
    body = replace(body, position=(x, y, rise + height), quaternion=turn)
    restitution = MATERIAL[spec.material].restitution * BOUNCE[script.setting]
    bodies = [body, *bystanders(script, rng, 1)]
    zoom = (
        0.88 if script.camera in ("push-in", "pull-back") else 1.0
    )  # the near end must still hold the height
    return arrange(rng, bodies, height=0.82, low=True, zoom=zoom, drop_height=height, restitution=restitution)


def _roller(
    subject: int,
    spec: SubjectSpec,
    rng: Generator,
    speed: float,
    x: float,
    y: float,
    *,
    drift: float = 0.0,
    scale: float = 1.0,
) -> tuple[Body, float]:
    """Something that rolls along x at `speed` m/s (signed) without slipping, now at (x, y); and its radius."""
    body, rise = whole(subject, spec, rng, scale=scale)
    radius = rise if spec.kind == "ball" else first_radius(body)
    heading = math.atan2(drift * (1.0 if speed > 0 else -1.0), abs(speed))
    return (
        replace(
            body,
            solids=tuple(map(rounded, body.solids)),
            position=(x, y, radius),
            quaternion=turned(heading, LYING),
            velocity=(speed, drift, 0.0),
            spin=(-drift / radius, speed / radius, 0.0),
            striped=True,
        ),
        radius,
    )


def _car(
    subject: int, spec: SubjectSpec, rng: Generator, x: float, y: float, speed: float, yaw: float,
    *, scale: float = 1.0, index: int = 0,
) -> list[Body]:  # fmt: skip
    """A car with four free wheels that rolls forward at `speed` m/s; `index` is its place in the list of plans."""
    half = half_size(spec.size, 1.45 * scale * float(rng.uniform(0.95, 1.05)))
    shapes, solids, wheel_shape, wheel_solid, centres, clearance = car(half)
    chassis = Body(
        subject=subject,
        material=spec.material,
        shapes=shapes,
        solids=solids,
        position=(x, y, clearance),
        quaternion=turned(yaw),
        velocity=(speed * math.cos(yaw), speed * math.sin(yaw), 0.0),
    )
    wheels = [
        Body(
            subject=subject,
            material="rubber",
            shapes=(wheel_shape,),
            solids=(wheel_solid,),
            position=centre,
            quaternion=LYING,
            joint="hinge",
            hinge_axis=(0.0, 0.0, 1.0),
            spin=(speed / wheel_shape.sizes[0], 0.0, 0.0),
            parent=index,
            striped=True,
            restitution=0.1,
        )
        for centre in centres
    ]
    return [chassis, *wheels]


def _room(script: Script) -> float:
    """How much of the usual way fits: a pan begins and ends aside of the middle."""
    return 0.82 if script.camera.startswith("pan") else 1.0


def _roll(script: Script, rng: Generator) -> Layout:
    sign, spec = heading_sign(script), script.subjects[0]
    length = float(rng.uniform(1.7, 2.2)) * _room(script)
    speed = length / run_seconds(script)
    _, y = somewhere(rng)
    drift = float(rng.uniform(-0.12, 0.12))
    others = bystanders(script, rng, 1)
    if spec.kind == "car":
        yaw = drift * 0.5 + (0.0 if sign > 0 else math.pi)
        return arrange(rng, [*_car(0, spec, rng, -sign * length / 2.0, y, speed, yaw), *others], speed=speed)
    scale = 1.0 if spec.kind == "ball" else 1.2  # what lies looks smaller than what stands
    body, radius = _roller(0, spec, rng, sign * speed, -sign * length / 2.0, y, drift=drift, scale=scale)
    return arrange(rng, [body, *others], speed=math.hypot(speed, drift), radius=radius)


def _slide(script: Script, rng: Generator) -> Layout:
    spec, sign = script.subjects[0], heading_sign(script)
    body, rise = composite(0, spec, rng)
    friction = min(
        MATERIAL[spec.material].friction * GRIP[script.setting], 0.20 if spec.kind == "glass" else 0.30
    )
    length = float(rng.uniform(1.3, 1.8)) * _room(script)
    speed = sign * math.sqrt(2.0 * friction * GRAVITY * length)
    _, y = somewhere(rng)
    body = replace(
        body,
        position=(-sign * length / 2.0, y, rise),
        quaternion=turned(float(rng.uniform(-0.5, 0.5))),
        velocity=(speed, 0.0, 0.0),
        friction=friction,
    )
    return arrange(rng, [body, *bystanders(script, rng, 1)], friction=friction, speed=abs(speed))


def _spin(script: Script, rng: Generator) -> Layout:
    spec = script.subjects[0]
    body, rise = composite(0, spec, rng)
    rate = float(rng.uniform(4.5, 7.0)) * (1.0 if rng.random() < 0.5 else -1.0)
    x, y = somewhere(rng)
    turn = UPRIGHT
    if spec.kind == "capsule":
        turn, rise = LYING, first_radius(body)
    body = replace(
        body,
        position=(x, y, rise),
        quaternion=turned(float(rng.uniform(-math.pi, math.pi)), turn),
        spin=(0.0, 0.0, rate),
        striped=spec.kind != "cube",
        friction=0.015,
    )
    return arrange(rng, [body, *bystanders(script, rng, 1)], spin=abs(rate))


def _collide(script: Script, rng: Generator) -> Layout:
    """Subject 0 runs into subject 1, which stands in the middle."""
    sign = heading_sign(script)
    first, second = script.subjects[:2]
    speed = float(rng.uniform(1.5, 2.0))
    x, y = -sign * float(rng.uniform(1.05, 1.2)), float(rng.uniform(-0.06, 0.06))
    if first.kind == "car":
        runner = _car(0, first, rng, x, y, speed, 0.0 if sign > 0 else math.pi, scale=0.8)
    elif first.kind in ("cube", "cone"):
        body, rise = whole(0, first, rng, scale=0.85)
        runner = [
            replace(body, position=(x, y, rise), velocity=(sign * (speed + 0.5), 0.0, 0.0), friction=0.10)
        ]
    else:
        runner = [_roller(0, first, rng, sign * speed, x, y, scale=0.85)[0]]
    struck, rise = whole(1, second, rng, scale=0.85)
    turn = turned(float(rng.uniform(-0.4, 0.4)))
    if second.kind == "capsule":
        struck, turn, rise = (
            replace(struck, solids=tuple(map(rounded, struck.solids))),
            turned(0.0, LYING),
            first_radius(struck),
        )
    struck = replace(
        struck,
        position=(sign * float(rng.uniform(0.1, 0.25)), 0.0, rise),
        quaternion=turn,
        friction=0.25 if second.kind in ("cube", "cylinder", "cone") else None,
        striped=second.kind in ("ball", "capsule"),
    )
    return arrange(rng, [*runner, struck, *bystanders(script, rng, 2)], speed=speed)


def _topple(script: Script, rng: Generator) -> Layout:
    striker = None
    if len(script.subjects) > 1:
        sign = heading_sign(script)
        x = -sign * float(rng.uniform(1.15, 1.3))
        speed = sign * float(rng.uniform(1.9, 2.5))
        striker, _ = _roller(1, script.subjects[1], rng, speed, x, 0.0, scale=0.95)
    return topple(script, rng, striker)


_EVENTS: dict[str, Callable[[Script, Generator], Layout]] = {
    "rest": _rest,
    "drop": _drop,
    "roll": _roll,
    "slide": _slide,
    "spin": _spin,
    "collide": _collide,
    "topple": _topple,
    "swing": pendulum,
    "shatter": shatter,
    "float": floating,
}


def lay_out(script: Script, rng: Generator) -> Layout:
    """The start of a take of `script`, with the details drawn from `rng`."""
    return _EVENTS[script.event](script, rng)
