"""What each family's pipeline in diffusers is asked for: its words, its settings, and what its VAEs give back.

The pipelines do their own work, unchanged; here stands only what differs in how they are called. Where a default is the
pipeline's own it is not repeated; all others are in the models' cards, and their sources in docs/families.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from filmwright.spec.request import Request
from filmwright.weights.card import load_card

__all__ = ["FAMILIES", "Family", "as_pixels"]

LTX_DECODE = (0.05, 0.025)  # level and noise at which VAEs of LTX 0.9.1 and later decode


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a pipeline is called."""

    pipeline: str  # its class
    pictured: str | None = None  # the class with a first picture, where it differs
    readers: tuple[str, ...] = ()  # nets that read the words
    lookers: tuple[str, ...] = ()  # nets that look at a picture
    beside: tuple[str, ...] = ()  # nets that are needed beside the denoiser
    encode: Callable[[Any, Request, str], dict[str, Any]]  # (pipeline, request, device) -> words as arguments
    settings: Callable[
        [Any, Request, Image | None], dict[str, Any]
    ]  # (pipeline, request, picture) -> the others
    answer: Callable[..., tuple[Tensor, ...]]  # the denoiser's inputs of the shapes of its answers
    decode: Callable[[Any, Tensor], Tensor]  # (VAE, what decoding starts from) -> [1, 3, t, H, W] in -1..1
    sounders: tuple[str, ...] = ()  # nets that make the sound, of a family that has it
    hear: Callable[..., Tensor] | None = None  # (sounders, what the first decodes) -> [1, channels, samples]
    same_dtype: bool = False  # its VAE runs in the denoiser's type
    tiles: bool = True  # whether its VAE decodes in tiles that are smaller than a picture
    # latent frames of which a piece in time is made, and those on either side that are decoded with them and thrown
    # away; None: its VAE has a way of its own, or goes wrong if it does not see all
    in_time: tuple[int, int] | None = None


def _shape(request: Request) -> dict[str, Any]:
    return {"height": request.height, "width": request.width, "num_frames": request.num_frames}


def _hunyuan_words(pipe: Any, request: Request, device: str) -> dict[str, Any]:
    embeds, pooled, mask = pipe.encode_prompt(request.prompt, device=torch.device(device))
    return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled, "prompt_attention_mask": mask}


def _hunyuan15_words(pipe: Any, request: Request, device: str) -> dict[str, Any]:
    names = ("prompt_embeds", "prompt_embeds_mask", "prompt_embeds_2", "prompt_embeds_mask_2")
    found: dict[str, Any] = {}
    for prefix, prompt in (("", request.prompt), ("negative_", request.negative)):
        if not prefix or request.guidance != 1:
            encoded = pipe.encode_prompt(prompt, device=torch.device(device), dtype=pipe.transformer.dtype)
            found |= {prefix + name: tensor for name, tensor in zip(names, encoded, strict=True)}
    return found


def _hunyuan15_settings(pipe: Any, request: Request, picture: Image | None) -> dict[str, Any]:
    if picture is None:
        return _shape(request)
    # the pipeline would take its size after the picture's; here the picture was made after the request's
    size = (request.height, request.width)
    pipe.video_processor.calculate_default_height_width = lambda **_: size
    return {"image": picture, "num_frames": request.num_frames}


def _t5_words(pipe: Any, request: Request, device: str) -> dict[str, Any]:
    """Of pipelines that weigh the prompt against another in one pass of two rows."""
    names = (
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    )
    guided = request.guidance > 1
    encoded = pipe.encode_prompt(
        request.prompt,
        request.negative if guided else None,
        do_classifier_free_guidance=guided,
        device=torch.device(device),
    )
    return dict(zip(names, encoded, strict=True))


def _guided(pipe: Any, request: Request, picture: Image | None) -> dict[str, Any]:  # noqa: ARG001
    return _shape(request) | {"guidance_scale": request.guidance}


def _ltx_settings(pipe: Any, request: Request, picture: Image | None) -> dict[str, Any]:
    found = _guided(pipe, request, picture) | {"frame_rate": request.fps}
    if pipe.vae.config.timestep_conditioning:
        found |= {"decode_timestep": LTX_DECODE[0], "decode_noise_scale": LTX_DECODE[1]}
    return found | ({} if picture is None else {"image": picture})


