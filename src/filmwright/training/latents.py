"""True clips as latents: each clip is encoded once, and what the denoiser learns from fits in memory (65 KB a clip)."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from filmwright.data.shards import Shards
from filmwright.models.vae import GROUP, VAE
from filmwright.spec.errors import BadRequest, listed
from filmwright.spec.shapes import SPATIAL_FACTOR
from filmwright.training.truth import labels_of_script
from filmwright.weights.tokenizer import Tokenizer

__all__ = ["LatentSet", "encode_shards", "last_frames", "track_controls"]

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


@torch.inference_mode()
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

    `process` is (which, of how many): each takes every n-th shard.

    Keys: latents f16 [n,c,t,h,w], last f16 [n,c,h,w] (the last frame alone, as a keyframe), camera f16 [n,26,t,h,w],
    weight f16 [n,t,h,w] (share of each cell in the subject's box), tokens i16 [n,captions,length], labels i16 [n,10]
    (`truth.LABELS`), tracks f32 [n,p,t,2] in cells, seen bool [n,p,t], held_out and validation bool [n].
    """
    from filmwright.world.rays import camera_channels

    out.mkdir(parents=True, exist_ok=True)
    vae = vae.eval().to(device, torch.bfloat16)
    vae = vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    began, done = time.monotonic(), 0
    for shard in sorted({r.shard for r in shards.records})[process[0] :: process[1]]:
        target = out / f"latents-{shard:05d}.safetensors"
        records = [r for r in shards.records if r.shard == shard]
        if target.exists():
            done += len(records)
            continue
        parts: dict[str, list[Tensor]] = {
            k: [] for k in ("latents", "last", "camera", "weight", "tracks", "seen")
        }
        for first in range(0, len(records), batch):
            some = records[first : first + batch]
            frames = torch.from_numpy(np.stack([shards.frames(r.index) for r in some])).to(device)
            x = frames.permute(0, 4, 1, 2, 3).to(torch.bfloat16) / 127.5 - 1  # [b, 3, t, h, w]
            z = vae.encode(x)
            parts["latents"].append(z.half().cpu())
            parts["last"].append(vae.encode(x[:, :, -1:])[:, :, 0].half().cpu())
            rows, columns = z.shape[-2:]
            at = last_frames(frames.shape[1])
            for r in some:
                truth = shards.truth(r.index)
                camera = camera_channels(shards.camera(r.index), rows, columns, stride=GROUP)  # [t, 26, h, w]
                parts["camera"].append(torch.from_numpy(camera).transpose(0, 1)[None].half())
                parts["weight"].append(
                    box_weight(torch.from_numpy(truth["boxes"])[at], rows, columns)[None].half()
                )
                parts["tracks"].append(torch.from_numpy(truth["tracks"])[None, :, at] / SPATIAL_FACTOR)
                parts["seen"].append(torch.from_numpy(truth["seen"])[None, :, at])
        tensors = {k: torch.cat(v).contiguous() for k, v in parts.items()}
        tensors["tokens"] = torch.from_numpy(
            np.stack([tokenizer.encode_batch(list(r.captions), length) for r in records])
        ).to(torch.int16)
        tensors["labels"] = torch.tensor([labels_of_script(r.script) for r in records], dtype=torch.int16)
        for split in ("held_out", "validation"):
            tensors[split] = torch.tensor([r.split == split for r in records])
        aside = out / f".{target.name}"
        save_file(tensors, aside)
        aside.replace(target)
        done += len(records)
        log.info("encoded %d clips, %.1f clips/s", done, done / (time.monotonic() - began))
    return done


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
