"""Rays against the four primitives, in the primitive's own space, for whole rows of pixels at once.

Every function here is pointwise arithmetic on `[M, 32]` tensors (M row segments of 32 neighbouring pixels) with
one primitive a row, its parameters `[M, COLUMNS]`; so each one becomes a single fused vector kernel under
`torch.compile`, and the same code runs eagerly and on a GPU.

A query returns two numbers: the distance along the ray, and the *margin*, which is how far inside the primitive's
silhouette the ray passes, in metres (negative: how far it misses). Margins give smooth edges and soft shadows
for the price of one ray. They are exact for spheres and capsules (distance from line to segment) and for the edges
of a box (distance between two lines); for a cone's rim they are exact to first order.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "COLUMNS",
    "FAR",
    "NOTHING",
    "OCCLUSION_REACH",
    "SEGMENT",
    "SUN_RADIUS",
    "bounding_radius",
    "coverage",
    "intersect_box",
    "intersect_cone",
    "intersect_round",
    "open_sky",
    "sunlight",
]

SEGMENT = 32  # pixels of one row that share a frame, and are culled together
FAR = 1000.0  # metres: the depth written where the ray meets nothing but sky
COLUMNS = 24
"""Columns of the primitive table: position 0:3, rotation 3:12 (row major), sizes 12:15, kind 15, albedo 16:19,
gloss 19, specular 20, stripes 21, bounding radius 22, radius of a ball that darkens its surroundings as much 23."""

NOTHING = 1e9  # key of a ray that meets nothing
OCCLUSION_REACH = 3.0  # radii within which a body takes ambient light from its surroundings
SUN_RADIUS = 0.02  # tangent of half the sun's width: how fast a shadow's edge softens
TINY = 1e-9


def bounding_radius(kind: Tensor, sizes: Tensor) -> Tensor:
    """Radius of the sphere around each primitive's origin that holds it. `kind` [K], `sizes` [K,3] -> [K], metres."""
    a, b, c = sizes.unbind(-1)
    box = torch.sqrt(a * a + b * b + c * c)
    cone = torch.sqrt(torch.maximum(a, b) ** 2 + c * c)
    return torch.where(kind == 0, a, torch.where(kind == 1, box, torch.where(kind == 2, a + b, cone)))


