"""True clips as latents: each clip is encoded once, and what the denoiser learns from fits in memory (65 KB a clip)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from filmwright.data.clips import SimulatedClip, clip_of
from filmwright.data.shards import Shards
from filmwright.models.vae import GROUP, VAE
from filmwright.spec.errors import BadRequest, listed
from filmwright.spec.shapes import SPATIAL_FACTOR
from filmwright.training.processes import own_device
from filmwright.training.truth import labels_of_script
from filmwright.weights.tokenizer import Tokenizer

__all__ = ["LatentSet", "encode_clips", "encode_shards", "last_frames", "ready", "track_controls"]

NEEDED = {
    "latents",
    "last",
    "camera",
    "weight",
    "tokens",
    "labels",
    "tracks",
    "seen",
    "held_out",
    "validation",
}

log = logging.getLogger(__name__)


def last_frames(num_frames: int) -> Tensor:
    """The last frame of each latent frame: 0, 4, 8, ... ; cameras and tracks are sampled there."""
    return torch.arange(0, num_frames, GROUP)


def encode_shards(
    shards: Shards,
    vae: VAE,
    tokenizer: Tokenizer,
    out: Path,
    *,
    length: int,
    device: str = "cpu",
    batch: int = 4,
    process: tuple[int, int] = (0, 1),
) -> int:
    """Writes `out/latents-00000.safetensors` ... for shards not yet encoded; returns the number of clips.

    `process` is (which, of how many): each takes every n-th shard, on a GPU of its own where `device` is cuda.

    Keys: latents f16 [n,c,t,h,w], last f16 [n,c,h,w] (the last frame alone, as a keyframe), camera f16 [n,26,t,h,w],
    weight f16 [n,t,h,w] (share of each cell in the subject's box), tokens i16 [n,captions,length], labels i16 [n,10]
    (`truth.LABELS`), tracks f32 [n,p,t,2] in cells, seen bool [n,p,t], held_out and validation bool [n].
    """
    out.mkdir(parents=True, exist_ok=True)
    vae = ready(vae, own_device(device, os.environ))
    began, done = time.monotonic(), 0
    for shard in sorted({r.shard for r in shards.records})[process[0] :: process[1]]:
        target = out / f"latents-{shard:05d}.safetensors"
        indices = [r.index for r in shards.records if r.shard == shard]
        if target.exists():
            done += len(indices)
            continue
        parts = [
            encode_clips(
                [clip_of(shards, i) for i in indices[first : first + batch]], vae, tokenizer, length=length
            )
            for first in range(0, len(indices), batch)
        ]
        aside = out / f".{target.name}"
        save_file({k: torch.cat([part[k] for part in parts]) for k in parts[0]}, aside)
        aside.replace(target)
        done += len(indices)
        log.info("encoded %d clips, %.1f clips/s", done, done / (time.monotonic() - began))
    return done


def ready(vae: VAE, device: str) -> VAE:
    """The VAE as clips are encoded with it: bf16, channels last, on its device."""
    vae = vae.eval().to(device, torch.bfloat16)
    return vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@torch.inference_mode()
def encode_clips(
    clips: Sequence[SimulatedClip], vae: VAE, tokenizer: Tokenizer, *, length: int
) -> dict[str, Tensor]:
    """All that the denoiser learns from some clips, on the CPU: the keys of `encode_shards`. `vae` is `ready`."""
    from filmwright.world.rays import camera_channels

    parts: dict[str, list[Tensor]] = {k: [] for k in ("camera", "weight", "tracks", "seen")}
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(vae.mean.device)
    x = frames.permute(0, 4, 1, 2, 3).to(torch.bfloat16) / 127.5 - 1  # [b, 3, t, h, w]
    z = vae.encode(x)
    rows, columns = z.shape[-2:]
    at = last_frames(frames.shape[1])
    for clip in clips:
        camera = camera_channels(clip.camera, rows, columns, stride=GROUP)  # [t, 26, h, w]
        parts["camera"].append(torch.from_numpy(camera).transpose(0, 1).half())
        parts["weight"].append(box_weight(torch.from_numpy(clip.truth["boxes"])[at], rows, columns).half())
        parts["tracks"].append(torch.from_numpy(clip.truth["tracks"])[:, at] / SPATIAL_FACTOR)
        parts["seen"].append(torch.from_numpy(clip.truth["seen"])[:, at])
    tokens = np.stack([tokenizer.encode_batch(list(clip.captions), length) for clip in clips])
    return {
        "latents": z.half().cpu().contiguous(),
        "last": vae.encode(x[:, :, -1:])[:, :, 0].half().cpu().contiguous(),
        **{k: torch.stack(v) for k, v in parts.items()},
        "tokens": torch.from_numpy(tokens).to(torch.int16),
        "labels": torch.tensor([labels_of_script(clip.script) for clip in clips], dtype=torch.int16),
        **{
            split: torch.tensor([clip.split == split for clip in clips])
            for split in ("held_out", "validation")
        },
    }


def box_weight(boxes: Tensor, rows: int, columns: int) -> Tensor:
    """Boxes [t, 4] as shares of the picture -> overlap of each cell with the box [t, rows, columns], 0..1."""

    def overlap(low: Tensor, high: Tensor, cells: int) -> Tensor:
        edge = torch.arange(cells + 1, dtype=torch.float32) / cells
        return (
            (torch.minimum(high[:, None], edge[1:]) - torch.maximum(low[:, None], edge[:-1])) * cells
        ).clamp(0, 1)

    x0, y0, x1, y1 = boxes.nan_to_num(0.0).unbind(-1)
    return overlap(y0, y1, rows)[:, :, None] * overlap(x0, x1, columns)[:, None, :]


class LatentSet:
    """All encoded clips in memory; those of `held_out` are never trained on."""

    def __init__(self, folder: Path | str, held_out: Path | str | None = None) -> None:
        files = _read_latents(folder)
        trained = sum(len(f["latents"]) for f in files)
        if held_out is not None:
            files += _read_latents(held_out)
        # a shape has one set: a folder of mixed shapes is an error of whoever wrote it
        self.tensors = {k: torch.cat([f[k] for f in files]) for k in files[0]}
        held = self.tensors["held_out"] | self.tensors["validation"]
        held[trained:] = True
        self.train = torch.nonzero(~held).flatten()
        self.validation = torch.nonzero(held).flatten()

    def __len__(self) -> int:
        return len(self.tensors["latents"])

    @property
    def numbers(self) -> int:
        """Numbers of one clip's latents."""
        return self.tensors["latents"][0].numel()


def _read_latents(folder: Path | str) -> list[dict[str, Tensor]]:
    paths = sorted(Path(folder).glob("latents-*.safetensors"))
    if not paths:
        raise BadRequest(f"{folder} holds no latents: encode clips first with `filmwright train latents`")
    files = [load_file(p) for p in paths]
    if old := [p.name for p, f in zip(paths, files, strict=True) if not f.keys() >= NEEDED]:
        raise BadRequest(
            f"{folder} holds latents of an earlier kind ({listed(old)}): encode the clips anew into another folder"
        )
    return files


def track_controls(latents: Tensor, tracks: Tensor, seen: Tensor, use: Tensor) -> Tensor:
    """Motion tracks as control channels (Wan-Move): the first frame's latent where a track starts is put wherever the
    track goes, beside a validity map.

    Args:
        latents: [b, c, t, h, w] whose frame 0 is the picture that moves.
        tracks: positions in cells [b, p, t, 2] (column, row); `seen` [b, p, t]; `use` [b, p] tracks that count.

    Returns:
        [b, c + 1, t, h, w].
    """
    b, c, t, h, w = latents.shape
    result = latents.new_zeros(b, c + 1, t, h * w)
    x = tracks[..., 0].floor().long()
    y = tracks[..., 1].floor().long()
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h) & seen & use[..., None] & seen[:, :, :1]
    cell = y.clamp(0, h - 1) * w + x.clamp(0, w - 1)  # [b, p, t]
    start = latents[:, :, 0].flatten(2).gather(2, cell[:, None, :, 0].expand(-1, c, -1))  # [b, c, p]
    start = torch.cat([start, torch.ones_like(start[:, :1])], dim=1)  # [b, c+1, p]
    for p in range(tracks.shape[1]):
        at = cell[:, p][:, None, :, None].expand(-1, c + 1, -1, -1)  # [b, c+1, t, 1]
        value = start[:, :, p, None, None].expand(-1, -1, t, 1)
        keep = inside[:, p][:, None, :, None]
        result.scatter_(3, at, torch.where(keep, value, result.gather(3, at)))
    return result.view(b, c + 1, t, h, w)
