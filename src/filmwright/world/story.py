"""What happened, read off the motion: the event log that captions are written from.

Nothing here knows which event was asked for. A ball that was meant to roll and did not is not logged as rolling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filmwright.world.bodies import Body, quaternion_matrix
from filmwright.world.cameras import project, viewed_direction
from filmwright.world.mechanics import Motion
from filmwright.world.scene import CameraPose, Contact, Happening, Script

__all__ = ["contacts_of", "happenings", "instances"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

AIRBORNE = 0.10  # seconds without touch that count as flight
REBOUND = 0.03  # metres
TRAVEL = 0.25  # metres
TURNS = 0.3
STILL = 0.10  # m/s, and rad/s times a third of a metre


def instances(bodies: Sequence[Body]) -> list[int]:
    """The plans that are bodies of their own: all without a parent, in order."""
    return [i for i, body in enumerate(bodies) if body.parent is None]


def contacts_of(motion: Motion, bodies: Sequence[Body], fps: int, num_frames: int) -> tuple[Contact, ...]:
    """The contact log: every meeting after the start whose impulse is worth a sound.

    That is, over 0.02 s of the lighter body's weight.
    """
    index = {plan: n for n, plan in enumerate(instances(bodies))}
    found = []
    for e in motion.episodes:
        weight = 9.81 * min(motion.mass[e.a], motion.mass[e.b] if e.b >= 0 else math.inf)
        if e.start < 0.004 or e.impulse < 0.02 * weight:
            continue
        found.append(
            Contact(
                seconds=e.start,
                frame=min(round(e.start * fps), num_frames - 1),
                a=index[e.a],
                b=index[e.b] if e.b >= 0 else -1,
                impulse=e.impulse,
                point=e.point,
                material_a=bodies[e.a].material,
                material_b=bodies[e.b].material if e.b >= 0 else "ground",
            )
        )
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Track:
    """One body's motion, as its part of the story needs it."""

    plan: int
    body: Body
    t: Array
    centre: Array
    velocity: Array
    angular: Array
    quaternion: Array
    tilt: Array  # radians from the start's long axis
    touch: Flags
    ground: Flags

    @property
    def speed(self) -> Array:
        return np.asarray(np.linalg.norm(self.velocity, axis=-1))

    @property
    def leaning(self) -> float:
        """How far the long axis's height has strayed from the start's, 0 to 2: turns about the vertical leave it."""
        axis = quaternion_matrix(self.quaternion)[:, 2, 2]
        return float(np.abs(axis - axis[0]).max())

    @property
    def travelled(self) -> float:
        """Metres between first and last place, along the floor."""
        return float(np.linalg.norm((self.centre[-1] - self.centre[0])[:2]))


def _track(motion: Motion, bodies: Sequence[Body], plan: int) -> _Track:
    t = motion.seconds
    touch, ground = np.zeros(len(t), bool), np.zeros(len(t), bool)
    members = {plan} | {i for i, b in enumerate(bodies) if b.parent == plan}
    for e in motion.episodes:
        if e.a in members or e.b in members:
            during = (t >= e.start - 0.005) & (t <= e.end + 0.005)
            touch |= during
            if e.b < 0:
                ground |= during
    axis = quaternion_matrix(motion.quaternion[:, plan])[:, :, 2]
    tilt = np.arccos(np.clip(axis @ axis[0], -1.0, 1.0))
    return _Track(
        plan=plan,
        body=bodies[plan],
        t=t,
        centre=motion.centre[:, plan],
        velocity=motion.velocity[:, plan],
        angular=motion.angular[:, plan],
        quaternion=motion.quaternion[:, plan],
        tilt=tilt,
        touch=touch,
        ground=ground,
    )


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Half-open index ranges in which `flags` hold."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def happenings(
    script: Script,
    motion: Motion,
    bodies: Sequence[Body],
    camera: CameraPose,
    *,
    shattered: float | None = None,
) -> tuple[Happening, ...]:
    """The log in order of time.

    `camera` [T] gives left and right as the first frame shows them and says who leaves the picture; `shattered` is
    the time at which subject 0 broke, if it did.
    """
    floating = script.setting == "sea"
    tracks = [_track(motion, bodies, i) for i in instances(bodies) if not bodies[i].fragment]
    log: list[Happening] = []
    for who in range(len(script.subjects)):
        own = [x for x in tracks if x.body.subject == who and x.body.joint != "fixed"]
        if not own:
            continue
        kind = script.subjects[who].kind
        if own[0].body.joint == "hinge":
            log += _swings(who, own[0], camera)
        elif floating:
            log.append(Happening(seconds=0.0, what="floats", who=who))
        elif shattered is not None and who == 0:
            drop = float(own[0].centre[0, 2] - own[0].centre[-1, 2])
            pieces = float(sum(body.fragment for body in bodies))
            log.append(Happening(seconds=0.0, what="falls", who=who, amount=drop))
            log.append(Happening(seconds=shattered, what="shatters", who=who, amount=pieces))
        elif kind in ("stack", "dominoes"):
            log += _row(who, own, kind)
        else:
            log += _single(who, own[0], kind, camera)
    log += _hits(motion, tracks)
    log += _leaves(script, motion, tracks, camera)
    return tuple(sorted(log, key=lambda h: (h.seconds, h.who)))


