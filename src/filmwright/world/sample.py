"""A clip of the world with all its truth, and folders of samples."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.errors import BadRequest, MediaError
from filmwright.world.author import generator, write_script
from filmwright.world.physics import simulate
from filmwright.world.scene import Take

if TYPE_CHECKING:
    from filmwright.world.render import Rendered

__all__ = ["WorldClip", "describe", "take", "world_clip", "write_sample"]

TRACKED = 64  # points a clip


@dataclass(frozen=True, kw_only=True, eq=False)
class WorldClip:
    """A take, its pictures, and the truth that needs both.

    `flow` float32 [T-1,H,W,2]: pixels from each frame to the next; `tracks` float32 [P,T,2] pixels (x, y) of points
    on bodies and `seen` bool [P,T] whether they show; `captions` as `captions_for` writes them.
    """

    take: Take
    rendered: Rendered
    flow: NDArray[np.float32]
    tracks: NDArray[np.float32]
    seen: NDArray[np.bool_]
    captions: tuple[str, ...]


def take(
    seed: int,
    part: str = "whole",
    *,
    width: int = 256,
    height: int = 160,
    num_frames: int = 33,
    fps: int = 16,
) -> Take:
    """Take `seed` of a part of the world: its script, simulated.

    Sizes in pixels; raises `BadRequest` as `write_script` does.
    """
    return simulate(write_script(seed, part, width=width, height=height, num_frames=num_frames, fps=fps))


def world_clip(
    seed: int,
    part: str = "whole",
    *,
    width: int = 256,
    height: int = 160,
    num_frames: int = 33,
    fps: int = 16,
    captions: int = 4,
    points: int = TRACKED,
    device: str = "cpu",
    compiled: bool | None = None,
) -> WorldClip:
    """Clip `seed` of a part of the world, rendered, with its truth and `captions` captions; `points` are tracked.

    `device` and `compiled` are the renderer's. Raises `BadRequest` as `write_script` does.
    """
    from filmwright.world.captions import captions_for
    from filmwright.world.points import follow
    from filmwright.world.render import render
    from filmwright.world.truth import flow

    found = take(seed, part, width=width, height=height, num_frames=num_frames, fps=fps)
    rendered = render(found.stage, width, height, device=device, compiled=compiled)
    rng = generator(seed, part, 3)
    tracks, seen = follow(found.stage, rendered.primitive, rendered.depth, rng, count=points)
    return WorldClip(
        take=found,
        rendered=rendered,
        flow=flow(found.stage, rendered),
        tracks=tracks,
        seen=seen,
        captions=tuple(captions_for(found.script, found.log, count=captions, seed=seed)),
    )


def write_sample(
    directory: Path | str,
    count: int,
    seed: int,
    part: str = "whole",
    *,
    on_progress: Callable[[int, int], None] | None = None,
    on_clip: Callable[[str, WorldClip], None] | None = None,
    width: int = 256,
    height: int = 160,
    num_frames: int = 33,
    fps: int = 16,
    compiled: bool | None = None,
) -> list[Path]:
    """Write clips `seed` .. `seed + count - 1` of a part of the world with their truth.

    For each clip `NAME.npz` (frames, ids, depth, flow, tracks, seen, states, camera) and `NAME.json` (script, log,
    contacts, captions, facts). `on_progress(done, count)` is called after each clip, and
    `on_clip(name, clip)` for whatever else is to be made of it; the rest is as in `world_clip`.

    Returns the files written. Raises `BadRequest` for a count below 1, `MediaError` if the folder cannot be written.
    """
    if count < 1:
        raise BadRequest(f"{count} clips cannot be written: ask for at least 1")
    folder = Path(directory)
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for n in range(count):
            clip = world_clip(
                seed + n, part, width=width, height=height, num_frames=num_frames, fps=fps, compiled=compiled
            )
            name = f"{part}-{seed + n:06d}"
            written += _write_clip(folder, name, clip)
            if on_clip:
                on_clip(name, clip)
            if on_progress:
                on_progress(n + 1, count)
    except OSError as error:
        raise MediaError(f"cannot write samples to {folder}: {error.strerror or error}") from error
    return written


def describe(clip: WorldClip) -> str:
    """One line on what a clip shows."""
    script = clip.take.script
    shot = f"{script.setting}, {script.light}, {script.camera}, {script.lens}, {script.mood}"
    return f"{script.seed} {script.event}: {clip.captions[0] if clip.captions else ''} [{shot}]"


def _write_clip(folder: Path, name: str, clip: WorldClip) -> list[Path]:
    found, rendered = clip.take, clip.rendered
    camera = found.stage.camera
    arrays = folder / f"{name}.npz"
    with _aside(arrays) as part:
        np.savez_compressed(
            part,
            frames=rendered.frames,
            ids=rendered.ids,
            depth=rendered.depth.astype(np.float16),
            flow=clip.flow.astype(np.float16),
            tracks=clip.tracks,
            seen=clip.seen,
            subject=found.subject,
            mass=found.mass,
            position=found.position,
            quaternion=found.quaternion,
            velocity=found.velocity,
            angular_velocity=found.angular_velocity,
            camera_eye=camera.eye,
            camera_rotation=camera.rotation,
            camera_fov=camera.fov,
        )
    words = folder / f"{name}.json"
    record: dict[str, Any] = {
        "script": asdict(found.script),
        "captions": list(clip.captions),
        "log": [asdict(h) for h in found.log],
        "contacts": [asdict(c) for c in found.contacts],
        "facts": {k: float(v) for k, v in found.facts.items()},
    }
    with _aside(words) as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return [arrays, words]


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A hidden file that becomes `path` when the block ends well; as `media.files`, which this room does not know."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
