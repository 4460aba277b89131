"""Rigid bodies through time: body plans in, motion and contacts out, by MuJoCo.

Contacts are springs and dampers in acceleration space (MuJoCo's direct `solref`), which do not depend on mass. The
damping that gives a stated restitution is found by running the same recursion that MuJoCo integrates (see
`contact_spring`), so a ball of restitution 0.8 does rebound with 0.8 of its speed. Friction has its own, critically
fast reference, so that bouncy things grip as well as dull ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from filmwright.world.bodies import MATERIAL, Body, Solid, quaternion_matrix

__all__ = ["BOUNCE", "GRAVITY", "GRIP", "Episode", "Motion", "Push", "contact_spring", "run", "traces_a_frame"]

GRAVITY = 9.81
STIFFNESS = 500.0  # rad/s of the contact spring: 5 m/s dents about 8 mm
STEPS = 128  # physics steps a frame at 16 fps, others in proportion: 0.49 ms
TRACE = 8  # steps between two traced states
IMPACT = 0.06  # seconds of a contact whose force counts as its impulse
RING = 32  # corners of a frustum's rim
CALM = 96  # steps without a new contact after which forces are sampled once a trace
ABSENT = 24  # steps without contact after which the next one is new
GAP = 0.012  # seconds without force that end a contact

GRIP: dict[str, float] = {"wood": 1.0, "marble": 0.75, "checker": 0.85, "grass": 1.1, "sand": 1.3, "sea": 1.0}
BOUNCE: dict[str, float] = {"wood": 1.0, "marble": 1.0, "checker": 1.0, "grass": 0.80, "sand": 0.45, "sea": 1.0}

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One uninterrupted contact of two instances: when, where (world, metres), and its normal impulse in N s."""

    start: float
    end: float
    a: int
    b: int
    impulse: float
    point: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The states of B body plans at S traced times. `per_frame` traced states make one frame."""

    seconds: Array  # [S]
    per_frame: int
    origin: Array  # [S,B,3] of the body frame
    quaternion: Array  # [S,B,4]
    centre: Array  # [S,B,3] of mass
    velocity: Array  # [S,B,3] of the centre of mass
    angular: Array  # [S,B,3] world axes
    mass: Array  # [B]
    episodes: tuple[Episode, ...]
    depth: float  # metres: the deepest penetration of any contact


@lru_cache(maxsize=256)
def contact_spring(restitution: float, step: float) -> tuple[float, float]:
    """Stiffness (1/s2) and damping (1/s) of MuJoCo's direct `solref` that give a restitution at a time step.

    Runs the semi-implicit Euler recursion of a body on a one-sided damped spring for several speeds and phases of
    first touch and bisects the damping.
    """
    stiffness = STIFFNESS**2
    speed, phase = (x.ravel() for x in np.meshgrid(np.array([2.0, 3.0, 4.0, 5.0]), np.arange(8) / 8.0))

    def rebound(damping: float) -> float:
        v, r = -speed, -speed * step * phase
        for _ in range(int(0.05 / step)):
            a = np.where(r < 0.0, np.maximum(-damping * v - stiffness * r, -GRAVITY), -GRAVITY)
            v = np.where((r >= 0.0) & (v > 0.0), v, v + a * step)  # free again: hold the speed
            r = r + v * step
        return float(np.mean(v / speed))

    low, high = 0.0, 2.0 * STIFFNESS
    for _ in range(24):
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
    first: str, second: str, *, friction: float, restitution: float, rolling: float, step: float, round_: bool
) -> str:
    stiffness, damping = contact_spring(round(restitution, 3), step)
    torsion = min(0.004, 0.02 * friction)
    return (
        f'<pair geom1="{first}" geom2="{second}" condim="{6 if rolling > 0 else 4 if round_ else 3}" '
        f'friction="{friction:.4g} {friction:.4g} {torsion} {rolling:.4g} {rolling:.4g}" '
        f'solref="{-stiffness:.9g} {-damping:.9g}" solimp="0.99 0.99 0.001 0.5 2" '
        f'solreffriction="-1 {-0.5 / step:.6g}"/>'
    )


def _mjcf(bodies: Sequence[Body], setting: str, step: float) -> tuple[str, list[int]]:
    """The model of all bodies on their ground, and the plan index of every geom (-1: the ground)."""
    meshes: list[str] = []
    text: list[list[str]] = [[] for _ in bodies]
    names: list[tuple[str, int, str]] = []
    owners = [-1]
    roots = [_root(bodies, i) for i in range(len(bodies))]
    order = [i for i in range(len(bodies)) if bodies[i].parent is None]
    order = [j for i in order for j in [i, *(k for k in range(len(bodies)) if roots[k] == i and k != i)]]
    for i in order:
        body = bodies[i]
        density = MATERIAL[body.material].density * body.density
        joint = '<freejoint/>' if body.joint == "free" else ""
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
    pairs = []
    for n, (name, i, kind) in enumerate(names):
        body, material = bodies[i], MATERIAL[bodies[i].material]
        if setting != "sea" and body.joint != "fixed":
            pairs.append(
                _pair(
                    "ground", name, step=step, rolling=body.rolling, round_=kind in ("sphere", "capsule"),
                    friction=material.friction * GRIP[setting] if body.friction is None else body.friction,
                    restitution=(material.restitution if body.restitution is None else body.restitution) * BOUNCE[setting],
                )
            )  # fmt: skip
        for other, j, _ in names[n + 1 :]:
            if roots[i] == roots[j] or (body.fragment and bodies[j].fragment):
                continue
            if body.joint == "fixed" or bodies[j].joint == "fixed":
                continue
            second = MATERIAL[bodies[j].material]
            pairs.append(
                _pair(
                    name, other, step=step, rolling=0.0, round_=False,
                    friction=math.sqrt(material.friction * second.friction),
                    restitution=math.sqrt(material.restitution * second.restitution),
                )
            )  # fmt: skip
    xml = (
        f'<mujoco><option timestep="{step!r}" cone="elliptic" gravity="0 0 {-GRAVITY}" iterations="40" ls_iterations="20"/>'
        f"<asset>{''.join(meshes)}</asset><worldbody>"
        '<geom name="ground" type="plane" size="50 50 1" contype="0" conaffinity="0"/>'
        f"{''.join(world)}</worldbody><contact>{''.join(pairs)}</contact></mujoco>"
    )
    return xml, owners


def _root(bodies: Sequence[Body], i: int) -> int:
    while (parent := bodies[i].parent) is not None:
        i = parent
    return i


Push = Callable[[float, Array, Array, Array], None]
"""A force law: `push(seconds, qpos, qvel, xfrc)` writes [B+1,6] forces and torques in world axes."""


def traces_a_frame(fps: int) -> int:
    """How many traced states make one frame at `fps`."""
    return max(1, round(STEPS * 16 / fps / TRACE))


def run(bodies: Sequence[Body], *, setting: str, fps: int, count: int, push: Push | None = None) -> Motion:
    """Simulate the plans for `count` traced states, `traces_a_frame(fps)` a frame; the first is the start.

    Body plans without a parent must precede their children. On the sea there is no ground: `push` holds things up.
    """
    steps = TRACE * traces_a_frame(fps)
    step = 1.0 / (fps * steps)
    xml, owners = _mjcf(bodies, setting, step)
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    order = _order(model, bodies)
    _start(model, data, bodies, order)
    qpos, qvel = np.empty((count, model.nq)), np.empty((count, model.nv))
    raw: list[tuple[int, int, Array, Array, Array]] = []
    depth = 0.0
    calm, absent, usual, peak = 0, 0, 0, 0  # steps since a new contact, steps without any, most contacts lately
    state, speed, forces = data.qpos, data.qvel, data.xfrc_applied
    for s in range(count):
        qpos[s], qvel[s] = state, speed
        if s == count - 1:
            break
        if push is not None:
            push(s * TRACE * step, state, speed, forces)
        for k in range(TRACE):
            mujoco.mj_step(model, data)
            touching = data.ncon
            if not touching:
                absent += 1
                continue
            if touching > usual or absent > ABSENT:
                calm, usual, peak = 0, touching, touching
            calm, absent, peak = calm + 1, 0, max(peak, touching)
            if calm % CALM == 0:
                usual, peak = peak, touching
            coarse = calm > CALM  # nothing new for a while: a sample a trace is enough
            if coarse and k:
                continue
            contact = data.contact
            address = contact.efc_address
            if not data.nefc:  # touching without a force
                continue
            force = data.efc_force[address]
            force[address < 0] = 0.0
            raw.append((s * TRACE + k, TRACE if coarse else 1, contact.geom.copy(), force, contact.pos.copy()))
            depth = max(depth, -float(contact.dist.min()))
    motion = _kinematics(model, bodies, order, qpos, qvel)
    return Motion(
        seconds=np.arange(count) * TRACE * step,
        per_frame=steps // TRACE,
        episodes=_episodes(raw, owners, bodies, step),
        depth=depth,
        **motion,
    )


def _order(model: mujoco.MjModel, bodies: Sequence[Body]) -> list[int]:
    """MuJoCo's body id of every plan: ids run depth first, as `_mjcf` wrote them."""
    roots = [_root(bodies, i) for i in range(len(bodies))]
    written = [i for i in range(len(bodies)) if bodies[i].parent is None]
    written = [j for i in written for j in [i, *(k for k in range(len(bodies)) if roots[k] == i and k != i)]]
    ids = [0] * len(bodies)
    for n, i in enumerate(written):
        ids[i] = n + 1
    assert model.nbody == len(bodies) + 1
    return ids


