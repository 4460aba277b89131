"""Small random pipelines of the families that run through diffusers, made and saved by its own classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

__all__ = ["MAKERS", "save_family"]

WORDS = ("[PAD]", "[EOS]", "[UNK]", "a", "red", "ball", "rolls", "blue", "cube", "user", "video", "the", "of")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }} \n{% endfor %}assistant"
)
T5 = {"vocab_size": 32, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}


def words(length: int, *, chat: bool = False) -> Any:
    """A tokenizer of a few words, of at most `length` tokens."""
    import tokenizers
    import transformers

    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A [EOS]", special_tokens=[("[EOS]", 1)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        eos_token="[EOS]",
        unk_token="[UNK]",
        model_max_length=length,
    )
    if chat:
        tokenizer.chat_template = TEMPLATE
    return tokenizer


def t5(**sizes: Any) -> Any:
    import transformers

    return transformers.T5EncoderModel(transformers.T5Config(**(T5 | sizes)))


def euler(**options: Any) -> Any:
    import diffusers

    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def hunyuanvideo(transformer: dict[str, Any], vae: dict[str, Any]) -> Any:
    import diffusers
    import transformers

    llama = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, head_dim=8,
        max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    clip = transformers.CLIPTextConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, eos_token_id=1,
        bos_token_id=3, pad_token_id=0, projection_dim=16,
    )  # fmt: skip
    net = {
        "num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 1, "num_single_layers": 1,
        "num_refiner_layers": 1, "text_embed_dim": 16, "pooled_projection_dim": 16, "rope_axes_dim": (4, 4, 4),
    }  # fmt: skip
    decoder = {
        "block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 16,
    }  # fmt: skip
    return diffusers.HunyuanVideoPipeline(
        text_encoder=transformers.LlamaModel(llama),
        tokenizer=words(351),
        text_encoder_2=transformers.CLIPTextModel(clip),
        tokenizer_2=words(77),
        transformer=diffusers.HunyuanVideoTransformer3DModel(**(net | transformer)),
        vae=diffusers.AutoencoderKLHunyuanVideo(**(decoder | vae)),
        scheduler=euler(shift=7.0),
    )


def hunyuanvideo15(transformer: dict[str, Any], vae: dict[str, Any], *, pictured: bool = False) -> Any:
    import diffusers
    import transformers

    qwen = transformers.Qwen2_5_VLTextConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
    )  # fmt: skip
    net = {
        "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1, "num_refiner_layers": 1,
        "text_embed_dim": 16, "text_embed_2_dim": 32, "image_embed_dim": 16, "rope_axes_dim": (4, 6, 6),
        "task_type": "i2v" if pictured else "t2v",
    }  # fmt: skip
    decoder = {"block_out_channels": (32, 32, 32, 32, 64), "layers_per_block": 1}
    shared = {
        "text_encoder": transformers.Qwen2_5_VLTextModel(qwen),
        "tokenizer": words(1108, chat=True),
        "text_encoder_2": t5(),
        "tokenizer_2": words(256),
        "transformer": diffusers.HunyuanVideo15Transformer3DModel(**(net | transformer)),
        "vae": diffusers.AutoencoderKLHunyuanVideo15(**(decoder | vae)),
        "scheduler": euler(shift=5.0),
        "guider": diffusers.ClassifierFreeGuidance(guidance_scale=6.0),
    }
    if not pictured:
        return diffusers.HunyuanVideo15Pipeline(**shared)
    eye = transformers.SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    return diffusers.HunyuanVideo15ImageToVideoPipeline(
        image_encoder=transformers.SiglipVisionModel(eye),
        feature_extractor=transformers.SiglipImageProcessor(size={"height": 8, "width": 8}),
        **shared,
    )


def hunyuanvideo15_pictured(transformer: dict[str, Any], vae: dict[str, Any]) -> Any:
    return hunyuanvideo15(transformer, vae, pictured=True)


def mochi(transformer: dict[str, Any], vae: dict[str, Any]) -> Any:
    import diffusers

    net = {
        "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "pooled_projection_dim": 16,
        "text_embed_dim": 32, "time_embed_dim": 4,
    }  # fmt: skip
    decoder = {
        "encoder_block_out_channels": (32, 32, 32, 32), "decoder_block_out_channels": (32, 32, 32, 32),
        "layers_per_block": (1, 1, 1, 1, 1),
    }  # fmt: skip
    return diffusers.MochiPipeline(
        scheduler=euler(invert_sigmas=True),
        vae=diffusers.AutoencoderKLMochi(**(decoder | vae)),
        text_encoder=t5(),
        tokenizer=words(256),
        transformer=diffusers.MochiTransformer3DModel(**(net | transformer)),
    )


def ltx(transformer: dict[str, Any], vae: dict[str, Any]) -> Any:
    import diffusers

    net = {
        "num_attention_heads": 2, "attention_head_dim": 8, "cross_attention_dim": 16, "num_layers": 1,
        "caption_channels": 32,
    }  # fmt: skip
    decoder = {
        "block_out_channels": (8, 8, 8, 8), "decoder_block_out_channels": (8, 8, 8, 8), "layers_per_block": (1,) * 5,
        "decoder_layers_per_block": (1,) * 5,
    }  # fmt: skip
    return diffusers.LTXPipeline(
        scheduler=euler(
            use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024,
            max_image_seq_len=4096, shift_terminal=0.1,
        ),
        vae=diffusers.AutoencoderKLLTXVideo(**(decoder | vae)),
        text_encoder=t5(),
        tokenizer=words(128),
        transformer=diffusers.LTXVideoTransformer3DModel(**(net | transformer)),
    )  # fmt: skip


def ltx2(transformer: dict[str, Any], vae: dict[str, Any]) -> Any:
    import diffusers
    import transformers
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    gemma = transformers.Gemma3Config(
        text_config={
            "vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 1024, "sliding_window": 64,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 8, "patch_size": 4,
        },
        mm_tokens_per_image=4,
        image_token_index=31,
        boi_token_index=30,
        eoi_token_index=29,
    )  # fmt: skip
    net = {
        "num_attention_heads": 2, "attention_head_dim": 8, "cross_attention_dim": 16, "audio_in_channels": 4,
        "audio_out_channels": 4, "audio_num_attention_heads": 2, "audio_attention_head_dim": 4,
        "audio_cross_attention_dim": 8, "num_layers": 2, "caption_channels": 16, "rope_double_precision": False,
    }  # fmt: skip
    decoder = {
        "block_out_channels": (8, 8, 8, 8), "decoder_block_out_channels": (8, 16, 32), "layers_per_block": (1,) * 5,
        "decoder_layers_per_block": (1,) * 4, "spatial_compression_ratio": 32, "temporal_compression_ratio": 8,
    }  # fmt: skip
    return diffusers.LTX2Pipeline(
        scheduler=euler(use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, shift_terminal=0.1),
        vae=diffusers.AutoencoderKLLTX2Video(**(decoder | vae)),
        audio_vae=diffusers.AutoencoderKLLTX2Audio(
            base_channels=4, ch_mult=(1,), num_res_blocks=1, latent_channels=2, mel_bins=8
        ),
        text_encoder=transformers.Gemma3ForConditionalGeneration(gemma),
        tokenizer=words(1024),
        connectors=LTX2TextConnectors(
            caption_channels=16, text_proj_in_factor=2, video_connector_num_attention_heads=2,
            video_connector_attention_head_dim=8, video_connector_num_layers=1,
            video_connector_num_learnable_registers=None, audio_connector_num_attention_heads=2,
            audio_connector_attention_head_dim=8, audio_connector_num_layers=1,
            audio_connector_num_learnable_registers=None, rope_double_precision=False,
        ),
        transformer=diffusers.LTX2VideoTransformer3DModel(**(net | transformer)),
        vocoder=LTX2Vocoder(
            in_channels=16, hidden_channels=16, out_channels=2, upsample_kernel_sizes=[32, 31], upsample_factors=[16, 15],
            resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],  # 100 columns a second become 24,000 samples
        ),
    )  # fmt: skip


def svd(transformer: dict[str, Any], vae: dict[str, Any], *, num_frames: int = 14) -> Any:
    import diffusers
    import transformers

    net = {
        "block_out_channels": (32, 64), "num_frames": num_frames, "cross_attention_dim": 16,
        "num_attention_heads": (2, 4), "layers_per_block": 1, "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 24,
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    }  # fmt: skip
    decoder = {
        "block_out_channels": (32,) * 4, "down_block_types": ("DownEncoderBlock2D",) * 4, "latent_channels": 4,
    }  # fmt: skip
    eye = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, projection_dim=16,
        image_size=224, patch_size=56,
    )  # fmt: skip
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return diffusers.StableVideoDiffusionPipeline(
            vae=diffusers.AutoencoderKLTemporalDecoder(**(decoder | vae)),
            image_encoder=transformers.CLIPVisionModelWithProjection(eye),
            unet=diffusers.UNetSpatioTemporalConditionModel(**(net | transformer)),
            scheduler=diffusers.EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", interpolation_type="linear",
                prediction_type="v_prediction", sigma_min=0.002, sigma_max=700.0, use_karras_sigmas=True,
                timestep_spacing="leading", timestep_type="continuous", steps_offset=1,
            ),
            feature_extractor=transformers.CLIPImageProcessor(size={"shortest_edge": 224}),
        )  # fmt: skip


MAKERS: dict[str, Callable[..., Any]] = {
    "hunyuanvideo": hunyuanvideo,
    "hunyuanvideo-1.5-480p": hunyuanvideo15,
    "hunyuanvideo-1.5-i2v-480p": hunyuanvideo15_pictured,
    "mochi-1": mochi,
    "ltx-video": ltx,
    "ltx-2": ltx2,
    "svd": svd,
}


def save_family(
    name: str,
    folder: Path,
    *,
    transformer: dict[str, Any] | None = None,
    vae: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """A random model as diffusers saves it: small, or with other sizes of its denoiser and its VAE."""
    torch.manual_seed(0)
    pipeline = MAKERS[name](transformer or {}, vae or {})
    pipeline.to(dtype).save_pretrained(folder)
    return folder
