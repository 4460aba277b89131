"""The batched ray caster: a `Stage` in, frames and their truth out.

Rows of pixels are cut into segments of 32, and every question (what does this pixel see, what stands between it and
the sun, what does the ground mirror) is asked only of the pairs (segment, primitive) that a cone test lets through,
all frames and primitives of a chunk at once. So a ball that covers 4 % of the picture costs 4 % of the rays, and the
number of Python steps does not grow with frames. What remains for every pixel is two kernels: ground and sky, and
the colour transform.

Each kernel is pointwise, takes its parameters as small tensors and is compiled once with symbolic sizes: no count
of primitives, frames or pixels ever recompiles. One fused kernel for a whole scene was tried on paper and left: it
would be compiled again for every combination of shapes, for seconds each.

Light: one sun with a penumbra, hemisphere ambient light, contact darkening, one mirror bounce on ground and bodies.
Silhouettes and shadow edges are smoothed by the margins of `intersect`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmwright.spec.errors import BadRequest
from filmwright.world import shading
from filmwright.world.intersect import (
    COLUMNS,
    FAR,
    SEGMENT,
    bounding_radius,
    intersect_box,
    intersect_cone,
    intersect_round,
)
from filmwright.world.scene import Stage

__all__ = ["FAR", "Rendered", "can_compile", "render"]

CHUNK_PIXELS = 1 << 17  # of a few frames: their working set stays near the second-level cache
PAD = 16  # pair lists are padded to this multiple: a symbolic size of 0 or 1 would recompile
NOTHING = 1e9  # key of a ray that meets nothing
OCCLUSION_REACH = 3.0  # radii within which a body takes ambient light from its surroundings
SUN_RADIUS = 0.02  # tangent of half the sun's width: how fast a shadow's edge softens
CAMERA = 16  # columns of the frame table: eye 0:3, rotation 3:12, tangent of half the vertical fov 12, seconds 13

Kernel = Callable[..., Any]
INTERSECT: tuple[Kernel, Kernel, Kernel] = (intersect_round, intersect_box, intersect_cone)
GROUP = (0, 1, 0, 2)  # kernel of each kind


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendered:
    """A stage as pictures: frames and, where asked for, what every pixel's centre sees.

    `frames` uint8 [T,H,W,3] sRGB after the mood; `ids` uint8 [T,H,W] 0 ground and sky, else the body's id;
    `primitive` int16 [T,H,W] index into the stage's primitives, -1 ground and sky; `depth` float32 [T,H,W] metres
    along the camera's axis, FAR (1000) for sky. Without truth the last three have no frames.
    """

    frames: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    primitive: NDArray[np.int16]
    depth: NDArray[np.float32]


def can_compile(device: str | torch.device) -> bool:
    """Whether kernels can be compiled for this device here: a C++ compiler for the CPU, Triton for a GPU."""
    if torch.device(device).type == "cpu":
        return any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    import importlib.util

    return importlib.util.find_spec("triton") is not None


@cache
def kernel(function: Kernel, compiled: bool) -> Kernel:
    """The function itself, or its compiled form, made at its first call and cached on disk by inductor."""
    if not compiled:
        return function
    return torch.compile(function, dynamic=True, fullgraph=True)


# ------------------------------------------------------------------------------------------------ small kernels


def camera_rays(camera: Tensor, row: Tensor, column: Tensor, width: int, height: int) -> tuple[Tensor, ...]:
    """Unit rays through pixel centres and their cosine to the axis: `camera` [M,CAMERA], `row` [M,1], `column` [M,32]."""
    tangent = camera[:, 12:13]
    u = ((column + 0.5) * (2.0 / height) - width / height) * tangent
    v = (1.0 - (row + 0.5) * (2.0 / height)) * tangent
    cosine = torch.rsqrt(u * u + v * v + 1.0)
    r = [camera[:, 3 + i : 4 + i] for i in range(9)]
    return (
        (r[0] * u + r[1] * v - r[2]) * cosine,
        (r[3] * u + r[4] * v - r[5]) * cosine,
        (r[6] * u + r[7] * v - r[8]) * cosine,
        cosine,
    )


def ground_points(
    look: Tensor, waves: Tensor, time: Tensor,
    ox: Tensor, oy: Tensor, oz: Tensor, dx: Tensor, dy: Tensor, dz: Tensor,
) -> tuple[Tensor, ...]:
    """Where rays meet the flat ground, and their mirror directions: t, point (3), direction (3)."""  # fmt: skip
    t = torch.where(dz < -1e-5, oz / torch.clamp(-dz, min=1e-5), torch.full_like(dz, FAR))
    t = torch.clamp(t, min=0.0, max=FAR)
    zero = torch.zeros_like(t)
    return t, ox + t * dx, oy + t * dy, zero, dx, dy, torch.abs(dz)


def sea_points(
    look: Tensor, waves: Tensor, time: Tensor,
    ox: Tensor, oy: Tensor, oz: Tensor, dx: Tensor, dy: Tensor, dz: Tensor,
) -> tuple[Tensor, ...]:
    """`ground_points` for the sea."""  # fmt: skip
    t, x, y, sx, sy, height = shading.sea_hit(look, waves, time, ox, oy, oz, dx, dy, dz)
    length = torch.rsqrt(sx * sx + sy * sy + 1.0)
    rx, ry, rz = shading.mirrored(-sx * length, -sy * length, length, dx, dy, dz)
    return t, x, y, height, rx, ry, torch.abs(rz)


def coverage(
    t: Tensor, margin: Tensor, before: Tensor, own: Tensor, primitive: Tensor, look: Tensor
) -> tuple[Tensor, Tensor]:
    """The share of a pixel that a primitive covers, and the key by which the nearest is found: a pixel whose centre
    is hit beats one that is only touched. `before` is the distance the ray has come already, `own` [P,32] the
    primitive that it starts from, `primitive` [P,1] the one that it asks."""  # fmt: skip
    width = torch.clamp((t + before) * look[26], min=1e-6)
    share = torch.clamp(0.5 + margin / width, min=0.0, max=1.0)
    share = torch.where(own == primitive, torch.zeros_like(share), share)
    key = torch.where(margin > 0.0, t, t + 4.0 * FAR)
    return torch.where(share > 0.0, key, torch.full_like(key, NOTHING)), share


def sunlight(t: Tensor, margin: Tensor, own: Tensor, primitive: Tensor) -> Tensor:
    """The share of the sun that a primitive leaves: its penumbra widens with the distance between the two."""
    width = torch.clamp(t, min=0.0) * (2.0 * SUN_RADIUS) + 0.004
    light = torch.clamp(0.5 - margin / width, min=0.0, max=1.0)
    return torch.where((own == primitive) | (t > 0.9 * FAR), torch.ones_like(light), light)


def open_sky(
    x: Tensor, y: Tensor, z: Tensor, nx: Tensor, ny: Tensor, nz: Tensor, own: Tensor, primitive: Tensor, table: Tensor
) -> Tensor:
    """The share of ambient light that a primitive, taken as a ball, leaves at a point with that normal."""
    vx, vy, vz = table[:, 0:1] - x, table[:, 1:2] - y, table[:, 2:3] - z
    size = table[:, 23:24]
    squared = vx * vx + vy * vy + vz * vz + 1e-6
    inverse = torch.rsqrt(squared)
    cosine = torch.clamp((nx * vx + ny * vy + nz * vz) * inverse, min=0.0)
    near = torch.clamp(1.0 - squared * inverse / (OCCLUSION_REACH * size), min=0.0)
    share = torch.clamp(1.3 * cosine * size * size / squared * near, max=0.85)
    return torch.where(own == primitive, torch.ones_like(share), 1.0 - share)


# ------------------------------------------------------------------------------------------------ one render


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """P questions: ray row `slot` asks primitive `index` (0..K-1), whose table row is `entry`; sorted by slot.

    `ranks[i]` lists the pairs that are the i-th of their slot.
    """

    slot: Tensor
    index: Tensor
    entry: Tensor
    ranks: tuple[Tensor, ...]


class Scene:
    """A stage's tensors on one device, and the queries on them; lives for one `render` call."""

    def __init__(self, stage: Stage, width: int, height: int, device: torch.device, compiled: bool) -> None:
        self.device, self.compiled = device, compiled
        self.width, self.height = width, height
        self.columns = -(-width // SEGMENT)
        self.num_frames, self.num_primitives = stage.position.shape[:2]
        self.sea = stage.look.setting == "sea"
        tangent = float(np.tan(np.mean(stage.camera.fov) / 2.0))
        self.half_segment = float(np.arctan(tangent * (SEGMENT + 3) / height))  # radians, with a pixel to spare
        self.look = shading.look_vector(stage.look, 2.0 * tangent / height).to(device)
        self.texture = shading.ground_texture(stage.look.setting, stage.look.pattern_seed % 16).to(device)
        self.waves = shading.wave_table(stage.look).to(device)
        self.grade = shading.grade_vector(stage.look.grade).to(device)
        self.sun = torch.tensor(stage.look.sun, dtype=torch.float32, device=device)
        self.mirror_ground = self.sea or stage.look.ground_gloss > 0.02
        self.mirror_bodies = bool((stage.gloss > 0.04).any()) and len(np.unique(stage.body)) > 1
        self.kinds_present = sorted({GROUP[int(k)] for k in stage.kind})
        self.group = torch.tensor([GROUP[int(k)] for k in stage.kind], dtype=torch.int64, device=device)
        self.table = primitive_table(stage).to(device)  # t k c
        self.camera = camera_table(stage).to(device)  # t c
        self.visible = torch.from_numpy(np.ascontiguousarray(stage.visible)).to(device)
        self.body = torch.from_numpy(stage.body.astype(np.uint8)).to(device)

    def run(self, function: Kernel, *arguments: Any) -> Any:
        """One kernel, compiled or not."""
        return kernel(function, self.compiled)(*arguments)

    # ------------------------------------------------------------------------------------ pairs

    def pairs(self, mask: Tensor, frame: Tensor) -> tuple[Tensor, Pairs] | None:
        """Compact a mask [M,K] of (segment, primitive): the segments in it, padded, and the pairs among those.

        `frame` [M] is each segment's frame within the chunk.
        """
        segment, index = torch.nonzero(mask, as_tuple=True)
        if not len(segment):
            return None
        any_pair = mask.any(1)
        rows = torch.nonzero(any_pair).squeeze(1)
        slot = (torch.cumsum(any_pair, 0) - 1)[segment]
        ranks: tuple[Tensor, ...] = ()
        if len(slot) > len(rows):
            rank = torch.cumsum(mask, 1)[segment, index] - 1
            ranks = tuple(torch.nonzero(rank == i).squeeze(1) for i in range(int(rank.max()) + 1))
        entry = frame[segment] * self.num_primitives + index
        return padded(rows), Pairs(slot=slot, index=index, entry=entry, ranks=ranks)

    def cone_mask(self, eye: Tensor, axis: Tensor, ball: Tensor, visible: Tensor, spread: float) -> Tensor:
        """Which segments' cones of rays can touch which bounding spheres.

        `eye` [f,3], `axis` [f,S,3] unit, `ball` [f,K,4] centres and radii, `visible` [f,K], `spread` radians: -> bool
        [f*S,K].
        """
        to = ball[..., :3] - eye[:, None]  # f k 3
        ahead = torch.bmm(axis, to.transpose(1, 2))  # f s k
        across = torch.sqrt(torch.clamp((to * to).sum(-1)[:, None] - ahead * ahead, min=0.0))
        gap = across * float(np.cos(spread)) - ahead * float(np.sin(spread))
        reach = ball[..., 3][:, None]
        return ((gap < reach) & (ahead > -reach) & visible[:, None]).flatten(0, 1)

    def lit_masks(self, centre: Tensor, radius: Tensor, frame: Tensor, table: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Which primitives can stand between the sun and a ball of points, and which can darken it by nearness.

        `centre` [M,3], `radius` [M], `frame` [M]: -> two bool [M,K].
        """
        ball = table[..., [0, 1, 2, 22, 23]][frame]  # m k 5
        to = ball[..., :3] - centre[:, None]
        along = to @ self.sun  # m k
        squared = (to * to).sum(-1)
        across = torch.sqrt(torch.clamp(squared - along * along, min=0.0))
        reach = ball[..., 3] + radius[:, None]
        sun = (across < reach + 0.01 + 2.0 * SUN_RADIUS * torch.clamp(along, min=0.0)) & (along > -reach)
        near = squared < (OCCLUSION_REACH * ball[..., 4] + radius[:, None]) ** 2
        seen = visible[frame]
        return sun & seen, near & seen

    # ------------------------------------------------------------------------------------ queries

    def sweep(self, rays: tuple[Tensor, ...], pairs: Pairs, table: Tensor) -> tuple[Tensor, Tensor]:
        """Distances and margins [P,32] of all pairs; `rays` six [A,32], `table` [R,COLUMNS]."""
        if len(self.kinds_present) == 1:
            count = len(pairs.slot)
            slot, entry = padded(pairs.slot), padded(pairs.entry)
            t, margin = self.run(INTERSECT[self.kinds_present[0]], slot, entry, *rays, table)
            return t[:count], margin[:count]
        group = self.group[pairs.index]
        t = torch.empty((len(pairs.slot), SEGMENT), device=self.device)
        margin = torch.empty_like(t)
        for g in self.kinds_present:
            members = torch.nonzero(group == g).squeeze(1)
            if len(members):
                members = padded(members)
                slot, entry = pairs.slot[members], pairs.entry[members]
                found, edge = self.run(INTERSECT[g], slot, entry, *rays, table)
                t.index_copy_(0, members, found)
                margin.index_copy_(0, members, edge)
        return t, margin

    def nearest(
        self, rays: tuple[Tensor, ...], before: Tensor, own: Tensor, pairs: Pairs, table: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What each ray meets first: key, distance, primitive and coverage, each [A,32]; primitive -1 where nothing.

        The key is below FAR where the ray itself hits, not only its pixel.
        """
        t, margin = self.sweep(rays, pairs, table)
        behind, mine = take(before, pairs.slot), take(own, pairs.slot)
        key, share = coverage(t, margin, behind, mine, pairs.index[:, None], self.look)
        size = (len(before), SEGMENT)
        best_key = torch.full(size, NOTHING, device=self.device)
        best_t = torch.zeros(size, device=self.device)
        best = torch.full(size, -1, dtype=torch.int64, device=self.device)
        best_share = torch.zeros(size, device=self.device)
        if not pairs.ranks:  # one pair a row, and the rows are 0, 1, 2, ...
            nothing = torch.full((1, 1), -1, device=self.device)
            found = (key, t, torch.where(share > 0.0, pairs.index[:, None], nothing), share)
            key, t, best, share = (grown(v, len(before)) for v in found)
            return key, t, best, share
        for members in pairs.ranks:
            rows = pairs.slot[members]
            old_key, new_key = take(best_key, rows), take(key, members)
            nearer = new_key < old_key
            best_key.index_copy_(0, rows, torch.minimum(new_key, old_key))
            best_t.index_copy_(0, rows, torch.where(nearer, take(t, members), take(best_t, rows)))
            best.index_copy_(0, rows, torch.where(nearer, pairs.index[members][:, None], take(best, rows)))
            best_share.index_copy_(0, rows, torch.maximum(take(best_share, rows), take(share, members)))
        return best_key, best_t, best, best_share

    def product(self, values: Tensor, pairs: Pairs, size: int) -> Tensor:
        """What is left of one [size,32] after all its pairs' factors [P,32]."""
        if not pairs.ranks:
            return grown(values, size)
        out = torch.ones((size, SEGMENT), device=self.device)
        for members in pairs.ranks:
            rows = pairs.slot[members]
            out.index_copy_(0, rows, take(out, rows) * take(values, members))
        return out

    def shadows(
        self, points: tuple[Tensor, ...], normal: tuple[Tensor, ...], own: Tensor, rows: Tensor, pairs: Pairs, table: Tensor
    ) -> Tensor:
        """Sunlight left [A,32] at points (three [M,32]); `rows` [A] are the points' rows that have pairs."""
        lift = 1e-3
        origin = tuple(take(p + lift * n, rows) for p, n in zip(points, normal, strict=True))
        towards = tuple(self.sun[i].expand(len(rows), SEGMENT).contiguous() for i in range(3))
        t, margin = self.sweep((*origin, *towards), pairs, table)
        light = sunlight(t, margin, take(own, rows[pairs.slot]), pairs.index[:, None])
        return self.product(light, pairs, len(rows))

    def nearness(
        self, points: tuple[Tensor, ...], normal: tuple[Tensor, ...], own: Tensor, rows: Tensor, pairs: Pairs, table: Tensor
    ) -> Tensor:
        """Ambient light left [A,32], as `shadows`."""
        at = rows[pairs.slot]
        arguments = [take(v, at) for v in (*points, *normal, own)]
        left = open_sky(*arguments, pairs.index[:, None], take(table, pairs.entry))
        return self.product(left, pairs, len(rows))

    def colour(
        self, rays: tuple[Tensor, ...], t: Tensor, primitive: Tensor, frame: Tensor, table: Tensor, visible: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Linear colour [A,32] of bodies seen along rays at distance t; without `visible` no further ray is cast."""
        flat = table.flatten(0, 1)
        entry = frame[:, None] * self.num_primitives + torch.clamp(primitive, min=0)
        x, y, z, nx, ny, nz, ar, ag, ab, gloss, specular = self.run(shading.surface, flat, entry, *rays, t)
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        shadow, occlusion, mirror = one, one, (zero, zero, zero, zero)
        if visible is not None and self.num_primitives > 1:
            valid = primitive >= 0
            low = torch.stack([torch.where(valid, p, torch.full_like(p, FAR)).amin(1) for p in (x, y, z)], 1)
            high = torch.stack([torch.where(valid, p, torch.full_like(p, -FAR)).amax(1) for p in (x, y, z)], 1)
            centre, radius = 0.5 * (low + high), 0.5 * (high - low).norm(dim=1)
            sun, near = self.lit_masks(centre, radius, frame, table, visible)
            # a convex thing never shades itself: a row that sees only one primitive does not ask that one
            first = torch.where(valid, primitive, primitive.amax(1, keepdim=True))
            alone = (first == first[:, :1]).all(1, keepdim=True)
            other = ~(alone & (first[:, :1] == torch.arange(self.num_primitives, device=self.device)))
            points, normal = (x, y, z), (nx, ny, nz)
            if (found := self.pairs(sun & other, frame)) is not None:
                shadow = one.index_copy(0, found[0], self.shadows(points, normal, primitive, *found, flat))
            if (found := self.pairs(near & other, frame)) is not None:
                occlusion = one.index_copy(0, found[0], self.nearness(points, normal, primitive, *found, flat))
            if self.mirror_bodies:
                glossy = (gloss.amax(1, keepdim=True) > 0.04) & visible[frame] & other
                if (found := self.pairs(glossy, frame)) is not None:
                    mirror = self.mirror_image(points, normal, rays[3:], t, primitive, *found, frame, table)
        time = self.frame_time[frame][:, None]
        r, g, b = self.run(
            shading.light_sea if self.sea else shading.light_flat,
            self.look, self.texture, self.waves, time, x, y, z, nx, ny, nz, *rays[3:], t, ar, ag, ab, gloss, specular,
            shadow, occlusion, *mirror,
        )  # fmt: skip
        return r, g, b

    def mirror_image(
        self, points: tuple[Tensor, ...], normal: tuple[Tensor, ...], view: tuple[Tensor, ...], before: Tensor,
        own: Tensor, rows: Tensor, pairs: Pairs, frame: Tensor, table: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """What bodies mirror of other bodies: colour and share, each as large as `own`."""
        points, normal, view = (tuple(take(v, rows) for v in group) for group in (points, normal, view))
        towards = shading.mirrored(*normal, *view)
        origin = tuple(p + 1e-3 * n for p, n in zip(points, normal, strict=True))
        return self.seen(origin, towards, take(before, rows), take(own, rows), rows, pairs, frame[rows], table, len(own))

    def seen(
        self, origin: tuple[Tensor, ...], towards: tuple[Tensor, ...], before: Tensor, own: Tensor, rows: Tensor,
        pairs: Pairs, frame: Tensor, table: Tensor, size: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """Bodies along secondary rays [A,32]: colour and share, spread over `size` rows by `rows`."""
        rays = (*origin, *towards)
        _, t, primitive, share = self.nearest(rays, before, own, pairs, table.flatten(0, 1))
        out = [torch.zeros((size, SEGMENT), device=self.device) for _ in range(4)]
        hit = torch.nonzero((share > 0.0).any(1)).squeeze(1)
        if len(hit):
            hit = padded(hit)
            rays = tuple(take(r, hit) for r in rays)
            rgb = self.colour(rays, take(t, hit), take(primitive, hit), frame[hit], table, None)
            at = rows[hit]
            for target, value in zip(out, (*rgb, take(share, hit)), strict=True):
                target.index_copy_(0, at, value)
        return out[0], out[1], out[2], out[3]

    # ------------------------------------------------------------------------------------ chunks

    def chunk(self, start: int, stop: int, truth: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames start..stop: sRGB uint8 [f,H,Wp,3], ids, primitive, depth [f,H,Wp] (empty without truth)."""
        frames, per_frame = stop - start, self.height * self.columns
        size = frames * per_frame
        camera, table, visible = self.camera[start:stop], self.table[start:stop], self.visible[start:stop]
        segment = torch.arange(size, device=self.device)
        frame = segment // per_frame
        within = segment - frame * per_frame
        row = within // self.columns
        column = ((within - row * self.columns) * SEGMENT)[:, None] + torch.arange(SEGMENT, device=self.device)
        seat = camera[frame]  # m c
        dx, dy, dz, cosine = self.run(
            camera_rays, seat, row[:, None].float(), column.float(), float(self.width), float(self.height)
        )
        ox, oy, oz = seat[:, 0:1], seat[:, 1:2], seat[:, 2:3]
        self.frame_time = camera[:, 13]
        time = seat[:, 13:14]

        ones = torch.ones((size, SEGMENT), device=self.device)
        zeros = torch.zeros((size, SEGMENT), device=self.device)
        shadow, occlusion, mirror = ones, ones, (zeros, zeros, zeros, zeros)
        bodies = None
        if self.num_primitives:
            flat = table.flatten(0, 1)
            ball = table[..., [0, 1, 2, 22]]
            axis = torch.stack([dx[:, 15] + dx[:, 16], dy[:, 15] + dy[:, 16], dz[:, 15] + dz[:, 16]], 1)
            axis = (axis / axis.norm(dim=1, keepdim=True)).view(frames, per_frame, 3)
            mask = self.cone_mask(camera[:, :3], axis, ball, visible, self.half_segment)
            if (found := self.pairs(mask, frame)) is not None:
                rows, pairs = found
                rays = tuple(take(v, rows).expand(-1, SEGMENT).contiguous() for v in (ox, oy, oz, dx, dy, dz))
                nobody = torch.full((1, 1), -1, device=self.device).expand(len(rows), SEGMENT)
                key, t, primitive, share = self.nearest(rays, take(zeros, rows), nobody.contiguous(), pairs, flat)
                hit = torch.nonzero((share > 0.0).any(1)).squeeze(1)
                if len(hit):
                    hit = padded(hit)
                    at = rows[hit]
                    rays, key, t, primitive, share = (
                        tuple(take(r, hit) for r in rays), *(take(v, hit) for v in (key, t, primitive, share))
                    )  # fmt: skip
                    rgb = self.colour(rays, t, primitive, frame[at], table, visible)
                    bodies = (at, rgb, key, t, primitive, share)
            shadow, occlusion, mirror = self.on_ground(
                (ox, oy, oz, dx, dy, dz), time, axis, frame, table, visible, ones, mirror
            )
        r, g, b, depth = self.run(
            shading.environment_sea if self.sea else shading.environment_flat,
            self.look, self.texture, self.waves, time, ox, oy, oz, dx, dy, dz, shadow, occlusion, *mirror,
        )  # fmt: skip
        primitive = torch.full((size, SEGMENT), -1, dtype=torch.int16, device=self.device) if truth else None
        if bodies is not None:
            at, rgb, key, t, which, share = bodies
            beyond = take(depth, at)
            share = torch.where(t < beyond, share, torch.zeros_like(share))
            for target, value in zip((r, g, b), rgb, strict=True):
                behind = take(target, at)
                target.index_copy_(0, at, behind + (value - behind) * share)
            if primitive is not None:
                hit = (key < FAR) & (share > 0.0)
                primitive.index_copy_(0, at, torch.where(hit, which, torch.full_like(which, -1)).to(torch.int16))
                depth.index_copy_(0, at, torch.where(hit, t, beyond))
        r, g, b = self.run(shading.finish, self.grade, r, g, b)
        shape = (frames, self.height, self.columns * SEGMENT)
        picture = torch.stack([c.to(torch.uint8) for c in (r, g, b)], -1).view(*shape, 3)
        if primitive is None:
            empty = torch.empty((0,), device=self.device)
            return picture, empty, empty, empty
        index = primitive.view(shape)
        ids = torch.cat([self.body, self.body.new_zeros(1)])[index.long()]
        depth = torch.where(depth < FAR, depth * cosine, depth).view(shape)
        return picture, ids, index, depth

    def on_ground(
        self, rays: tuple[Tensor, ...], time: Tensor, axis: Tensor, frame: Tensor, table: Tensor, visible: Tensor,
        ones: Tensor, mirror: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:  # fmt: skip
        """Shadow, ambient light left and mirror image of bodies on the ground, each [M,32]."""
        ox, oy, oz, dx, dy, dz = rays
        frames = len(table)
        # a segment's ground points lie on one line: its two ends bound them
        ends = []
        for i in (0, SEGMENT - 1):
            t = torch.clamp(oz[:, 0] / torch.clamp(-dz[:, i], min=1e-5), max=FAR)
            ends.append(torch.stack([ox[:, 0] + t * dx[:, i], oy[:, 0] + t * dy[:, i], torch.zeros_like(t)], 1))
        looks_down = torch.minimum(dz[:, 0], dz[:, -1]) < 0.0
        centre, radius = 0.5 * (ends[0] + ends[1]), 0.5 * (ends[0] - ends[1]).norm(dim=1)
        sun, near = self.lit_masks(centre, radius + (0.3 if self.sea else 0.0), frame, table, visible)
        sun, near = sun & looks_down[:, None], near & looks_down[:, None]
        touched = sun | near
        image = None
        if self.mirror_ground:
            flip = torch.tensor([1.0, 1.0, -1.0, 1.0], device=self.device)
            ball = table[..., [0, 1, 2, 22]] * flip
            eye = torch.cat([ox, oy, oz], 1).view(frames, -1, 3)[:, 0]
            spread = self.half_segment + (0.2 if self.sea else 0.0)
            image = self.cone_mask(eye, axis, ball, visible, spread) & looks_down[:, None]
            touched = touched | image
        rows = torch.nonzero(touched.any(1)).squeeze(1)
        if not len(rows):
            return ones, ones, mirror
        rows = padded(rows)
        local = tuple(take(v, rows) for v in rays)
        t, px, py, pz, rx, ry, rz = self.run(
            sea_points if self.sea else ground_points, self.look, self.waves, time[rows], *local
        )
        points, flat, at = (px, py, pz), table.flatten(0, 1), frame[rows]
        normal = (torch.zeros_like(t), torch.zeros_like(t), torch.ones_like(t))
        nobody = torch.full((len(rows), SEGMENT), -1, device=self.device)
        shadow = occlusion = ones
        if (found := self.pairs(sun[rows], at)) is not None:
            shadow = ones.index_copy(0, rows[found[0]], self.shadows(points, normal, nobody, *found, flat))
        if (found := self.pairs(near[rows], at)) is not None:
            occlusion = ones.index_copy(0, rows[found[0]], self.nearness(points, normal, nobody, *found, flat))
        if image is not None and (found := self.pairs(image[rows], at)) is not None:
            chosen, pairs = found
            origin, towards = (tuple(take(v, chosen) for v in group) for group in (points, (rx, ry, rz)))
            mirror = self.seen(
                origin, towards, take(t, chosen), take(nobody, chosen), rows[chosen], pairs, at[chosen], table, len(ones)
            )
        return shadow, occlusion, mirror


def take(values: Tensor, rows: Tensor) -> Tensor:
    """Rows of a tensor, copied whole: several times faster than indexing."""
    return values.index_select(0, rows)


def grown(values: Tensor, size: int) -> Tensor:
    """`values` [N,32] lengthened to `size` rows with copies of its last, as `padded` does to an index list."""
    extra = size - len(values)
    return torch.cat([values, values[-1:].expand(extra, -1)]) if extra else values


def padded(index: Tensor) -> Tensor:
    """The index list filled up to a multiple of PAD with its last entry, which may safely be worked on twice."""
    extra = -len(index) % PAD
    return torch.cat([index, index[-1:].expand(extra)]) if extra else index


def primitive_table(stage: Stage) -> Tensor:
    """All primitives of all frames [T,K,COLUMNS], columns as `intersect.COLUMNS` says."""
    frames, count = stage.position.shape[:2]
    table = np.zeros((frames, count, COLUMNS), dtype=np.float32)
    table[..., 0:3] = stage.position
    table[..., 3:12] = stage.rotation.reshape(frames, count, 9)
    table[..., 12:15] = stage.sizes
    table[..., 15] = stage.kind
    table[..., 16:19] = stage.albedo
    table[..., 19], table[..., 20], table[..., 21] = stage.gloss, stage.specular, stage.stripes
    a, b, c = np.asarray(stage.sizes, dtype=np.float32).reshape(-1, 3).T
    table[..., 22] = bounding_radius(torch.from_numpy(stage.kind), torch.from_numpy(stage.sizes)).numpy()
    table[..., 23] = np.select(
        [stage.kind == 0, stage.kind == 1, stage.kind == 2], [a, (a + b + c) / 2.7, a + b / 3.0], (a + b + c) / 2.7
    )
    return torch.from_numpy(table)


def camera_table(stage: Stage) -> Tensor:
    """All frames' cameras [T,CAMERA]."""
    frames = len(stage.seconds)
    camera = np.zeros((frames, CAMERA), dtype=np.float32)
    camera[:, 0:3] = stage.camera.eye
    camera[:, 3:12] = stage.camera.rotation.reshape(frames, 9)
    camera[:, 12] = np.tan(stage.camera.fov / 2.0)
    camera[:, 13] = stage.seconds
    return torch.from_numpy(camera)


def render(
    stage: Stage,
    width: int,
    height: int,
    *,
    device: str | torch.device = "cpu",
    truth: bool = True,
    compiled: bool | None = None,
    samples: int = 1,
) -> Rendered:
    """Draw every frame of a stage.

    `width` and `height` in pixels, any positive numbers (multiples of 32 waste nothing). `compiled` None compiles
    where `can_compile`. `samples` 4 draws at twice the size and averages, for stills. `truth` False leaves
    masks and depth out.

    Raises:
        BadRequest: a size below 1, samples other than 1 and 4, an unknown setting or mood, too many waves.
    """
    if width < 1 or height < 1:
        raise BadRequest(f"a picture of {width}x{height} cannot be drawn: both sides must be 1 or more")
    if samples not in (1, 4):
        raise BadRequest(f"{samples} samples a pixel cannot be drawn: choose 1 or 4")
    if samples == 4:
        fine = render(stage, 2 * width, 2 * height, device=device, truth=False, compiled=compiled).frames
        frames = fine.reshape(len(fine), height, 2, width, 2, 3).mean((2, 4), dtype=np.float32)
        exact = render(stage, width, height, device=device, truth=truth, compiled=compiled)
        return Rendered(
            frames=np.round(frames).astype(np.uint8), ids=exact.ids, primitive=exact.primitive, depth=exact.depth
        )
    where = torch.device(device)
    with torch.no_grad():
        scene = Scene(stage, width, height, where, can_compile(where) if compiled is None else compiled)
        limit = CHUNK_PIXELS if where.type == "cpu" else 64 * CHUNK_PIXELS
        step = max(1, limit // (height * scene.columns * SEGMENT))
        parts = []
        for start in range(0, scene.num_frames, step):
            part = scene.chunk(start, min(start + step, scene.num_frames), truth)
            parts.append(tuple(p.cpu().numpy() for p in part))
    pictures, ids, index, depth = (np.concatenate(p) for p in zip(*parts, strict=True))
    if not truth:
        shape = (0, height, width)
        return Rendered(
            frames=np.ascontiguousarray(pictures[:, :, :width]),
            ids=np.zeros(shape, np.uint8),
            primitive=np.zeros(shape, np.int16),
            depth=np.zeros(shape, np.float32),
        )
    pictures, ids, index, depth = (np.ascontiguousarray(p[:, :, :width]) for p in (pictures, ids, index, depth))
    return Rendered(frames=pictures, ids=ids, primitive=index, depth=depth)
