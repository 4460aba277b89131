"""A real backbone of size `tiny` with random weights, saved and loaded like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from filmwright.models.catalog import SIZES
from filmwright.models.dit import DiT
from filmwright.models.text import TextEncoder
from filmwright.models.vae import VAE
from filmwright.weights.backbone import Backbone, load_backbone, save_backbone
from filmwright.weights.files import shipped, write_weights
from filmwright.weights.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole set of tiny weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    sizes = SIZES["tiny"]
    nets = {"text": TextEncoder(sizes.text), "denoiser": DiT(sizes.dit), "vae": VAE(sizes.vae)}
    for net in nets.values():
        for p in net.parameters():
            if not p.any():
                torch.nn.init.normal_(p, std=0.05)
    paths = {name: folder / "loose" / f"{name}.safetensors" for name in nets}
    for name, net in nets.items():
        write_weights(paths[name], net.state_dict(), note={"net": name, "size": "tiny"})
    save_backbone(folder / "whole", "tiny", paths, Tokenizer.load(shipped() / "vocabulary.json"))
    return folder / "whole"


@pytest.fixture(scope="session")
def backbone(weights: Path) -> Backbone:
    """The same, loaded in fp32."""
    return load_backbone(weights, dtype=torch.float32)