def _single(who: int, x: _Track, kind: str, camera: CameraPose) -> list[Happening]:
    log: list[Happening] = []
    fallen = False
    for a, b in _runs(~x.touch):
        if x.t[b - 1] - x.t[a] < AIRBORNE:
            continue
        height = x.centre[a:b, 2]
        rise, drop = float(height.max() - height[0]), float(height.max() - height[-1])
        if fallen or (a > 0 and rise >= REBOUND):
            if rise >= REBOUND:
                log.append(Happening(seconds=float(x.t[a]), what="bounces", who=who, amount=rise))
        elif drop > 0.15:
            fallen = True
            log.append(Happening(seconds=float(x.t[a]), what="falls", who=who, amount=drop))
            if b < len(x.t):
                log.append(Happening(seconds=float(x.t[b]), what="lands", who=who))
    toppled = (
        kind in ("cylinder", "capsule", "bottle", "glass", "lighthouse", "cone") and float(x.tilt.max()) > 0.9
    )
    upright = abs(float(quaternion_matrix(np.asarray(x.body.quaternion, np.float64))[2, 2])) > 0.9
    if toppled and upright and not fallen:
        log.append(_topples(who, x, camera, 1.0))
    else:
        log += _travel(who, x, kind, camera, fallen)
    log += _ends(who, x, bool(log))
    return log


def _topples(who: int, x: _Track, camera: CameraPose, count: float) -> Happening:
    start = int(np.argmax(x.tilt > 0.3))
    end = int(np.argmax(x.tilt > 0.9))
    return Happening(
        seconds=float(x.t[start]),
        what="topples",
        who=who,
        direction=viewed_direction(x.centre[end] - x.centre[0], camera),
        amount=count,
    )


def _travel(who: int, x: _Track, kind: str, camera: CameraPose, fallen: bool) -> list[Happening]:
    flat = np.linalg.norm(x.velocity[:, :2], axis=-1)
    moving = (flat > 0.15) & x.touch
    turns = float(np.trapezoid(x.angular[:, 2], x.t)) / (2.0 * math.pi)
    if x.travelled < (0.5 if fallen else TRAVEL) or moving.sum() < 20:
        if abs(turns) > TURNS and x.leaning < 0.5 and not fallen:
            start = int(np.argmax(np.abs(x.angular[:, 2]) > 0.3))
            return [Happening(seconds=float(x.t[start]), what="spins", who=who, amount=abs(turns))]
        return []
    heading = x.velocity[moving][:, :2] / flat[moving, None]
    turning = x.angular[moving]
    along = (
        turning[:, 1] * heading[:, 0] - turning[:, 0] * heading[:, 1]
    )  # about the axis that rolling turns about
    share = float(np.median(along * x.centre[moving, 2] / flat[moving]))
    what = "rolls" if kind == "car" or share > 0.5 else "slides"
    start = int(np.argmax(moving))
    step = x.centre[-1] - x.centre[start]
    return [
        Happening(
            seconds=float(x.t[start]),
            what=what,
            who=who,
            direction=viewed_direction(step, camera),
            amount=float(np.linalg.norm(step[:2])),
        )
    ]


