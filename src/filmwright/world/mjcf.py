"""Body plans as a MuJoCo model: geoms, joints, and one explicit contact pair for whatever may touch.

Contacts are springs and dampers in acceleration space (MuJoCo's direct `solref`), which do not depend on mass. The
damping that gives a stated restitution is found by running the same recursion that MuJoCo integrates, so a ball of
restitution 0.8 does rebound with 0.8 of its speed. Friction has its own, critically fast reference, so that bouncy
things grip as well as dull ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from filmwright.world.bodies import MATERIAL, Body, Solid

__all__ = ["BOUNCE", "GRAVITY", "GRIP", "contact_spring", "root", "to_mjcf", "written_order"]

GRAVITY = 9.81
STIFFNESS = 500.0  # rad/s of the contact spring: 5 m/s dents about 8 mm
RING = 32  # corners of a frustum's rim

GRIP: dict[str, float] = {"wood": 1.0, "marble": 0.75, "checker": 0.85, "grass": 1.1, "sand": 1.3, "sea": 1.0}
BOUNCE: dict[str, float] = {
    "wood": 1.0,
    "marble": 1.0,
    "checker": 1.0,
    "grass": 0.80,
    "sand": 0.45,
    "sea": 1.0,
}
"""How settings scale their bodies' friction and restitution."""


@lru_cache(maxsize=256)
def contact_spring(restitution: float, step: float) -> tuple[float, float]:
    """Stiffness (1/s2) and damping (1/s) of MuJoCo's direct `solref` that give a restitution at a time step.

    Runs the semi-implicit Euler recursion of a body on a one-sided damped spring for several speeds and phases of
    first touch and bisects the damping.
    """
    stiffness = STIFFNESS**2
    speed, phase = (x.ravel() for x in np.meshgrid(np.array([2.0, 3.5, 5.0]), np.arange(8) / 8.0))

    def rebound(damping: float) -> float:
        v, r = -speed, -speed * step * phase
        for _ in range(int(0.02 / step)):
            if bool(np.all((r >= 0.0) & (v > 0.0))):
                break
            a = np.where(r < 0.0, np.maximum(-damping * v - stiffness * r, -GRAVITY), -GRAVITY)
            v = np.where((r >= 0.0) & (v > 0.0), v, v + a * step)  # free again: hold the speed
            r = r + v * step
        return float(np.mean(v / speed))

    low, high = 0.0, 2.0 * STIFFNESS
    for _ in range(18):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if rebound(middle) > restitution else (low, middle)
    return stiffness, 0.5 * (low + high)


def _mesh(solid: Solid) -> str:
    """The vertices of a frustum, `RING` a rim, as MJCF wants them."""
    bottom, top, half = solid.sizes
    turn = np.arange(RING) * (2.0 * np.pi / RING)
    ring = np.stack([np.cos(turn), np.sin(turn)], -1)
    points = np.concatenate(
        [np.c_[ring * bottom, np.full(RING, -half)], np.c_[ring * max(top, 1e-3), np.full(RING, half)]]
    )
    return " ".join(f"{x:.6g}" for x in points.ravel())


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{v:.9g}" for v in values)


def _geom(solid: Solid, name: str, density: float, meshes: list[str]) -> str:
    pose = f'pos="{_numbers(solid.position)}" quat="{_numbers(solid.quaternion)}"'
    tail = f'{pose} density="{density * solid.weight:.6g}" contype="0" conaffinity="0"'
    a, b, c = solid.sizes
    if solid.kind == "frustum":
        meshes.append(f'<mesh name="{name}" vertex="{_mesh(solid)}"/>')
        return f'<geom name="{name}" type="mesh" mesh="{name}" {tail}/>'
    size = {"sphere": (a,), "box": (a, b, c), "capsule": (a, b), "cylinder": (a, b)}[solid.kind]
    return f'<geom name="{name}" type="{solid.kind}" size="{_numbers(size)}" {tail}/>'


