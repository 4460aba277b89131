"""Batched ray queries: which primitive does each ray meet, what stands in the sun, what darkens and what mirrors.

Rows of pixels are cut into segments of 32, and every question is asked only of the pairs (segment, primitive) that a
bounding test lets through, for all frames and primitives of a chunk at once. So a ball that covers 4 % of the picture
costs 4 % of the rays, and the number of Python steps grows with neither frames nor primitives.

Axes: f frames of a chunk, s segments a frame, m segments or rows in all, k primitives, p pairs, c components.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from filmwright.world import intersect, patterns, shading
from filmwright.world.intersect import COLUMNS, FAR, NOTHING, OCCLUSION_REACH, SEGMENT, SUN_RADIUS
from filmwright.world.scene import Stage

__all__ = ["Caster", "Pairs", "Rays", "can_compile", "padded", "take"]

PAD = 16  # row lists are padded to this multiple: a symbolic size of 0 or 1 would recompile a kernel
LIFT = 1e-3  # metres: secondary rays start this far off their surface
GLOSSY = 0.04  # mirror share from which bodies are looked for in a body's mirror image
CAMERA = (
    16  # columns of the camera table: eye 0:3, rotation 3:12, tangent of half the vertical fov 12, seconds 13
)

Kernel = Callable[..., Any]
INTERSECT: tuple[Kernel, ...] = (intersect.intersect_round, intersect.intersect_box, intersect.intersect_cone)
GROUP = (0, 1, 0, 2)  # which of them does each of scene.KINDS


def can_compile(device: str | torch.device) -> bool:
    """Whether kernels can be compiled for this device here: a C++ compiler for the CPU, Triton for a GPU."""
    if torch.device(device).type == "cpu":
        return any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    import importlib.util

    return importlib.util.find_spec("triton") is not None


@cache
def kernel(function: Kernel, compiled: bool) -> Kernel:
    """The function itself, or its compiled form, made at its first call and kept on disk by inductor.

    Sizes are symbolic. Compiled kernels are called with distinct contiguous tensors: a tensor given twice, or sizes
    and strides that agree by chance, would be compiled for as a special case, and again once they differ.
    """
    if not compiled:
        return function
    return torch.compile(function, dynamic=True, fullgraph=True)


class Rays(NamedTuple):
    """M rows of rays: origins and unit directions, each [3,M,32]."""

    origin: Tensor
    direction: Tensor

    def take(self, rows: Tensor) -> Rays:
        """Some of the rows."""
        return Rays(self.origin.index_select(1, rows), self.direction.index_select(1, rows))


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """P questions: ray row `slot` asks primitive `index` (0..K-1), whose table row is `entry`; sorted by slot.

    `ranks[i]` lists the pairs that are the i-th of their slot; empty where each slot has one.
    """

    slot: Tensor
    index: Tensor
    entry: Tensor
    ranks: tuple[Tensor, ...]


class Caster:
    """A stage's tensors on one device, and the queries on them; lives for one render."""

    def __init__(self, stage: Stage, height: int, device: torch.device, compiled: bool) -> None:
        self.device, self.compiled = device, compiled
        self.num_frames, self.num_primitives = stage.position.shape[:2]
        self.sea = stage.look.setting == "sea"
        tangent = float(np.tan(np.mean(stage.camera.fov) / 2.0))
        self.half_segment = float(
            np.arctan(tangent * (SEGMENT + 3) / height)
        )  # radians, with a pixel to spare
        self.look = shading.look_vector(stage.look, 2.0 * tangent / height).to(device)
        self.pixel = self.look[26]
        self.texture = patterns.ground_texture(stage.look.setting, stage.look.pattern_seed % 16).to(device)
        self.waves = shading.wave_table(stage.look).to(device)
        self.sun = torch.tensor(stage.look.sun, dtype=torch.float32, device=device)
        self.mirror_ground = self.sea or stage.look.ground_gloss > 0.02
        self.any_gloss = bool((stage.gloss > 0.0).any())
        self.mirror_bodies = bool((stage.gloss > GLOSSY).any()) and self.num_primitives > 1
        self.kinds_present = sorted({GROUP[int(k)] for k in stage.kind})
        self.group = torch.tensor([GROUP[int(k)] for k in stage.kind], dtype=torch.int64, device=device)
        self.table = primitive_table(stage).to(device)  # t k c
        self.camera = camera_table(stage).to(device)  # t c
        self.visible = torch.from_numpy(np.ascontiguousarray(stage.visible)).to(device)
        self.body = torch.from_numpy(stage.body.astype(np.uint8)).to(device)

    def run(self, function: Kernel, *arguments: Tensor) -> Any:
        """One kernel, compiled or not."""
        return kernel(function, self.compiled)(*arguments)

    # ------------------------------------------------------------------------------------ pairs

    def pairs(self, mask: Tensor, frame: Tensor) -> tuple[Tensor, Pairs] | None:
        """Compact a mask [m,k] of (segment, primitive): the segments in it, padded, and the pairs among those.

        `frame` [m] is each segment's frame within the chunk. None if the mask is empty.
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

        `eye` [f,3], `axis` [f,s,3] unit, `ball` [f,k,4] centres and radii, `visible` [f,k], `spread` radians: -> bool
        [f*s,k].
        """
        to = ball[..., :3] - eye[:, None]  # f k c
        ahead = torch.bmm(axis, to.transpose(1, 2))  # f s k
        across = torch.sqrt(torch.clamp((to * to).sum(-1)[:, None] - ahead * ahead, min=0.0))
        gap = across * float(np.cos(spread)) - ahead * float(np.sin(spread))
        reach = ball[..., 3][:, None]
        return ((gap < reach) & (ahead > -reach) & visible[:, None]).flatten(0, 1)

    def light_masks(
        self, centre: Tensor, radius: Tensor, frame: Tensor, table: Tensor, visible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Which primitives can stand between the sun and a ball of points, and which can darken it by nearness.

        `centre` [m,3], `radius` [m], `frame` [m]: -> two bool [m,k].
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

    def sweep(self, rays: Rays, pairs: Pairs, table: Tensor) -> tuple[Tensor, Tensor]:
        """Distances and margins [p,32] of all pairs; `rays` of the pairs' slots, `table` [r,COLUMNS]."""
        if len(self.kinds_present) == 1:
            slot, entry = padded(pairs.slot), padded(pairs.entry)
            t, margin = self.run(INTERSECT[self.kinds_present[0]], *rays.take(slot), take(table, entry))
            return t[: len(pairs.slot)], margin[: len(pairs.slot)]
        group = self.group[pairs.index]
        t = torch.empty((len(pairs.slot), SEGMENT), device=self.device)
        margin = torch.empty_like(t)
        for g in self.kinds_present:
            members = torch.nonzero(group == g).squeeze(1)
            if len(members):
                members = padded(members)
                slot, entry = pairs.slot[members], pairs.entry[members]
                found, edge = self.run(INTERSECT[g], *rays.take(slot), take(table, entry))
                t.index_copy_(0, members, found)
                margin.index_copy_(0, members, edge)
        return t, margin

    def nearest(
        self, rays: Rays, before: Tensor, own: Tensor, pairs: Pairs, table: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What each ray meets first: key, distance, primitive and coverage, each [a,32]; primitive -1 where nothing.

        The key is below FAR where the ray itself hits, not only its pixel. `before` and `own` as in
        `intersect.coverage`.
        """
        t, margin = self.sweep(rays, pairs, table)
        behind, mine = take(before, pairs.slot), take(own, pairs.slot)
        key, share = intersect.coverage(t, margin, behind, mine, pairs.index[:, None], self.pixel)
        size = (len(before), SEGMENT)
        if not pairs.ranks:  # one pair a row, and the rows are 0, 1, 2, ...
            nothing = torch.full((1, 1), -1, device=self.device)
            found = (key, t, torch.where(share > 0.0, pairs.index[:, None], nothing), share)
            key, t, best, share = (grown(v, len(before)) for v in found)
            return key, t, best, share
        best_key = torch.full(size, NOTHING, device=self.device)
        best_t = torch.zeros(size, device=self.device)
        best = torch.full(size, -1, dtype=torch.int64, device=self.device)
        best_share = torch.zeros(size, device=self.device)
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
        """What is left of one [size,32] after all its pairs' factors [p,32]."""
        if not pairs.ranks:
            return grown(values, size)
        out = torch.ones((size, SEGMENT), device=self.device)
        for members in pairs.ranks:
            rows = pairs.slot[members]
            out.index_copy_(0, rows, take(out, rows) * take(values, members))
        return out

    def shadows(
        self, point: Tensor, normal: Tensor, own: Tensor, rows: Tensor, pairs: Pairs, table: Tensor
    ) -> Tensor:
        """Sunlight left [a,32] at points [3,m,32]; `rows` [a] are the points' rows that have pairs."""
        origin = (point + LIFT * normal).index_select(1, rows)
        towards = self.sun[:, None, None].expand(3, len(rows), SEGMENT)
        t, margin = self.sweep(Rays(origin, towards), pairs, table)
        light = intersect.sunlight(t, margin, take(own, rows[pairs.slot]), pairs.index[:, None])
        return self.product(light, pairs, len(rows))

    def nearness(
        self, point: Tensor, normal: Tensor, own: Tensor, rows: Tensor, pairs: Pairs, table: Tensor
    ) -> Tensor:
        """Ambient light left [a,32], as `shadows`."""
        at = rows[pairs.slot]
        point, normal = point.index_select(1, at), normal.index_select(1, at)
        left = intersect.open_sky(
            point, normal, take(own, at), pairs.index[:, None], take(table, pairs.entry)
        )
        return self.product(left, pairs, len(rows))

    # ------------------------------------------------------------------------------------ colours

    def environment(self, time: Tensor, rays: Rays, effects: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ground, sea and sky along rays: linear r, g, b and distance, each [m,32]; see `shading.environment_flat`."""
        function = shading.environment_sea if self.sea else shading.environment_flat
        r, g, b, t = self.run(function, self.look, self.texture, self.waves, time, *rays, effects)
        return r, g, b, t

    def colour(
        self, rays: Rays, t: Tensor, primitive: Tensor, frame: Tensor, time: Tensor, table: Tensor,
        visible: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Linear colour [a,32] of bodies seen along rays at distance t; without `visible` other bodies are left out.

        `frame` [a], `time` [f] seconds, `table` [f,k,COLUMNS].
        """
        flat = table.flatten(0, 1)
        entry = frame[:, None] * self.num_primitives + torch.clamp(primitive, min=0)
        # 17, 33, 49, ... rows: a number that no other size in the kernel equals, see `kernel`
        wide = torch.nn.functional.pad(flat, (0, 0, 0, PAD + (1 - len(flat)) % PAD))
        hit = torch.stack(self.run(shading.surface, wide, entry, *rays, t))
        point, normal, gloss = hit[0:3], hit[3:6], hit[9]
        shadow, occlusion = torch.ones_like(t), torch.ones_like(t)
        image = None
        if visible is not None and self.num_primitives > 1:
            valid = primitive >= 0
            low = torch.where(valid, point, torch.full_like(point, FAR)).amin(2).t()  # a c
            high = torch.where(valid, point, torch.full_like(point, -FAR)).amax(2).t()
            centre, radius = 0.5 * (low + high), 0.5 * (high - low).norm(dim=1)
            sun, near = self.light_masks(centre, radius, frame, table, visible)
            # a convex thing never shades itself: a row that sees only one primitive does not ask that one
            most = primitive.amax(1, keepdim=True)
            alone = (torch.where(valid, primitive, most) == most).all(1, keepdim=True)
            other = ~(alone & (most == torch.arange(self.num_primitives, device=self.device)))
            if (found := self.pairs(sun & other, frame)) is not None:
                shadow.index_copy_(0, found[0], self.shadows(point, normal, primitive, *found, flat))
            if (found := self.pairs(near & other, frame)) is not None:
                occlusion.index_copy_(0, found[0], self.nearness(point, normal, primitive, *found, flat))
            if self.mirror_bodies:
                glossy = (gloss.amax(1, keepdim=True) > GLOSSY) & visible[frame] & other
                image = self.pairs(glossy, frame)
        bounce = torch.zeros((3, *t.shape), device=self.device)
        if self.any_gloss:
            towards = shading.mirrored(normal, rays.direction)
            effects = torch.zeros((6, *t.shape), device=self.device)
            # the ground under a body lies in its shade
            gap = torch.clamp(point[2], min=0.0) / torch.clamp(towards[2].abs(), min=0.01)
            effects[0:2] = 1.0 - 0.6 * torch.exp(-3.0 * gap)
            start = Rays((point + LIFT * normal).contiguous(), towards.contiguous())
            bounce = torch.stack(self.environment(time[frame][:, None], start, effects)[:3])
            if image is not None:
                rows, pairs = image
                before, own = take(t, rows), take(primitive, rows)
                seen = self.seen(start.take(rows), before, own, rows, pairs, frame[rows], time, table)
                if seen is not None:
                    at, rgb, share = seen
                    old = bounce.index_select(1, at)
                    bounce.index_copy_(1, at, old + (rgb - old) * share)
        r, g, b = self.run(shading.light, self.look, hit, rays.direction, t, shadow, occlusion, bounce)
        return r, g, b

    def seen(
        self, rays: Rays, before: Tensor, own: Tensor, rows: Tensor, pairs: Pairs, frame: Tensor, time: Tensor,
        table: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor] | None:  # fmt: skip
        """Bodies along secondary rays [3,a,32]: which of `rows`, their colour [3,b,32] and share [b,32]; None: none."""
        _, t, primitive, share = self.nearest(rays, before, own, pairs, table.flatten(0, 1))
        hit = torch.nonzero((share > 0.0).any(1)).squeeze(1)
        if not len(hit):
            return None
        hit = padded(hit)
        rgb = self.colour(rays.take(hit), take(t, hit), take(primitive, hit), frame[hit], time, table, None)
        return rows[hit], torch.stack(rgb), take(share, hit)


def take(values: Tensor, rows: Tensor) -> Tensor:
    """Rows of a tensor, copied whole: several times faster than indexing."""
    return values.index_select(0, rows)


def grown(values: Tensor, size: int) -> Tensor:
    """`values` [n,32] lengthened to `size` rows with copies of its last, as `padded` does to an index list."""
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
    sizes = np.asarray(stage.sizes, dtype=np.float32)
    table[..., 0:3] = stage.position
    table[..., 3:12] = stage.rotation.reshape(frames, count, 9)
    table[..., 12:15] = sizes
    table[..., 15] = stage.kind
    table[..., 16:19] = stage.albedo
    table[..., 19], table[..., 20], table[..., 21] = stage.gloss, stage.specular, stage.stripes
    a, b, c = sizes.reshape(-1, 3).T
    table[..., 22] = intersect.bounding_radius(torch.from_numpy(stage.kind), torch.from_numpy(sizes)).numpy()
    table[..., 23] = np.select([stage.kind == 0, stage.kind == 2], [a, a + b / 3.0], (a + b + c) / 2.7)
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
