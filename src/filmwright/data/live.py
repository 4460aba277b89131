"""Clips that are simulated while a net trains, so that no shards are needed on disk.

Worker processes make clips; a bounded number is kept in memory, and each new clip takes the place of the oldest.
Rendering is slower than training, so a clip is drawn from many times before it goes.

What is deterministic: clip n of a split is the same in every run with the same seed; clips come in order of n; train
and validation clips never meet, and no clip shows a held-out combination. What is not: how many clips have come by a
step depends on the machine, so two runs with one seed see one stream of clips, but not the same batches. A resumed run
begins at numbers past those that it has seen, and of N processes each takes every N-th.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from filmwright.data.clips import SimulatedClip, make_clip
from filmwright.data.workers import Workers
from filmwright.spec.errors import BadRequest
from filmwright.spec.extras import check_world
from filmwright.spec.vocabulary import PARTS
from filmwright.world.scene import Script

__all__ = ["LiveClips", "LiveWorld", "RenderedClip", "Stream", "live_script"]

FIRST = 10**12  # seeds from here on: shards are made of smaller ones
SEEDS = 10**9  # candidates of one seed of a run
STRIDE = {
    "train": 8,
    "validation": 1000,
}  # candidates of a clip: one in 1.1 and one in 54 belongs to the split
MOST_A_STEP = 8  # clips that may come at a step: so a resumed run knows what cannot have been seen


@dataclass(frozen=True, kw_only=True)
class LiveWorld:
    """Which clips to simulate, with how many processes, and how many of them to keep.

    Raises:
        BadRequest: an unknown part of the world, no workers, or MuJoCo is not installed.
    """

    part: str = "solo"
    seed: int = 0
    width: int = 256
    height: int = 160
    num_frames: int = 33
    fps: int = 16
    workers: int = 1
    kept_clips: int = 128  # as pictures: 4 MB each
    kept_latents: int = 4096  # 130 KB each
    first: int = 16  # clips to wait for before the first step
    compiled: bool | None = None  # as for `world.render`

    def __post_init__(self) -> None:
        check_world()
        if self.part not in PARTS:
            raise BadRequest(f"unknown part {self.part!r}: the parts of the world are {', '.join(PARTS)}")
        if self.workers < 1:
            raise BadRequest(f"{self.workers} workers make no clips: --workers must be at least 1")


def live_script(world: LiveWorld, split: str, number: int) -> tuple[int, Script]:
    """Seed and script of clip `number` of a split, train or validation; held-out combinations are left out.

    Validation clips are the same for every seed, so that the figures of two runs compare.
    """
    from filmwright.world.author import write_script
    from filmwright.world.splits import held_out, split_of

    shape = {"width": world.width, "height": world.height, "num_frames": world.num_frames, "fps": world.fps}
    own = world.seed if split == "train" else 0
    seed = FIRST + own * SEEDS + number * STRIDE[split]
    while True:
        if split_of(seed) == split:
            script = write_script(seed, world.part, **shape)
            if not held_out(script):
                return seed, script
        seed += 1


@dataclass(frozen=True, kw_only=True)
class RenderedClip:
    """How a worker makes a clip: frames and truth of (split, number)."""

    world: LiveWorld
    device: str = "cpu"

    def __call__(self, split: str, number: int) -> SimulatedClip:
        """The same arguments give the same clip."""
        seed, script = live_script(self.world, split, number)
        return make_clip(seed, script, split, device=self.device, compiled=self.world.compiled)


T = TypeVar("T")


class Stream(Generic[T]):
    """What `make(split, number)` gives for one number after another; workers start when the first is asked for.

    `process` is (which, of how many). Raises what `Workers.answers` raises.
    """

    def __init__(
        self, make: Callable[[str, int], T], world: LiveWorld, process: tuple[int, int] = (0, 1)
    ) -> None:
        self.make, self.world, self.process = make, world, process
        self._coming: deque[int] = deque()  # numbers of train clips that are being made, in order
        self._made: dict[tuple[Any, ...], T] = {}
        self._numbers: Iterator[int] = iter(())

    @cached_property
    def _workers(self) -> Workers[T]:
        return Workers(self.make, self.world.workers)

    def new(self, step: int) -> list[T]:
        """The train clips that have come since the last call, in order; the first call waits for `world.first`."""
        wanted = 0
        if not self._coming:
            wanted = self.world.first
            index, count = self.process
            seen = step * MOST_A_STEP + (wanted if step else 0)
            self._numbers = itertools.count(seen * count + index, count)
            for _ in range(2 * self.world.workers):
                self._ask()
        found: list[T] = []
        while len(found) < max(wanted, MOST_A_STEP):
            job = ("train", self._coming[0])
            if job not in self._made:
                answers = self._workers.answers(wait=len(found) < wanted)
                if not answers and len(found) >= wanted:
                    break
                self._made |= answers
                continue
            found.append(self._made.pop(job))
            self._coming.popleft()
            self._ask()
        return found

    def validation(self, count: int) -> list[T]:
        """The first validation clips; waits for them."""
        jobs = [("validation", number) for number in range(count)]
        for job in jobs:
            self._workers.ask(*job)
        while not all(job in self._made for job in jobs):
            self._made |= self._workers.answers(wait=True)
        return [self._made.pop(job) for job in jobs]

    def close(self) -> None:
        """Ends the workers."""
        if "_workers" in self.__dict__:
            self._workers.close()
            del self._workers

    def _ask(self) -> None:
        number = next(self._numbers)
        self._coming.append(number)
        self._workers.ask("train", number)


class LiveClips:
    """The clips of a stream, to be read like `Shards`: at most `world.kept_clips`, the newest."""

    def __init__(self, world: LiveWorld, *, device: str = "cpu", process: tuple[int, int] = (0, 1)) -> None:
        self.world = world
        self.stream = Stream(RenderedClip(world=world, device=device), world, process)
        self.clips: list[SimulatedClip] = []
        self._next = 0  # place of the oldest clip once all are taken

    def refresh(self, step: int) -> None:
        """Takes in what has been made since the last step; waits only at the first."""
        for clip in self.stream.new(step):
            if len(self.clips) < self.world.kept_clips:
                self.clips.append(clip)
            else:
                self.clips[self._next] = clip
                self._next = (self._next + 1) % len(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def select(self, split: str) -> list[int]:
        """Indices of the clips of a split; here they are all for training."""
        return [i for i, clip in enumerate(self.clips) if clip.split == split]

    def frames(self, index: int) -> NDArray[np.uint8]:
        """Frames uint8 [T, H, W, 3] of a clip."""
        return self.clips[index].frames

    def truth(self, index: int) -> dict[str, NDArray[Any]]:
        """Boxes, tracks and camera of a clip."""
        return self.clips[index].truth
