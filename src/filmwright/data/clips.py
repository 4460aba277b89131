"""One simulated clip in memory: what a shard holds a row of, and how it is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filmwright.world.scene import CameraPose, Script

if TYPE_CHECKING:
    from filmwright.data.shards import Shards

__all__ = ["CAPTIONS", "TRACKS", "SimulatedClip", "clip_of", "make_clip"]

CAPTIONS = 8  # different captions a clip
TRACKS = 8  # points followed a clip


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedClip:
    """Frames uint8 [T, H, W, 3], the truth (see the head of `data.shards`), and what the clip was to show and shows."""

    frames: NDArray[np.uint8]
    truth: dict[str, NDArray[Any]]
    seed: int
    split: str
    script: dict[str, Any]
    captions: tuple[str, ...]
    log: tuple[dict[str, Any], ...]

    @property
    def camera(self) -> CameraPose:
        """The camera that it was taken with."""
        return CameraPose(eye=self.truth["eye"], rotation=self.truth["rotation"], fov=self.truth["fov"])


def clip_of(shards: Shards, index: int) -> SimulatedClip:
    """A clip of a folder of shards; its frames stay memory-mapped."""
    record = shards.records[index]
    return SimulatedClip(
        frames=shards.frames(index),
        truth=shards.truth(index),
        seed=record.seed,
        split=record.split,
        script=record.script,
        captions=record.captions,
        log=record.log,
    )


def make_clip(
    seed: int, script: Script, split: str, *, device: str = "cpu", compiled: bool | None = None
) -> SimulatedClip:
    """Simulates and renders a script: the same arguments give the same clip. `compiled` as for `world.render`."""
    from filmwright.world.captions import captions_for
    from filmwright.world.physics import simulate
    from filmwright.world.points import follow
    from filmwright.world.render import render

    take = simulate(script)
    rendered = render(take.stage, script.width, script.height, device=device, compiled=compiled)
    rng = np.random.default_rng((seed, TRACKS))
    points, seen = follow(take.stage, rendered.primitive, rendered.depth, rng, count=TRACKS)
    camera = take.stage.camera
    return SimulatedClip(
        frames=rendered.frames,
        truth={
            "boxes": _boxes(np.isin(rendered.ids, np.flatnonzero(take.subject == 0) + 1)),
            "tracks": points,
            "seen": seen,
            "eye": camera.eye,
            "rotation": camera.rotation,
            "fov": camera.fov,
        },
        seed=seed,
        split=split,
        script=asdict(script),
        captions=captions_for(script, take.log, count=CAPTIONS, seed=seed),
        log=tuple(asdict(h) for h in take.log),
    )


def _boxes(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Masks [T, H, W] -> bounding boxes [T, 4] as shares of the picture, NaN where nothing is seen."""
    t, h, w = mask.shape
    result = np.full((t, 4), np.nan, np.float32)
    for i in range(t):
        ys, xs = np.nonzero(mask[i])
        if len(xs):
            result[i] = xs.min() / w, ys.min() / h, (xs.max() + 1) / w, (ys.max() + 1) / h
    return result
