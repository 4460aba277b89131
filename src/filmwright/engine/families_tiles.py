"""Latents to frames by the families' VAEs: all at once, or in tiles where that does not fit, which is near.

Tiles of a picture are diffusers' own. Pieces of a clip are made here, with latents on either side that are decoded too
and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from filmwright.engine.families import FAMILIES, Family
from filmwright.spec.plan import Strategy
from filmwright.weights.card import ModelCard

__all__ = ["as_weights", "both_ways", "decoded", "nearness", "say_tiles"]


def decoded(vae: nn.Module, card: ModelCard, latents: Tensor, *, tiles: bool = False) -> Tensor:
    """Frames [1, 3, t, H, W] in -1..1 of the picture that `DiffusersRunner.denoise` gave."""
    family = FAMILIES[card.family]
    if tiles and family.in_time is not None:
        return _in_time(partial(_decoded, vae, family, tiles=tiles), vae, latents, *family.in_time)
    return _decoded(vae, family, latents, tiles=tiles)


def _decoded(vae: nn.Module, family: Family, latents: Tensor, *, tiles: bool) -> Tensor:
    z = latents if family.tiles else latents[0].transpose(0, 1)  # of a VAE of pictures
    told = _tiling(vae, *latents.shape[-2:]) if tiles and family.tiles else {}
    before = {name: getattr(vae, name) for name in told}
    try:
        for name, value in told.items():
            setattr(vae, name, value)
        return family.decode(vae, as_weights(z, vae))
    finally:  # the same VAE looks at pictures, which it does whole
        for name, value in before.items():
            setattr(vae, name, value)


def _tiling(vae: Any, height: int, width: int) -> dict[str, Any]:
    """What tells a VAE to decode latents in its own tiles, a little nearer to each other where the last would be a
    sliver: of few latents nothing good is made, and of one, where sides are mirrored, nothing.
    """
    ratio = vae.spatial_compression_ratio
    if hasattr(vae, "tile_overlap_factor"):
        tile = vae.tile_latent_min_height
        stride = _stride(int(tile * (1 - vae.tile_overlap_factor)), height, width)
        return {"use_tiling": True, "tile_overlap_factor": 1 - stride / tile}
    strides = {"height": height, "width": width}
    return {"use_tiling": True} | {
        name: ratio * _stride(getattr(vae, name) // ratio, side)
        for name, side in ((f"tile_sample_stride_{axis}", side) for axis, side in strides.items())
    }


def _stride(most: int, *sides: int) -> int:
    """Latents from a tile to the next, at most: those with which the last tile is no less than half as wide."""
    for stride in range(most, most // 2, -1):
        if all(2 * ((side - 1) % stride + 1) >= stride for side in sides if side > stride):
            return stride
    return most


def _in_time(
    decode: Callable[[Tensor], Tensor], vae: nn.Module, latents: Tensor, kept: int, beside: int
) -> Tensor:
    """Frames of latents that are decoded `kept` at a time, with those `beside` them, which are thrown away."""
    ratio: int = getattr(vae, "temporal_compression_ratio", 1)
    count = latents.shape[2]
    found: Tensor | None = None
    for start in range(0, count, kept):
        end = min(start + kept, count)
        first = max(start - beside, 0)
        frames = decode(latents[:, :, first : end + beside])
        if found is None:
            found = frames.new_empty((1, 3, (count - 1) * ratio + 1, *frames.shape[3:]))
        # the first latent frame, of a clip or of a piece, is one frame
        begin, until = (max((at - 1) * ratio + 1, 0) for at in (start, end))
        found[:, :, begin:until] = frames[:, :, begin - first * ratio : until - first * ratio]
        del frames  # before the next piece comes
    assert found is not None
    return found


def both_ways(vae: nn.Module, card: ModelCard, latents: Tensor) -> tuple[Tensor, Tensor]:
    """`decoded` of the same latents, whole and in tiles."""
    return decoded(vae, card, latents), decoded(vae, card, latents, tiles=True)


def nearness(whole: Tensor, tiles: Tensor) -> dict[str, float]:
    """Of a sidecar: how far frames in tiles are from whole ones, relative, and of 255 at the worst place."""
    from filmwright.engine.proofs import relative

    most = float((tiles.float() - whole.float()).abs().max()) * 255 / 2
    return {"difference": relative(tiles, whole), "most of 255": most, "frames": float(whole.shape[2])}


def say_tiles(strategy: Strategy) -> str:
    """What a user should know before a run that decodes in tiles."""
    how = "how far off is measured on the first frames and said in the sidecar"
    if not strategy.proof:
        how = "how far off cannot be measured in this memory"
    return (
        f"frames are decoded in tiles, since the whole does not fit: not to the bit what it would be, {how}; "
        "more --memory decodes them whole"
    )


def as_weights(z: Tensor, net: nn.Module) -> Tensor:
    """A tensor where a net's weights are, and of their type."""
    first = next(net.parameters())
    return z.to(first.device, first.dtype)
