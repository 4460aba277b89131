"""Trains the VAE on crops of true clips, without pretrained nets or an adversary.

Loss: Charbonnier + multi-scale L1 + L1 of spatial and temporal differences, a hold on the latents' mean and variance,
and noise on the latents while the decoder learns, so that it forgives imperfect latents later (LTX-Video; Unified
Latents). Half of the crops are taken where the subject is, and its pixels weigh more: small coloured things are what
the eye looks for first, and a mean over floors and skies does not see them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from filmwright.data.live import LiveClips, LiveWorld
from filmwright.data.shards import Shards
from filmwright.models.catalog import size
from filmwright.models.vae import GROUP, VAE
from filmwright.spec.errors import BadRequest
from filmwright.training.loop import LoopConfig, run, wants_compile
from filmwright.training.processes import Rank, joined
from filmwright.training.sharding import cut

__all__ = ["VAEObjective", "VAETraining", "train_vae"]

CROP = 64
LENGTHS = (9, 9, 9, 17, 5)
LATENT_NOISE = 0.2
MEASURED_CLIPS = 16


@dataclass(frozen=True, kw_only=True)
class VAETraining:
    """What to train on and from where."""

    data: Path | LiveWorld  # a folder of shards, or clips that are simulated as it goes
    held_out: Path | None = (
        None  # shards to measure on; if not given the first clips of `data`, or validation clips
    )
    size: str = "lite"
    init: Path | None = None  # a VAE's safetensors to go on from
    decoder_only: bool = False  # latents stay as they are: the denoiser need not be trained again
    latent_noise: float = LATENT_NOISE  # most noise on the latents that the decoder sees, in their deviations
    crop: int = CROP
    subject_weight: float = 3.0  # how much more a pixel counts within the subject's box


class VAEObjective:
    """The VAE, its crops and its loss."""

    def __init__(self, training: VAETraining, config: LoopConfig, rank: Rank) -> None:
        torch.manual_seed(config.seed)
        self.training, self.config = training, config
        self.device = rank.device
        self.vae = VAE(size(training.size).vae)
        if training.init is not None:
            from filmwright.weights.files import load_net

            load_net(self.vae, training.init)
        self.vae.to(self.device)
        if not config.shard:  # parts of a tensor are contiguous
            self.vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.vae.encoder.requires_grad_(not training.decoder_only)
        self.modules: dict[str, nn.Module] = {"vae": self.vae}
        self.clips: Shards | LiveClips
        if isinstance(training.data, LiveWorld):
            process = (rank.index, rank.count)
            self.clips = LiveClips(training.data, device=str(self.device), process=process)
            self.train: list[int] = []
            frames = training.data.num_frames
        else:
            self.clips = Shards(training.data)
            self.train = self.clips.select("train")
            if not self.train:
                raise BadRequest(
                    f"none of the {len(self.clips)} clips of {training.data} is for training: make some with "
                    "`filmwright world shards --split train`"
                )
            frames = len(self.clips.frames(0))
        self.lengths = [n for n in LENGTHS if n <= frames] or [frames]
        # on a CPU nearly all time goes into convolutions, which compiling leaves as they are
        compiled = wants_compile(config, on_cpu=False)
        self._loss = torch.compile(self._parts, dynamic=False) if compiled else self._parts

    def cut(self, mesh: DeviceMesh) -> None:
        """Encoder and decoder, each whole while it runs."""
        cut([self.vae.encoder, self.vae.decoder], mesh)

    def close(self) -> None:
        """Ends the processes that simulate clips."""
        if isinstance(self.clips, LiveClips):
            self.clips.stream.close()

    def loss(self, step: int, rank: Rank) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruction of a batch of crops drawn from (seed, step)."""
        if isinstance(self.clips, LiveClips):
            self.clips.refresh(step)
            self.train = self.clips.select("train")
        rng = np.random.default_rng((self.config.seed, step))
        length = self.lengths[step % len(self.lengths)]
        count = max(1, self.config.batch * 9 // length) // rank.count * rank.count or rank.count
        crops, weights = zip(*(self._crop(rng, length) for _ in range(count)), strict=True)
        noise = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        cells = (length - 1) // GROUP + 1
        channels = self.vae.config.latent_channels
        side = self.training.crop // 16
        z_noise = torch.randn(count, cells, channels, side, side, generator=noise)
        strength = self.training.latent_noise * torch.rand(count, 1, 1, 1, 1, generator=noise)
        rows = slice(rank.index * (count // rank.count), (rank.index + 1) * (count // rank.count))
        pixels = torch.from_numpy(np.stack(crops[rows])).to(self.device)
        weight = torch.from_numpy(np.stack(weights[rows])).to(self.device)
        loss, parts = self._loss(
            pixels, weight / np.mean(weights), (z_noise * strength)[rows].to(self.device)
        )
        return loss, dict(zip(("l1", "scales", "edges", "motion", "hold"), parts, strict=True))

    def _parts(self, pixels: Tensor, weight: Tensor, noise: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pixels uint8 [b, t, h, w, 3], their weight [b, t, 1, h, w], noise for the latents [b, n, c, h, w]."""
        x = pixels.permute(0, 1, 4, 2, 3).float() / 127.5 - 1  # [b, t, 3, h, w]
        padded = torch.cat([x[:, :1].expand(-1, GROUP - 1, -1, -1, -1), x], dim=1)
        z = self.vae.normalise(self.vae.encoder(padded, [None] * self.vae.encoder.num_memories).float())
        if self.training.decoder_only:
            z = z.detach()
        y = self.vae.decoder(self.vae.denormalise(z + noise), self.vae.start())[:, GROUP - 1 :].float()
        error = y - x
        l1 = ((error.square() + 1e-4).sqrt() * weight).mean()
        flat = (error * weight).flatten(0, 1)
        scales = F.avg_pool2d(flat, 2).abs().mean() + F.avg_pool2d(flat, 4).abs().mean()
        edges = (flat[..., 1:] - flat[..., :-1]).abs().mean() + (
            flat[..., 1:, :] - flat[..., :-1, :]
        ).abs().mean()
        motion = ((error[:, 1:] - error[:, :-1]) * weight[:, 1:]).abs().mean()
        mean, var = z.mean((0, 1, 3, 4)), z.var((0, 1, 3, 4))
        hold = mean.square().mean() + (var + 1e-4).log().square().mean()
        loss = l1 + 0.5 * scales + 0.5 * edges + 0.25 * motion + 0.02 * hold
        return loss, (l1, scales, edges, motion, hold)

    def _crop(self, rng: np.random.Generator, length: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A random crop uint8 [length, crop, crop, 3], half around the subject, half mirrored, and its weights.

        Weights are float32 [length, 1, crop, crop]: 1, and more within the subject's box.
        """
        index = self.train[int(rng.integers(len(self.train)))]
        frames = self.clips.frames(index)
        t, h, w = frames.shape[:3]
        start = int(rng.integers(t - length + 1))
        side = self.training.crop
        y, x = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
        boxes = self.clips.truth(index)["boxes"][start : start + length]
        box = boxes[length // 2]
        if rng.random() < 0.5 and not np.isnan(box[0]):
            centre_x, centre_y = (box[0] + box[2]) / 2 * w, (box[1] + box[3]) / 2 * h
            x = int(np.clip(centre_x - side * rng.random(), 0, w - side))
            y = int(np.clip(centre_y - side * rng.random(), 0, h - side))
        crop = frames[start : start + length, y : y + side, x : x + side]
        weight = np.ones((length, 1, side, side), np.float32)
        for i, (x0, y0, x1, y1) in enumerate(boxes * (w, h, w, h) - (x, y, x, y)):
            if x1 > 0 and y1 > 0:  # false for NaN: unseen
                rows, columns = (
                    slice(max(int(y0), 0), max(int(y1), 0)),
                    slice(max(int(x0), 0), max(int(x1), 0)),
                )
                weight[i, 0, rows, columns] += self.training.subject_weight
        if rng.random() < 0.5:
            crop, weight = crop[:, :, ::-1], weight[..., ::-1]
        return np.ascontiguousarray(crop), np.ascontiguousarray(weight)

    @cached_property
    def held_out(self) -> list[NDArray[np.uint8]]:
        """Frames uint8 [T, H, W, 3] of the clips that are measured on."""
        if self.training.held_out is None and isinstance(self.clips, LiveClips):
            return [clip.frames for clip in self.clips.stream.validation(MEASURED_CLIPS)]
        shards = self.clips if self.training.held_out is None else Shards(self.training.held_out)
        return [shards.frames(i) for i in range(min(MEASURED_CLIPS, len(shards)))]

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB over whole held-out clips."""
        values = []
        for frames in self.held_out:
            x = self._whole(frames)
            y = self.vae.decode(self.vae.encode(x)).float().clamp(-1, 1)
            values.append(-10 * math.log10(float((y - x).square().mean()) / 4))
        return {"psnr": float(np.mean(values))}

    def sample(self, path: Path, *, writes: bool) -> None:
        """True frames above, decoded frames below, for four held-out clips."""
        from PIL import Image

        rows = []
        for frames in self.held_out[:4]:
            x = self._whole(frames)
            y = self.vae.decode(self.vae.encode(x)).float().clamp(-1, 1)
            for v in (x, y):
                picked = v[0, :, torch.linspace(0, v.shape[2] - 1, 5).long()]  # [3, 5, h, w]
                rows.append(((picked + 1) * 127.5).round().byte().permute(2, 1, 3, 0).flatten(1, 2).cpu())
        if writes:
            Image.fromarray(torch.cat(rows).numpy()).save(path)

    def _whole(self, frames: NDArray[np.uint8]) -> Tensor:
        """Pixels [1, 3, t, h, w] of a clip, -1..1."""
        pixels = torch.from_numpy(np.array(frames)).to(self.device)
        return pixels.permute(3, 0, 1, 2)[None].float() / 127.5 - 1

    @torch.no_grad()
    def measure_latents(self, vae: VAE, clips: int = 128) -> None:
        """Sets the mean and deviation a channel of a trained `vae` from true clips."""
        if self.training.decoder_only:
            return
        if isinstance(self.clips, LiveClips) and not self.train:  # a finished run, started once more
            self.clips.refresh(0)
            self.train = self.clips.select("train")
        rng = np.random.default_rng(self.config.seed)
        chosen = rng.choice(self.train, size=min(clips, len(self.train)), replace=False)
        with torch.autocast(self.device.type, torch.bfloat16):
            z = torch.cat([vae.encode(self._whole(self.clips.frames(int(i)))).float() for i in chosen])
        mean, std = z.mean((0, 2, 3, 4)), z.std((0, 2, 3, 4))
        vae.mean += mean * vae.std
        vae.std *= std


def train_vae(training: VAETraining, config: LoopConfig) -> dict[str, float]:
    """Trains, measures the latents' statistics, and writes `out/vae.safetensors`; returns held-out figures.

    Raises:
        BadRequest: no clips, a run folder in use, or a batch or device that the processes cannot share.
        WeightsError: `init` is not a VAE of this size.
    """
    from filmwright.training.checkpoint import NAME, averaged_weights
    from filmwright.weights.files import write_weights

    with joined(config.device, config.threads) as rank:
        objective = VAEObjective(training, config, rank)
        try:
            figures = run(objective, config, rank)
            if rank.index == 0:
                vae = VAE(size(training.size).vae)
                ema = averaged_weights(config.out / NAME)
                vae.load_state_dict({k.removeprefix("vae."): v for k, v in ema.items()})
                vae.to(rank.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                objective.measure_latents(vae)
                write_weights(
                    config.out / "vae.safetensors",
                    vae.state_dict(),
                    note={"net": "vae", "size": training.size} | figures,
                )
        finally:
            objective.close()
    return figures
