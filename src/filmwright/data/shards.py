"""Simulated clips on disk: a folder of small shards, each written aside and renamed, so that writing can be resumed.

A shard of n clips is three files with one number:
    frames-00000.npy   uint8 [n, T, H, W, 3], memory-mapped when read
    truth-00000.npz    boxes float32 [n, T, 4] of the first subject (x0, y0, x1, y1 as shares of the picture, or NaN),
                       tracks float32 [n, P, T, 2] in pixels, seen bool [n, P, T], eye, rotation, fov of the camera
    clips-00000.jsonl  one line a clip: seed, split, script, captions, log; written last: it makes the shard count
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmwright.data.children import deaf_children
from filmwright.data.clips import make_clip
from filmwright.media.files import is_left_over, making, replacing, write_atomic
from filmwright.spec.errors import BadRequest
from filmwright.spec.extras import check_world
from filmwright.world.scene import CameraPose, Script

__all__ = ["ClipRecord", "Shards", "write_shards"]


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """What is known of one clip besides its frames."""

    index: int
    seed: int
    split: str
    script: dict[str, Any]
    captions: tuple[str, ...]
    log: tuple[dict[str, Any], ...]
    shard: int
    row: int


class Shards:
    """Random access to a folder of shards; frames stay on disk until asked for."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.records: list[ClipRecord] = []
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._truth: dict[int, dict[str, NDArray[Any]]] = {}
        for path in sorted(self.folder.glob("clips-*.jsonl")):
            shard = int(path.stem.split("-")[1])
            for row, line in enumerate(path.read_text().splitlines()):
                item = json.loads(line)
                item["captions"], item["log"] = tuple(item["captions"]), tuple(item["log"])
                self.records.append(ClipRecord(index=len(self.records), shard=shard, row=row, **item))
        if not self.records:
            raise BadRequest(
                f"{folder} holds no clips: make some with `filmwright world shards --out {folder}`"
            )

    def __len__(self) -> int:
        return len(self.records)

    def select(self, split: str) -> list[int]:
        """Indices of the clips of a split: train, validation or held_out."""
        return [r.index for r in self.records if r.split == split]

    def frames(self, index: int) -> NDArray[np.uint8]:
        """Frames uint8 [T, H, W, 3] of a clip, memory-mapped."""
        record = self.records[index]
        if record.shard not in self._frames:
            self._frames[record.shard] = np.load(
                self.folder / f"frames-{record.shard:05d}.npy", mmap_mode="r"
            )
        frames: NDArray[np.uint8] = self._frames[record.shard][record.row]
        return frames

    def truth(self, index: int) -> dict[str, NDArray[Any]]:
        """Boxes, tracks and camera of a clip."""
        record = self.records[index]
        if record.shard not in self._truth:
            with np.load(self.folder / f"truth-{record.shard:05d}.npz") as file:
                self._truth[record.shard] = {k: file[k] for k in file.files}
        return {k: v[record.row] for k, v in self._truth[record.shard].items()}

    def camera(self, index: int) -> CameraPose:
        """The camera of a clip."""
        truth = self.truth(index)
        return CameraPose(eye=truth["eye"], rotation=truth["rotation"], fov=truth["fov"])


def write_shards(
    out: Path,
    *,
    count: int,
    seed: int,
    part: str,
    split: str = "train",
    width: int = 256,
    height: int = 160,
    num_frames: int = 33,
    fps: int = 16,
    workers: int = 1,
    clips_per_shard: int = 64,
    device: str = "cpu",
    compiled: bool | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Renders `count` clips from `seed` on into `out`; shards already there are kept. Returns how many clips are there.

    Training and validation shards leave out held-out combinations; `held_out` shards hold nothing else.
    `compiled` as in `world.render.render`.

    Raises:
        BadRequest: unknown split, a count that is not positive, or MuJoCo is not installed.
        MediaError: the folder cannot be written.
    """
    if split not in ("train", "validation", "held_out"):
        raise BadRequest(f"unknown split {split!r}: train, validation or held_out")
    if count < 1:
        raise BadRequest(f"{count} clips cannot be written: --count must be at least 1")
    check_world()
    shape = {"width": width, "height": height, "num_frames": num_frames, "fps": fps}
    jobs = []
    for first in range(0, count, clips_per_shard):
        n = min(clips_per_shard, count - first)
        jobs.append((out, first // clips_per_shard, n, seed, first, part, split, shape, device, compiled))
    done = 0
    with making(out), _mapping(workers, out) as mapped:
        for n in mapped(_write_shard, jobs):
            done += n
            if on_progress:
                on_progress(done, count)
    return done


Map = Callable[[Callable[[Any], int], list[Any]], Iterable[int]]


@contextmanager
def _mapping(workers: int, out: Path) -> Iterator[Map]:
    """What maps jobs: here, or in processes of their own, which end with the block and leave nothing half written."""
    if workers <= 1:
        yield map
        return
    try:
        with deaf_children():
            pool = multiprocessing.get_context("spawn").Pool(workers, initializer=_one_thread)
        with pool:
            yield pool.imap_unordered
            pool.close()  # done: workers end by themselves, and clean up what their compiler has opened
            pool.join()
    finally:
        for path in filter(is_left_over, out.iterdir()):
            path.unlink(missing_ok=True)


def seeds(
    seed: int, first: int, part: str, split: str, shape: dict[str, int]
) -> Iterator[tuple[int, Script]]:
    """Seeds from `seed * 10^7 + first * 100` on whose scripts belong to the split."""
    from filmwright.world.author import write_script
    from filmwright.world.splits import held_out

    candidate = seed * 10_000_000 + first * 100
    while True:
        script = write_script(candidate, part, **shape)
        if held_out(script) == (split == "held_out"):
            yield candidate, script
        candidate += 1


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _write_shard(job: tuple[Path, int, int, int, int, str, str, dict[str, int], str, bool | None]) -> int:
    out, shard, n, seed, first, part, split, shape, device, compiled = job
    target = out / f"clips-{shard:05d}.jsonl"
    if target.exists():
        return len(target.read_text().splitlines())
    truth: list[dict[str, NDArray[Any]]] = []
    lines: list[str] = []
    size = (n, shape["num_frames"], shape["height"], shape["width"], 3)
    with replacing(out / f"frames-{shard:05d}.npy") as aside, aside.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": size})
        for clip_seed, script in seeds(seed, first, part, split, shape):
            clip = make_clip(clip_seed, script, split, device=device, compiled=compiled)
            file.write(clip.frames.tobytes())  # clip by clip: a shard may be larger than memory
            truth.append(clip.truth)
            record = {name: getattr(clip, name) for name in ("seed", "split", "script", "captions", "log")}
            lines.append(json.dumps(record))
            if len(lines) == n:
                break
    with replacing(out / f"truth-{shard:05d}.npz") as aside:
        np.savez(aside, allow_pickle=False, **{k: np.stack([clip[k] for clip in truth]) for k in truth[0]})
    write_atomic(target, "\n".join(lines) + "\n")
    return n
