"""The pocket model's way from a request to frames: words, controls, denoising by chunks' levels, streamed decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmwright.diffusion.flow import Denoise, shift_for
from filmwright.diffusion.guidance import guided
from filmwright.diffusion.samplers import SAMPLERS, OnStep
from filmwright.diffusion.schedules import timesteps, with_given
from filmwright.engine.conditions import Conditions, prepare
from filmwright.engine.devices import fast_dtype
from filmwright.engine.journal import Latents
from filmwright.engine.wan_work import Work
from filmwright.models.dit import CAMERA
from filmwright.models.vae import GROUP
from filmwright.spec.clip import Sound
from filmwright.spec.controls import is_motion
from filmwright.spec.request import CameraPath, Request
from filmwright.spec.words import Finding, analyse
from filmwright.weights.backbone import Backbone, load_backbone
from filmwright.weights.card import load_card
from filmwright.weights.files import shipped

__all__ = ["GUIDANCE_INTERVAL", "PocketRunner", "backbone_for", "decode", "denoise", "pocket_works"]

GUIDANCE_INTERVAL = (0.15, 1.0)  # noise levels at which the prompt is weighed against no prompt
# the pass without the prompt is without the camera too, so that guidance is about both
GUIDED_CAMERA = True
DECODE_CHUNK = 3  # latent frames, 12 frames
# operations of size `lite`, which a test holds to a trace: of what a prompt is to all blocks, and of a pass a token and
# a pair of tokens; and of decoding a pixel
CONTEXT, TOKEN, PAIR, PIXEL = 8.0e8, 1.673e7, 10_240, 50_278
STARTS = 160  # tokens whose time a pass takes beside its own, since its sums are small; measured on two cores
CHUNK = 3  # latent frames that are denoised together


@lru_cache(maxsize=2)
def backbone_for(model: str, device: str = "cpu", weights: Path | None = None) -> Backbone:
    """The backbone called `model`, loaded once a process; bf16 where the processor multiplies in it, else fp32.

    `weights` is a folder that `filmwright train pack` wrote, instead of the model's own.

    Raises:
        WeightsError: its files are missing or damaged.
    """
    return load_backbone(
        weights or shipped(model),
        device=device,
        dtype=fast_dtype(device),
    )


def pocket_works(request: Request) -> tuple[Work, Work, Work]:
    """What reading the words, denoising and decoding compute; no pass is traced for it, so that no run waits."""
    shape = request.shape.latent(16)
    a_frame = shape.height * shape.width // 4
    tokens = shape.num_frames * a_frame
    # a chunk sees itself and those before it
    ends = [min(end, shape.num_frames) for end in range(CHUNK, shape.num_frames + CHUNK, CHUNK)]
    pairs = sum((end - start) * end for start, end in zip([0, *ends], ends, strict=False)) * a_frame**2
    times = timesteps(request.steps, shift=shift_for(16 * shape.num_frames * shape.height * shape.width))
    low, high = GUIDANCE_INTERVAL
    twice = [request.guidance != 1 and low <= time <= high for time in times[:-1]]
    passes = len(twice) + sum(twice)
    pixels = request.width * request.height * shape.num_frames * GROUP
    return (
        Work(products=2 * CONTEXT),
        Work(products=2 * CONTEXT + passes * (TOKEN * (tokens + STARTS) + PAIR * pairs)),
        Work(convolutions=PIXEL * pixels),
    )


@dataclass(frozen=True, eq=False)
class PocketRunner:
    """Runs requests on a backbone; see `engine.generate.Runner`."""

    backbone: Backbone
    proofs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # nothing here is inexact

    @property
    def hashes(self) -> dict[str, str]:
        """Net -> SHA-256 of its file."""
        return self.backbone.hashes

    def findings(self, request: Request) -> Sequence[Finding]:
        """Words that the weights do not know, and clips in which neither words nor controls move anything."""
        part = load_card(request.model).part
        assert part is not None
        known = self.backbone.tokenizer.prompt_vocabulary(part)
        camera = next((control.move for control in request.controls if isinstance(control, CameraPath)), None)
        found = analyse(request.prompt, known, negative=request.negative, camera=camera).findings
        moves = request.num_frames == 1 or any(is_motion(control) for control in request.controls)
        return [finding for finding in found if not (moves and finding.code == "no-motion")]

    def prepare(self, request: Request) -> tuple[Conditions, tuple[Tensor, Tensor]]:
        """Controls and words as tensors."""
        return prepare(request, self.backbone), self.backbone.encode_text([request.prompt, request.negative])

    def denoise(
        self,
        request: Request,
        prepared: tuple[Conditions, tuple[Tensor, Tensor]],
        on_step: OnStep,
        through: Callable[[Denoise], Denoise],
    ) -> Latents:
        """Clean latents [1, c, t, h, w]; the sampler is given `through(denoiser)`."""
        return Latents(picture=denoise(request, self.backbone, *prepared, on_step=on_step, through=through))

    def sound(self, latents: Latents) -> Sound | None:  # noqa: ARG002
        """None: it is a silent model."""
        return None

    def chunks(self, latents: Latents) -> int:
        """How many pieces `decode` gives."""
        return -(-latents.picture.shape[2] // DECODE_CHUNK)

    def decode(self, latents: Latents) -> Iterator[NDArray[np.uint8]]:
        """Frames uint8 [n, H, W, 3], piece by piece."""
        return decode(latents.picture, self.backbone)


def denoise(
    request: Request,
    backbone: Backbone,
    conditions: Conditions,
    prompts: tuple[Tensor, Tensor],
    *,
    on_step: OnStep | None = None,
    through: Callable[[Denoise], Denoise] | None = None,
) -> Tensor:
    """Clean latents [1, c, t, h, w] of a request; `prompts` are features and pooled of (prompt, negative).

    The sampler is given `through(denoiser)`, or the denoiser itself.
    """
    dit, given = backbone.denoiser, conditions.given
    text, pooled = prompts
    contexts = [
        dit.cache_context(text[i : i + 1], conditions.keyframes, conditions.key_times) for i in range(2)
    ]

    plain = conditions.controls
    if GUIDED_CAMERA:
        plain = plain.clone()
        plain[:, :CAMERA] = 0

    def of(which: int) -> Denoise:
        controls = (conditions.controls, plain)[which]

        def velocity(x: Tensor, levels: Tensor) -> Tensor:
            y, _ = dit.step(
                x.to(backbone.dtype), levels, contexts[which], pooled[which : which + 1], controls
            )
            return y.float()

        return velocity

    known = conditions.known.float()
    generator = torch.Generator().manual_seed(request.seed)
    noise = torch.randn(known.shape, generator=generator).to(backbone.device)
    x = torch.where(given[:, None, None], known, noise)
    times = timesteps(request.steps, shift=request.shift or shift_for(known[0].numel()))
    model: Denoise = guided(of(0), of(1), request.guidance, gate=GUIDANCE_INTERVAL)
    if through is not None:
        model = through(model)
    return SAMPLERS[request.sampler](model, x, times, levels=with_given(given[None]), on_step=on_step)


def decode(latents: Tensor, backbone: Backbone) -> Iterator[NDArray[np.uint8]]:
    """Latents [1, c, t, h, w] to frames uint8 [n, H, W, 3], a chunk at a time with constant memory."""
    memory = backbone.vae.start()
    for start in range(0, latents.shape[2], DECODE_CHUNK):
        z = latents[:, :, start : start + DECODE_CHUNK].to(backbone.dtype)
        frames = backbone.vae.decode_chunk(z, memory, first=start == 0)[0].float()
        yield ((frames.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 3, 0).cpu().numpy()
