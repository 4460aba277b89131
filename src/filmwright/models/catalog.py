"""Named sizes, matched exactly. One VAE shape serves `lite` and `full`; they differ in the denoiser."""

from __future__ import annotations

from dataclasses import dataclass

from filmwright.models.dit import DiTConfig
from filmwright.models.text import TextConfig
from filmwright.models.vae import VAEConfig
from filmwright.spec.errors import BadRequest

__all__ = ["SIZES", "BackboneConfig", "size"]


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The three nets of a backbone."""

    vae: VAEConfig
    text: TextConfig
    dit: DiTConfig


SIZES: dict[str, BackboneConfig] = {
    # for tests: everything real, nothing big
    "tiny": BackboneConfig(
        vae=VAEConfig(
            encoder_widths=(8, 16, 16),
            encoder_blocks=(1, 1, 1),
            decoder_widths=(16, 16, 8),
            decoder_blocks=(1, 1, 1),
        ),
        text=TextConfig(dim=128, depth=1),
        dit=DiTConfig(dim=128, depth=2, hidden=256, patch=2, text_dim=128),
    ),
    # 360 tokens a 256x160x33 clip: two CPU cores can train it
    "lite": BackboneConfig(
        vae=VAEConfig(), text=TextConfig(), dit=DiTConfig(dim=256, depth=10, hidden=704, patch=2)
    ),
    # 1,440 tokens a clip: wants a GPU
    "full": BackboneConfig(
        vae=VAEConfig(), text=TextConfig(), dit=DiTConfig(dim=384, depth=12, hidden=1024, patch=1)
    ),
}


def size(name: str) -> BackboneConfig:
    """The sizes called `name`.

    Raises:
        BadRequest: there is no such name.
    """
    if name not in SIZES:
        raise BadRequest(f"unknown size {name!r}: the sizes are {', '.join(SIZES)}")
    return SIZES[name]
