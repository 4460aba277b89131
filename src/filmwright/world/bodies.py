"""What subjects are made of: solids for the physics, primitives for the picture, materials for both.

A subject becomes one or more `Body` plans. A body's frame has its origin where it is most convenient for the
pose (usually the centre of its bounding solid), long axis z. Collision solids may be simpler than what is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from filmwright.world.scene import Kind

__all__ = [
    "LYING",
    "MATERIAL",
    "UPRIGHT",
    "Body",
    "Material",
    "Shape",
    "Solid",
    "axis_quaternion",
    "boat",
    "bottle",
    "car",
    "glass",
    "half_size",
    "lighthouse",
    "plain",
    "quaternion_matrix",
    "quaternion_product",
    "rounded",
]

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
RGB = tuple[float, float, float]

UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)
LYING: Quaternion = (math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0)
"""A turn of -90 degrees about x: the long axis points away from the camera, along +y."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """Physical and optical constants. `density` is that of a hollow toy, kg/m3; `restitution` on a hard floor."""

    density: float
    restitution: float
    friction: float
    gloss: float
    specular: float


MATERIAL: dict[str, Material] = {
    "rubber": Material(density=120.0, restitution=0.80, friction=0.80, gloss=0.02, specular=0.15),
    "wood": Material(density=300.0, restitution=0.45, friction=0.40, gloss=0.0, specular=0.08),
    "metal": Material(density=900.0, restitution=0.30, friction=0.30, gloss=0.50, specular=0.80),
    "glass": Material(density=500.0, restitution=0.50, friction=0.30, gloss=0.16, specular=0.90),
}

HALF: dict[str, float] = {"small": 0.22, "medium": 0.30, "large": 0.39}
"""Half the extent in metres of a plain solid of each size."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One drawn primitive in its body's frame; `sizes` as in `scene.KINDS`; `colour` None is the subject's own."""

    kind: Kind
    sizes: Vector
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: Quaternion = UPRIGHT
    colour: RGB | None = None
    gloss: float | None = None
    specular: float | None = None
    striped: bool = True


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One collision solid in its body's frame: sphere, box, capsule, cylinder or (convex) frustum.

    `sizes`: those of the drawn kinds; a cylinder is (radius, half height, -). `weight` scales the density.
    """

    kind: str
    sizes: Vector
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: Quaternion = UPRIGHT
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Body:
    """A rigid body and how it starts. `subject` indexes `Script.subjects`.

    `joint` is `free`, `fixed`, or `hinge` (about `hinge_axis` through the frame's origin). A body with a `parent`
    (an index into the same list) is part of it: it shares its instance and is posed relative to it.
    """

    subject: int
    material: str
    shapes: tuple[Shape, ...]
    solids: tuple[Solid, ...]
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: Quaternion = UPRIGHT
    velocity: Vector = (0.0, 0.0, 0.0)
    spin: Vector = (0.0, 0.0, 0.0)  # angular velocity, world axes; of a hinge the first entry is its rate
    joint: str = "free"
    hinge_axis: Vector = (0.0, 1.0, 0.0)
    angle: float = 0.0  # a hinge's start, radians
    parent: int | None = None
    striped: bool = False
    friction: float | None = None
    restitution: float | None = None
    rolling: float = 0.0  # coefficient of rolling resistance, metres
    tint: float = 1.0  # shade of the subject's colour: the cubes of a stack differ a little
    fragment: bool = False
    density: float = field(default=1.0)  # relative to the material's


def axis_quaternion(axis: Vector, angle: float) -> Quaternion:
    """The rotation by `angle` radians about a unit axis, w first."""
    s = math.sin(angle / 2.0)
    return (math.cos(angle / 2.0), axis[0] * s, axis[1] * s, axis[2] * s)


def quaternion_product(a: Quaternion, b: Quaternion) -> Quaternion:
    """The rotation that applies `b` first, then `a`."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def quaternion_matrix(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices [...,3,3] of unit quaternions [...,4], w first."""
    w, x, y, z = (q[..., i] for i in range(4))
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, axis=-1).reshape(*q.shape[:-1], 3, 3)


def half_size(size: str, jitter: float = 1.0) -> float:
    """Half the extent of a plain solid in metres; `jitter` is a factor near 1."""
    return HALF[size] * jitter


