"""Clips that are simulated and encoded while the denoiser trains: a `LatentSet` whose clips come and go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmwright.data.live import LiveWorld, RenderedClip, Stream
from filmwright.models.catalog import size
from filmwright.models.vae import VAE
from filmwright.spec.shapes import VideoShape
from filmwright.training.latents import LatentSet, encode_clips, ready
from filmwright.weights.files import load_net
from filmwright.weights.tokenizer import Tokenizer

__all__ = ["EncodedClip", "LiveLatents"]

MEASURED_CLIPS = 32


@dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """How a worker makes a clip for the denoiser: the keys of `encode_shards`, one clip, as arrays."""

    world: LiveWorld
    vae: Path
    vocabulary: Path
    size: str
    device: str = "cpu"

    @cached_property
    def _vae(self) -> VAE:
        net = VAE(size(self.size).vae)
        load_net(net, self.vae)
        return ready(net, self.device)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.vocabulary)

    def __call__(self, split: str, number: int) -> dict[str, NDArray[Any]]:
        """The same arguments give the same clip."""
        clip = RenderedClip(world=self.world, device=self.device)(split, number)
        encoded = encode_clips([clip], self._vae, self._tokenizer, length=size(self.size).text.length)
        return {k: v[0].numpy() for k, v in encoded.items()}


class LiveLatents:
    """To be read like `LatentSet`: the newest `world.kept_latents` clips, and some of the validation split.

    Clips are measured on if they lie in `held_out`, a folder of latents; without one, validation clips are made once
    they are asked for.
    """

    def __init__(
        self, make: EncodedClip, held_out: Path | None = None, process: tuple[int, int] = (0, 1)
    ) -> None:
        self.make, self.world = make, make.world
        self.stream = Stream(make, make.world, process)
        self.tensors: dict[str, Tensor] = {}  # rows of validation clips, then those of train clips
        self.train = torch.zeros(0, dtype=torch.long)
        self._held_out = held_out
        self._come = 0

    @property
    def numbers(self) -> int:
        """Numbers of one clip's latents."""
        world = self.world
        shape = VideoShape(
            width=world.width, height=world.height, num_frames=world.num_frames, fps=world.fps
        ).latent(size(self.make.size).vae.latent_channels)
        return shape.channels * shape.num_frames * shape.height * shape.width

    def refresh(self, step: int) -> None:
        """Takes in what has been made since the last step; waits only at the first."""
        for clip in self.stream.new(step):
            self._put(MEASURED_CLIPS + self._come % self.world.kept_latents, clip)
            self._come += 1
        count = min(self._come, self.world.kept_latents)
        self.train = torch.arange(MEASURED_CLIPS, MEASURED_CLIPS + count)

    @cached_property
    def validation(self) -> Tensor:
        """Rows of the clips that are measured on."""
        if self._held_out is None:
            clips = self.stream.validation(MEASURED_CLIPS)
        else:
            others = LatentSet(self._held_out).tensors
            count = min(MEASURED_CLIPS, len(others["latents"]))
            clips = [{k: v[i].numpy() for k, v in others.items()} for i in range(count)]
        for row, clip in enumerate(clips):
            self._put(row, clip)
        return torch.arange(len(clips))

    def _put(self, row: int, clip: dict[str, NDArray[Any]]) -> None:
        for key, value in clip.items():
            item = torch.from_numpy(np.asarray(value))
            if key not in self.tensors:
                rows = MEASURED_CLIPS + self.world.kept_latents
                self.tensors[key] = torch.zeros(rows, *item.shape, dtype=item.dtype)
            self.tensors[key][row] = item
