"""Where the nets of a Wan model lie: in one folder as diffusers saves it, or each on its own, as ComfyUI has them.

    transformer, transformer_2    a folder with safetensors, whole or in shards, or one file
    text_encoder, vae             the same
    image_encoder                 the same: CLIP, where the transformers look at pictures
    tokenizer, image_processor    folders; the processor of CLIP may be left out

A folder tells its sizes in config.json; of a single file they are read off its tensors, whose names say which net it
is. What no shape tells, whether there is a second expert and from which level on, is in a folder's model_index.json,
else in the model's card.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filmwright.spec.errors import WeightsError
from filmwright.weights.card import ModelCard
from filmwright.weights.places import Place
from filmwright.weights.saved import read_object, weight_paths
from filmwright.weights.scaled import unscaled
from filmwright.weights.tensor_file import TensorPlace, tensor_places

__all__ = [
    "NETS",
    "WanParts",
    "describe",
    "index_of",
    "net_of",
    "parts_in",
    "parts_of",
    "safetensors_of",
    "tensors_of",
]

_PREFIX = re.compile(r"^(model\.)?(diffusion_model\.)?")  # what ComfyUI puts before a transformer's names
NETS = {
    "transformer": "a Wan transformer",
    "text_encoder": "UMT5's encoder",
    "vae": "a Wan VAE",
    "image_encoder": "CLIP's vision tower",
}
"""Role -> what it is called."""


@dataclass(frozen=True, kw_only=True)
class WanParts:
    """A model's nets by role, and what its model_index.json tells, None if there is none; `name` is for messages."""

    name: str
    paths: Mapping[str, Path]
    index: Mapping[str, Any] | None = None

    @property
    def boundary(self) -> float | None:
        """The lowest level of the first of two experts; None: there is one transformer."""
        found = (self.index or {}).get("boundary_ratio")
        return None if found is None else float(found)

    @property
    def first_frame_is_given(self) -> bool:
        """Whether the first latent frame may be given clean (TI2V)."""
        return bool((self.index or {}).get("expand_timesteps"))

    @property
    def experts(self) -> tuple[str, ...]:
        """The roles of the transformers, from the noisiest levels down."""
        two = self.boundary is not None if self.index is not None else "transformer_2" in self.paths
        return ("transformer", "transformer_2")[: 1 + two]

    def at(self, role: str) -> Path:
        """Where a net lies.

        Raises:
            WeightsError: nobody has said.
        """
        if role not in self.paths:
            raise WeightsError(f"{self.name} was added without its {role}: add it again, with all its parts")
        return self.paths[role]


def parts_in(folder: Path) -> WanParts:
    """The parts of a folder as diffusers saves it.

    Raises:
        WeightsError: it has no readable model_index.json.
    """
    index = read_object(folder / "model_index.json")
    roles = (*NETS, "transformer_2", "tokenizer", "image_processor")
    return WanParts(name=str(folder), paths={role: folder / role for role in roles}, index=index)


def parts_of(place: Place, card: ModelCard) -> WanParts:
    """The parts of a model that was added."""
    if not place.parts:
        return parts_in(place.path)
    return WanParts(name=card.name, paths=place.parts, index=index_of(card))


def index_of(card: ModelCard) -> dict[str, Any]:
    """What a model_index.json would tell of this model."""
    return {"boundary_ratio": card.boundary, "expand_timesteps": card.pictures == "first_or_none"}


def safetensors_of(path: Path) -> list[Path]:
    """The safetensors of a net: one file, or those of its folder.

    Raises:
        WeightsError: there are none, or a shard is missing.
    """
    if path.is_file():
        return [path]
    paths = weight_paths(path)
    if missing := [p.name for p in paths if not p.is_file()]:
        raise WeightsError(
            f"{path} holds {len(paths) - len(missing)} of the {len(paths)} files that its index names, {missing[0]} is "
            "missing: download it again"
        )
    return paths


def tensors_of(
    path: Path, rename: Callable[[Mapping[str, TensorPlace]], dict[str, TensorPlace]] = dict
) -> dict[str, TensorPlace]:
    """Where all parameters of a net lie, as `rename` calls them; nothing but factors is loaded.

    Raises:
        WeightsError: a file is missing, truncated, no safetensors or of an unknown quantization.
    """
    return rename(unscaled(tensor_places(safetensors_of(path))))


def net_of(names: Iterable[str]) -> str | None:
    """Which net has tensors of these names: a role, or None. Rules are exact; each asks for two names of the net."""
    found = {_PREFIX.sub("", name) for name in names}

    def has(*wanted: str) -> bool:
        return found.issuperset(wanted)

    if has("patch_embedding.weight", "head.modulation") or has(
        "patch_embedding.weight", "condition_embedder.time_proj.weight"
    ):
        return "transformer"
    words = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    if has("shared.weight", words) or has("encoder.embed_tokens.weight", words):
        return "text_encoder"
    if has("encoder.conv1.weight", "decoder.conv1.weight") or has(
        "encoder.conv_in.weight", "decoder.conv_in.weight"
    ):
        return "vae"
    looks = ("embeddings.class_embedding", "embeddings.patch_embedding.weight")
    if has(*(f"vision_model.{name}" for name in looks)) or has(*looks):
        return "image_encoder"
    return None


def describe(path: Path, names: Iterable[str]) -> str:
    """What was found in a file or folder, for a message."""
    names = sorted(names)
    if role := net_of(names):
        return f"{path} is {NETS[role]}"
    return f"{path} holds {len(names)} tensors of no known net ({', '.join(names[:3])}...)"
