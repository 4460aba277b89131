"""What the phases of a run on one of diffusers' pipelines need: numbers alone, which `engine.plan` reads."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["FamilyNeeds", "PhaseNeeds", "TileNeeds"]


@dataclass(frozen=True, kw_only=True)
class PhaseNeeds:
    """What a phase computes: bytes beside the weights, and operations; and bytes of the nets that it needs."""

    bytes: int
    products: float
    convolutions: float
    nets: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class FamilyNeeds:
    """Of a run: its phases, and the types that it runs in."""

    encode: PhaseNeeds
    denoise: PhaseNeeds
    sound: PhaseNeeds | None  # before the picture is decoded
    decode: PhaseNeeds
    dtype: torch.dtype
    vae_dtype: torch.dtype
    loading: dict[
        str, int
    ]  # net -> bytes of its largest file, if this is in memory too while the net is read
    streamed: dict[
        str, int
    ]  # net -> bytes of it with two blocks in memory, where its blocks can be read one by one
    latents: tuple[tuple[int, ...], torch.dtype]  # what decoding starts from


@dataclass(frozen=True, kw_only=True)
class TileNeeds:
    """Of decoding in tiles; and latent frames -> bytes of decoding so many of them both ways, the most first."""

    decode: PhaseNeeds
    proofs: dict[int, int]