def _start(
    model: mujoco.MjModel, data: mujoco.MjData, bodies: Sequence[Body], order: list[int]
) -> None:
    """Velocities and angles; places and turns are in the model."""
    for body, ident in zip(bodies, order, strict=True):
        if body.joint == "fixed":
            continue
        joint = int(model.body_jntadr[ident])
        q, v = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
        if body.joint == "hinge":
            data.qpos[q], data.qvel[v] = body.angle, body.spin[0]
            continue
        rotation = quaternion_matrix(data.qpos[q + 3 : q + 7].copy())
        offset = rotation @ model.body_ipos[ident]
        spin = np.asarray(body.spin)
        data.qvel[v : v + 3] = np.asarray(body.velocity) - np.cross(spin, offset)  # plans give the centre's velocity
        data.qvel[v + 3 : v + 6] = rotation.T @ spin


def _kinematics(
    model: mujoco.MjModel, bodies: Sequence[Body], order: list[int], qpos: Array, qvel: Array
) -> dict[str, Array]:
    """States of all plans from the traced coordinates, in plan order."""
    count, number = len(qpos), len(bodies)
    origin, quaternion = np.zeros((count, number, 3)), np.zeros((count, number, 4))
    velocity, angular = np.zeros((count, number, 3)), np.zeros((count, number, 3))
    centre = np.zeros((count, number, 3))
    for i, (body, ident) in enumerate(zip(bodies, order, strict=True)):
        if body.joint == "fixed":
            origin[:, i], quaternion[:, i] = body.position, body.quaternion
        else:
            joint = int(model.body_jntadr[ident])
            q, v = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
            if body.joint == "free":
                origin[:, i], quaternion[:, i] = qpos[:, q : q + 3], qpos[:, q + 3 : q + 7]
                velocity[:, i] = qvel[:, v : v + 3]
                matrix = quaternion_matrix(quaternion[:, i])
                angular[:, i] = np.einsum("sij,sj->si", matrix, qvel[:, v + 3 : v + 6])
            else:
                half = 0.5 * qpos[:, q]
                axis = np.asarray(body.hinge_axis)
                turn = np.concatenate([np.cos(half)[:, None], np.sin(half)[:, None] * axis], -1)
                local = _multiply(np.broadcast_to(np.asarray(body.quaternion), turn.shape), turn)
                base, place = quaternion_matrix(np.asarray(body.quaternion, np.float64)), np.asarray(body.position)
                rate = qvel[:, v, None] * (base @ axis)
                if body.parent is None:
                    origin[:, i], quaternion[:, i], angular[:, i] = place, local, rate
                else:
                    p = body.parent
                    matrix = quaternion_matrix(quaternion[:, p])
                    arm = matrix @ place
                    origin[:, i] = origin[:, p] + arm
                    quaternion[:, i] = _multiply(quaternion[:, p], local)
                    angular[:, i] = angular[:, p] + np.einsum("sij,sj->si", matrix, rate)
                    velocity[:, i] = velocity[:, p] + np.cross(angular[:, p], arm)
    mass = model.body_mass[order].copy()
    for i, ident in enumerate(order):
        offset = quaternion_matrix(quaternion[:, i]) @ model.body_ipos[ident]
        centre[:, i] = origin[:, i] + offset
        velocity[:, i] += np.cross(angular[:, i], offset)
    return {
        "origin": origin, "quaternion": quaternion, "centre": centre,
        "velocity": velocity, "angular": angular, "mass": mass,
    }  # fmt: skip


