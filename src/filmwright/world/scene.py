"""What a simulated clip is made of, as plain data: the script, what happened, and what the renderer draws.

    Script  (what was asked of the world)      author.py writes it
    Take    (what physics made of it)          physics.py fills it
    Stage   (primitives, poses, camera, look)  the only thing render.py sees

World axes: x right, y away from the first camera, z up; metres, seconds, radians. The ground is z = 0
(for the sea: its mean level). Camera axes: x right, y up, looking along -z, so that `rotation` columns are
right, up, back in world space. Everything is numpy: no torch is needed to author or to caption.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KINDS",
    "CameraPose",
    "Contact",
    "Happening",
    "Kind",
    "Look",
    "Script",
    "Stage",
    "SubjectSpec",
    "Take",
]

Float = NDArray[np.float32]

Kind = Literal["sphere", "box", "capsule", "cone"]
KINDS: tuple[Kind, ...] = ("sphere", "box", "capsule", "cone")
"""Primitives, all centred at their own origin, long axis z; `sizes` means:

sphere   (radius, -, -)
box      (half x, half y, half z)
capsule  (radius, half length of the cylindrical part, -)
cone     (radius at the bottom, radius at the top, half height): a capped frustum; equal radii make a cylinder
"""


@dataclass(frozen=True, kw_only=True)
class SubjectSpec:
    """One thing in the scene, in the words of `spec.vocabulary`."""

    kind: str
    colour: str
    material: str
    size: str


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a clip is to show. `(version, seed, part)` determines it, and it determines the clip."""

    version: int
    seed: int
    part: str
    subjects: tuple[SubjectSpec, ...]
    event: str
    direction: str
    setting: str
    light: str
    camera: str
    lens: str
    mood: str
    width: int
    height: int
    num_frames: int
    fps: int


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Two bodies meet. `a` and `b` are indices of subjects' bodies, -1 for the ground."""

    seconds: float
    frame: int
    a: int
    b: int
    impulse: float  # newton seconds, normal
    point: tuple[float, float, float]
    material_a: str
    material_b: str


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One entry of the event log, from which the caption is written.

    `what` is one of: falls, lands, bounces, rolls, slides, spins, hits, topples, swings, shatters, floats,
    stops, rests, leaves (goes out of view).
    """

    seconds: float
    what: str
    who: int  # index into Script.subjects
    whom: int | None = None
    direction: str = "none"
    amount: float = 0.0  # bounces: height in metres; rolls, slides: distance; spins: turns


@dataclass(frozen=True, kw_only=True)
class CameraPose:
    """One camera a frame: `eye` [T,3], `rotation` [T,3,3] (columns right, up, back), vertical `fov` [T] in radians."""

    eye: Float
    rotation: Float
    fov: Float


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything about a scene's appearance that is not a body."""

    setting: str
    ground_a: tuple[float, float, float]  # linear RGB, 0..1
    ground_b: tuple[float, float, float]  # second colour of the pattern
    ground_scale: float  # size of a plank, tile or wave of the pattern, metres
    ground_angle: float  # pattern's turn about z
    ground_gloss: float  # 0..1: share of mirror reflection at grazing view
    sun: tuple[float, float, float]  # unit vector towards the light
    sun_colour: tuple[float, float, float]
    ambient: tuple[float, float, float]
    sky_horizon: tuple[float, float, float]
    sky_zenith: tuple[float, float, float]
    fog: float  # 1/metres
    grade: str  # a name of vocabulary.MOODS
    pattern_seed: int = 0
    waves: Float | None = (
        None  # [W,5] amplitude, wave number x, wave number y, angular speed, phase; the sea only
    )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The renderer's whole input: K primitives over T frames.

    `body` gives each primitive's instance id as drawn in the masks: 1 for the first body; 0 is ground and sky.
    """

    look: Look
    camera: CameraPose
    seconds: Float  # [T] time of each frame
    kind: NDArray[np.int64]  # [K] index into KINDS
    sizes: Float  # [K,3]
    body: NDArray[np.int64]  # [K]
    albedo: Float  # [K,3] linear RGB
    gloss: Float  # [K] 0..1 mirror reflection at normal view (metal 0.5, glass 0.3, rubber 0.02)
    specular: Float  # [K] 0..1 strength of the highlight
    stripes: Float  # [K] 0 plain, else a second, darker shade in alternating wedges, so that spin and roll can be seen
    position: Float  # [T,K,3]
    rotation: Float  # [T,K,3,3]
    visible: NDArray[np.bool_]  # [T,K] fragments appear, whole bodies vanish when they shatter


@dataclass(frozen=True, kw_only=True)
class Take:
    """What physics made of a script: the truth that masks, flow, captions and scores are drawn from.

    N bodies: `subject` says which subject a body belongs to (a stack is several bodies of one subject).
    """

    script: Script
    stage: Stage
    subject: NDArray[np.int64]  # [N]
    mass: Float  # [N] kg
    position: Float  # [T,N,3] centre of mass
    quaternion: Float  # [T,N,4] w first
    velocity: Float  # [T,N,3] m/s
    angular_velocity: Float  # [T,N,3] rad/s, world axes
    contacts: tuple[Contact, ...]
    log: tuple[Happening, ...]
    facts: dict[str, float] = field(default_factory=dict)  # restitution, drop height, pendulum length, ...
