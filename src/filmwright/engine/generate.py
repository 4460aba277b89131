"""A request becomes a clip: encode -> denoise -> decode -> write, one verb a stage, whatever the model.

Latents are decoded chunk by chunk, and each chunk is encoded to video while the next one decodes. Noise is drawn on
the CPU in fp32, so that a seed means the same picture on every device. What the denoiser says is kept on disk until
the clip is written, so that a run that dies goes on; see `engine.journal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import OnStep
from filmwright.engine.build_request import check_request
from filmwright.engine.clock import Clock
from filmwright.engine.compiled import check_place
from filmwright.engine.credentials import ClipSeal, credentials_for, inputs_of
from filmwright.engine.journal import Journal, Latents, journal_of
from filmwright.engine.memory import give_back, keep_exact, leave_imported
from filmwright.engine.parallel import agree, join
from filmwright.engine.pictures import crop_findings
from filmwright.engine.plan import plan_for
from filmwright.engine.pocket import PocketRunner, backbone_for
from filmwright.engine.runs import RunRecord, folder_of
from filmwright.engine.sidecar import (
    USELESS,
    Sidecar,
    SignedRecord,
    SoundRecord,
    make_sidecar,
    sidecar_path,
    write_sidecar,
)
from filmwright.engine.workers import is_first
from filmwright.media.beside import check_beside
from filmwright.media.clips import Clip
from filmwright.media.files import check_output
from filmwright.media.sound import fit_sound, stereo
from filmwright.media.video import VideoWriter
from filmwright.spec.clip import Sound
from filmwright.spec.errors import Cancelled
from filmwright.spec.events import OnEvent, Planned, Warned
from filmwright.spec.plan import Strategy
from filmwright.spec.request import Request
from filmwright.spec.words import Finding
from filmwright.version import VERSION
from filmwright.weights.backbone import Backbone
from filmwright.weights.card import load_card

__all__ = ["Runner", "generate_clip", "generate_file", "runner_for"]


Through = Callable[[Denoise], Denoise]
"""What a denoiser passes through on its way to the sampler."""
OnFrames = Callable[[NDArray[np.uint8]], None]
"""Given some frames, uint8 [n, H, W, 3]."""


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

    def denoise(self, request: Request, prepared: Any, on_step: OnStep, through: Through) -> Latents:
        """Clean latents [1, c, t, h, w]; the sampler is given `through(denoiser)`."""

    def sound(self, latents: Latents) -> Sound | None:
        """What is heard, about as long as the picture; None where the model is silent or is to be."""

    def chunks(self, latents: Latents) -> int:
        """How many pieces `decode` gives."""

    def decode(self, latents: Latents) -> Iterator[NDArray[np.uint8]]:
        """Frames uint8 [n, H, W, 3], piece by piece, with constant memory."""


def runner_for(
    model: str, device: str = "cpu", weights: Path | None = None, strategy: Strategy | None = None
) -> Runner:
    """The model called `model`, loaded once a process; `weights` is a folder to take instead of its own.

    Raises:
        WeightsError: its files are missing or damaged.
    """
    family = load_card(model).family
    if family == "wan":
        from filmwright.engine.wan_runner import wan_runner

        return wan_runner(model, device, weights, strategy)
    if family != "pocket":
        from filmwright.engine.diffusers_runner import diffusers_runner

        return diffusers_runner(model, device, weights, strategy)
    return PocketRunner(backbone_for(model, device, weights))


def generate_clip(
    request: Request,
    *,
    path: Path | str | None = None,
    on_event: OnEvent | None = None,
    device: str = "cpu",
    weights: Path | None = None,
    backbone: Backbone | None = None,
    memory: int | None = None,
    sign: bool = True,
    private: bool = False,
    lone: bool = False,
) -> Clip:
    """Makes the clip of a request; with `path`, writes it there too (H.264 in MP4) with its sidecar beside it.

    The file is signed with content credentials as the last step, unless `sign` is false, and so is what the clip is
    saved to later; `private` credentials do not hold words, model, seed and pictures.

    `weights` is a folder to take instead of the model's own, `backbone` a pocket backbone that is loaded already.
    `memory` in bytes is what the run may come to use, of the whole process on a CPU, of the device on a GPU; what is
    free if not given. A `lone` clip is the only one of its process: no net is kept for the next.

    Raises:
        DoesNotFit: it needs more memory than it may use; nothing was loaded.
        BadRequest: the model cannot do what the request asks, or another process makes this very clip.
        Cancelled: the user stopped it; what it has reached is kept.
        CredentialsError: the signing keys are unsafe or cannot be written; nothing was loaded.
        MediaError: the output cannot be written; nothing half written is left.
        WeightsError: the model's files are missing or damaged.
    """
    check_request(request)
    target = None if path is None else _target(request, path)
    frames = np.empty((request.num_frames, request.height, request.width, 3), np.uint8)
    run = _Run(request, target, on_event, device, weights, sign=sign, private=private)
    sidecar = run.make(frames, backbone=backbone, memory=memory, lone=lone)
    seal = None if run.credentials is None else ClipSeal(credentials=run.credentials, sidecar=sidecar)
    return Clip(
        frames=frames,
        fps=request.fps,
        request=request,
        path=target,
        sound=run.sound,
        sidecar=sidecar.text(),
        seal=seal,
    )


def generate_file(
    request: Request,
    path: Path | str,
    *,
    on_event: OnEvent | None = None,
    device: str = "cpu",
    weights: Path | None = None,
    made_with: Mapping[str, str] | None = None,
    proved: Mapping[str, Mapping[str, float]] | None = None,
    memory: int | None = None,
    sign: bool = True,
    private: bool = False,
    on_frames: OnFrames | None = None,
    clips: Mapping[str, tuple[Path, str]] | None = None,
    lone: bool = False,
) -> Sidecar:
    """As `generate_clip` with a path, but the frames are not held: memory does not grow with the clip's length.

    `clips` are, by the path of a picture or clip of the request, the clip that it is of and its title, for credentials.

    `on_frames` is given the frames piece by piece, in order, as they were before they were encoded. `made_with` are the
    weights' hashes of an earlier clip of this request, `proved` its proofs: if weights or attention are others now, a
    warning says so.
    """
    check_request(request)
    target = _target(request, path)
    run = _Run(request, target, on_event, device, weights, on_frames, sign=sign, private=private, clips=clips)
    run.proved = proved or {}
    return run.make(None, made_with=made_with, memory=memory, lone=lone)


class _Run:
    """One clip on its way: plan, load, encode, denoise, decode."""

    def __init__(
        self,
        request: Request,
        target: Path | None,
        on_event: OnEvent | None,
        device: str,
        weights: Path | None,
        on_frames: OnFrames | None = None,
        *,
        sign: bool,
        private: bool,
        clips: Mapping[str, tuple[Path, str]] | None = None,
    ) -> None:
        self.request, self.target, self.weights, self.on_frames = request, target, weights, on_frames
        self.device = join(device)  # several processes make one clip; the first of them speaks and writes
        self.clock = Clock(on_event if is_first() else None, self.device)
        self.said: list[str] = []
        self.proofs: dict[str, dict[str, float]] = {}
        self.sign, self.private = sign, private
        self.signed: SignedRecord | None = None
        self.sound: Sound | None = None
        self.proved: Mapping[str, Mapping[str, float]] = {}  # of an earlier clip of this request
        self.credentials = credentials_for(
            sign=sign and is_first(), private=private, warn=self._warn, clips=clips
        )

    def make(
        self,
        frames: NDArray[np.uint8] | None,
        *,
        backbone: Backbone | None = None,
        made_with: Mapping[str, str] | None = None,
        memory: int | None = None,
        lone: bool = False,
    ) -> Sidecar:
        """Fills `frames` [T, H, W, 3], if they are to be held, and writes the file, if there is a target."""
        runner = self._load(backbone, memory, hold=frames is not None, lone=lone)
        request = self.request
        for finding in (*crop_findings(request), *runner.findings(request)):
            self._warn(finding.code, finding.message)
        if made_with and (others := sorted(k for k, v in runner.hashes.items() if made_with.get(k) != v)):
            names = ", ".join(others)
            self._warn(
                "other-weights",
                f"the weights of {names} are not those of the earlier clip: the frames will differ",
            )
        with torch.inference_mode(), leave_imported():
            if not is_first():
                self._follow(runner)
                return make_sidecar(request, weights=runner.hashes, timings=self.clock.seconds)
            if self.target is None:
                digest = self._decode(runner, self._denoise(runner, Journal(None, self._warn)), frames)
            else:
                digest = self._kept(runner, frames, self.target)
        sidecar = make_sidecar(
            request,
            weights=runner.hashes,
            timings=self.clock.seconds,
            memory=self.clock.peaks,
            proofs=self.proofs,
            warnings=self.said,
            frames_digest=digest,
            sound=None if self.sound is None else SoundRecord.of(self.sound),
            signed=self.signed,
            device=_described(self.device),
        )
        if self.target is not None:
            write_sidecar(sidecar_path(self.target), sidecar)
        return sidecar

    def _load(self, backbone: Backbone | None, memory: int | None, *, hold: bool, lone: bool) -> Runner:
        """The plan, and what it says to load."""
        request, weights = self.request, self.weights
        check_place(request, self.device)
        if backbone is not None:
            with self.clock.stage("load", 1):
                return PocketRunner(backbone)
        plan = plan_for(
            request, device=self.device, weights=weights, budget=memory, hold_frames=hold, lone=lone
        )
        self.clock.tell(Planned(plan=plan))
        check_place(request, self.device, nets=plan.strategy.nets)
        if memory is not None:
            keep_exact()
        with torch.inference_mode(), self.clock.stage("load", 1):
            return runner_for(request.model, self.device, weights, plan.strategy)

    def _kept(self, runner: Runner, frames: NDArray[np.uint8] | None, target: Path) -> str:
        """Denoises and decodes, and keeps what is reached until the file is written."""
        record = RunRecord(
            filmwright=VERSION,
            request=self.request,
            path=target.absolute(),
            device=self.device,
            weights_folder=None if self.weights is None else self.weights.absolute(),
            weights=dict(runner.hashes),
            sign=self.sign,
            private=self.private,
        )
        with journal_of(record, self._warn) as journal:
            agree(journal.kept)
            agree(journal.latents() is not None)
            try:
                return self._decode(runner, self._denoise(runner, journal), frames)
            except KeyboardInterrupt as error:
                more = f"; `filmwright resume {target}` goes on from there" if journal.calls else ""
                raise Cancelled(f"cancelled; nothing half written is left{more}") from error

    def _follow(self, runner: Runner) -> None:
        """What every process but the first does: the same steps, from where the first one's journal has come."""
        journal = Journal(None, self._warn)
        if self.target is not None:
            folder = folder_of(self.request, self.target)
            journal = Journal(folder, self._warn, writes=False)
            journal.kept = agree(0)
            if agree(0):  # denoised already
                return
        self._denoise(runner, journal)

    def _denoise(self, runner: Runner, journal: Journal) -> Latents:
        """Clean latents, from where the journal has come."""
        if (latents := journal.latents()) is not None:
            found = journal.found()
            self._say(found.get("proofs", {}), cold=found.get("cold", False))
            return latents
        request, clock = self.request, self.clock
        with clock.stage("encode", 1):
            prepared = runner.prepare(request)
        self._say(runner.proofs)
        before, now = _attention(self.proved), _attention(runner.proofs)
        if before and now and before != now:
            self._warn(
                "other-attention",
                f"{now} is used where the earlier clip had {before}: the frames will differ a little; "
                "--attention NAME says which is used",
            )
        give_back(self.device)
        card = load_card(request.model)
        steps = card.steps_of(request.num_frames, request.steps)
        with clock.stage("denoise", steps, before=min(journal.kept // card.calls, steps)) as step:
            latents = runner.denoise(request, prepared, step, journal.through)
        cold = bool((request.cache or request.guidance_down_to) and journal.kept)
        self._say(runner.proofs, cold=cold)
        del prepared
        give_back(self.device)
        journal.keep_latents(latents, {"proofs": self.proofs, "cold": cold})
        return latents

    def _say(self, proofs: Mapping[str, Mapping[str, float]], *, cold: bool = False) -> None:
        """What the user should know of how the latents are made, once; `cold` that a cache or a gate began anew."""
        new = [name for name in proofs if name not in self.proofs]
        self.proofs = {name: dict(proof) for name, proof in proofs.items()}
        for name in new:
            if proofs[name].get("dropped"):
                off = proofs[name]["difference"]
                far = f"it was {off:.0%} off the exact result"
                why = far if off < USELESS else "it failed, or gave noise or no numbers"
                self._warn("dropped", f"{name} was dropped: {why}")
        if cold:
            if self.request.cache:
                said = "the cache began anew when the run went on: frames are not to the bit"
            else:
                said = "guidance's end was proved anew when the run went on: frames may not be to the bit"
            self._warn("cache-cold", said)

    def _decode(self, runner: Runner, latents: Latents, frames: NDArray[np.uint8] | None) -> str:
        """The digest of the frames; the sound comes first, and each piece of the picture is encoded to video, with what
        is heard meanwhile, while the next one is decoded.
        """
        request, target = self.request, self.target
        total, start = runner.chunks(latents), 0
        digest = blake3()

        def seal(part: Path) -> None:
            if self.credentials is not None and target is not None:
                self.signed = self.credentials.sign(
                    part, target.name, request, runner.hashes, digest.hexdigest()
                )

        comment = None if self.credentials is None else self.credentials.comment
        files, pool = ExitStack(), ThreadPoolExecutor(1)
        with files, pool, self.clock.stage("decode", total) as step:
            if (sound := runner.sound(latents)) is not None:
                self.sound = sound = fit_sound(sound, request.shape.seconds)
                give_back(self.device)
            heard = np.empty((2, 0), np.float32) if sound is None else stereo(sound.samples)
            rate = None if sound is None else sound.rate
            video = None
            if target is not None:
                video = VideoWriter(
                    target, request.width, request.height, request.fps,
                    audio_rate=rate, comment=comment, seal=seal,
                )  # fmt: skip
                files.enter_context(video)
            writing: Future[None] | None = None
            for i, piece in enumerate(runner.decode(latents)):
                if not len(piece):  # a strip that waits for the last one: no frame is whole yet
                    step(i + 1, total)
                    continue
                if writing is not None:
                    writing.result()  # one piece waits, not many: an encoder may be slower than the net
                digest.update(np.ascontiguousarray(piece).data)
                if frames is not None:
                    frames[start : start + len(piece)] = piece
                before, start = start, start + len(piece)
                if self.on_frames is not None:
                    self.on_frames(piece)
                if video is not None:
                    first, last = (round(at / request.fps * (rate or 0)) for at in (before, start))
                    writing = pool.submit(_write, video, piece, heard[:, first:last])
                step(i + 1, total)
            if writing is not None:
                writing.result()
        self._say(self.proofs | dict(runner.proofs))  # what decoding has proved
        assert start == request.num_frames
        return digest.hexdigest()

    def _warn(self, code: str, message: str) -> None:
        self.said.append(message)
        self.clock.tell(Warned(code=code, message=message))


def _target(request: Request, path: Path | str) -> Path:
    """Where a clip goes, once it is seen that it and its sidecar can be written there."""
    target = check_output(path, suffixes=(".mp4",))
    check_beside(target, inputs_of(request))
    return target


def _described(device: str) -> str:
    """A device as frames depend on it: the GPU's name, or the instructions of a CPU."""
    if device == "cpu":
        return f"cpu, {torch.backends.cpu.get_cpu_capability()}"
    return torch.cuda.get_device_name(device)


def _write(video: VideoWriter, frames: NDArray[np.uint8], sound: NDArray[np.float32]) -> None:
    """Writes frames and what is heard meanwhile [2, n]."""
    video.write(frames)
    if sound.shape[1]:
        video.write_audio(sound)


def _attention(proofs: Mapping[str, Mapping[str, float]]) -> str | None:
    """The attention that was used, if proofs tell."""
    used = (
        name for name, proof in proofs.items() if name.startswith("attention ") and not proof.get("dropped")
    )
    return next(used, None)
