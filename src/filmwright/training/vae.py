"""Trains the VAE on crops of true clips, without pretrained nets or an adversary.

Loss: Charbonnier + multi-scale L1 + L1 of spatial and temporal differences, a hold on the latents' mean and variance,
and noise on the latents while the decoder learns, so that it forgives imperfect latents later (LTX-Video; Unified
Latents). Half of the crops are taken where the subject is, and its pixels weigh more: small coloured things are what
the eye looks for first, and a mean over floors and skies does not see them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from filmwright.data.shards import Shards
from filmwright.models.catalog import size
from filmwright.models.vae import GROUP, VAE
from filmwright.training.loop import LoopConfig, Rank, is_first_process, run, wants_compile

__all__ = ["VAEObjective", "VAETraining", "train_vae"]

CROP = 64
LENGTHS = (9, 9, 9, 17, 5)
LATENT_NOISE = 0.2


@dataclass(frozen=True, kw_only=True)
class VAETraining:
    """What to train on and from where."""

    data: Path
    held_out: Path | None = None  # shards to measure on; the first clips of `data` if not given
    size: str = "lite"
    init: Path | None = None  # a VAE's safetensors to go on from
    decoder_only: bool = False  # latents stay as they are: the denoiser need not be trained again
    latent_noise: float = LATENT_NOISE  # most noise on the latents that the decoder sees, in their deviations
    crop: int = CROP
    subject_weight: float = 3.0  # how much more a pixel counts within the subject's box


class VAEObjective:
    """The VAE, its crops and its loss."""

    def __init__(self, training: VAETraining, config: LoopConfig) -> None:
        torch.manual_seed(config.seed)
        self.training, self.config = training, config
        self.device = torch.device(config.device)
        self.vae = VAE(size(training.size).vae)
        if training.init is not None:
            from filmwright.weights.files import load_net

            load_net(self.vae, training.init)
        self.vae.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.vae.encoder.requires_grad_(not training.decoder_only)
        self.modules: dict[str, nn.Module] = {"vae": self.vae}
        self.shards = Shards(training.data)
        self.train = self.shards.select("train")
        self.others = self.shards if training.held_out is None else Shards(training.held_out)
        self.held_out = list(range(min(16, len(self.others))))
        frames = len(self.shards.frames(0))
        self.lengths = [n for n in LENGTHS if n <= frames] or [frames]
        # on a CPU nearly all time goes into convolutions, which compiling leaves as they are
        compiled = wants_compile(config, on_cpu=False)
        self._loss = torch.compile(self._parts, dynamic=False) if compiled else self._parts

    def loss(self, step: int, rank: Rank) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruction of a batch of crops drawn from (seed, step)."""
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
        frames = self.shards.frames(index)
        t, h, w = frames.shape[:3]
        start = int(rng.integers(t - length + 1))
        side = self.training.crop
        y, x = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
        boxes = self.shards.truth(index)["boxes"][start : start + length]
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

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB over whole held-out clips, and the spread of the latents."""
        values = []
        for index in self.held_out:
            x = self._whole(self.others, index)
            y = self.vae.decode(self.vae.encode(x)).float().clamp(-1, 1)
            values.append(-10 * math.log10(float((y - x).square().mean()) / 4))
        return {"psnr": float(np.mean(values))}

    def sample(self, path: Path) -> None:
        """True frames above, decoded frames below, for four held-out clips."""
        from PIL import Image

        rows = []
        for index in self.held_out[:4]:
            x = self._whole(self.others, index)
            y = self.vae.decode(self.vae.encode(x)).float().clamp(-1, 1)
            for v in (x, y):
                picked = v[0, :, torch.linspace(0, v.shape[2] - 1, 5).long()]  # [3, 5, h, w]
                rows.append(((picked + 1) * 127.5).round().byte().permute(2, 1, 3, 0).flatten(1, 2).cpu())
        Image.fromarray(torch.cat(rows).numpy()).save(path)

    def _whole(self, shards: Shards, index: int) -> Tensor:
        frames = torch.from_numpy(np.array(shards.frames(index))).to(self.device)
        return frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1

    @torch.no_grad()
    def measure_latents(self, clips: int = 128) -> None:
        """Sets the VAE's mean and deviation a channel from true clips."""
        if self.training.decoder_only:
            return
        rng = np.random.default_rng(self.config.seed)
        chosen = rng.choice(self.train, size=min(clips, len(self.train)), replace=False)
        with torch.autocast(self.device.type, torch.bfloat16):
            z = torch.cat([self.vae.encode(self._whole(self.shards, int(i))).float() for i in chosen])
        mean, std = z.mean((0, 2, 3, 4)), z.std((0, 2, 3, 4))
        self.vae.mean += mean * self.vae.std
        self.vae.std *= std


def train_vae(training: VAETraining, config: LoopConfig) -> dict[str, float]:
    """Trains, measures the latents' statistics, and writes `out/vae.safetensors`; returns held-out figures.

    Raises:
        BadRequest: no clips, or a run folder in use.
        WeightsError: `init` is not a VAE of this size.
    """
    from filmwright.training.checkpoint import NAME, load_checkpoint
    from filmwright.weights.files import write_weights

    objective = VAEObjective(training, config)
    figures = run(objective, config)
    if not is_first_process():
        return figures
    ema = {f"vae.{k}": v.detach().clone().float() for k, v in objective.vae.state_dict().items()}
    load_checkpoint(config.out / NAME, objective.modules, ema)
    objective.vae.load_state_dict({k.removeprefix("vae."): v for k, v in ema.items()})
    objective.measure_latents()
    write_weights(
        config.out / "vae.safetensors",
        objective.vae.state_dict(),
        note={"net": "vae", "size": training.size} | figures,
    )
    return figures
