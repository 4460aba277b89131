"""What surfaces, ground and sky look like: pointwise kernels on `[M, 32]` tensors.

Colours are linear RGB until `finish`, which applies the mood and the sRGB transfer curve (IEC 61966-2-1).

Axes: c components, m rows of 32 neighbouring pixels. Parameters come as small tensors that the kernels read by
position, so that no number is ever compiled in.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from filmwright.spec.errors import BadRequest
from filmwright.world.intersect import FAR
from filmwright.world.patterns import LEVELS, PERIODS, TEXELS
from filmwright.world.scene import Look

__all__ = [
    "GRADE",
    "LOOK",
    "environment_flat",
    "environment_sea",
    "finish",
    "grade_vector",
    "light",
    "look_vector",
    "mirrored",
    "sea_hit",
    "surface",
    "wave_table",
]

LOOK = 32
GRADE = 16

# ------------------------------------------------------------------------------------------------ parameters


def look_vector(look: Look, pixel_angle: float) -> Tensor:
    """A `Look` as one tensor [LOOK]: what the kernels below read by position. `pixel_angle` in radians."""
    ground_mean = 0.5 * (np.asarray(look.ground_a) + np.asarray(look.ground_b))
    scale = max(look.ground_scale, 1e-3) * PERIODS.get(look.setting, 8.0)
    values = [
        *look.ground_a,  # 0:3
        *look.ground_b,  # 3:6
        np.cos(look.ground_angle) / scale,  # 6
        np.sin(look.ground_angle) / scale,  # 7
        look.ground_gloss,  # 8
        *look.sun,  # 9:12
        *look.sun_colour,  # 12:15
        *look.ambient,  # 15:18
        *look.sky_horizon,  # 18:21
        *look.sky_zenith,  # 21:24
        look.fog,  # 24
        pixel_angle * TEXELS / scale,  # 25 texels a metre of distance that one pixel spans
        pixel_angle,  # 26
        *ground_mean,  # 27:30
    ]
    vector = np.zeros(LOOK, dtype=np.float32)
    vector[: len(values)] = values
    return torch.from_numpy(vector)


def wave_table(look: Look) -> Tensor:
    """The sea's waves [W,5]; without waves a single still one."""
    if look.waves is None or not len(look.waves):
        return torch.zeros((1, 5))
    return torch.from_numpy(np.ascontiguousarray(look.waves, dtype=np.float32))


MOOD_GRADES: dict[str, tuple[float, float, tuple[float, float, float], float]] = {
    # saturation, contrast, gain, lift
    "neutral": (1.05, 1.0, (1.0, 1.0, 1.0), 0.0),
    "warm": (1.08, 1.0, (1.16, 1.0, 0.74), 0.0),
    "cold": (0.92, 1.0, (0.78, 0.98, 1.24), 0.0),
    "vivid": (1.55, 1.15, (1.04, 1.04, 1.04), 0.0),
    "muted": (0.5, 0.85, (0.96, 0.96, 0.96), 0.03),
    "monochrome": (0.0, 1.05, (1.0, 1.0, 1.0), 0.0),
}


def grade_vector(mood: str) -> Tensor:
    """A mood as one tensor [GRADE]: colour matrix 0:9 (row major), lift 9, contrast exponent 10.

    Raises:
        BadRequest: an unknown mood.
    """
    if mood not in MOOD_GRADES:
        raise BadRequest(f"unknown mood {mood!r}: one of {', '.join(MOOD_GRADES)}")
    saturation, contrast, gain, lift = MOOD_GRADES[mood]
    luma = np.array([0.2126, 0.7152, 0.0722])
    matrix = saturation * np.eye(3) + (1.0 - saturation) * np.ones((3, 1)) * luma
    vector = np.zeros(GRADE, dtype=np.float32)
    vector[:9] = (np.diag(gain) @ matrix).reshape(-1)
    vector[9], vector[10] = lift, contrast
    return torch.from_numpy(vector)


