"""The batched ray caster: a `Stage` in, frames and their truth out.

`caster` answers questions about bodies for the few pixels that they touch; what remains for every pixel is three
kernels: rays, ground and sky, and the colour transform. Every kernel is pointwise, takes its parameters as small
tensors and is compiled once with symbolic sizes, so that no count of primitives, frames or pixels compiles again.
One fused kernel a scene was left aside: it would be compiled anew for each combination of shapes, for a minute each.

Light: one sun with a penumbra, hemisphere ambient light, contact darkening, one mirror bounce on ground and bodies.
Silhouettes and shadow edges are smoothed by the margins of `intersect`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmwright.spec.errors import BadRequest
from filmwright.world import shading
from filmwright.world.caster import Caster, Rays, can_compile, padded, take
from filmwright.world.intersect import FAR, SEGMENT
from filmwright.world.scene import Stage

__all__ = ["FAR", "Rendered", "can_compile", "render"]

CHUNK_PIXELS = (
    1 << 17
)  # a few frames at a time: compiled, their working set stays near the second-level cache
EAGER_PIXELS = 1 << 16
GPU_PIXELS = 1 << 23


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

    `width` and `height` in pixels, any positive numbers (a width that divides by 32 wastes nothing). `compiled` None
    compiles where `can_compile`, which pays from some fifty clips on. `samples` 4
    draws at twice the size and averages. `truth` False leaves masks and depth out.

    Raises:
        BadRequest: a size below 1, samples other than 1 and 4, an unknown setting or mood.
    """
    if width < 1 or height < 1:
        raise BadRequest(f"a picture of {width}x{height} cannot be drawn: both sides must be 1 or more")
    if samples not in (1, 4):
        raise BadRequest(f"{samples} samples a pixel cannot be drawn: choose 1 or 4")
    if samples == 4:
        fine = render(stage, 2 * width, 2 * height, device=device, truth=False, compiled=compiled).frames
        mean = fine.reshape(len(fine), height, 2, width, 2, 3).mean((2, 4), dtype=np.float32)
        exact = render(stage, width, height, device=device, truth=truth, compiled=compiled)
        return Rendered(
            frames=np.round(mean).astype(np.uint8),
            ids=exact.ids,
            primitive=exact.primitive,
            depth=exact.depth,
        )
    where = torch.device(device)
    with torch.no_grad():
        picture = Picture(stage, width, height, where, can_compile(where) if compiled is None else compiled)
        parts = [tuple(v.cpu().numpy() for v in part) for part in picture.chunks(truth)]
    frames, ids, primitive, depth = (
        np.ascontiguousarray(np.concatenate(p)[:, :, :width]) for p in zip(*parts, strict=True)
    )
    return Rendered(frames=frames, ids=ids, primitive=primitive, depth=depth)


