"""A backbone: a text encoder, a denoiser, a VAE and the tokenizer that belongs to them, loaded from one folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from filmwright.models.catalog import BackboneConfig, size
from filmwright.models.dit import DiT
from filmwright.models.text import TextEncoder
from filmwright.models.vae import VAE
from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.weights.files import load_net, read_weights, sha256_of, write_weights
from filmwright.weights.tokenizer import Tokenizer
from filmwright.weights.whole import MANIFEST, NETS, VOCABULARY, read_set

__all__ = ["NETS", "Backbone", "load_backbone", "read_manifest", "save_backbone"]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The three nets, ready to run, and what is needed to say which they were."""

    sizes: BackboneConfig
    text: TextEncoder
    denoiser: DiT
    vae: VAE
    tokenizer: Tokenizer
    hashes: dict[str, str]  # net -> SHA-256 of its file
    device: torch.device
    dtype: torch.dtype

    @torch.inference_mode()
    def encode_text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Prompts -> features [b, l, d] and pooled [b, d]; an empty prompt is the null caption."""
        ids = torch.from_numpy(
            self.tokenizer.encode_batch(prompts, self.sizes.text.length, skip_unknown=True)
        ).to(self.device)
        features, pooled = self.text(ids)
        return features, pooled


def load_backbone(folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.bfloat16) -> Backbone:
    """Loads `text`, `denoiser` and `vae` from a folder with their manifest and vocabulary; hashes are checked.

    Raises:
        WeightsError: a file is missing, damaged, or not the one that the manifest names.
    """
    size_name, hashes = read_manifest(folder)
    sizes = size(size_name)
    nets: dict[
        str, nn.Module
    ] = {  # built on the CPU: random numbers on the meta device import the compiler, 1 s
        "text": TextEncoder(sizes.text),
        "denoiser": DiT(sizes.dit),
        "vae": VAE(sizes.vae),
    }
    for name, net in nets.items():
        load_net(net, folder / f"{name}.safetensors", sha256=hashes.get(name), assign=True)
        net.to(device=device, dtype=dtype).eval().requires_grad_(False)
    nets["vae"].to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    text, denoiser, vae = nets["text"], nets["denoiser"], nets["vae"]
    assert isinstance(text, TextEncoder)
    assert isinstance(denoiser, DiT)
    assert isinstance(vae, VAE)
    return Backbone(
        sizes=sizes,
        text=text,
        denoiser=denoiser,
        vae=vae,
        tokenizer=Tokenizer.load(folder / VOCABULARY),
        hashes=hashes,
        device=torch.device(device),
        dtype=dtype,
    )


def read_manifest(folder: Path) -> tuple[str, dict[str, str]]:
    """A set's size, a name of `models.catalog`, and the SHA-256 of each net's file.

    Raises:
        WeightsError: it is missing or damaged.
    """
    name, hashes = read_set(folder)
    try:
        size(name)
    except BadRequest as error:
        raise WeightsError(
            f"{folder / MANIFEST} is not understood ({error}): pack the weights anew"
        ) from error
    return name, hashes


def save_backbone(folder: Path, name: str, nets: dict[str, Path], tokenizer: Tokenizer) -> None:
    """Gathers trained nets (paths to `text`, `denoiser` and `vae` safetensors) of size `name` into one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for net in NETS:
        with safe_open(nets[net], framework="pt") as file:
            note = json.loads((file.metadata() or {}).get("note", "{}"))
        write_weights(folder / f"{net}.safetensors", read_weights(nets[net]), note=note)
    tokenizer.save(folder / VOCABULARY)
    manifest = {"size": name, "sha256": {net: sha256_of(folder / f"{net}.safetensors") for net in NETS}}
    aside = folder / f".{MANIFEST}"
    aside.write_text(json.dumps(manifest, indent=1) + "\n")
    aside.replace(folder / MANIFEST)
