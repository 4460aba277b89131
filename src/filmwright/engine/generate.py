"""A request becomes a clip: encode -> denoise -> decode -> write, one verb a stage, whatever the model.

Latents are decoded chunk by chunk, and each chunk is encoded to video while the next one decodes. Noise is drawn on
the CPU in fp32, so that a seed means the same picture on every device. What the denoiser says is kept on disk until
the clip is written, so that a run that dies goes on; see `engine.journal`.
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

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import OnStep
from filmwright.engine.build_request import check_device, check_request
from filmwright.engine.journal import Journal, journal_of
from filmwright.engine.memory import give_back, keep_exact, peak, start_peak
from filmwright.engine.plan import plan_for
from filmwright.engine.pocket import PocketRunner, backbone_for
from filmwright.engine.runs import RunRecord
from filmwright.engine.sidecar import make_sidecar, sidecar_path, write_sidecar
from filmwright.media.clips import Clip
from filmwright.media.files import check_output
from filmwright.media.video import VideoWriter
from filmwright.spec.errors import BadRequest, Cancelled
from filmwright.spec.events import Finished, OnEvent, Planned, Progress, Stage, Started, Warned
from filmwright.spec.plan import Strategy
from filmwright.spec.request import Request
from filmwright.spec.words import Finding
from filmwright.version import VERSION
from filmwright.weights.backbone import Backbone
from filmwright.weights.card import load_card

__all__ = ["Runner", "generate_clip", "pick_device", "runner_for"]


Through = Callable[[Denoise], Denoise]
"""What a denoiser passes through on its way to the sampler."""


class Runner(Protocol):
    """A loaded model, as a run needs it."""

    @property
    def hashes(self) -> dict[str, str]:
        """Weights -> SHA-256."""

    @property
    def proofs(self) -> Mapping[str, Mapping[str, float]]:
        """How far each inexact means of the last `denoise` was from the exact one."""

    def findings(self, request: Request) -> Sequence[Finding]:
        """What the user should know of the prompt before the run."""

    def prepare(self, request: Request) -> Any:
        """Words and controls as tensors, for `denoise`."""

    def denoise(self, request: Request, prepared: Any, on_step: OnStep, through: Through) -> Tensor:
        """Clean latents [1, c, t, h, w]; the sampler is given `through(denoiser)`."""

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


def runner_for(
    model: str, device: str = "cpu", weights: Path | None = None, strategy: Strategy | None = None
) -> Runner:
    """The model called `model`, loaded once a process; `weights` is a folder to take instead of its own.

    Raises:
        WeightsError: its files are missing or damaged.
    """
    if load_card(model).family == "wan":
        from filmwright.engine.wan import wan_runner

        return wan_runner(model, device, weights, strategy)
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
    memory: int | None = None,
) -> Clip:
    """Makes the clip of a request; with `path`, writes it there (H.264 in MP4) with its sidecar beside it.

    `weights` is a folder to take instead of the model's own, `backbone` a pocket backbone that is loaded already;
    `made_with` are the weights' hashes of an earlier clip of this request: if they are others now, a warning says so.
    `memory` in bytes is what the run may come to use, of the whole process on a CPU, of the device on a GPU; what is
    free if not given.

    Raises:
        DoesNotFit: it needs more memory than it may use; nothing was loaded.
        BadRequest: the model cannot do what the request asks, or another process makes this very clip.
        Cancelled: the user stopped it; what it has reached is kept.
        MediaError: the output cannot be written; nothing half written is left.
        WeightsError: the model's files are missing or damaged.
    """
    check_request(request)
    target = check_output(path, suffixes=(".mp4",)) if path is not None else None
    clock = _Clock(on_event, device)
    plan = None
    if backbone is None:
        plan = plan_for(request, device=device, weights=weights, budget=memory)
        clock.tell(Planned(plan=plan))
        keep_exact()
    with torch.inference_mode():
        with clock.stage("load", 1):
            runner = (
                PocketRunner(backbone)
                if backbone
                else runner_for(request.model, device, weights, plan.strategy if plan else None)
            )
        warnings = runner.findings(request)
        for finding in warnings:
            clock.tell(Warned(code=finding.code, message=finding.message))
        said = [finding.message for finding in warnings]
        if made_with and (others := sorted(k for k, v in runner.hashes.items() if made_with.get(k) != v)):
            said.append(
                f"the weights of {', '.join(others)} are not those of the earlier clip: the frames will differ"
            )
            clock.tell(Warned(code="other-weights", message=said[-1]))
        if target is None:
            latents = _denoise(runner, request, clock, Journal(None, _warn(clock, said)))
            frames = _decode(runner, request, latents, clock, None)
        else:
            record = RunRecord(
                filmwright=VERSION,
                request=request,
                path=target.absolute(),
                device=device,
                weights_folder=None if weights is None else weights.absolute(),
                weights=runner.hashes,
            )
            with journal_of(record, _warn(clock, said)) as journal:
                try:
                    latents = _denoise(runner, request, clock, journal)
                    frames = _decode(runner, request, latents, clock, target)
                except KeyboardInterrupt as error:
                    more = f"; `filmwright resume {path}` goes on from there" if journal.calls else ""
                    raise Cancelled(f"cancelled; nothing half written is left{more}") from error
    sidecar = make_sidecar(
        request,
        weights=runner.hashes,
        timings=clock.seconds,
        memory=clock.peaks,
        proofs=runner.proofs,
        warnings=said,
        frames_digest=blake3(np.ascontiguousarray(frames).tobytes()).hexdigest(),
    )
    if target is not None:
        write_sidecar(sidecar_path(target), sidecar)
    return Clip(frames=frames, fps=request.fps, request=request, path=target, sidecar=sidecar.text())


def _warn(clock: _Clock, said: list[str]) -> Callable[[str, str], None]:
    def tell(code: str, message: str) -> None:
        said.append(message)
        clock.tell(Warned(code=code, message=message))

    return tell


def _denoise(runner: Runner, request: Request, clock: _Clock, journal: Journal) -> Tensor:
    """Clean latents [1, c, t, h, w], from where the journal has come."""
    if (latents := journal.latents()) is not None:
        return latents
    with clock.stage("encode", 1):
        prepared = runner.prepare(request)
    give_back(clock.device)
    with clock.stage("denoise", request.steps, before=min(journal.kept, request.steps)) as step:
        latents = runner.denoise(request, prepared, step, journal.through)
    if runner.proofs.get("cache", {}).get("dropped"):
        off = runner.proofs["cache"]["difference"]
        journal.tell(
            "cache-dropped",
            f"--cache {request.cache:g} was dropped: the pass that it would have saved first was {off:.0%} off",
        )
    if request.cache and journal.kept:
        journal.tell("cache-cold", "the cache began anew when the run went on: the frames are not to the bit")
    del prepared
    give_back(clock.device)
    journal.keep_latents(latents)
    return latents


def _decode(
    runner: Runner, request: Request, latents: Tensor, clock: _Clock, target: Path | None
) -> NDArray[np.uint8]:
    """Frames uint8 [T, H, W, 3]; with `target`, each piece is encoded to video while the next is decoded."""
    result = np.empty((request.num_frames, request.height, request.width, 3), np.uint8)
    writer = VideoWriter(target, request.width, request.height, request.fps) if target else nullcontext()
    total = runner.chunks(latents)
    with writer as video, ThreadPoolExecutor(1) as pool, clock.stage("decode", total) as step:
        written, start = [], 0
        for i, frames in enumerate(runner.decode(latents)):
            part = result[start : start + len(frames)]
            part[:] = frames
            start += len(frames)
            if video is not None:
                written.append(pool.submit(video.write, part))
            step(i + 1, total)
        for job in written:
            job.result()
    assert start == len(result)
    return result


class _Clock:
    """Times stages and tells of them; the time left comes from the pace of the longest stage."""

    def __init__(self, on_event: OnEvent | None, device: str) -> None:
        self.device = device
        self.tell: OnEvent = on_event or (lambda _: None)
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {}  # bytes in use at most, a stage

    @contextmanager
    def stage(self, name: Stage, total: int, before: int = 0) -> Iterator[Callable[[int, int], None]]:
        """Within, call the given function with (done, total); `before` steps are done already and take no time."""
        began = time.monotonic()
        start_peak(self.device)
        self.tell(Started(stage=name, total=total))

        def step(done: int, total: int) -> None:
            pace = (time.monotonic() - began) / max(done - before, 1)
            self.tell(Progress(stage=name, done=done, total=total, seconds_left=pace * (total - done)))

        yield step
        self.seconds[name] = time.monotonic() - began
        self.peaks[name] = peak(self.device)
        self.tell(Finished(stage=name, seconds=self.seconds[name]))