def camera_rays(camera: Tensor, size: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rays [3,M,32] through pixel centres, and their cosine [M,32] to the camera's axis.

    `camera` [CAMERA,M], `size` [2] width and height, `row` [M,1], `column` [M,32].
    """
    tangent = camera[12, :, None]
    u = ((column + 0.5) * 2.0 - size[0]) / size[1] * tangent
    v = (1.0 - (row + 0.5) * 2.0 / size[1]) * tangent
    cosine = torch.rsqrt(u * u + v * v + 1.0)
    r = camera[3:12].view(3, 3, -1, 1)  # world axis, camera axis, m, 1
    return (r[:, 0] * u + r[:, 1] * v - r[:, 2]) * cosine, cosine


def sea_points(
    look: Tensor, waves: Tensor, time: Tensor, origin: Tensor, direction: Tensor
) -> tuple[Tensor, ...]:
    """Where rays [3,M,32] meet the sea, and their mirror directions: t, point (3), direction (3), each [M,32]."""
    t, x, y, sx, sy, height = shading.sea_hit(look, waves, time, origin, direction)
    length = torch.rsqrt(sx * sx + sy * sy + 1.0)
    rx, ry, rz = shading.mirrored(torch.stack([-sx * length, -sy * length, length]), direction).unbind(0)
    return t, x, y, height, rx, ry, torch.abs(rz)


@dataclass(frozen=True, kw_only=True)
class View:
    """A chunk of f frames: its m segments' rays and what belongs to them."""

    frames: int
    frame: Tensor  # [m] within the chunk
    time: Tensor  # [f] seconds
    rays: Rays
    cosine: Tensor  # [m,32]
    axis: Tensor  # [f,s,3] each segment's middle ray
    table: Tensor  # [f,k,COLUMNS]
    visible: Tensor  # [f,k]


class Picture:
    """One stage at one size: draws it chunk by chunk."""

    def __init__(self, stage: Stage, width: int, height: int, device: torch.device, compiled: bool) -> None:
        self.caster = Caster(stage, height, device, compiled)
        self.device, self.height = device, height
        self.columns = -(-width // SEGMENT)
        self.size = torch.tensor([width, height], dtype=torch.float32, device=device)
        self.grade = shading.grade_vector(stage.look.grade).to(device)
        pixels = GPU_PIXELS if device.type != "cpu" else CHUNK_PIXELS if compiled else EAGER_PIXELS
        self.step = max(1, pixels // (height * self.columns * SEGMENT))

    def chunks(self, truth: bool) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """All frames, some at a time."""
        count = self.caster.num_frames
        return [self.chunk(i, min(i + self.step, count), truth) for i in range(0, count, self.step)]

    def view(self, start: int, stop: int) -> View:
        """The rays of frames start..stop."""
        caster, frames, per_frame = self.caster, stop - start, self.height * self.columns
        segment = torch.arange(frames * per_frame, device=self.device)
        frame = segment // per_frame
        within = segment - frame * per_frame
        row = within // self.columns
        column = ((within - row * self.columns) * SEGMENT)[:, None] + torch.arange(
            SEGMENT, device=self.device
        )
        seat = caster.camera[start:stop].t()[:, frame]  # c m
        direction, cosine = caster.run(camera_rays, seat, self.size, row[:, None].float(), column.float())
        origin = seat[:3, :, None].expand(3, -1, SEGMENT).contiguous()
        axis = (direction[:, :, SEGMENT // 2 - 1] + direction[:, :, SEGMENT // 2]).t()
        axis = (axis * torch.rsqrt((axis * axis).sum(1, keepdim=True))).view(frames, per_frame, 3)
        return View(
            frames=frames, frame=frame, time=caster.camera[start:stop, 13], rays=Rays(origin, direction), cosine=cosine,
            axis=axis, table=caster.table[start:stop], visible=caster.visible[start:stop],
        )  # fmt: skip

    def chunk(self, start: int, stop: int, truth: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames start..stop: sRGB uint8 [f,H,Wp,3], ids, primitive, depth [f,H,Wp] (no frames without truth)."""
        view, caster = self.view(start, stop), self.caster
        size = len(view.frame)
        effects = torch.zeros((6, size, SEGMENT), device=self.device)
        effects[:2] = 1.0
        bodies = None
        if caster.num_primitives:
            bodies = self.bodies(view)
            self.on_ground(view, effects)
        r, g, b, t = caster.environment(view.time[view.frame][:, None], view.rays, effects)
        primitive = torch.full((size if truth else 0, SEGMENT), -1, dtype=torch.int16, device=self.device)
        if bodies is not None:
            rows, rgb, key, near, which, share = bodies
            beyond = take(t, rows)
            share = torch.where(near < beyond, share, torch.zeros_like(share))
            for target, value in zip((r, g, b), rgb, strict=True):
                behind = take(target, rows)
                target.index_copy_(0, rows, behind + (value - behind) * share)
            if truth:
                hit = (key < FAR) & (share > 0.0)
                none = torch.full_like(which, -1)
                primitive.index_copy_(0, rows, torch.where(hit, which, none).to(torch.int16))
                t.index_copy_(0, rows, torch.where(hit, near, beyond))
        shape = (view.frames, self.height, self.columns * SEGMENT)
        r, g, b = caster.run(shading.finish, self.grade, r, g, b)
        picture = torch.stack([r, g, b], -1).view(*shape, 3)
        if not truth:
            empty = torch.empty((0, *shape[1:]), device=self.device)
            return picture, empty.to(torch.uint8), empty.to(torch.int16), empty
        index = primitive.view(shape)
        ids = torch.cat([caster.body, caster.body.new_zeros(1)])[index.long()]
        depth = torch.where(t < FAR, t * view.cosine, t).view(shape)
        return picture, ids, index, depth

    def bodies(self, view: View) -> tuple[Tensor, tuple[Tensor, ...], Tensor, Tensor, Tensor, Tensor] | None:
        """What is seen of bodies: rows, colour, key, distance, primitive and coverage; None: nothing."""
        caster, table = self.caster, view.table
        eye = caster_eye(view)
        mask = caster.cone_mask(eye, view.axis, table[..., [0, 1, 2, 22]], view.visible, caster.half_segment)
        found = caster.pairs(mask, view.frame)
        if found is None:
            return None
        rows, pairs = found
        rays = view.rays.take(rows)
        before = torch.zeros((len(rows), SEGMENT), device=self.device)
        own = torch.full((len(rows), SEGMENT), -1, device=self.device)
        key, t, primitive, share = caster.nearest(rays, before, own, pairs, table.flatten(0, 1))
        hit = torch.nonzero((share > 0.0).any(1)).squeeze(1)
        if not len(hit):
            return None
        hit = padded(hit)
        rows, rays = rows[hit], rays.take(hit)
        key, t, primitive, share = (take(v, hit) for v in (key, t, primitive, share))
        rgb = caster.colour(rays, t, primitive, view.frame[rows], view.time, table, view.visible)
        return rows, rgb, key, t, primitive, share

    def on_ground(self, view: View, effects: Tensor) -> None:
        """Fill in what bodies do to the ground [6,m,32]: shadow, ambient light left, and mirror image."""
        caster, table, frame = self.caster, view.table, view.frame
        # a segment's ground points lie on one line: its two ends bound them
        ends = []
        for i in (0, SEGMENT - 1):
            origin, direction = view.rays.origin[:, :, i], view.rays.direction[:, :, i]
            t = torch.clamp(origin[2] / torch.clamp(-direction[2], min=1e-5), max=FAR)
            ends.append(torch.stack([origin[0] + t * direction[0], origin[1] + t * direction[1], 0.0 * t], 1))
        looks_down = (view.rays.direction[2].amin(1) < 0.0)[:, None]
        centre, radius = 0.5 * (ends[0] + ends[1]), 0.5 * (ends[0] - ends[1]).norm(dim=1)
        swell = 0.3 if caster.sea else 0.0
        sun, near = caster.light_masks(centre, radius + swell, frame, table, view.visible)
        masks = [sun & looks_down, near & looks_down]
        if caster.mirror_ground:
            below = torch.tensor([1.0, 1.0, -1.0, 1.0], device=self.device)
            spread = caster.half_segment + (0.2 if caster.sea else 0.0)
            ball = table[..., [0, 1, 2, 22]] * below
            masks.append(
                caster.cone_mask(caster_eye(view), view.axis, ball, view.visible, spread) & looks_down
            )
        rows = torch.nonzero(torch.stack([m.any(1) for m in masks]).any(0)).squeeze(1)
        if not len(rows):
            return
        rows = padded(rows)
        frame = frame[rows]
        t, point, towards = self.ground_points(view.time[frame][:, None], view.rays.take(rows))
        flat = table.flatten(0, 1)
        up = torch.zeros_like(point)
        up[2] = 1.0
        nobody = torch.full(t.shape, -1, device=self.device)
        if (found := caster.pairs(masks[0][rows], frame)) is not None:
            effects[0].index_copy_(0, rows[found[0]], caster.shadows(point, up, nobody, *found, flat))
        if (found := caster.pairs(masks[1][rows], frame)) is not None:
            effects[1].index_copy_(0, rows[found[0]], caster.nearness(point, up, nobody, *found, flat))
        if len(masks) > 2 and (found := caster.pairs(masks[2][rows], frame)) is not None:
            chosen, pairs = found
            rays = Rays(point, towards).take(chosen)
            before, own = take(t, chosen), take(nobody, chosen)
            seen = caster.seen(rays, before, own, rows[chosen], pairs, frame[chosen], view.time, table)
            if seen is not None:
                at, rgb, share = seen
                effects[2:5].index_copy_(1, at, rgb)
                effects[5].index_copy_(0, at, share)

    def ground_points(self, time: Tensor, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
        """Where rays meet ground or sea: distance [a,32], point and mirror direction [3,a,32]."""
        if self.caster.sea:
            found = self.caster.run(sea_points, self.caster.look, self.caster.waves, time, *rays)
            return found[0], torch.stack(found[1:4]), torch.stack(found[4:7])
        (ox, oy, oz), (dx, dy, dz) = rays.origin.unbind(0), rays.direction.unbind(0)
        t = torch.where(dz < -1e-5, oz / torch.clamp(-dz, min=1e-5), torch.full_like(dz, FAR))
        t = torch.clamp(t, min=0.0, max=FAR)
        point = torch.stack([ox + t * dx, oy + t * dy, torch.zeros_like(t)])
        return t, point, torch.stack([dx, dy, dz.abs()])


def caster_eye(view: View) -> Tensor:
    """Each frame's eye [f,3]."""
    return view.rays.origin[:, :, 0].view(3, view.frames, -1)[:, :, 0].t()