def plain(kind: str, half: float, *, slender: float = 1.0) -> tuple[Shape, Solid, float]:
    """A ball, cube, cylinder, cone or capsule of half extent `half`: drawn, solid, and half its height in metres.

    `slender` > 1 makes cylinders, cones and capsules thinner at the same height. A cylinder's solid is a prism of
    32 sides: MuJoCo's own cylinder loses all precision when it stands exactly upright on a plane; `rounded` makes
    one that rolls smoothly out of it.
    """
    if kind == "ball":
        return Shape(kind="sphere", sizes=(half, 0, 0)), Solid(kind="sphere", sizes=(half, 0, 0)), half
    if kind == "cube":
        side = 0.86 * half
        box = (side, side, side)
        return Shape(kind="box", sizes=box), Solid(kind="box", sizes=box), side
    if kind == "cylinder":
        radius = 0.72 * half / slender
        return (
            Shape(kind="cone", sizes=(radius, radius, half)),
            Solid(kind="frustum", sizes=(radius, radius, half)),
            half,
        )
    if kind == "cone":
        radius, tip = 0.82 * half / slender, 0.02 * half
        sizes = (radius, tip, half)
        return Shape(kind="cone", sizes=sizes), Solid(kind="frustum", sizes=sizes), half
    if kind == "capsule":
        radius = 0.50 * half / slender
        sizes = (radius, half - radius, 0.0)
        return Shape(kind="capsule", sizes=sizes), Solid(kind="capsule", sizes=sizes), half
    raise AssertionError(f"{kind} is not a plain solid")


def rounded(solid: Solid) -> Solid:
    """The solid with a true cylinder for a prism, for bodies that start lying and roll."""
    return (
        replace(solid, kind="cylinder", sizes=(solid.sizes[0], solid.sizes[2], 0.0))
        if solid.kind == "frustum"
        else solid
    )


def bottle(half: float) -> tuple[tuple[Shape, ...], tuple[Solid, ...], float]:
    """A bottle of height `2 half`, standing, its frame at mid height: body, shoulder, neck."""
    radius, neck = 0.36 * half, 0.14 * half
    shapes = (
        Shape(kind="cone", sizes=(radius, radius, 0.55 * half), position=(0, 0, -0.45 * half)),
        Shape(kind="cone", sizes=(radius, neck, 0.17 * half), position=(0, 0, 0.27 * half)),
        Shape(kind="cone", sizes=(neck, neck, 0.28 * half), position=(0, 0, 0.72 * half)),
    )
    solids = (
        Solid(kind="frustum", sizes=(radius, radius, 0.60 * half), position=(0, 0, -0.40 * half)),
        Solid(kind="frustum", sizes=(neck, neck, 0.40 * half), position=(0, 0, 0.60 * half)),
    )
    return shapes, solids, half


def glass(half: float) -> tuple[tuple[Shape, ...], tuple[Solid, ...], float]:
    """A drinking glass on a stem, of height `2 half`, its frame at mid height: foot, stem, bowl."""
    foot, stem, bowl, rim = 0.42 * half, 0.07 * half, 0.22 * half, 0.52 * half
    shapes = (
        Shape(kind="cone", sizes=(foot, 0.6 * foot, 0.06 * half), position=(0, 0, -0.94 * half)),
        Shape(kind="cone", sizes=(stem, stem, 0.35 * half), position=(0, 0, -0.55 * half)),
        Shape(kind="cone", sizes=(bowl, rim, 0.60 * half), position=(0, 0, 0.40 * half)),
    )
    solids = (
        Solid(kind="frustum", sizes=(foot, foot, 0.06 * half), position=(0, 0, -0.94 * half)),
        Solid(kind="frustum", sizes=(1.5 * stem, 1.5 * stem, 0.35 * half), position=(0, 0, -0.55 * half)),
        Solid(kind="frustum", sizes=(bowl, rim, 0.60 * half), position=(0, 0, 0.40 * half), weight=0.4),
    )
    return shapes, solids, half