def to_local(table: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """World vectors into the primitive's axes: `table` [M,COLUMNS], components [M,32] or [M,1]."""
    r = [table[:, 3 + i : 4 + i] for i in range(9)]
    return (
        r[0] * x + r[3] * y + r[6] * z,
        r[1] * x + r[4] * y + r[7] * z,
        r[2] * x + r[5] * y + r[8] * z,
    )


def local_ray(
    origin: Tensor, direction: Tensor, table: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Rays [3,M,32] in the space of each row's primitive: six [M,32]."""
    ox, oy, oz = origin.unbind(0)
    dx, dy, dz = direction.unbind(0)
    px, py, pz = to_local(table, ox - table[:, 0:1], oy - table[:, 1:2], oz - table[:, 2:3])
    qx, qy, qz = to_local(table, dx, dy, dz)
    return px, py, pz, qx, qy, qz


def intersect_round(origin: Tensor, direction: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Capsules, and spheres as capsules of length nought: rays [3,M,32] -> distance [M,32], margin [M,32], metres.

    The ray enters the infinite cylinder around the axis; the axis point nearest to that entry, clamped to the
    segment, is the centre of the sphere that it really enters when the entry lies beyond an end.
    """
    px, py, pz, qx, qy, qz = local_ray(origin, direction, table)
    radius = table[:, 12:13]
    half = torch.where(table[:, 15:16] > 1.0, table[:, 13:14], torch.zeros_like(radius))
    a = torch.clamp(qx * qx + qy * qy, min=TINY)
    b = px * qx + py * qy
    c = px * px + py * py - radius * radius
    root = torch.sqrt(torch.clamp(b * b - a * c, min=0.0))
    t_side = (-b - root) / a
    z_side = pz + t_side * qz
    end = torch.minimum(torch.maximum(z_side, -half), half)
    ez = pz - end
    b_end = px * qx + py * qy + ez * qz
    # the perpendicular from the centre to the ray, formed as a vector: far more exact than b*b - c far away
    hx, hy, hz = px - b_end * qx, py - b_end * qy, ez - b_end * qz
    t_end = -b_end - torch.sqrt(torch.clamp(radius * radius - (hx * hx + hy * hy + hz * hz), min=0.0))
    t = torch.where(torch.abs(z_side) > half, t_end, t_side)
    # closest approach of the line to the segment
    z_near = pz - b / a * qz
    near = torch.minimum(torch.maximum(z_near, -half), half)
    nz = pz - near
    b_near = px * qx + py * qy + nz * qz
    hx, hy, hz = px - b_near * qx, py - b_near * qy, nz - b_near * qz
    margin = radius - torch.sqrt(hx * hx + hy * hy + hz * hz)
    return t, torch.where(t > 0.0, margin, torch.full_like(margin, -FAR))


def intersect_box(origin: Tensor, direction: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes by slabs: rays [3,M,32] -> distance [M,32], margin [M,32], metres.

    Where the ray enters through face i and would leave through face j, its distance from their common edge is
    (t_out_j - t_in_i) |d_i d_j| / sqrt(d_i^2 + d_j^2); the smallest of the six is the margin.
    """
    px, py, pz, qx, qy, qz = local_ray(origin, direction, table)
    near, far, speed = [], [], []
    for p, q, size in ((px, qx, table[:, 12:13]), (py, qy, table[:, 13:14]), (pz, qz, table[:, 14:15])):
        s = torch.clamp(torch.abs(q), min=1e-6)
        towards = torch.where(q < 0.0, p, -p)  # the centre's distance ahead along this axis
        near.append((towards - size) / s)
        far.append((towards + size) / s)
        speed.append(s)
    t = torch.maximum(torch.maximum(near[0], near[1]), near[2])
    margin = torch.full_like(t, FAR)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        weight = speed[i] * speed[j] / torch.sqrt(speed[i] * speed[i] + speed[j] * speed[j])
        chord = torch.minimum(far[j] - near[i], far[i] - near[j])
        margin = torch.minimum(margin, chord * weight)
    return t, torch.where(t > 0.0, margin, torch.full_like(margin, -FAR))


def intersect_cone(origin: Tensor, direction: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Capped frustums: rays [3,M,32] -> distance [M,32], margin [M,32], metres.

    The side is x^2 + y^2 = (r0 + k z)^2; its interval and the slab between the caps are intersected.
    """
    px, py, pz, qx, qy, qz = local_ray(origin, direction, table)
    bottom, top, half = table[:, 12:13], table[:, 13:14], table[:, 14:15]
    slope = (top - bottom) / (2.0 * half)
    middle = 0.5 * (top + bottom)
    r_here = middle + slope * pz
    a = qx * qx + qy * qy - slope * slope * qz * qz
    a = torch.where(torch.abs(a) < 1e-7, torch.full_like(a, 1e-7), a)
    b = px * qx + py * qy - slope * r_here * qz
    c = px * px + py * py - r_here * r_here
    disc = b * b - a * c
    root = torch.sqrt(torch.clamp(disc, min=0.0))
    first, second = (-b - root) / a, (-b + root) / a
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    # steeper than the side: inside beyond one root only, on the nappe that is there
    steep = a < 0.0
    widening = slope * qz > 0.0
    side_in = torch.where(steep, torch.where(widening, high, torch.full_like(low, -FAR)), low)
    side_out = torch.where(steep, torch.where(widening, torch.full_like(low, FAR), low), high)
    speed = torch.clamp(torch.abs(qz), min=1e-6)
    towards = torch.where(qz < 0.0, pz, -pz)
    cap_in, cap_out = (towards - half) / speed, (towards + half) / speed
    t = torch.maximum(side_in, cap_in)
    # margins: past the round side, and past the two rims
    radius = torch.minimum(
        torch.maximum(torch.abs(r_here - b / a * slope * qz), torch.minimum(bottom, top)),
        torch.maximum(bottom, top),
    )
    radius = torch.clamp(radius, min=1e-3)
    depth = disc / a  # radius^2 - distance^2 at closest approach
    past_side = radius - torch.sqrt(torch.clamp(radius * radius - depth, min=0.0))
    past_side = torch.where(steep, torch.full_like(a, FAR), past_side)
    normal_speed = torch.clamp(root / radius, max=1.0)
    rim = torch.minimum(side_out - cap_in, cap_out - side_in)
    # a ray that only touches the side's continuation beyond the rim has no normal speed, yet is far from the rim
    normal_speed = torch.where(rim < 0.0, torch.clamp(normal_speed, min=0.4), normal_speed)
    weight = speed * normal_speed / torch.sqrt(speed * speed + normal_speed * normal_speed + 1e-12)
    margin = torch.minimum(past_side, rim * weight)
    return t, torch.where(t > 0.0, margin, torch.full_like(margin, -FAR))


# ------------------------------------------------------------------------------------------------ what margins mean


def coverage(
    t: Tensor, margin: Tensor, before: Tensor, own: Tensor, primitive: Tensor, pixel: Tensor
) -> tuple[Tensor, Tensor]:
    """The share of a pixel that a primitive covers, and the key by which the nearest is found: a pixel whose centre
    is hit beats one that is only touched. `before` is the distance the ray has come already, `own` [P,32] the
    primitive that it starts from, `primitive` [P,1] the one that it asks, `pixel` a pixel's width in
    radians.
    """
    width = torch.clamp((t + before) * pixel, min=1e-6)
    share = torch.clamp(0.5 + margin / width, min=0.0, max=1.0)
    share = torch.where(own == primitive, torch.zeros_like(share), share)
    key = torch.where(margin > 0.0, t, t + 4.0 * FAR)
    return torch.where(share > 0.0, key, torch.full_like(key, NOTHING)), share


def sunlight(t: Tensor, margin: Tensor, own: Tensor, primitive: Tensor) -> Tensor:
    """The share of the sun that a primitive leaves: its penumbra widens with the distance between the two."""
    width = torch.clamp(t, min=0.0) * (2.0 * SUN_RADIUS) + 0.004
    light = torch.clamp(0.5 - margin / width, min=0.0, max=1.0)
    return torch.where((own == primitive) | (t > 0.9 * FAR), torch.ones_like(light), light)


def open_sky(point: Tensor, normal: Tensor, own: Tensor, primitive: Tensor, table: Tensor) -> Tensor:
    """The share of ambient light that a primitive, taken as a ball, leaves at a point with that normal [3,P,32]."""
    (x, y, z), (nx, ny, nz) = point.unbind(0), normal.unbind(0)
    vx, vy, vz = table[:, 0:1] - x, table[:, 1:2] - y, table[:, 2:3] - z
    size = table[:, 23:24]
    squared = vx * vx + vy * vy + vz * vz + 1e-6
    inverse = torch.rsqrt(squared)
    cosine = torch.clamp((nx * vx + ny * vy + nz * vz) * inverse, min=0.0)
    near = torch.clamp(1.0 - squared * inverse / (OCCLUSION_REACH * size), min=0.0)
    share = torch.clamp(1.3 * cosine * size * size / squared * near, max=0.85)
    return torch.where(own == primitive, torch.ones_like(share), 1.0 - share)
