"""Random Wan models in the layout of diffusers, made by its own classes; and the same in ComfyUI's single files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["EYE", "VARIANTS", "save", "split"]

SMALL_TEXT = {"vocab_size": 16, "d_model": 12, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
PICTURE_TOKENS = 5  # of CLIP below: four patches and a class token
EYE = {"hidden_size": 80, "num_attention_heads": 1, "hidden_act": "gelu"}  # heads as wide as ViT-H/14's
VARIANTS: dict[str, dict[str, Any]] = {
    "wan2.1-t2v-1.3b": {},
    "wan2.1-i2v-14b-480p": {"in_channels": 36, "image_dim": 16},
    "wan2.1-flf2v-14b": {"in_channels": 36, "image_dim": 16, "pos_embed_seq_len": 2 * PICTURE_TOKENS},
    "wan2.2-t2v-a14b": {"boundary": 0.875},
    "wan2.2-i2v-a14b": {"in_channels": 36, "boundary": 0.9},
    "wan2.2-ti2v-5b": {"in_channels": 48, "out_channels": 48},
}


def save(
    name: str,
    folder: Path,
    *,
    text: dict[str, Any] | None = None,
    eye: dict[str, Any] | None = None,
    vae_width: int = 4,
    dtype: torch.dtype = torch.float32,
    **sizes: Any,
) -> Path:
    """A random model of a variant as diffusers saves it: small, or with other sizes of its nets."""
    import diffusers
    import tokenizers
    import transformers

    options = dict(VARIANTS[name])
    boundary = options.pop("boundary", None)
    torch.manual_seed(0)
    words = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -9.0),
        *((f"\u2581{w}", -1.0) for w in ["a", "red", "ball"]),
    ]
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram(words, unk_id=2))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    words_net = transformers.UMT5EncoderModel(transformers.UMT5Config(**(SMALL_TEXT | (text or {}))))
    if "image_dim" in options:
        options["added_kv_proj_dim"] = 128
    sizes = {"num_attention_heads": 1, "text_dim": 12, "ffn_dim": 64, "num_layers": 1, **options, **sizes}
    nets = [diffusers.WanTransformer3DModel(**sizes) for _ in range(1 if boundary is None else 2)]
    if name == "wan2.2-ti2v-5b":
        vae = diffusers.AutoencoderKLWan(
            base_dim=4,
            decoder_base_dim=8,
            z_dim=48,
            is_residual=True,
            patch_size=2,
            in_channels=12,
            out_channels=12,
            scale_factor_spatial=16,
            latents_mean=[0.0] * 48,
            latents_std=[1.0] * 48,
        )
    else:
        vae = diffusers.AutoencoderKLWan(base_dim=vae_width)
    shared = {
        "tokenizer": tokenizer,
        "text_encoder": words_net,
        "transformer": nets[0],
        "vae": vae,
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
    }
    if boundary is not None:
        shared |= {"transformer_2": nets[1], "boundary_ratio": boundary}
    if name == "wan2.2-ti2v-5b":
        shared["expand_timesteps"] = True
    if "image_dim" in options:
        seen = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        seen |= {"image_size": 8, "patch_size": 4, **(eye or {})}
        shared["image_encoder"] = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**seen))
        side = {"height": 8, "width": 8}
        shared["image_processor"] = transformers.CLIPImageProcessor(size=side, crop_size=side)
        kind = diffusers.WanImageToVideoPipeline
    else:
        kind = diffusers.WanPipeline
    kind(**shared).to(dtype).save_pretrained(folder)
    return folder


def split(folder: Path, out: Path, *, prefix: str = "model.diffusion_model.") -> dict[str, Path]:
    """The same model as ComfyUI has it: role -> a file with Wan's own names; diffusers' converters agree on them."""
    from diffusers.loaders.single_file_utils import (
        convert_wan_transformer_to_diffusers,
        convert_wan_vae_to_diffusers,
    )
    from safetensors.torch import load_file, save_file

    from filmwright.weights.wan import own_name, vae_own_name

    out.mkdir()
    files = {}
    for role in ("transformer", "transformer_2"):
        if not (folder / role).exists():
            continue
        theirs = load_file(folder / role / "diffusion_pytorch_model.safetensors")
        own = {f"{own_name(k)}": v for k, v in theirs.items() if "norm_added_q" not in k}
        assert convert_wan_transformer_to_diffusers(dict(own)).keys() == theirs.keys() - {
            k for k in theirs if "norm_added_q" in k
        }
        files[role] = out / f"{role}.safetensors"
        save_file({prefix + k: v for k, v in own.items()}, files[role])
    theirs = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    own = {f"{vae_own_name(k, nested=False)}": v for k, v in theirs.items()}
    assert convert_wan_vae_to_diffusers(dict(own)).keys() == theirs.keys()
    files["vae"] = out / "vae.safetensors"
    save_file(own, files["vae"])
    words = load_file(folder / "text_encoder" / "model.safetensors")
    files["text_encoder"] = out / "umt5.safetensors"
    save_file({**words, "spiece_model": torch.zeros(9, dtype=torch.uint8)}, files["text_encoder"])
    if (folder / "image_encoder").exists():
        seen = load_file(folder / "image_encoder" / "model.safetensors")
        seen = {f"vision_model.{k.removeprefix('vision_model.')}": v for k, v in seen.items()}
        rest = {"visual_projection.weight": torch.randn(4, 4), "logit_scale": torch.tensor(1.0)}
        files["image_encoder"] = out / "clip.safetensors"
        save_file(
            {**seen, **rest, "vision_model.embeddings.position_ids": torch.arange(5)[None]},
            files["image_encoder"],
        )
    return files