def car(half: float) -> tuple[tuple[Shape, ...], tuple[Solid, ...], Shape, Solid, tuple[Vector, ...], float]:
    """A toy car of length `2 half` along x, its frame at the chassis's centre.

    `(shapes, solids, wheel shape, wheel solid, wheel centres, height of the frame above the floor)`; a wheel's
    own frame has its axle along z and is hung with `LYING`, so that the axle points across the car.
    """
    wheel = 0.24 * half
    chassis = (half, 0.44 * half, 0.19 * half)
    clearance = 0.30 * half
    shapes = (
        Shape(kind="box", sizes=chassis),
        Shape(kind="box", sizes=(0.50 * half, 0.38 * half, 0.19 * half), position=(-0.10 * half, 0, 0.36 * half)),
        Shape(
            kind="box", sizes=(0.51 * half, 0.33 * half, 0.11 * half), position=(-0.10 * half, 0, 0.36 * half),
            colour=(0.05, 0.07, 0.09), gloss=0.2, striped=False,
        ),
    )  # fmt: skip
    solids = (
        Solid(kind="box", sizes=chassis),
        Solid(
            kind="box",
            sizes=(0.50 * half, 0.38 * half, 0.19 * half),
            position=(-0.10 * half, 0, 0.36 * half),
            weight=0.3,
        ),
    )
    wheel_shape = Shape(
        kind="cone", sizes=(wheel, wheel, 0.10 * half), colour=(0.16, 0.16, 0.17), gloss=0.0, specular=0.1
    )
    wheel_solid = Solid(kind="cylinder", sizes=(wheel, 0.10 * half, 0))
    drop = -(clearance - wheel)
    centres = tuple((x * 0.60 * half, y * 0.50 * half, drop) for x in (-1.0, 1.0) for y in (-1.0, 1.0))
    return shapes, solids, wheel_shape, wheel_solid, centres, clearance


def boat(half: float) -> tuple[tuple[Shape, ...], tuple[Solid, ...], float]:
    """A sailing boat of length `2 half` along x, its frame at mid hull; and half the hull's depth."""
    depth = 0.22 * half
    hull = (0.62 * half, 0.34 * half, depth)
    tilt = axis_quaternion((0.0, 1.0, 0.0), math.pi / 2.0)
    white = (0.85, 0.85, 0.82)
    shapes = (
        Shape(kind="box", sizes=hull, striped=False),
        Shape(
            kind="cone",
            sizes=(0.33 * half, 0.06 * half, 0.22 * half),
            position=(0.80 * half, 0, 0),
            quaternion=tilt,
            striped=False,
        ),
        Shape(
            kind="cone",
            sizes=(0.20 * half, 0.33 * half, 0.08 * half),
            position=(-0.68 * half, 0, 0),
            quaternion=tilt,
            striped=False,
        ),
        Shape(
            kind="cone",
            sizes=(0.035 * half, 0.03 * half, 0.62 * half),
            position=(0.05 * half, 0, 0.80 * half),
            colour=(0.30, 0.17, 0.08),
        ),
        Shape(
            kind="box",
            sizes=(0.27 * half, 0.015 * half, 0.38 * half),
            position=(-0.28 * half, 0, 0.92 * half),
            colour=white,
        ),
        Shape(
            kind="box",
            sizes=(0.20 * half, 0.20 * half, 0.09 * half),
            position=(-0.34 * half, 0, depth + 0.07 * half),
            colour=white,
        ),
    )
    return shapes, (Solid(kind="box", sizes=hull),), depth


def lighthouse(half: float, own: RGB) -> tuple[tuple[Shape, ...], tuple[Solid, ...], float]:
    """A lighthouse of height `2 half`, its frame at mid height: bands of the subject's colour and white, a lamp."""
    bottom, top, bands = 0.34 * half, 0.22 * half, 5
    white = (0.85, 0.85, 0.83) if min(own) < 0.6 else (0.60, 0.05, 0.05)
    tower = 1.50 * half  # height of the banded part
    step = tower / bands
    shapes = []
    for i in range(bands):
        low, high = (bottom + (top - bottom) * j / bands for j in (i, i + 1))
        colour = None if i % 2 == 0 else white
        shapes.append(
            Shape(
                kind="cone",
                sizes=(low, high, step / 2),
                position=(0, 0, -half + (i + 0.5) * step),
                colour=colour,
                striped=False,
            )
        )
    z = -half + tower
    shapes += [
        Shape(
            kind="cone",
            sizes=(0.31 * half, 0.31 * half, 0.04 * half),
            position=(0, 0, z + 0.04 * half),
            colour=(0.08, 0.08, 0.09),
            striped=False,
        ),
        Shape(
            kind="cone",
            sizes=(0.17 * half, 0.17 * half, 0.13 * half),
            position=(0, 0, z + 0.21 * half),
            colour=(0.98, 0.86, 0.42),
            striped=False,
        ),
        Shape(
            kind="cone",
            sizes=(0.25 * half, 0.02 * half, 0.08 * half),
            position=(0, 0, z + 0.42 * half),
            colour=None,
            striped=False,
        ),
    ]
    solids = (
        Solid(kind="frustum", sizes=(bottom, top, tower / 2), position=(0, 0, -half + tower / 2)),
        Solid(
            kind="frustum",
            sizes=(0.24 * half, 0.24 * half, 0.25 * half),
            position=(0, 0, z + 0.25 * half),
            weight=0.4,
        ),
    )
    return tuple(shapes), solids, half
