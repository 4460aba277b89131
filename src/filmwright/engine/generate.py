"""A request becomes a clip: encode -> denoise -> decode -> write, one verb a stage, whatever the model.

Latents are decoded chunk by chunk, and each chunk is encoded to video while the next one decodes. Noise is drawn on
the CPU in fp32, so that a seed means the same picture on every device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor

from filmwright.diffusion.samplers import OnStep
from filmwright.engine.build_request import check_device, check_request
from filmwright.engine.pocket import PocketRunner, backbone_for
from filmwright.engine.sidecar import make_sidecar, sidecar_path, write_sidecar
from filmwright.media.clips import Clip
from filmwright.media.files import check_output
from filmwright.media.video import VideoWriter
from filmwright.spec.errors import BadRequest
from filmwright.spec.events import Finished, OnEvent, Progress, Stage, Started, Warned
from filmwright.spec.request import Request
from filmwright.spec.words import Finding
from filmwright.weights.backbone import Backbone
from filmwright.weights.card import load_card

__all__ = ["Runner", "generate_clip", "pick_device", "runner_for"]


class Runner(Protocol):
    """A loaded model, as a run needs it."""

    @property
    def hashes(self) -> dict[str, str]:
        """Weights -> SHA-256."""

    def findings(self, request: Request) -> Sequence[Finding]:
        """What the user should know of the prompt before the run."""

    def prepare(self, request: Request) -> Any:
        """Words and controls as tensors, for `denoise`."""

    def denoise(self, request: Request, prepared: Any, on_step: OnStep) -> Tensor:
        """Clean latents [1, c, t, h, w]."""

    def chunks(self, latents: Tensor) -> int:
        """How many pieces `decode` gives."""

    def decode(self, latents: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Frames uint8 [n, H, W, 3], piece by piece, with constant memory."""


def pick_device(device: str | None) -> str:
    """The device asked for; a GPU where there is one, else the CPU, when None.

    Raises:
        BadRequest: no such device, or a GPU where there is none.
    """
    check_device(device)
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise BadRequest(f"there is no {device} on this machine: {torch.cuda.device_count()} GPUs are found")
    return device


def runner_for(model: str, device: str = "cpu", weights: Path | None = None) -> Runner:
    """The model called `model`, loaded once a process; `weights` is a folder to take instead of its own.

    Raises:
        WeightsError: its files are missing or damaged.
    """
    if load_card(model).family == "wan":
        from filmwright.engine.wan import wan_runner

        return wan_runner(model, device, weights)
    return PocketRunner(backbone_for(model, device, weights))


def generate_clip(
    request: Request,
    *,
    path: Path | str | None = None,
    on_event: OnEvent | None = None,
    device: str = "cpu",
    weights: Path | None = None,
    backbone: Backbone | None = None,
    made_with: Mapping[str, str] | None = None,
) -> Clip:
    """Makes the clip of a request; with `path`, writes it there (H.264 in MP4) with its sidecar beside it.

    `weights` is a folder to take instead of the model's own, `backbone` a pocket backbone that is loaded already;
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
            runner = PocketRunner(backbone) if backbone else runner_for(request.model, device, weights)
        warnings = runner.findings(request)
        for finding in warnings:
            clock.tell(Warned(code=finding.code, message=finding.message))
        said = [finding.message for finding in warnings]
        if made_with and (others := sorted(k for k, v in runner.hashes.items() if made_with.get(k) != v)):
            said.append(
                f"the weights of {', '.join(others)} are not those of the earlier clip: the frames will differ"
            )
            clock.tell(Warned(code="other-weights", message=said[-1]))
        with clock.stage("encode", 1):
            prepared = runner.prepare(request)
        with clock.stage("denoise", request.steps) as step:
            latents = runner.denoise(request, prepared, step)
        chunks: list[NDArray[np.uint8]] = []
        writer = VideoWriter(target, request.width, request.height, request.fps) if target else nullcontext()
        total = runner.chunks(latents)
        with writer as video, ThreadPoolExecutor(1) as pool, clock.stage("decode", total) as step:
            written = []
            for i, frames in enumerate(runner.decode(latents)):
                chunks.append(frames)
                if video is not None:
                    written.append(pool.submit(video.write, frames))
                step(i + 1, total)
            for job in written:
                job.result()
    frames = np.concatenate(chunks)
    sidecar = make_sidecar(
        request,
        weights=runner.hashes,
        timings=clock.seconds,
        warnings=said,
        frames_digest=blake3(np.ascontiguousarray(frames).tobytes()).hexdigest(),
    )
    if target is not None:
        write_sidecar(sidecar_path(target), sidecar)
    return Clip(frames=frames, fps=request.fps, request=request, path=target, sidecar=sidecar.text())


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
