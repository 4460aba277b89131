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


# ------------------------------------------------------------------------------------------------ one render


class Scene:
    """A stage's tensors on one device, and the queries on them; lives for one `render` call."""

    def __init__(self, stage: Stage, width: int, height: int, device: torch.device, compiled: bool) -> None:
        self.device, self.compiled = device, compiled
        self.width, self.height = width, height
        self.columns = -(-width // SEGMENT)
        self.num_frames, self.num_primitives = stage.position.shape[:2]
        sea = stage.look.setting == "sea"
        fov = float(np.mean(stage.camera.fov))
        self.look = shading.look_vector(stage.look, 2.0 * np.tan(fov / 2.0) / height).to(device)
        self.texture = shading.ground_texture(stage.look.setting, stage.look.pattern_seed % 16).to(device)
        self.waves = shading.wave_table(stage.look).to(device)
        self.grade = shading.grade_vector(stage.look.grade).to(device)
        self.sea, self.ground_gloss = sea, max(stage.look.ground_gloss, 0.1 if sea else 0.0)
        self.environment = self.kernel(shading.environment_sea if sea else shading.environment_flat)
        self.light = self.kernel(shading.light_sea if sea else shading.light_flat)
        self.points = self.kernel(sea_points if sea else ground_points)
        self.surface = self.kernel(shading.surface)
        self.finish = self.kernel(shading.finish)
        self.rays = self.kernel(camera_rays)
        self.groups = torch.tensor([GROUP[k] for k in stage.kind], dtype=torch.int64, device=device)
        self.kinds_present = sorted({GROUP[k] for k in stage.kind})
        self.table, self.camera = self.tables(stage)
        self.visible = torch.from_numpy(np.ascontiguousarray(stage.visible)).to(device)
        self.gloss = [float(g) for g in stage.gloss]
        self.body = torch.from_numpy(stage.body.astype(np.uint8)).to(device)

    def kernel(self, function: Kernel) -> Kernel:
        return kernel(function, self.compiled)

    def tables(self, stage: Stage) -> tuple[Tensor, Tensor]:
        """Primitives [T,K,COLUMNS] and cameras [T,CAMERA]."""
        frames, count = self.num_frames, self.num_primitives
        table = np.zeros((frames, count, COLUMNS), dtype=np.float32)
        table[..., 0:3] = stage.position
        table[..., 3:12] = stage.rotation.reshape(frames, count, 9)
        table[..., 12:15] = stage.sizes
        table[..., 15] = stage.kind
        table[..., 16:19] = stage.albedo
        table[..., 19], table[..., 20], table[..., 21] = stage.gloss, stage.specular, stage.stripes
        radius = bounding_radius(torch.from_numpy(np.asarray(stage.kind)), torch.from_numpy(np.asarray(stage.sizes)))
        table[..., 22] = radius.numpy()
        camera = np.zeros((frames, CAMERA), dtype=np.float32)
        camera[:, 0:3] = stage.camera.eye
        camera[:, 3:12] = stage.camera.rotation.reshape(frames, 9)
        camera[:, 12] = np.tan(stage.camera.fov / 2.0)
        camera[:, 13] = stage.seconds
        return torch.from_numpy(table).to(self.device), torch.from_numpy(camera).to(self.device)

    # ------------------------------------------------------------------------------------ pairs and queries

    def cone_pairs(self, origin: Tensor, axis: Tensor, centre: Tensor, visible: Tensor, spread: float) -> Tensor:
        """Which segments' cones of rays can touch which bounding spheres.

        `origin` [f,3], `axis` [f,S,3] unit, `centre` [f,K,4] with the radius last, `visible` [f,K], `spread` radians:
        -> bool [f,S,K].
        """
        to = centre[..., :3] - origin[:, None]  # f k 3
        ahead = torch.bmm(axis, to.transpose(1, 2))  # f s k
        across = torch.sqrt(torch.clamp((to * to).sum(-1)[:, None] - ahead * ahead, min=0.0))
        gap = across * float(np.cos(spread)) - ahead * float(np.sin(spread))
        reach = centre[..., 3][:, None]
        return (gap < reach) & (ahead > -reach) & visible[:, None]

    def sweep(
        self, hits: Tensor, group: Tensor, rays: tuple[Tensor, ...], table_row: Tensor, table: Tensor,
        slot: Tensor, pair_primitive: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Distances and margins [P,32] of P pairs: pair p asks ray row `slot[p]` about table row `table_row[p]`."""
        t = torch.empty((len(slot), SEGMENT), device=self.device)
        margin = torch.empty_like(t)
        for g in self.kinds_present:
            if len(self.kinds_present) == 1:
                index = None
                rows, entries = slot, table_row
            else:
                index = torch.nonzero(group == g).squeeze(1)
                if not len(index):
                    continue
                rows, entries = slot[index], table_row[index]
            rows, count = padded(rows)
            entries, _ = padded(entries)
            found, edge = self.kernel(INTERSECT[g])(*(r[rows] for r in rays), table[entries])
            if index is None:
                t, margin = found[:count], edge[:count]
            else:
                t[index], margin[index] = found[:count], edge[:count]
        return t, margin


def padded(index: Tensor) -> tuple[Tensor, int]:
    """The index list filled up to a multiple of PAD with its last entry, and its true length."""
    count = len(index)
    extra = -count % PAD
    if extra:
        index = torch.cat([index, index[-1:].expand(extra)])
    return index, count