def _pair(
    first: str, second: str, friction: float, restitution: float, step: float,
    *, rolling: float = 0.0, round_: bool = False,
) -> str:  # fmt: skip
    stiffness, damping = contact_spring(restitution, step)
    torsion = min(0.004, 0.02 * friction)
    return (
        f'<pair geom1="{first}" geom2="{second}" condim="{6 if rolling > 0 else 4 if round_ else 3}" '
        f'friction="{friction:.4g} {friction:.4g} {torsion} {rolling:.4g} {rolling:.4g}" '
        f'solref="{-stiffness:.9g} {-damping:.9g}" solimp="0.99 0.99 0.001 0.5 2" '
        f'solreffriction="-1 {-0.5 / step:.6g}"/>'
    )


def to_mjcf(bodies: Sequence[Body], setting: str, step: float) -> tuple[str, list[int], list[float]]:
    """The model of all bodies on their ground as MJCF text, for a time step in seconds.

    Also the plan index of every geom (-1: the ground) and the restitution of every contact pair.
    """
    meshes: list[str] = []
    text: list[list[str]] = [[] for _ in bodies]
    names: list[tuple[str, int, str]] = []
    owners = [-1]
    roots = [root(bodies, i) for i in range(len(bodies))]
    order = written_order(bodies)
    for i in order:
        body = bodies[i]
        density = MATERIAL[body.material].density * body.density
        joint = "<freejoint/>" if body.joint == "free" else ""
        if body.joint == "hinge":
            joint = f'<joint type="hinge" axis="{_numbers(body.hinge_axis)}"/>'
        text[i].append(f'<body pos="{_numbers(body.position)}" quat="{_numbers(body.quaternion)}">{joint}')
        for n, solid in enumerate(body.solids):
            text[i].append(_geom(solid, f"s{i}_{n}", density, meshes))
            names.append((f"s{i}_{n}", i, solid.kind))
            owners.append(i)
    world = []
    for i in order:
        if bodies[i].parent is None:
            children = [line for k in order if roots[k] == i and k != i for line in (*text[k], "</body>")]
            world += [*text[i], *children, "</body>"]
    pairs: list[str] = []
    bounces: list[float] = []
    for n, (name, i, kind) in enumerate(names):
        body, material = bodies[i], MATERIAL[bodies[i].material]
        if setting != "sea" and body.joint != "fixed":
            own = material.restitution if body.restitution is None else body.restitution
            grip = material.friction * GRIP[setting] if body.friction is None else body.friction
            bounces.append(round(own * BOUNCE[setting], 3))
            round_ = kind in ("sphere", "capsule")
            pairs.append(_pair("ground", name, grip, bounces[-1], step, rolling=body.rolling, round_=round_))
        for other, j, _ in names[n + 1 :]:
            if roots[i] == roots[j] or (body.fragment and bodies[j].fragment):
                continue
            if body.joint == "fixed" or bodies[j].joint == "fixed":
                continue
            second = MATERIAL[bodies[j].material]
            grip = math.sqrt(material.friction * second.friction)
            bounces.append(round(math.sqrt(material.restitution * second.restitution), 3))
            pairs.append(_pair(name, other, grip, bounces[-1], step))
    xml = (
        f'<mujoco><option timestep="{step!r}" gravity="0 0 {-GRAVITY}" '
        'cone="elliptic" iterations="40" ls_iterations="20"/>'
        f"<asset>{''.join(meshes)}</asset><worldbody>"
        '<geom name="ground" type="plane" size="50 50 1" contype="0" conaffinity="0"/>'
        f"{''.join(world)}</worldbody><contact>{''.join(pairs)}</contact></mujoco>"
    )
    return xml, owners, bounces


def root(bodies: Sequence[Body], i: int) -> int:
    """The plan that plan `i` is part of, itself if of none."""
    while (parent := bodies[i].parent) is not None:
        i = parent
    return i


def written_order(bodies: Sequence[Body]) -> list[int]:
    """The order in which plans are written: every root followed by its parts, as MuJoCo numbers them."""
    roots = [root(bodies, i) for i in range(len(bodies))]
    first = [i for i in range(len(bodies)) if bodies[i].parent is None]
    return [j for i in first for j in [i, *(k for k in range(len(bodies)) if roots[k] == i and k != i)]]
