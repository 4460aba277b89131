"""CLIP's vision tower (ViT-H/14) as Wan looks through it: from a folder of transformers, or from a single file.

A single file (ComfyUI's clip_vision_h.safetensors) tells its sizes by its shapes. Its heads have 80 features and its
activation is the exact GELU, as in OpenCLIP's ViT-H/14, the only tower that Wan is trained with; pictures are made
ready as CLIP's own processor does: the short side to the tower's size, the middle cut out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.pretrained import pretrained, transformers_library
from filmwright.weights.tensor_file import TensorPlace, read_tensor
from filmwright.weights.wan_parts import WanParts, describe, tensors_of

__all__ = ["WanEye", "eye_places", "load_eye"]

HEAD = 80  # features of a head of ViT-H/14
_UNUSED = ("visual_projection.weight", "logit_scale")


class WanEye:
    """CLIP's vision tower as Wan uses it."""

    def __init__(self, tower: nn.Module, look: Any) -> None:
        self.tower, self.look = tower, look

    @torch.inference_mode()
    def __call__(self, pictures: list[Any]) -> Tensor:
        """CLIP's tokens [1, n*m, d] of PIL pictures: of the last layer but one."""
        pixels = self.look(images=pictures, return_tensors="pt")["pixel_values"]
        first = next(self.tower.parameters())
        found: Tensor = self.tower(
            pixels.to(first.device, first.dtype), output_hidden_states=True
        ).hidden_states[-2]
        return found.flatten(0, 1)[None]


def load_eye(parts: WanParts, device: str, dtype: torch.dtype) -> WanEye:
    """The tower of a model, and what makes pictures ready for it.

    Raises:
        WeightsError: a file is missing, damaged or another net.
    """
    library = transformers_library()
    path = parts.at("image_encoder")
    if path.is_file():
        places = eye_places(path)
        sizes = _sizes(path, places)
        tower = _tower(library, path, places, sizes, dtype)
        side = sizes["image_size"]
        look = library.CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
    else:
        tower = pretrained(library.CLIPVisionModel, path, dtype=dtype)
        look = pretrained(library.CLIPImageProcessor, parts.at("image_processor"))
    return WanEye(tower.to(device), look)


def eye_places(path: Path) -> dict[str, TensorPlace]:
    """Where the tower's parameters lie, without the prefix that some files have."""
    return {
        k.removeprefix("vision_model."): p for k, p in tensors_of(path).items() if not k.endswith(_UNUSED)
    }


def _sizes(path: Path, places: Mapping[str, TensorPlace]) -> dict[str, int]:
    """The sizes of a tower from its shapes."""
    try:
        dim = places["embeddings.class_embedding"].shape[0]
        patch = places["embeddings.patch_embedding.weight"].shape[-1]
        count = places["embeddings.position_embedding.weight"].shape[0] - 1
        ffn = places["encoder.layers.0.mlp.fc1.weight"].shape[0]
    except KeyError as error:
        raise WeightsError(
            f"{describe(path, places)}, not CLIP's vision tower: {error} is missing"
        ) from error
    layers = {k.split(".")[2] for k in places if k.startswith("encoder.layers.")}
    if dim % HEAD:
        raise WeightsError(f"{path} is a CLIP of {dim} features, not ViT-H/14, which Wan looks through")
    return {
        "hidden_size": dim,
        "intermediate_size": ffn,
        "num_hidden_layers": len(layers),
        "num_attention_heads": dim // HEAD,
        "patch_size": patch,
        "image_size": math.isqrt(count) * patch,
    }


def _tower(
    library: Any, path: Path, places: Mapping[str, TensorPlace], sizes: Mapping[str, int], dtype: torch.dtype
) -> nn.Module:
    with torch.device("meta"):
        tower: nn.Module = library.CLIPVisionModel(library.CLIPVisionConfig(**sizes, hidden_act="gelu"))
    names = {k.removeprefix("vision_model."): k for k in tower.state_dict()}
    shapes = {k: tuple(tower.state_dict()[name].shape) for k, name in names.items()}
    found = {k: p.shape for k, p in places.items()}
    if wrong := sorted(k for k in shapes.keys() | found.keys() if shapes.get(k) != found.get(k)):
        raise WeightsError(f"{path} does not hold CLIP's vision tower: {listed(wrong)}")
    tower.load_state_dict({names[k]: read_tensor(p, dtype) for k, p in places.items()}, assign=True)
    for module in tower.modules():  # counts of places, which no file holds
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                module.register_buffer(name, torch.arange(buffer.shape[-1])[None], persistent=False)
    return tower.eval().requires_grad_(False)
