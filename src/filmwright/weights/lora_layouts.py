"""LoRA files whose layers have the names of the authors' own code, told in the names that diffusers gives them.

Where the authors' code has one layer for what diffusers has in several (q, k and v above all), the pieces share the
`down` of it and each has its own rows of the `up`, which is the same sum. Names that are not known here stay as they
are: whether they match a layer is for `weights.lora` to say.

Source: the names in Tencent's HunyuanVideo and HunyuanVideo-1.5 and Lightricks' LTX-Video and LTX-2, and diffusers'
scripts that convert their checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from torch import Tensor, nn

from filmwright.spec.errors import WeightsError
from filmwright.weights.lora import PART, layers_of, plain_stem

__all__ = ["in_own_names", "original_names"]

_DOUBLE = {
    "double_blocks.#.img_attn_proj": ("transformer_blocks.#.attn.to_out.0",),
    "double_blocks.#.txt_attn_proj": ("transformer_blocks.#.attn.to_add_out",),
    "double_blocks.#.img_mod.linear": ("transformer_blocks.#.norm1.linear",),
    "double_blocks.#.txt_mod.linear": ("transformer_blocks.#.norm1_context.linear",),
    "double_blocks.#.img_mlp.fc1": ("transformer_blocks.#.ff.net.0.proj",),
    "double_blocks.#.img_mlp.fc2": ("transformer_blocks.#.ff.net.2",),
    "double_blocks.#.txt_mlp.fc1": ("transformer_blocks.#.ff_context.net.0.proj",),
    "double_blocks.#.txt_mlp.fc2": ("transformer_blocks.#.ff_context.net.2",),
}
_REFINER, _THEIR_REFINER = (
    "context_embedder.token_refiner.refiner_blocks.#",
    "txt_in.individual_token_refiner.blocks.#",
)
_WORDS = {
    "txt_in.input_embedder": ("context_embedder.proj_in",),
    f"{_THEIR_REFINER}.self_attn_qkv": tuple(f"{_REFINER}.attn.to_{part}" for part in "qkv"),
    f"{_THEIR_REFINER}.self_attn_proj": (f"{_REFINER}.attn.to_out.0",),
    f"{_THEIR_REFINER}.mlp.fc1": (f"{_REFINER}.ff.net.0.proj",),
    f"{_THEIR_REFINER}.mlp.fc2": (f"{_REFINER}.ff.net.2",),
    f"{_THEIR_REFINER}.adaLN_modulation.1": (f"{_REFINER}.norm_out.linear",),
}
_ENDS = {"img_in.proj": ("x_embedder.proj",), "final_layer.linear": ("proj_out",)}
_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "HunyuanVideoTransformer3DModel": {
        **_DOUBLE,
        **_WORDS,
        **_ENDS,
        "double_blocks.#.img_attn_qkv": tuple(f"transformer_blocks.#.attn.to_{part}" for part in "qkv"),
        "double_blocks.#.txt_attn_qkv": tuple(f"transformer_blocks.#.attn.add_{part}_proj" for part in "qkv"),
        "single_blocks.#.linear1": (
            *(f"single_transformer_blocks.#.attn.to_{part}" for part in "qkv"),
            "single_transformer_blocks.#.proj_mlp",
        ),
        "single_blocks.#.linear2": ("single_transformer_blocks.#.proj_out",),
        "single_blocks.#.modulation.linear": ("single_transformer_blocks.#.norm.linear",),
        "time_in.mlp.0": ("time_text_embed.timestep_embedder.linear_1",),
        "time_in.mlp.2": ("time_text_embed.timestep_embedder.linear_2",),
        "guidance_in.mlp.0": ("time_text_embed.guidance_embedder.linear_1",),
        "guidance_in.mlp.2": ("time_text_embed.guidance_embedder.linear_2",),
        "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
        "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    },
    "HunyuanVideo15Transformer3DModel": {
        **_DOUBLE,
        **_WORDS,
        **_ENDS,
        **{f"double_blocks.#.img_attn_{part}": (f"transformer_blocks.#.attn.to_{part}",) for part in "qkv"},
        **{
            f"double_blocks.#.txt_attn_{part}": (f"transformer_blocks.#.attn.add_{part}_proj",)
            for part in "qkv"
        },
    },
}
"""Class of a denoiser -> a layer's name in the authors' code -> those here, in the order of its rows; # counts."""
_BEGINNINGS: dict[str, dict[str, str]] = {
    "LTXVideoTransformer3DModel": {"patchify_proj": "proj_in", "adaln_single": "time_embed"},
    "LTX2VideoTransformer3DModel": {
        "patchify_proj": "proj_in",
        "audio_patchify_proj": "audio_proj_in",
        "adaln_single": "time_embed",
        "audio_adaln_single": "audio_time_embed",
        "av_ca_video_scale_shift_adaln_single": "av_cross_attn_video_scale_shift",
        "av_ca_audio_scale_shift_adaln_single": "av_cross_attn_audio_scale_shift",
        "av_ca_a2v_gate_adaln_single": "av_cross_attn_video_a2v_gate",
        "av_ca_v2a_gate_adaln_single": "av_cross_attn_audio_v2a_gate",
    },
}
"""Class of a denoiser -> how names begin in the authors' code -> in diffusers; the rest of them is the same."""


def in_own_names(name: str, tensors: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a LoRA file called `name`, those in the authors' names told in the names of `net`.

    Raises:
        WeightsError: a tensor has not the rows of the layers that it stands for.
    """
    rows = {key: layer.weight.shape[0] for key, layer in layers_of(net).items()}
    known = original_names(type(net).__name__, rows)
    flat = {key.replace(".", "_"): key for key in known}
    told: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        found = PART.search(key)
        stem = plain_stem(key[: found.start()], flat) if found else key
        if found is None or stem not in known:
            told[key] = tensor
            continue
        layers = known[stem]
        pieces = [tensor] * len(layers)
        if found[1] not in {"lora_A", "lora_down", "alpha"}:
            counts = [rows[layer] for layer in layers]
            if tensor.shape[0] != sum(counts):
                raise WeightsError(
                    f"LoRA {name} does not fit this model: {key} has {tensor.shape[0]} rows, not {sum(counts)}"
                )
            pieces = list(tensor.split(counts))
        told |= {f"{layer}{found[0]}": piece for layer, piece in zip(layers, pieces, strict=True)}
    return told


def original_names(kind: str, layers: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Names in the authors' code -> those of `layers` that they stand for, of a denoiser of class `kind`."""
    found: dict[str, tuple[str, ...]] = {}
    for theirs, ours in _NAMES.get(kind, {}).items():
        for index in count():
            names = tuple(name.replace("#", str(index)) for name in ours)
            if any(name not in layers for name in names):
                break
            found[theirs.replace("#", str(index))] = names
            if "#" not in theirs:
                break
    for theirs, our in _BEGINNINGS.get(kind, {}).items():
        found |= {
            theirs + layer.removeprefix(our): (layer,)
            for layer in layers
            if layer == our or layer.startswith(f"{our}.")
        }
    return found