def _multiply(a: Array, b: Array) -> Array:
    """Products of quaternions [S,4]."""
    aw, av, bw, bv = a[:, :1], a[:, 1:], b[:, :1], b[:, 1:]
    real = aw * bw - (av * bv).sum(-1, keepdims=True)
    return np.concatenate([real, aw * bv + bw * av + np.cross(av, bv)], -1)


def _episodes(
    raw: list[tuple[int, int, Array, Array, Array]], owners: list[int], bodies: Sequence[Body], step: float
) -> tuple[Episode, ...]:
    """Per-step contact forces joined into contacts of root bodies."""
    roots = {-1: -1} | {i: _root(bodies, i) for i in range(len(bodies))}
    root_of = [roots[owner] for owner in owners]
    open_: dict[tuple[int, int], list[float]] = {}  # start, last, impulse, weighted point
    done: list[Episode] = []

    def close(pair: tuple[int, int]) -> None:
        start, last, impulse, x, y, z, weight, end = open_.pop(pair)
        del last
        point = (x / weight, y / weight, z / weight)
        done.append(Episode(start=start, end=end, a=pair[0], b=pair[1], impulse=impulse, point=point))

    for index, weight, geoms, forces, points in raw:
        now = index * step
        for (g, h), force, point in zip(geoms.tolist(), forces.tolist(), points.tolist(), strict=True):
            if force <= 0.0:
                continue
            a, b = sorted((root_of[g], root_of[h]), reverse=True)  # the ground, -1, comes second
            if b >= 0:
                a, b = b, a
            pair = (a, b)
            if pair in open_ and now - open_[pair][1] > GAP:
                close(pair)
            entry = open_.setdefault(pair, [now, now, 0.0, 0.0, 0.0, 0.0, 0.0, now])
            entry[1] = entry[7] = now + (weight - 1) * step
            if now - entry[0] <= IMPACT or entry[6] == 0.0:
                share = force * weight * step
                entry[2] += share
                entry[3] += share * point[0]
                entry[4] += share * point[1]
                entry[5] += share * point[2]
                entry[6] += share
    for pair in list(open_):
        close(pair)
    return tuple(sorted(done, key=lambda e: (e.start, e.a, e.b)))
