"""Wan's checkpoints in either layout: Wan's own names, which are ours, and those of diffusers.

A layout is recognised by its keys, and every key must find its place: what is left over, or missing, is an error that
lists it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from filmwright.models.wan import WanConfig
from filmwright.spec.errors import WeightsError, listed

__all__ = [
    "SPARSE_GATE",
    "WAN_SIZES",
    "diffusers_name",
    "own_name",
    "to_own_names",
    "vae_own_name",
    "vae_to_own_names",
    "wan_config_of",
]

T = TypeVar("T")

_14B = {"dim": 5120, "heads": 40, "layers": 40, "ffn": 13824}
WAN_SIZES: dict[str, WanConfig] = {
    "wan2.1-t2v-1.3b": WanConfig(dim=1536, heads=12, layers=30, ffn=8960),
    "wan2.1-t2v-14b": WanConfig(**_14B),
    "wan2.1-i2v-14b": WanConfig(**_14B, in_channels=36, image_dim=1280),
    "wan2.1-flf2v-14b": WanConfig(**_14B, in_channels=36, image_dim=1280, image_tokens=514),
    "wan2.2-t2v-a14b": WanConfig(**_14B),
    "wan2.2-i2v-a14b": WanConfig(**_14B, in_channels=36),
    "wan2.2-ti2v-5b": WanConfig(dim=3072, heads=24, layers=30, ffn=14336, in_channels=48, out_channels=48),
}
"""The transformers of the published variants (config files of Wan-Video/Wan2.1 and Wan2.2); A14B has two each."""

# (diffusers, Wan): prefixes of whole names; within a block the rest of the name follows
_OUTSIDE = (
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.image_embedder.norm1", "img_emb.proj.0"),
    ("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"),
    ("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"),
    ("condition_embedder.image_embedder.norm2", "img_emb.proj.4"),
    ("condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"),
    ("patch_embedding", "patch_embedding"),
    ("scale_shift_table", "head.modulation"),
    ("proj_out", "head.head"),
)
_ATTENTION = (
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "o"),
    ("norm_q", "norm_q"),
    ("norm_k", "norm_k"),
    ("add_k_proj", "k_img"),
    ("add_v_proj", "v_img"),
    ("norm_added_k", "norm_k_img"),
)
_INSIDE = (
    *((f"attn1.{a}", f"self_attn.{b}") for a, b in _ATTENTION[:6]),
    *((f"attn2.{a}", f"cross_attn.{b}") for a, b in _ATTENTION),
    ("norm2", "norm3"),
    ("ffn.net.0.proj", "ffn.0"),
    ("ffn.net.2", "ffn.2"),
    ("scale_shift_table", "modulation"),
)
_BLOCK = re.compile(r"(blocks\.\d+)\.(.+)")
SPARSE_GATE = "to_gate_compress"
"""In the names of FastVideo's checkpoints that were trained with Video Sparse Attention (Zhang et al. 2025): weighs its
coarse branch, which dense attention does not have."""
_UNUSED = re.compile(rf"norm_added_q|{SPARSE_GATE}|(^|\.)freqs$")  # no forward pass here reads them


def own_name(name: str) -> str | None:
    """The Wan name of a diffusers parameter, or None if it is none."""
    return _renamed(name, 0)


def diffusers_name(name: str) -> str | None:
    """The diffusers name of a Wan parameter, or None if it is none."""
    return _renamed(name, 1)


def _renamed(name: str, side: int) -> str | None:
    found = _BLOCK.fullmatch(name)
    head, rest, table = ("", name, _OUTSIDE) if found is None else (f"{found[1]}.", found[2], _INSIDE)
    for pair in table:
        mine, other = pair[side], pair[1 - side]
        if rest == mine or rest.startswith(f"{mine}."):
            return head + other + rest[len(mine) :]
    return None


def to_own_names(tensors: Mapping[str, T]) -> dict[str, T]:
    """A transformer's tensors, or anything by their names, of either layout under Wan's names.

    A leading `model.` or `model.diffusion_model.` (ComfyUI) is dropped.

    Raises:
        WeightsError: names of neither layout; it lists them.
    """
    plain = {re.sub(r"^(model\.)?(diffusion_model\.)?", "", k): v for k, v in tensors.items()}
    plain = {k: v for k, v in plain.items() if not _UNUSED.search(k)}
    rename = own_name if any(k.startswith("condition_embedder.") for k in plain) else _kept
    result, unknown = {}, []
    for name, tensor in plain.items():
        mine = rename(name)
        if mine is None:
            unknown.append(name)
        else:
            result[mine] = tensor
    if unknown:
        raise WeightsError(f"these are no names of a Wan transformer: {listed(unknown)}")
    return result


def _kept(name: str) -> str | None:
    return None if diffusers_name(name) is None else name


def wan_config_of(shapes: Mapping[str, tuple[int, ...]]) -> WanConfig:
    """The sizes of a transformer, read off its parameters' shapes under Wan's names; heads have 128 features.

    Raises:
        WeightsError: a parameter that tells a size is missing; it names it.
    """
    try:
        dim, in_channels = shapes["patch_embedding.weight"][:2]
        image = shapes.get("img_emb.proj.0.weight")
        places = shapes.get("img_emb.emb_pos")
        return WanConfig(
            dim=dim,
            heads=dim // 128,
            layers=1 + max(int(m[1]) for m in map(re.compile(r"blocks\.(\d+)\.").match, shapes) if m),
            ffn=shapes["blocks.0.ffn.0.weight"][0],
            in_channels=in_channels,
            out_channels=shapes["head.head.weight"][0] // 4,
            text_dim=shapes["text_embedding.0.weight"][1],
            image_dim=image[0] if image else None,
            image_tokens=places[1] if places else None,
        )
    except KeyError as error:
        raise WeightsError(f"this is no Wan transformer: it has no {error.args[0]}") from error


# the VAEs, (diffusers, Wan)
_VAE_BLOCK = {
    "norm1": "residual.0",
    "conv1": "residual.2",
    "norm2": "residual.3",
    "conv2": "residual.6",
    "conv_shortcut": "shortcut",
}
_VAE_OUTSIDE = {"conv_in": "conv1", "norm_out": "head.0", "conv_out": "head.2"}
_VAE_MIDDLE = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}
_DOWN_BLOCKS, _UP_BLOCKS = 2, 3  # residual blocks a level; a resampling may follow
_VAE_LEVEL = re.compile(r"(down|up)_blocks\.(\d)\.(?:resnets\.(\d)|(?:down|up)sampler(?:s\.0)?)\.(.+)")


def vae_own_name(name: str, *, nested: bool) -> str | None:
    """The Wan name of a parameter of diffusers' AutoencoderKLWan, or None; `nested` levels are those of 2.2."""
    side, _, rest = name.partition(".")
    if side in ("quant_conv", "post_quant_conv"):
        return f"{'conv1' if side == 'quant_conv' else 'conv2'}.{rest}"
    if side not in ("encoder", "decoder"):
        return None
    first, _, last = rest.partition(".")
    if first in _VAE_OUTSIDE:
        return f"{side}.{_VAE_OUTSIDE[first]}.{last}"
    if found := re.fullmatch(r"mid_block\.(\w+\.\d)\.(.+)", rest):
        place = _VAE_MIDDLE.get(found[1])
        return None if place is None else f"{side}.middle.{place}.{_in_vae_block(found[2])}"
    if found := _VAE_LEVEL.fullmatch(rest):
        way, level = f"{found[1]}samples", int(found[2])
        blocks = _DOWN_BLOCKS if found[1] == "down" else _UP_BLOCKS
        place = blocks if found[3] is None else int(found[3])
        row = f"{level}.{way}.{place}" if nested else f"{level * (blocks + 1) + place}"
        return f"{side}.{way}.{row}.{_in_vae_block(found[4])}"
    if found := re.fullmatch(r"down_blocks\.(\d+)\.(.+)", rest):  # 2.1's encoder is one row
        return f"{side}.downsamples.{found[1]}.{_in_vae_block(found[2])}"
    return None


def _in_vae_block(name: str) -> str:
    first, dot, rest = name.partition(".")
    return _VAE_BLOCK.get(first, first) + dot + rest


def vae_to_own_names(tensors: Mapping[str, T]) -> dict[str, T]:
    """A VAE's tensors, or anything by their names, of either layout under Wan's names.

    Raises:
        WeightsError: names of neither layout; it lists them.
    """
    if not any(k.startswith(("encoder.conv_in.", "decoder.conv_in.")) for k in tensors):
        return dict(tensors)
    nested = any(".upsampler." in k for k in tensors)
    names = {k: vae_own_name(k, nested=nested) for k in tensors}
    if unknown := [k for k, mine in names.items() if mine is None]:
        raise WeightsError(f"these are no names of a Wan VAE: {listed(unknown)}")
    return {str(names[k]): v for k, v in tensors.items()}
