"""The events that need more than a push: toppling, swinging, shattering and floating."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from filmwright.world.bodies import (
    MATERIAL,
    UPRIGHT,
    Body,
    Quaternion,
    Shape,
    Solid,
    axis_quaternion,
    boat,
    half_size,
    plain,
    quaternion_matrix,
    quaternion_product,
)  # fmt: skip
from filmwright.world.layout import Layout, arrange, composite, heading_sign, somewhere, turned, whole
from filmwright.world.looks import sea_waves
from filmwright.world.mechanics import Push
from filmwright.world.mjcf import GRAVITY
from filmwright.world.scene import Float, Script, SubjectSpec

__all__ = ["dominoes", "floating", "pendulum", "resting_boat", "shatter", "stack", "topple"]

Array = NDArray[np.float64]
WATER = 1000.0  # kg/m3
DRAG = 1.6  # share of the displaced water's mass a second that motion through it costs


def stack(subject: int, spec: SubjectSpec, rng: Generator, x: float, y: float) -> list[Body]:
    """Three to five cubes on each other, each turned a little."""
    half = half_size(spec.size, 0.43 * float(rng.uniform(0.95, 1.05)))
    count = int(rng.integers(3, 6))
    shape, solid, rise = plain("cube", half)
    return [
        Body(
            subject=subject,
            material=spec.material,
            shapes=(shape,),
            solids=(solid,),
            position=(
                x + float(rng.uniform(-0.1, 0.1)) * half,
                y + float(rng.uniform(-0.1, 0.1)) * half,
                (2 * i + 1) * rise,
            ),
            quaternion=turned(float(rng.uniform(-0.25, 0.25))),
            tint=1.0 if i % 2 == 0 else 0.78,
            restitution=0.05,
        )
        for i in range(count)
    ]


def dominoes(
    subject: int,
    spec: SubjectSpec,
    rng: Generator,
    x: float,
    y: float,
    *,
    sign: float = 1.0,
    yaw: float = 0.5,
) -> list[Body]:
    """A row of four to seven standing tiles; the first of the list is where a push along `sign` begins.

    The row is turned by `yaw` from x, so that the camera sees more than edges.
    """
    tall = half_size(spec.size, 0.92 * float(rng.uniform(0.95, 1.05)))
    sizes = (0.10 * tall, 0.42 * tall, tall)
    count = int(rng.integers(5, 8)) if tall < 0.30 else int(rng.integers(4, 7))
    place = [sign * 0.85 * tall * (i - (count - 1) / 2.0) for i in range(count)]
    return [
        Body(
            subject=subject,
            material=spec.material,
            shapes=(Shape(kind="box", sizes=sizes),),
            solids=(Solid(kind="box", sizes=sizes),),
            position=(x + place[i] * math.cos(yaw), y + place[i] * math.sin(yaw), tall),
            quaternion=turned(yaw + float(rng.uniform(-0.03, 0.03))),
            tint=1.0 if i % 2 == 0 else 0.72,
            friction=0.6,
            restitution=0.05,
        )
        for i in range(count)
    ]


def _pushed(body: Body, rise: float, foot: float, sign: float, effort: float, yaw: float = 0.0) -> Body:
    """A standing body that starts to turn over the edge of its foot, `effort` times what it takes, along `yaw`."""
    climb = math.hypot(rise, foot) - rise
    rate = effort * math.sqrt(1.5 * GRAVITY * climb / (rise * rise + foot * foot))
    along, across = sign * rate * math.cos(yaw), sign * rate * math.sin(yaw)
    return replace(body, velocity=(along * rise, across * rise, 0.0), spin=(-across, along, 0.0))


def _volume(solid: Solid) -> float:
    """Cubic metres."""
    a, b, c = solid.sizes
    if solid.kind == "sphere":
        return 4.0 / 3.0 * math.pi * a**3
    if solid.kind == "box":
        return 8.0 * a * b * c
    if solid.kind == "capsule":
        return math.pi * a * a * (4.0 / 3.0 * a + 2.0 * b)
    if solid.kind == "cylinder":
        return 2.0 * math.pi * a * a * b
    return 2.0 / 3.0 * math.pi * c * (a * a + a * b + b * b)


def _mass(bodies: Sequence[Body]) -> float:
    """Kilograms of all, before the physics weighs them."""
    return sum(
        _volume(solid) * solid.weight * body.density * MATERIAL[body.material].density
        for body in bodies
        for solid in body.solids
    )


def _matched(striker: Body, target: Sequence[Body], rng: Generator, share: float = 1.0) -> Body:
    """The striker filled or hollowed to about `share` of the target's mass: a light ball could push nothing over."""
    wanted = share * float(rng.uniform(0.9, 1.5)) * _mass(target) / _mass([striker])
    return replace(striker, density=min(12.0, max(0.4, wanted)))


