"""A Wan variant as it is published, without its files: its nets' sizes, for plans before anything is downloaded."""

from __future__ import annotations

from functools import lru_cache

import torch

from filmwright.models.outline import outline
from filmwright.models.quantized import quantize_layers
from filmwright.models.umt5 import UMT5_XXL, UMT5Encoder
from filmwright.models.wan import WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE
from filmwright.weights.card import load_card
from filmwright.weights.wan import WAN_SIZES
from filmwright.weights.wan_folder import HALVES, running_dtype
from filmwright.weights.wan_text import empty_encoder

__all__ = ["WanSketch"]

CLIP_PARAMETERS = 632_000_000  # ViT-H/14's vision tower


class _Text:
    """What a plan asks of `WanTextFiles`."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.config, self.dtype = UMT5_XXL, dtype

    def shell(self, mode: str = "none") -> UMT5Encoder:
        """The text encoder on the meta device."""
        return empty_encoder(self.config, self.dtype, mode)


class WanSketch:
    """What `engine.plan` asks of a `WanFolder`, from the published sizes."""

    def __init__(self, model: str, device: str, dtype: torch.dtype, vae_dtype: torch.dtype) -> None:
        card = load_card(model)
        config = WAN_SIZES[card.variant or card.name]
        self.device, self.dtype, self.vae_dtype = device, dtype, vae_dtype
        self.text = _Text(dtype)
        self.boundary = card.boundary
        self.first_frame_is_given = card.pictures == "first_or_none"
        self.configs = [config] * (1 if card.boundary is None else 2)
        self.vae_config = WAN22_VAE if config.out_channels == WAN22_VAE.channels else WAN21_VAE

    @property
    def has_eye(self) -> bool:
        """Whether the transformers look at a picture through CLIP."""
        return self.configs[0].image_dim is not None

    @lru_cache(maxsize=2)  # noqa: B019 (a handful live as long as the process)
    def sizes(self, mode: str = "none") -> dict[str, int]:
        """Bytes of each net as it runs; see `WanFolder.sizes`."""
        with outline():
            net, vae = WanTransformer(self.configs[0]), WanVAE(self.vae_config)
            for name, p in net.named_parameters():
                p.data = p.data.to(running_dtype(name, self.dtype))
            if mode != "none":
                quantize_layers(net.blocks, mode)
        text = self.text.shell(mode)
        found = {
            "text": sum(p.nbytes for p in text.parameters()),
            "text_block": sum(p.nbytes for p in text.block[0].parameters()),
            "transformer": sum(p.nbytes for p in net.parameters()),
            "block": sum(p.nbytes for p in net.blocks[0].parameters()),
        }
        for half, names in HALVES.items():
            own = (p.numel() for name, p in vae.named_parameters() if name.startswith(names))
            found[half] = sum(own) * self.vae_dtype.itemsize
        if self.has_eye:
            found["eye"] = CLIP_PARAMETERS * self.dtype.itemsize
        if self.boundary is not None:
            found["transformer_2"] = found["transformer"]
        return found
