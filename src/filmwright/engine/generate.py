"""A request becomes a clip: encode -> denoise -> decode -> write, one verb a stage.

Latents are decoded chunk by chunk, and each chunk is encoded to video while the next one decodes. Noise is drawn on
the CPU in fp32, so that a seed means the same picture on every device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor

from filmwright.diffusion.flow import shift_for
from filmwright.diffusion.guidance import guided
from filmwright.diffusion.samplers import SAMPLERS
from filmwright.diffusion.schedules import timesteps, with_given
from filmwright.engine.build_request import check_request
from filmwright.engine.conditions import Conditions, prepare
from filmwright.engine.sidecar import make_sidecar, sidecar_path, write_sidecar
from filmwright.media.clips import Clip
from filmwright.media.files import check_output
from filmwright.media.video import VideoWriter
from filmwright.spec.events import Finished, OnEvent, Progress, Stage, Started, Warned
from filmwright.spec.request import Request
from filmwright.spec.words import analyse
from filmwright.weights.backbone import Backbone, load_backbone
from filmwright.weights.card import load_card
from filmwright.weights.files import shipped

__all__ = ["GUIDANCE_INTERVAL", "backbone_for", "decode", "denoise", "generate_clip"]

GUIDANCE_INTERVAL = (0.15, 1.0)  # noise levels at which the prompt is weighed against no prompt
DECODE_CHUNK = 3  # latent frames, 12 frames


@lru_cache(maxsize=2)
def backbone_for(model: str, device: str = "cpu", weights: Path | None = None) -> Backbone:
    """The backbone called `model`, loaded once a process; bf16 where the processor multiplies in it, else fp32.

    `weights` is a folder that `filmwright train pack` wrote, instead of the model's own.

    Raises:
        WeightsError: its files are missing or damaged.
    """
    native = device != "cpu" or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 (there is no public name)
    return load_backbone(
        weights or shipped(model),
        device=device,
        dtype=torch.bfloat16 if native else torch.float32,
    )


def generate_clip(
    request: Request,
    *,
    path: Path | str | None = None,
    on_event: OnEvent | None = None,
    device: str = "cpu",
    backbone: Backbone | None = None,
    made_with: Mapping[str, str] | None = None,
) -> Clip:
    """Makes the clip of a request; with `path`, writes it there (H.264 in MP4) with its sidecar beside it.

    `made_with` are the weights' hashes of an earlier clip of this request: if they are others now, a warning says so.

    Raises:
        BadRequest: the model cannot do what the request asks.
        MediaError: the output cannot be written; nothing half written is left.
        WeightsError: the model's files are missing or damaged.
    """
    check_request(request)
    target = check_output(path, suffixes=(".mp4",)) if path is not None else None
    clock = _Clock(on_event)
    with torch.inference_mode():
        with clock.stage("load", 1):
            backbone = backbone or backbone_for(request.model, device)
        warnings = analyse(
            request.prompt, backbone.tokenizer.prompt_vocabulary(load_card(request.model).part)
        ).findings
        for finding in warnings:
            clock.tell(Warned(code=finding.code, message=finding.message))
        said = [finding.message for finding in warnings]
        if made_with and (others := sorted(k for k, v in backbone.hashes.items() if made_with.get(k) != v)):
            said.append(
                f"the weights of {', '.join(others)} are not those of the earlier clip: the frames will differ"
            )
            clock.tell(Warned(code="other-weights", message=said[-1]))
        with clock.stage("encode", 1):
            conditions = prepare(request, backbone)
            prompts = backbone.encode_text([request.prompt, request.negative])
        with clock.stage("denoise", request.steps) as step:
            latents = denoise(request, backbone, conditions, prompts, on_step=step)
        chunks: list[NDArray[np.uint8]] = []
        writer = VideoWriter(target, request.width, request.height, request.fps) if target else nullcontext()
        total = -(-latents.shape[2] // DECODE_CHUNK)
        with writer as video, ThreadPoolExecutor(1) as pool, clock.stage("decode", total) as step:
            written = []
            for i, frames in enumerate(decode(latents, backbone)):
                chunks.append(frames)
                if video is not None:
                    written.append(pool.submit(video.write, frames))
                step(i + 1, total)
            for job in written:
                job.result()
    frames = np.concatenate(chunks)
    sidecar = make_sidecar(
        request,
        weights=backbone.hashes,
        timings=clock.seconds,
        warnings=said,
        frames_digest=blake3(np.ascontiguousarray(frames).tobytes()).hexdigest(),
    )
    if target is not None:
        write_sidecar(sidecar_path(target), sidecar)
    return Clip(frames=frames, fps=request.fps, request=request, path=target, sidecar=sidecar.text())


def denoise(
    request: Request,
    backbone: Backbone,
    conditions: Conditions,
    prompts: tuple[Tensor, Tensor],
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Clean latents [1, c, t, h, w] of a request; `prompts` are features and pooled of (prompt, negative)."""
    dit, given = backbone.denoiser, conditions.given
    text, pooled = prompts
    contexts = [
        dit.cache_context(text[i : i + 1], conditions.keyframes, conditions.key_times) for i in range(2)
    ]

    def of(which: int) -> Callable[[Tensor, Tensor], Tensor]:
        def velocity(x: Tensor, levels: Tensor) -> Tensor:
            y, _ = dit.step(
                x.to(backbone.dtype), levels, contexts[which], pooled[which : which + 1], conditions.controls
            )
            return y.float()

        return velocity

    known = conditions.known.float()
    generator = torch.Generator().manual_seed(request.seed)
    noise = torch.randn(known.shape, generator=generator).to(backbone.device)
    x = torch.where(given[:, None, None], known, noise)
    times = timesteps(request.steps, shift=shift_for(known[0].numel()))
    model = guided(of(0), of(1), request.guidance, gate=GUIDANCE_INTERVAL)
    return SAMPLERS[request.sampler](model, x, times, levels=with_given(given[None]), on_step=on_step)


def decode(latents: Tensor, backbone: Backbone) -> Iterator[NDArray[np.uint8]]:
    """Latents [1, c, t, h, w] to frames uint8 [n, H, W, 3], a chunk at a time with constant memory."""
    memory = backbone.vae.start()
    for start in range(0, latents.shape[2], DECODE_CHUNK):
        z = latents[:, :, start : start + DECODE_CHUNK].to(backbone.dtype)
        frames = backbone.vae.decode_chunk(z, memory, first=start == 0)[0].float()
        yield ((frames.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 3, 0).cpu().numpy()


class _Clock:
    """Times stages and tells of them; the time left comes from the pace of the longest stage."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self.tell: OnEvent = on_event or (lambda _: None)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: Stage, total: int) -> Iterator[Callable[[int, int], None]]:
        """Within, call the given function with (done, total)."""
        began = time.monotonic()
        self.tell(Started(stage=name, total=total))

        def step(done: int, total: int) -> None:
            pace = (time.monotonic() - began) / max(done, 1)
            self.tell(Progress(stage=name, done=done, total=total, seconds_left=pace * (total - done)))

        yield step
        self.seconds[name] = time.monotonic() - began
        self.tell(Finished(stage=name, seconds=self.seconds[name]))