def topple(script: Script, rng: Generator, striker: Body | None) -> Layout:
    """What stands falls over: hit by `striker`, or pushed."""
    spec, sign = script.subjects[0], heading_sign(script)
    x = sign * float(rng.uniform(-0.35, -0.15)) if striker is None else sign * float(rng.uniform(-0.05, 0.1))
    if spec.kind == "dominoes":
        yaw = float(rng.uniform(0.35, 0.65)) * (1.0 if rng.random() < 0.5 else -1.0)
        row = dominoes(0, spec, rng, x * 0.4, 0.0, sign=sign, yaw=yaw)
        sizes = row[0].shapes[0].sizes
        row[0] = _pushed(row[0], sizes[2], sizes[0], sign, float(rng.uniform(2.6, 3.4)), yaw)
        return arrange(rng, row, zoom=0.92)
    if spec.kind == "stack":
        cubes = stack(0, spec, rng, x, 0.0)
        if striker is None:
            speed = float(rng.uniform(0.9, 1.3))
            for i in range(1, len(cubes)):
                share = i / (len(cubes) - 1)
                cubes[i] = replace(
                    cubes[i], velocity=(sign * speed * share, 0.0, 0.0), spin=(0.0, sign * 1.5 * share, 0.0)
                )
        more = [] if striker is None else [_matched(striker, cubes, rng, 0.8)]
        return arrange(rng, [*cubes, *more], height=0.6)
    if spec.kind in ("cylinder", "capsule"):
        body, rise = whole(0, spec, rng, slender=1.9, scale=1.25)
        foot = body.shapes[0].sizes[0] if spec.kind == "cylinder" else 0.02
    else:
        body, rise = composite(0, spec, rng, scale=0.85 if spec.kind == "lighthouse" else 1.05)
        foot = 0.34 * rise  # and bottom-heavy: it takes more than its height says
    body = replace(
        body, position=(x, 0.0, rise), quaternion=turned(float(rng.uniform(-0.5, 0.5))), friction=0.7
    )
    if striker is None:
        body = _pushed(
            body, rise, foot, sign, float(rng.uniform(1.15, 1.6)) * (1.35 if foot > 0.3 * rise else 1.0)
        )
        if spec.kind == "capsule":
            body = _pushed(body, rise, 0.35 * rise, sign, 0.6)
    return arrange(
        rng,
        [body]
        if striker is None
        else [body, _matched(striker, [body], rng, 2.0 if foot > 0.3 * rise else 1.0)],
        height=0.55,
    )


def pendulum(script: Script, rng: Generator) -> Layout:
    """A bob on a stiff rod under a frame, let go from one side."""
    spec = script.subjects[0]
    radius = half_size(spec.size, 0.62 * float(rng.uniform(0.95, 1.05)))
    length = float(rng.uniform(0.72, 0.92))
    pivot = length + radius + float(rng.uniform(0.18, 0.26))
    angle = math.radians(float(rng.uniform(32.0, 52.0))) * (1.0 if rng.random() < 0.5 else -1.0)
    rod = 0.018
    bob = Body(
        subject=0,
        material=spec.material,
        shapes=(
            Shape(kind="sphere", sizes=(radius, 0, 0), position=(0, 0, -length)),
            Shape(
                kind="cone",
                sizes=(rod, rod, length / 2),
                position=(0, 0, -length / 2),
                colour=(0.25, 0.25, 0.27),
            ),
        ),
        solids=(Solid(kind="sphere", sizes=(radius, 0, 0), position=(0, 0, -length)),),
        position=(0.0, 0.0, pivot),
        joint="hinge",
        hinge_axis=(0.0, 1.0, 0.0),
        angle=angle,
    )
    wide, post = 0.85, 0.045
    timber = (0.20, 0.11, 0.05)
    frame = Body(
        subject=0,
        material="wood",
        shapes=(
            Shape(kind="box", sizes=(wide + post, post, post), position=(0, 0, pivot + post), colour=timber),
            *(
                Shape(
                    kind="box",
                    sizes=(post, post, pivot / 2),
                    position=(side * wide, 0, pivot / 2),
                    colour=timber,
                )
                for side in (-1.0, 1.0)
            ),
        ),
        solids=(Solid(kind="box", sizes=(post, post, pivot / 2), position=(wide, 0, pivot / 2)),),
        joint="fixed",
    )
    inertial = length + 0.4 * radius * radius / length  # length of the simple pendulum of the same period
    return arrange(
        rng, [bob, frame], height=0.66, low=True, zoom=1.05,
        pendulum_length=inertial, amplitude=abs(angle),
    )  # fmt: skip