# ------------------------------------------------------------------------------------------------ environment

Colour = tuple[Tensor, Tensor, Tensor]


def sky(look: Tensor, dx: Tensor, dy: Tensor, dz: Tensor) -> Colour:
    """The sky's colour in a direction: gradient, the glow around the sun, and its disc."""
    up = torch.sqrt(torch.clamp(dz, min=0.0) + 1e-6)
    towards = torch.clamp(dx * look[9] + dy * look[10] + dz * look[11], min=0.0)
    t8 = towards * towards
    t8 = t8 * t8
    t8 = t8 * t8
    t64 = t8 * t8
    t64 = t64 * t64
    t64 = t64 * t64
    disc = torch.clamp((towards - 0.9986) * 1600.0, min=0.0, max=1.0)
    glow = 0.10 * t8 + 0.35 * t64 + 3.0 * disc
    out = []
    for i in range(3):
        base = look[18 + i] + (look[21 + i] - look[18 + i]) * up
        out.append(base + glow * look[12 + i])
    return out[0], out[1], out[2]


def texture(look: Tensor, tex: Tensor, x: Tensor, y: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Trilinear lookup at world (x, y); `spread` is the pixel's footprint in texels."""
    u = x * look[6] + y * look[7]
    v = y * look[6] - x * look[7]
    u = u - torch.floor(u)
    v = v - torch.floor(v)
    lod = torch.clamp(torch.log2(torch.clamp(spread, min=1.0)), max=float(LEVELS - 1) - 0.001)
    base = torch.floor(lod)
    part = lod - base
    mixes: list[Tensor] = []
    shades: list[Tensor] = []
    for step in (0, 1):
        level = base + step
        size = torch.floor(torch.exp2(float(LEVELS - 1) - level) + 0.5)
        start = (TEXELS * TEXELS - size * size) * (4.0 / 3.0)  # texels in all the finer levels
        fu, fv = u * size - 0.5, v * size - 0.5
        lu, lv = torch.floor(fu), torch.floor(fv)
        wu, wv = fu - lu, fv - lv
        lu = torch.where(lu < 0.0, lu + size, lu)
        lv = torch.where(lv < 0.0, lv + size, lv)
        lu = torch.minimum(lu, size - 1.0)
        lv = torch.minimum(lv, size - 1.0)
        hu = torch.where(lu + 1.0 >= size, torch.zeros_like(lu), lu + 1.0)
        hv = torch.where(lv + 1.0 >= size, torch.zeros_like(lv), lv + 1.0)
        start = torch.floor(start + 0.5)
        i00 = (start + lv * size + lu).to(torch.int64)
        i01 = (start + lv * size + hu).to(torch.int64)
        i10 = (start + hv * size + lu).to(torch.int64)
        i11 = (start + hv * size + hu).to(torch.int64)
        for channel, out in ((0, mixes), (1, shades)):
            column = tex[:, channel]
            top = column[i00] + (column[i01] - column[i00]) * wu
            low = column[i10] + (column[i11] - column[i10]) * wu
            out.append(top + (low - top) * wv)
    return mixes[0] + (mixes[1] - mixes[0]) * part, shades[0] + (shades[1] - shades[0]) * part


def wave_field(
    waves: Tensor, x: Tensor, y: Tensor, time: Tensor, spread: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Height and its slopes of the sea at (x, y), waves finer than the footprint `spread` (metres) faded out."""
    height = torch.zeros_like(x)
    slope_x = torch.zeros_like(x)
    slope_y = torch.zeros_like(x)
    for i in range(len(waves)):
        amplitude, kx, ky = waves[i, 0], waves[i, 1], waves[i, 2]
        phase = kx * x + ky * y - waves[i, 3] * time + waves[i, 4]
        fade = amplitude * torch.exp(-0.25 * (kx * kx + ky * ky) * spread * spread)
        wave = fade * torch.cos(phase)
        height = height + fade * torch.sin(phase)
        slope_x = slope_x + kx * wave
        slope_y = slope_y + ky * wave
    return height, slope_x, slope_y


def shade_ground(
    look: Tensor,
    albedo: Colour,
    normal: Colour,
    view: Colour,
    shadow: Tensor,
    occlusion: Tensor,
    shine: Colour,
    fresnel: Tensor,
    sparkle: float,
) -> Colour:
    """Sun, ambient light, mirror image and highlight on the ground."""
    nx, ny, nz = normal
    facing = torch.clamp(nx * look[9] + ny * look[10] + nz * look[11], min=0.0) * shadow
    hx, hy, hz = look[9] - view[0], look[10] - view[1], look[11] - view[2]
    half = torch.rsqrt(hx * hx + hy * hy + hz * hz + 1e-9)
    h = torch.clamp((nx * hx + ny * hy + nz * hz) * half, min=0.0)
    h2 = h * h
    h4 = h2 * h2
    h8 = h4 * h4
    h16 = h8 * h8
    h64 = h16 * h16
    h64 = h64 * h64
    highlight = sparkle * h64 * shadow * look[8]
    out = []
    for i in range(3):
        diffuse = albedo[i] * (facing * look[12 + i] + occlusion * look[15 + i])
        out.append(diffuse + (shine[i] - diffuse) * fresnel + highlight * look[12 + i])
    return out[0], out[1], out[2]


def add_fog(look: Tensor, t: Tensor, colour: Colour) -> Colour:
    """Air between the eye and a surface at distance t."""
    clear = torch.exp(-look[24] * t)
    return (
        look[18] + (colour[0] - look[18]) * clear,
        look[19] + (colour[1] - look[19]) * clear,
        look[20] + (colour[2] - look[20]) * clear,
    )


def environment_flat(
    look: Tensor, tex: Tensor, waves: Tensor, time: Tensor, origin: Tensor, direction: Tensor, effects: Tensor  # noqa: ARG001 (as the sea's)
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Ground and sky along rays [M,32] -> linear r, g, b, and the distance (FAR for sky).

    `look` [LOOK], `tex` [*,2], `waves` [W,5], `time` [M,1], rays [3,M,32]. `effects` [6,M,32] is what bodies do to
    the ground: 0 sunlight left, 1 ambient light left, 2:5 colour of the bodies mirrored, 5 their share of the mirror.
    `waves` and `time` are the sea's.
    """
    ox, oy, oz, dx, dy, dz = *origin.unbind(0), *direction.unbind(0)
    shadow, occlusion, mr, mg, mb, mirror = effects.unbind(0)
    down = dz < -1e-5
    t = torch.where(down, oz / torch.clamp(-dz, min=1e-5), torch.full_like(dz, FAR))
    ground = down & (t < FAR)
    t = torch.where(ground, torch.clamp(t, min=0.0), torch.full_like(t, FAR))
    x, y = ox + t * dx, oy + t * dy
    grazing = torch.clamp(-dz, min=0.02)
    # a pixel covers t*angle across and t*angle/grazing along: between the two, nearer the longer one
    spread = t * look[25] * torch.exp2(-0.6 * torch.log2(grazing))
    mix, tone = texture(look, tex, x, y, spread)
    sr, sg, sb = sky(look, dx, dy, torch.abs(dz))
    shine = (sr + (mr - sr) * mirror, sg + (mg - sg) * mirror, sb + (mb - sb) * mirror)
    edge = 1.0 - torch.clamp(-dz, min=0.0, max=1.0)
    fresnel = look[8] * (0.3 + 0.7 * edge * edge * edge)
    albedo = (
        (look[0] + (look[3] - look[0]) * mix) * tone,
        (look[1] + (look[4] - look[1]) * mix) * tone,
        (look[2] + (look[5] - look[2]) * mix) * tone,
    )
    zero = torch.zeros_like(t)
    normal = (zero, zero, zero + 1.0)
    lit = shade_ground(look, albedo, normal, (dx, dy, dz), shadow, occlusion, shine, fresnel, 0.8)
    r, g, b = add_fog(look, t, lit)
    return (
        torch.where(ground, r, sr),
        torch.where(ground, g, sg),
        torch.where(ground, b, sb),
        torch.where(ground, t, torch.full_like(t, FAR)),
    )


def environment_sea(
    look: Tensor, tex: Tensor, waves: Tensor, time: Tensor, origin: Tensor, direction: Tensor, effects: Tensor  # noqa: ARG001 (as the floor's)
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """`environment_flat` for the sea: the surface is lifted by the waves, and its normals bend light and mirror."""
    dx, dy, dz = direction.unbind(0)
    shadow, occlusion, mr, mg, mb, mirror = effects.unbind(0)
    t, _, _, sx, sy, height = sea_hit(look, waves, time, origin, direction)
    ground = t < FAR
    length = torch.rsqrt(sx * sx + sy * sy + 1.0)
    nx, ny, nz = -sx * length, -sy * length, length
    dn = torch.clamp(dx * nx + dy * ny + dz * nz, max=-0.01)
    rx, ry, rz = dx - 2.0 * dn * nx, dy - 2.0 * dn * ny, dz - 2.0 * dn * nz
    sr, sg, sb = sky(look, dx, dy, dz)
    hr, hg, hb = sky(look, rx, ry, torch.abs(rz))
    shine = (hr + (mr - hr) * mirror, hg + (mg - hg) * mirror, hb + (mb - hb) * mirror)
    edge = 1.0 + dn
    edge2 = edge * edge
    fresnel = torch.clamp(0.03 + 0.75 * edge2 * edge2 * edge, max=0.8)
    # crests are lighter: light comes through the thin water
    crest = torch.clamp(0.5 + 2.5 * height, min=0.0, max=1.0)
    albedo = (
        look[0] + (look[3] - look[0]) * crest,
        look[1] + (look[4] - look[1]) * crest,
        look[2] + (look[5] - look[2]) * crest,
    )
    lit = shade_ground(look, albedo, (nx, ny, nz), (dx, dy, dz), shadow, occlusion, shine, fresnel, 1.5)
    r, g, b = add_fog(look, t, lit)
    return (
        torch.where(ground, r, sr),
        torch.where(ground, g, sg),
        torch.where(ground, b, sb),
        t,
    )


def sea_hit(
    look: Tensor, waves: Tensor, time: Tensor, origin: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Where rays meet the sea: distance (FAR: nowhere), x, y, slopes, height. Two fixed-point steps from z = 0."""
    ox, oy, oz, dx, dy, dz = *origin.unbind(0), *direction.unbind(0)
    down = dz < -1e-3
    steep = torch.clamp(-dz, min=1e-3)
    t = torch.where(down, oz / steep, torch.full_like(dz, FAR))
    t = torch.clamp(t, min=0.0, max=FAR)
    far = t >= FAR
    sx, sy, height = t, t, t
    for step in range(3):
        spread = t * look[26] * torch.rsqrt(steep)
        height, sx, sy = wave_field(waves, ox + t * dx, oy + t * dy, time, spread)
        if step < 2:
            t = torch.clamp((oz - height) / steep, min=0.0, max=FAR)
    t = torch.where(far, torch.full_like(t, FAR), t)
    return t, ox + t * dx, oy + t * dy, sx, sy, height


# ------------------------------------------------------------------------------------------------ bodies


def surface(table: Tensor, row: Tensor, origin: Tensor, direction: Tensor, t: Tensor) -> tuple[Tensor, ...]:
    """Hit points on primitives: `table` [R,COLUMNS], `row` int64 [M,32], rays [3,M,32], distance [M,32] -> eleven
    [M,32]: point 0:3, normal 3:6, albedo 6:9, gloss 9, specular 10.
    """
    ox, oy, oz, dx, dy, dz = *origin.unbind(0), *direction.unbind(0)
    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
    col = [table[:, i][row] for i in range(22)]
    vx, vy, vz = x - col[0], y - col[1], z - col[2]
    r = col[3:12]
    lx = r[0] * vx + r[3] * vy + r[6] * vz
    ly = r[1] * vx + r[4] * vy + r[7] * vz
    lz = r[2] * vx + r[5] * vy + r[8] * vz
    s0, s1, s2, kind = col[12], col[13], col[14], col[15]
    zero = torch.zeros_like(lx)
    one = zero + 1.0
    # round: away from the nearest axis point
    half = torch.where(kind > 1.5, s1, zero)
    rz = lz - torch.minimum(torch.maximum(lz, -half), half)
    # box: of the faces turned to the eye, the one that the point is farthest out of; a pixel that only touches the
    # silhouette has its point a little beside the box, and would else take a face that looks away
    qx = (r[0] * dx + r[3] * dy + r[6] * dz) * lx
    qy = (r[1] * dx + r[4] * dy + r[7] * dz) * ly
    qz = (r[2] * dx + r[5] * dy + r[8] * dz) * lz
    away = torch.full_like(lx, -FAR)
    fx = torch.where(qx < 0.0, torch.abs(lx) - s0, away)
    fy = torch.where(qy < 0.0, torch.abs(ly) - s1, away)
    fz = torch.where(qz < 0.0, torch.abs(lz) - s2, away)
    on_x = (fx >= fy) & (fx >= fz)
    on_y = (~on_x) & (fy >= fz)
    on_z = ~(on_x | on_y)
    sign_x = torch.where(lx < 0.0, -one, one)
    sign_y = torch.where(ly < 0.0, -one, one)
    sign_z = torch.where(lz < 0.0, -one, one)
    # cone: cap or side, whichever surface is nearer
    slope = (s1 - s0) / (2.0 * torch.clamp(s2, min=1e-4))
    lean = torch.rsqrt(1.0 + slope * slope)
    out = torch.sqrt(lx * lx + ly * ly + 1e-12)
    past_side = (out - 0.5 * (s0 + s1) - slope * lz) * lean
    cap = fz > past_side
    cx = torch.where(cap, zero, lx / out)
    cy = torch.where(cap, zero, ly / out)
    cz = torch.where(cap, sign_z, -slope)
    is_box = torch.abs(kind - 1.0) < 0.5
    is_cone = kind > 2.5
    nx = torch.where(is_box, torch.where(on_x, sign_x, zero), torch.where(is_cone, cx, lx))
    ny = torch.where(is_box, torch.where(on_y, sign_y, zero), torch.where(is_cone, cy, ly))
    nz = torch.where(is_box, torch.where(on_z, sign_z, zero), torch.where(is_cone, cz, rz))
    scale = torch.rsqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    wx = r[0] * nx + r[1] * ny + r[2] * nz
    wy = r[3] * nx + r[4] * ny + r[5] * nz
    wz = r[6] * nx + r[7] * ny + r[8] * nz
    # wedges: two bands around z, alternating over the equator, so that turns about every axis show
    wedge = lx * ly * torch.where(lz < 0.0, -one, one)
    size = torch.clamp(torch.maximum(torch.abs(lx), torch.abs(ly)), min=1e-4)
    soft = torch.clamp(0.5 + 12.0 * wedge / (size * torch.maximum(s0, s1)), min=0.0, max=1.0)
    shade = 1.0 - col[21] * 0.62 * soft
    return x, y, z, wx, wy, wz, col[16] * shade, col[17] * shade, col[18] * shade, col[19], col[20]


def light(
    look: Tensor, hit: Tensor, direction: Tensor, t: Tensor, shadow: Tensor, occlusion: Tensor, bounce: Tensor
) -> Colour:
    """A body's colour: sun, hemisphere light, mirror image, highlight and fog.

    `hit` [11,M,32] as `surface` returns it, `direction` [3,M,32] and distance `t` [M,32] of the ray that sees it,
    `shadow` and `occlusion` [M,32] shares of sunlight and ambient light left, `bounce` [3,M,32] what it mirrors.
    """
    _, _, z, nx, ny, nz, ar, ag, ab, gloss, specular = hit.unbind(0)
    dx, dy, dz = direction.unbind(0)
    facing = torch.clamp(nx * look[9] + ny * look[10] + nz * look[11], min=0.0) * shadow
    # light from above, and from the ground, which the body itself darkens where it nearly touches
    above = 0.5 + 0.5 * nz
    contact = 1.0 - 0.75 * torch.exp(-7.0 * torch.clamp(z, min=0.0))
    below = (1.0 - above) * contact
    sun_down = 0.45 * torch.clamp(look[11], min=0.0)
    hx, hy, hz = look[9] - dx, look[10] - dy, look[11] - dz
    half = torch.rsqrt(hx * hx + hy * hy + hz * hz + 1e-9)
    h = torch.clamp((nx * hx + ny * hy + nz * hz) * half, min=0.0)
    h2 = h * h
    h4 = h2 * h2
    h8 = h4 * h4
    h16 = h8 * h8
    h32 = h16 * h16
    h96 = h32 * h32 * h32
    lit = torch.clamp(facing * 6.0, max=1.0)
    highlight = specular * (0.9 * h96 + 0.18 * h16) * lit
    edge = torch.clamp(1.0 + dx * nx + dy * ny + dz * nz, min=0.0, max=1.0)
    edge2 = edge * edge
    fresnel = gloss + 0.4 * torch.sqrt(gloss) * edge2 * edge2 * edge
    metal = torch.clamp((gloss - 0.35) * 8.0, min=0.0, max=1.0)
    out = []
    for i, albedo in enumerate((ar, ag, ab)):
        ambient = occlusion * look[15 + i] * (above + 0.35 * below)
        ground = below * look[27 + i] * (sun_down * look[12 + i] + 0.5 * look[15 + i]) * occlusion
        diffuse = albedo * (facing * look[12 + i] + ambient + ground)
        tint = 1.0 + (1.4 * albedo - 1.0) * metal
        out.append(diffuse + (bounce[i] * tint - diffuse) * fresnel + highlight * look[12 + i])
    return add_fog(look, t, (out[0], out[1], out[2]))


def mirrored(normal: Tensor, direction: Tensor) -> Tensor:
    """Directions [3,M,32] reflected at normals [3,M,32]."""
    along = torch.clamp((normal * direction).sum(0, keepdim=True), max=0.0)
    return direction - 2.0 * along * normal


# ------------------------------------------------------------------------------------------------ the picture


def finish(grade: Tensor, r: Tensor, g: Tensor, b: Tensor) -> Colour:
    """Linear RGB [M,32] -> sRGB uint8: soft shoulder, mood, contrast, transfer curve."""
    soft = []
    for c in (r, g, b):
        c = torch.clamp(c, min=0.0)
        c2 = c * c
        soft.append(c * torch.rsqrt(torch.sqrt(1.0 + c2 * c2)))
    out = []
    for i in range(3):
        c = grade[3 * i] * soft[0] + grade[3 * i + 1] * soft[1] + grade[3 * i + 2] * soft[2]
        c = torch.clamp(c, min=1e-6, max=1.0)
        c = grade[9] + (1.0 - grade[9]) * c
        # contrast around middle grey as an exponent, folded into the transfer curve's
        log = torch.log2(c)
        log = (log + 2.474) * grade[10] - 2.474
        c = torch.clamp(torch.exp2(log), max=1.0)
        curve = torch.where(
            c <= 0.0031308, 12.92 * c, 1.055 * torch.exp2(torch.log2(c) * (1.0 / 2.4)) - 0.055
        )
        out.append((curve * 255.0 + 0.5).to(torch.uint8))
    return out[0], out[1], out[2]