def _ltx2_settings(pipe: Any, request: Request, picture: Image | None) -> dict[str, Any]:
    perturbed = load_card(request.model).perturbed  # the pipeline's own are those of version 2.3
    return _ltx_settings(pipe, request, picture) | {"spatio_temporal_guidance_blocks": list(perturbed)}


def _ltx_decode(vae: Any, z: Tensor) -> Tensor:
    level = (
        torch.tensor([LTX_DECODE[0]], device=z.device, dtype=z.dtype)
        if vae.config.timestep_conditioning
        else None
    )
    frames: Tensor = vae.decode(z, level, return_dict=False)[0]
    return frames


def _ltx2_hear(audio_vae: Any, vocoder: Any, z: Tensor) -> Tensor:
    waves: Tensor = vocoder(audio_vae.decode(z, return_dict=False)[0])
    return waves


def _svd_settings(pipe: Any, request: Request, picture: Image | None) -> dict[str, Any]:  # noqa: ARG001
    return _shape(request) | {
        "image": picture,
        "fps": request.fps,
        "min_guidance_scale": min(1.0, request.guidance),
        "max_guidance_scale": request.guidance,
        "decode_chunk_size": request.num_frames,
    }


def _svd_decode(vae: Any, z: Tensor) -> Tensor:
    frames: Tensor = vae.decode(z, num_frames=len(z)).sample
    return frames.transpose(0, 1)[None]


def _plain_decode(vae: Any, z: Tensor) -> Tensor:
    frames: Tensor = vae.decode(z, return_dict=False)[0]
    return frames


def _first(hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, ...]:
    return (hidden_states,)


FAMILIES = {
    "hunyuanvideo": Family(
        pipeline="HunyuanVideoPipeline",
        readers=("text_encoder", "text_encoder_2"),
        encode=_hunyuan_words,
        settings=_guided,
        answer=_first,
        decode=_plain_decode,
    ),
    "hunyuanvideo-1.5": Family(
        pipeline="HunyuanVideo15Pipeline",
        pictured="HunyuanVideo15ImageToVideoPipeline",
        readers=("text_encoder", "text_encoder_2"),
        lookers=("vae", "image_encoder"),
        encode=_hunyuan15_words,
        settings=_hunyuan15_settings,
        # the net is given noise, picture and mask [b, 2c+1, t, h, w] and answers for the noise alone
        answer=lambda hidden_states, **_: (hidden_states[:, : hidden_states.shape[1] // 2],),
        decode=_plain_decode,
    ),
    "mochi": Family(
        pipeline="MochiPipeline",
        readers=("text_encoder",),
        encode=_t5_words,
        settings=_guided,
        answer=_first,
        decode=_plain_decode,
    ),
    "ltx-video": Family(
        pipeline="LTXPipeline",
        pictured="LTXImageToVideoPipeline",
        readers=("text_encoder",),
        lookers=("vae",),
        encode=_t5_words,
        settings=_ltx_settings,
        answer=_first,
        decode=_ltx_decode,
        same_dtype=True,
        in_time=(3, 2),  # its own way puts each piece a frame too late
    ),
    "ltx-2": Family(
        pipeline="LTX2Pipeline",
        pictured="LTX2ImageToVideoPipeline",
        readers=("text_encoder",),
        lookers=("vae",),
        beside=("connectors",),
        encode=_t5_words,
        settings=_ltx2_settings,
        answer=lambda hidden_states, audio_hidden_states, **_: (hidden_states, audio_hidden_states),
        decode=_ltx_decode,
        sounders=("audio_vae", "vocoder"),
        hear=_ltx2_hear,
        same_dtype=True,
        in_time=(3, 2),  # its own way puts each piece a frame too late
    ),
    "svd": Family(
        pipeline="StableVideoDiffusionPipeline",
        lookers=("vae", "image_encoder"),
        encode=lambda *_: {},
        settings=_svd_settings,
        # noise and picture [b, t, 2c, h, w]
        answer=lambda sample, *_, **__: (sample[:, :, : sample.shape[2] // 2],),
        decode=_svd_decode,
        tiles=False,
        in_time=(2, 1),
    ),
}
"""By `ModelCard.family`."""


def as_pixels(frames: Tensor) -> Tensor:
    """Frames [1, 3, t, H, W] in -1..1 as uint8 [t, H, W, 3]."""
    return ((frames[0].float() / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0)