def shatter(script: Script, rng: Generator) -> Layout:
    """A bottle or glass falls; at its first touch it is replaced by its shards."""
    spec = script.subjects[0]
    body, rise = composite(0, spec, rng)
    height = min(float(rng.uniform(0.60, 1.0)), 1.7 - 2.0 * rise)
    x, y = somewhere(rng)
    about = float(rng.uniform(-math.pi, math.pi))
    lean = quaternion_product(
        axis_quaternion((math.cos(about), math.sin(about), 0.0), float(rng.uniform(0.0, 0.3))), UPRIGHT
    )
    body = replace(body, position=(x, y, rise + height), quaternion=lean)
    layout = arrange(rng, [body], height=0.80, low=True, drop_height=height)
    return replace(layout, shards=_shards(body, spec, rng))


def _shards(body: Body, spec: SubjectSpec, rng: Generator) -> tuple[Body, ...]:
    """Pieces of a wall of glass, in the frame of the whole: position and turn there, velocity relative to it."""
    found: list[Body] = []

    def piece(shape: Shape, solid: Solid, place: tuple[float, float, float], turn: Quaternion) -> None:
        reach = math.hypot(place[0], place[1])
        out = (place[0] / reach, place[1] / reach) if reach > 1e-6 else (0.0, 0.0)
        force = float(rng.uniform(0.5, 1.3))
        found.append(
            Body(
                subject=0,
                material=spec.material,
                shapes=(shape,),
                solids=(solid,),
                position=place,
                quaternion=turn,
                velocity=(force * out[0], force * out[1], float(rng.uniform(-0.2, 1.2))),
                spin=tuple(float(v) for v in rng.uniform(-9.0, 9.0, 3)),  # type: ignore[arg-type]
                friction=0.35,
                restitution=0.35,
                fragment=True,
            )
        )

    for shape in body.shapes:
        low, high, half = shape.sizes
        radius, z = 0.5 * (low + high), shape.position[2]
        if (
            radius < 0.2 * abs(body.shapes[0].sizes[0]) or half < 0.2 * radius
        ):  # stem and foot stay in one piece
            piece(
                replace(shape, position=(0, 0, 0)),
                Solid(kind="frustum", sizes=shape.sizes),
                (0.0, 0.0, z),
                UPRIGHT,
            )
            continue
        parts = 5 if radius > 0.08 else 3
        rings = 2 if half > 1.3 * radius else 1
        for ring in range(rings):
            middle = z + (2 * ring + 1 - rings) * half / rings
            for k in range(parts):
                angle = 2.0 * math.pi * (k + 0.5 * ring + float(rng.uniform(-0.1, 0.1))) / parts
                width = 0.9 * radius * math.sin(math.pi / parts)
                box = (
                    max(0.012, 0.06 * radius),
                    max(width, 0.02),
                    half / rings * float(rng.uniform(0.75, 0.95)),
                )
                place = (0.9 * radius * math.cos(angle), 0.9 * radius * math.sin(angle), middle)
                piece(
                    Shape(kind="box", sizes=box),
                    Solid(kind="box", sizes=box),
                    place,
                    axis_quaternion((0.0, 0.0, 1.0), angle),
                )
    return tuple(found)


def resting_boat(subject: int, spec: SubjectSpec, rng: Generator, x: float, y: float) -> Body:
    """A boat drawn up on the shore."""
    shapes, solids, draught = boat(half_size(spec.size, 1.5 * float(rng.uniform(0.95, 1.05))))
    yaw = float(rng.uniform(-0.7, 0.7)) + (math.pi if rng.random() < 0.5 else 0.0)
    return Body(
        subject=subject, material=spec.material, shapes=shapes, solids=solids,
        position=(x, y, draught), quaternion=turned(yaw),
    )  # fmt: skip


