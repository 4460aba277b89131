"""What breaks: at its first touch of the floor a body gives way to its shards, which fly on as bodies of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from filmwright.world.bodies import Body, quaternion_matrix, quaternion_product
from filmwright.world.mechanics import Motion, run

__all__ = ["break_up"]

KEPT = 0.25  # share of the fall's speed that the shards have left, upwards


def break_up(
    motion: Motion, bodies: Sequence[Body], shards: Sequence[Body], *, setting: str, fps: int
) -> tuple[Motion, tuple[Body, ...], NDArray[np.bool_], float] | None:
    """Continue a motion whose plan 0 breaks into `shards` (posed in its frame, speeds relative to it).

    `(motion, bodies, visible [S,B], seconds)` with the shards behind the other plans; None if it touches nothing.
    The shards weigh together what the body weighed. Before the break they lie in it unseen; after it the body stays
    unseen where it broke.
    """
    first = next((e for e in motion.episodes if e.b < 0 and e.a == 0), None)
    if first is None:
        return None
    at = max(1, int(np.searchsorted(motion.seconds, first.start)) - 1)
    count = len(motion.seconds) - at
    if count < 2:
        return None
    total = float(motion.mass[0])
    started = _started(motion, shards, at)
    weighed = run(started, setting=setting, fps=fps, count=1).mass.sum()
    started = [replace(b, density=b.density * total / float(weighed)) for b in started]
    after = run(started, setting=setting, fps=fps, count=count)
    whole, pieces = len(bodies), len(shards)
    length = len(motion.seconds)

    def joined(
        old: NDArray[np.float64], new: NDArray[np.float64], before: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        out = np.concatenate([old, np.broadcast_to(new[:1], (length, *new.shape[1:])).copy()], axis=1)
        out[at:, 0] = old[at, 0]
        out[at:, whole:] = new
        out[:at, whole:] = before
        return out

    matrix = quaternion_matrix(motion.quaternion[:at, 0])  # [at,3,3]
    arms = (after.origin[0] - motion.origin[at, 0]) @ quaternion_matrix(motion.quaternion[at, 0])
    centres = (after.centre[0] - motion.centre[at, 0]) @ quaternion_matrix(motion.quaternion[at, 0])
    spin = np.broadcast_to(motion.angular[:at, :1], (at, pieces, 3))
    reach = np.einsum("sij,bj->sbi", matrix, centres)
    turns = _turned(motion.quaternion[:at, 0], shards)
    visible = np.zeros((length, whole + pieces), bool)
    visible[:, 1:whole] = True
    visible[:at, 0] = True
    visible[at:, whole:] = True
    episodes = [e for e in motion.episodes if e.a != 0 or e.start < motion.seconds[at]]
    episodes.append(replace(first, start=float(motion.seconds[at]), end=float(motion.seconds[at]) + 0.004))
    offset = float(motion.seconds[at])
    episodes += [
        replace(
            e, start=e.start + offset, end=e.end + offset, a=e.a + whole, b=e.b + whole if e.b >= 0 else -1
        )
        for e in after.episodes
    ]
    velocity = motion.velocity[:at, :1] + np.cross(spin, reach)
    return (
        Motion(
            seconds=motion.seconds,
            per_frame=motion.per_frame,
            origin=joined(
                motion.origin, after.origin, motion.origin[:at, :1] + np.einsum("sij,bj->sbi", matrix, arms)
            ),
            quaternion=joined(motion.quaternion, after.quaternion, turns),
            centre=joined(motion.centre, after.centre, motion.centre[:at, :1] + reach),
            velocity=_stilled(joined(motion.velocity, after.velocity, velocity), at),
            angular=_stilled(joined(motion.angular, after.angular, spin), at),
            mass=np.concatenate([motion.mass, after.mass]),
            episodes=tuple(sorted(episodes, key=lambda e: (e.start, e.a, e.b))),
            depth=max(0.0, after.depth),
        ),
        (*bodies, *started),
        visible,
        offset,
    )


def _stilled(states: NDArray[np.float64], at: int) -> NDArray[np.float64]:
    """The broken body moves no more."""
    states[at:, 0] = 0.0
    return states


def _turned(quaternions: NDArray[np.float64], shards: Sequence[Body]) -> NDArray[np.float64]:
    """The shards' turns [S,B,4] while they are part of a body turned by `quaternions` [S,4]."""
    found = np.empty((len(quaternions), len(shards), 4))
    for s, (w, x, y, z) in enumerate(quaternions.tolist()):
        for i, shard in enumerate(shards):
            found[s, i] = quaternion_product((w, x, y, z), shard.quaternion)
    return found


def _started(motion: Motion, shards: Sequence[Body], at: int) -> list[Body]:
    """The shards in the world at the moment of the break, none of them in the floor."""
    w, x, y, z = motion.quaternion[at, 0].tolist()
    matrix = quaternion_matrix(motion.quaternion[at, 0])
    spin = motion.angular[at, 0]
    fall = motion.velocity[at, 0].copy()
    fall[2] *= -KEPT if fall[2] < 0.0 else KEPT
    fall[:2] *= 0.8
    found = []
    for shard in shards:
        arm = matrix @ np.asarray(shard.position)
        turn = quaternion_product((w, x, y, z), shard.quaternion)
        place = motion.origin[at, 0] + arm
        solid = shard.solids[0]
        extent = np.asarray(
            solid.sizes
            if solid.kind == "box"
            else (max(solid.sizes[:2]), max(solid.sizes[:2]), solid.sizes[2])
        )
        low = float(np.abs(quaternion_matrix(np.asarray(turn))[2]) @ extent)
        place[2] = max(place[2], low + 0.001)
        velocity = fall + np.cross(0.5 * spin, arm) + matrix @ np.asarray(shard.velocity)
        velocity[2] = max(velocity[2], -1.0)
        whirl = 0.5 * spin + np.asarray(shard.spin)
        found.append(
            replace(
                shard,
                position=(float(place[0]), float(place[1]), float(place[2])),
                quaternion=turn,
                velocity=(float(velocity[0]), float(velocity[1]), float(velocity[2])),
                spin=(float(whirl[0]), float(whirl[1]), float(whirl[2])),
            )
        )
    return found
