"""Rigid bodies through time: body plans in, motion and contacts out, by MuJoCo.

Steps of half a millisecond are fine enough for rest and rolling, not for an impact, whose rebound would depend on
where within a step it begins. So a stretch in which a new contact begins is taken back and run again with steps
eight times as fine, contact springs tuned to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from filmwright.world.bodies import Body, quaternion_matrix
from filmwright.world.mjcf import contact_spring, root, to_mjcf, written_order

__all__ = ["Episode", "Motion", "Push", "run", "traces_a_frame"]

STEPS = 128  # physics steps a frame at 16 fps, others in proportion: 0.49 ms
TRACE = 8  # steps between two traced states
FINER = 8  # how much finer an impact is stepped
FINE_TRACES = 3  # traced states after an impact's beginning that are stepped finely: it lasts two at most
CROWD = 4  # more free bodies than this are stepped half as finely, impacts too
CALM = 0.05  # seconds without a new contact after which forces are sampled once a traced state
ABSENT = 0.012  # seconds without contact after which the next one is new
IMPACT = 0.06  # seconds of a contact whose force counts as its impulse
GAP = 0.012  # seconds without force that end a contact

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


Push = Callable[[float, Array, Array, Array], None]
"""A force law: `push(seconds, qpos, qvel, xfrc)` writes [B+1,6] forces and torques in world axes."""


def traces_a_frame(fps: int) -> int:
    """How many traced states make one frame at `fps`."""
    return max(1, round(STEPS * 16 / fps / TRACE))


Touch = tuple[float, float, Array, Array, Array]
"""One sample of the contacts: time, the seconds it stands for, geoms [C,2], normal forces [C], points [C,3]."""


class _Stepper:
    """A model in motion that notices new contacts and samples their forces."""

    def __init__(self, xml: str) -> None:
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)
        self.touches: list[Touch] = []
        self.depth = 0.0
        self.new_at = self.touched_at = -1.0  # seconds of the last new contact, of the last touch
        self.usual = self.peak = 0  # most contacts at once, before and since the last look
        self.looked_at = 0.0

    def advance(self, steps: int, start: float, *, fine: bool) -> bool:
        """Run `steps` steps from time `start`; whether a contact began that was not there before."""
        model, data, began = self.model, self.data, False
        step = float(model.opt.timestep)
        for k in range(steps):
            mujoco.mj_step(model, data)
            touching = data.ncon
            if not touching:
                continue
            now = start + k * step
            if touching > self.usual or now - self.touched_at > ABSENT:
                began, self.new_at, self.looked_at = True, now, now
                self.usual = self.peak = touching
            self.touched_at, self.peak = now, max(self.peak, touching)
            if now - self.looked_at > CALM:
                self.usual, self.peak, self.looked_at = self.peak, touching, now
            coarse = not fine and now - self.new_at > CALM
            if (coarse and k) or not data.nefc:
                continue
            contact = data.contact
            address = contact.efc_address
            force = data.efc_force[address]
            force[address < 0] = 0.0  # touching without a force
            share = step * steps if coarse else step
            self.touches.append((now, share, contact.geom.copy(), force, contact.pos.copy()))
            self.depth = max(self.depth, -float(contact.dist.min()))
        return began

    def kept(self) -> tuple[Array, Array, Array, int, float, tuple[float, float, int, int, float]]:
        """All that `restore` needs to come back to this moment."""
        data = self.data
        memory = (self.new_at, self.touched_at, self.usual, self.peak, self.looked_at)
        return (
            data.qpos.copy(),
            data.qvel.copy(),
            data.qacc_warmstart.copy(),
            len(self.touches),
            self.depth,
            memory,
        )

    def restore(
        self, kept: tuple[Array, Array, Array, int, float, tuple[float, float, int, int, float]]
    ) -> None:
        """Back to the moment at which `kept` was asked."""
        qpos, qvel, warm, touches, self.depth, memory = kept
        self.data.qpos[:], self.data.qvel[:], self.data.qacc_warmstart[:] = qpos, qvel, warm
        self.new_at, self.touched_at, self.usual, self.peak, self.looked_at = memory
        del self.touches[touches:]


def run(bodies: Sequence[Body], *, setting: str, fps: int, count: int, push: Push | None = None) -> Motion:
    """Simulate the plans for `count` traced states, `traces_a_frame(fps)` a frame; the first is the start.

    Body plans without a parent must precede their children. On the sea there is no ground: `push` holds things up.
    """
    crowd = sum(body.joint == "free" for body in bodies) > CROWD
    steps = TRACE // 2 if crowd else TRACE
    trace = 1.0 / (fps * traces_a_frame(fps))
    plain, finer = trace / steps, trace / (steps * FINER)
    xml, owners, bounces = to_mjcf(bodies, setting, plain)
    stepper = _Stepper(xml)
    model, data = stepper.model, stepper.data
    springs = model.pair_solref.copy(), model.pair_solref.copy()
    if not crowd:
        for i, bounce in enumerate(bounces):
            springs[1][i] = [-x for x in contact_spring(bounce, finer)]
    order = _order(bodies)
    _start(model, data, bodies, order)
    qpos, qvel = np.empty((count, model.nq)), np.empty((count, model.nv))
    left = 0
    for s in range(count):
        qpos[s], qvel[s] = data.qpos, data.qvel
        if s == count - 1:
            break
        if push is not None:
            push(s * trace, data.qpos, data.qvel, data.xfrc_applied)
        if not left:
            kept = stepper.kept()
            if not stepper.advance(steps, s * trace, fine=False) or crowd:
                continue
            stepper.restore(kept)
            left = FINE_TRACES
            model.opt.timestep, model.pair_solref[:] = finer, springs[1]
        if stepper.advance(steps * FINER, s * trace, fine=True):
            left = FINE_TRACES
        left -= 1
        if not left:
            model.opt.timestep, model.pair_solref[:] = plain, springs[0]
    motion = _kinematics(model, bodies, order, qpos, qvel)
    return Motion(
        seconds=np.arange(count, dtype=np.float64) * trace,
        per_frame=traces_a_frame(fps),
        episodes=_episodes(stepper.touches, owners, bodies),
        depth=stepper.depth,
        **motion,
    )


def _order(bodies: Sequence[Body]) -> list[int]:
    """MuJoCo's body id of every plan."""
    ids = [0] * len(bodies)
    for n, i in enumerate(written_order(bodies)):
        ids[i] = n + 1
    return ids