def floating(script: Script, rng: Generator) -> Layout:
    """Everything floats: boats, balls and cubes on a sea of four wave trains."""
    waves = sea_waves(rng, calm=float(rng.uniform(1.0, 1.5)))
    bodies: list[Body] = []
    cells: list[tuple[Array, float, float]] = []  # points in the body's frame, volume and half height of each
    side = 1.0 if rng.random() < 0.5 else -1.0
    places = ((0.0, 0.0), (0.8 * side, 0.8), (-0.8 * side, 1.1), (0.1, 1.9))
    alone = len(script.subjects) == 1
    for subject, spec in enumerate(script.subjects):
        x, y = places[subject]
        if subject == 0 and not alone:
            x = -0.35 * side
        scale = 1.0 if alone else 0.9
        turn = turned(float(rng.uniform(-0.5, 0.5)) + (math.pi if rng.random() < 0.5 else 0.0))
        if spec.kind == "boat":
            shapes, solids, _ = boat(half_size(spec.size, 1.5 * scale * float(rng.uniform(0.95, 1.05))))
            body = Body(subject=subject, material=spec.material, shapes=shapes, solids=solids, density=1.2)
        else:
            body, _ = whole(subject, spec, rng, scale=scale)
            body = replace(body, striped=spec.kind == "ball")
        solid = body.solids[0]
        cells.append(_cells(solid))
        share = MATERIAL[body.material].density * body.density / WATER
        low = solid.sizes[0] if solid.kind == "sphere" else solid.sizes[2]
        level = float(wave_height(waves, np.array([x]), np.array([y]), 0.0)[0])
        z = level + low - 2.0 * low * (share if solid.kind == "box" else _cap(share))
        drift = (float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-0.05, 0.05)), 0.0)
        bodies.append(replace(body, position=(x, y, z), quaternion=turn, velocity=drift))
    layout = arrange(rng, bodies, height=0.40 if script.subjects[0].kind == "boat" else 0.2)
    return replace(layout, waves=waves, push=_buoyancy(waves, cells))


def _cap(share: float) -> float:
    """Depth of a floating ball as a share of its diameter, when `share` of its volume is under water."""
    depth = np.linspace(0.0, 1.0, 201)
    return float(np.interp(share, depth * depth * (3.0 - 2.0 * depth), depth))


def _cells(solid: Solid) -> tuple[Array, float, float]:
    """The volume of a solid as points, each with its share of the volume (m3) and half height (m)."""
    if solid.kind == "sphere":
        return np.zeros((1, 3)), 4.0 / 3.0 * math.pi * solid.sizes[0] ** 3, solid.sizes[0]
    half = np.asarray(solid.sizes)
    steps = np.array([-2.0, 0.0, 2.0]) / 3.0
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) * half
    return points, float(np.prod(2.0 * half)) / 27.0, float(half.min()) / 3.0


def wave_height(waves: Float, x: Array, y: Array, seconds: float) -> Array:
    """Height in metres of the sea at points (x, y): the sum of `Look.waves`."""
    amplitude, kx, ky, rate, phase = (waves[:, i, None].astype(np.float64) for i in range(5))
    return np.asarray((amplitude * np.sin(kx * x + ky * y - rate * seconds + phase)).sum(0))


def _buoyancy(waves: Float, cells: Sequence[tuple[Array, float, float]]) -> Push:
    """Archimedes' force and the water's drag on free bodies, cell by cell."""

    def push(seconds: float, qpos: Array, qvel: Array, forces: Array) -> None:
        for i, (points, volume, half) in enumerate(cells):
            pose, rate = qpos[7 * i : 7 * i + 7], qvel[6 * i : 6 * i + 6]
            matrix = quaternion_matrix(pose[3:])
            arms = points @ matrix.T
            at = pose[:3] + arms
            level = wave_height(waves, at[:, 0], at[:, 1], seconds)
            rise = (wave_height(waves, at[:, 0], at[:, 1], seconds + 0.01) - level) / 0.01
            under = np.clip((level - at[:, 2]) / (2.0 * half) + 0.5, 0.0, 1.0)
            if len(points) == 1:
                under = under * under * (3.0 - 2.0 * under)
            moving = rate[:3] + np.cross(matrix @ rate[3:], arms)
            moving[:, 2] -= rise
            force = -DRAG * WATER * volume * under[:, None] * moving
            force[:, 2] += WATER * GRAVITY * volume * under
            forces[i + 1, :3] = force.sum(0)
            forces[i + 1, 3:] = np.cross(arms, force).sum(0)
            if len(points) == 1:  # a ball's rolling in the water dies away too
                forces[i + 1, 3:] -= (
                    0.4 * WATER * volume * half * half * float(under[0]) * (matrix @ rate[3:])
                )

    return push