def _ends(who: int, x: _Track, moved: bool) -> list[Happening]:
    """`stops` when it moved and does no longer, `rests` when it never did."""
    busy = x.speed + np.linalg.norm(x.angular, axis=-1) / 3.0
    if float(np.linalg.norm(x.centre - x.centre[0], axis=-1).max()) < 0.03 and float(busy.max()) < 0.4:
        return [Happening(seconds=0.0, what="rests", who=who)]
    late = np.flatnonzero(busy > STILL)
    last = int(late[-1]) + 1 if len(late) else 0
    if moved and last < len(x.t) and x.t[-1] - x.t[last] > 0.06:
        return [Happening(seconds=float(x.t[last]), what="stops", who=who)]
    return []


def _row(who: int, own: list[_Track], kind: str) -> list[Happening]:
    """A stack or a row of dominoes: how many fell, and when the first did."""
    if kind == "dominoes":
        fallen = [x for x in own if float(x.tilt.max()) > 0.7]
        starts = [float(x.t[int(np.argmax(x.tilt > 0.25))]) for x in fallen]
    else:
        down = [x.centre[0, 2] - x.centre[:, 2] for x in own]
        fallen = [x for x, d in zip(own, down, strict=True) if float(d.max()) > 0.08]
        starts = [
            float(x.t[int(np.argmax(d > 0.08))])
            for x, d in zip(own, down, strict=True)
            if float(d.max()) > 0.08
        ]
    if fallen:
        return [Happening(seconds=min(starts), what="topples", who=who, amount=float(len(fallen)))]
    if all(float(np.linalg.norm(x.centre - x.centre[0], axis=-1).max()) < 0.05 for x in own):
        return [Happening(seconds=0.0, what="rests", who=who)]
    return []


def _swings(who: int, x: _Track, camera: CameraPose) -> list[Happening]:
    swing = float(np.ptp(x.centre[:, 0]))
    quarter = int(np.searchsorted(x.t, 0.25))
    way = viewed_direction(x.centre[quarter] - x.centre[0], camera)
    return (
        [Happening(seconds=0.0, what="swings", who=who, direction=way, amount=swing)] if swing > 0.1 else []
    )


def _hits(motion: Motion, tracks: list[_Track]) -> list[Happening]:
    by_plan = {x.plan: x for x in tracks}
    log: list[Happening] = []
    seen: set[tuple[int, int]] = set()
    for e in motion.episodes:
        if e.b < 0 or e.a not in by_plan or e.b not in by_plan or e.start < 0.004:
            continue
        a, b = by_plan[e.a], by_plan[e.b]
        subjects = (a.body.subject, b.body.subject)
        if subjects[0] == subjects[1] or tuple(sorted(subjects)) in seen:
            continue
        before = max(0, int(np.searchsorted(a.t, e.start)) - 2)
        if e.impulse < 0.05 * min(motion.mass[e.a], motion.mass[e.b]):
            continue
        seen.add((min(subjects), max(subjects)))
        who, whom = subjects if a.speed[before] >= b.speed[before] else subjects[::-1]
        log.append(Happening(seconds=e.start, what="hits", who=who, whom=whom, amount=e.impulse))
    return log


def _leaves(script: Script, motion: Motion, tracks: list[_Track], camera: CameraPose) -> list[Happening]:
    log = []
    for who in range(len(script.subjects)):
        own = [x for x in tracks if x.body.subject == who]
        if not own:
            continue
        middle = np.mean([x.centre[:: motion.per_frame] for x in own], axis=0)
        seen = project(middle, camera, script.width / script.height)
        inside = (np.abs(seen[:, :2]) < 1.0).all(-1) & (seen[:, 2] > 0)
        if inside[0] and not inside[-1]:
            frame = int(np.flatnonzero(inside)[-1]) + 1
            log.append(Happening(seconds=frame / script.fps, what="leaves", who=who))
    return log