def _start(model: mujoco.MjModel, data: mujoco.MjData, bodies: Sequence[Body], order: list[int]) -> None:
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
        data.qvel[v : v + 3] = np.asarray(body.velocity) - np.cross(
            spin, offset
        )  # plans give the centre's velocity
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
                base, place = (
                    quaternion_matrix(np.asarray(body.quaternion, np.float64)),
                    np.asarray(body.position),
                )
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


def _episodes(touches: Sequence[Touch], owners: list[int], bodies: Sequence[Body]) -> tuple[Episode, ...]:
    """Samples of contact forces joined into contacts of root bodies."""
    roots = {-1: -1} | {i: root(bodies, i) for i in range(len(bodies))}
    root_of = [roots[owner] for owner in owners]
    open_: dict[tuple[int, int], list[float]] = {}  # start, last, impulse, weighted point
    done: list[Episode] = []

    def close(pair: tuple[int, int]) -> None:
        start, last, impulse, x, y, z, weight, end = open_.pop(pair)
        del last
        point = (x / weight, y / weight, z / weight)
        done.append(Episode(start=start, end=end, a=pair[0], b=pair[1], impulse=impulse, point=point))

    for now, seconds, geoms, forces, points in touches:
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
            entry[1] = entry[7] = now + seconds
            if now - entry[0] <= IMPACT or entry[6] == 0.0:
                share = force * seconds
                entry[2] += share
                entry[3] += share * point[0]
                entry[4] += share * point[1]
                entry[5] += share * point[2]
                entry[6] += share
    for pair in list(open_):
        close(pair)
    return tuple(sorted(done, key=lambda e: (e.start, e.a, e.b)))
