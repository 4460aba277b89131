"""Trains the reader on true clips, within a time budget, from any source that holds frames and scripts.

Augmented so that what the decoder of a video model does to a picture (blur, noise, a slight shift of tone, smear along
time) does not change the reading. Horizontal flips swap left and right in the labels.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from filmwright.evaluation.reader import (
    BAR,
    CARD_VERSION,
    AttributeScore,
    Reader,
    heads_for,
    labels_of,
    score_attribute,
    small_frames,
)
from filmwright.evaluation.reader_net import ReaderConfig, ReaderNet, closeups
from filmwright.spec.errors import BadRequest, WeightsError

__all__ = ["ClipSource", "HasScript", "TrainingNote", "train_reader"]

UNKNOWN = -100  # a label that the loss skips
CHECKPOINT = "reader-checkpoint.safetensors"
SAVE_SECONDS = 60.0  # between checkpoints
MORE_CLOSEUPS = 3  # clips a step that are seen only close up, for each clip that is seen whole
TEST_CLIPS = 1024  # held-out clips read at the end, at most


class HasScript(Protocol):
    """What is known of one clip."""

    @property
    def script(self) -> dict[str, Any]:
        """`dataclasses.asdict` of its Script."""

    @property
    def split(self) -> str:
        """train, validation or held_out."""


class ClipSource(Protocol):
    """Random access to true clips with their scripts, such as a folder of shards."""

    @property
    def records(self) -> Sequence[HasScript]:
        """One a clip."""

    def frames(self, index: int) -> NDArray[np.uint8]:
        """Frames uint8 [T, H, W, 3] of a clip."""

    def truth(self, index: int) -> Mapping[str, NDArray[Any]]:
        """At least `boxes` float32 [T, 4] of the main subject: x0, y0, x1, y1 as shares of the picture, or NaN."""


TrainingNote = Callable[[dict[str, float]], None]
"""Called every few seconds with step, minutes, loss and clips_per_second."""


def train_reader(
    train: ClipSource,
    held_out: ClipSource | None,
    out: Path | str,
    *,
    max_minutes: float = 8.0,
    max_steps: int | None = None,
    batch: int = 32,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    init: Path | None = None,
    on_progress: TrainingNote | None = None,
) -> dict[str, AttributeScore]:
    """Trains on `train`, measures on `held_out`, and writes `reader.safetensors` and `reader.json` into `out`.

    Args:
        train: clips; those whose split is not `train` are used for nothing unless `held_out` is None.
        held_out: clips that it is measured on; None takes what `train` holds of other splits.
        out: folder, made if need be; holds a checkpoint while the training runs.
        max_minutes: the learning rate falls to zero when this time is over (all runs of a resumed training together).
        max_steps: stops after so many steps if that comes first.
        batch: clips a step.
        seed: of the weights, the order of the clips and the augmentation.
        device: cpu or cuda.
        resume: goes on from the checkpoint in `out`, if there is one.
        init: a reader's safetensors to start from; layers of another shape start anew.
        on_progress: is told how it goes.

    Raises:
        BadRequest: no clips to train or to measure on, clips of several parts, or no time.
        WeightsError: the checkpoint cannot be read.
    """
    if max_minutes <= 0:
        raise BadRequest(f"{max_minutes} minutes cannot train a reader: give more than 0")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [i for i, r in enumerate(train.records) if r.split == "train"]
    test = train if held_out is None else held_out
    test_rows = [i for i, r in enumerate(test.records) if held_out is not None or r.split != "train"][
        :TEST_CLIPS
    ]
    parts = {str(r.script["part"]) for r in train.records}
    if not rows or not test_rows or len(parts) != 1:
        raise BadRequest(
            f"a reader needs training and held-out clips of one part, got {len(rows)}, {len(test_rows)} "
            f"and parts {', '.join(sorted(parts)) or 'none'}: render more shards"
        )
    part = parts.pop()
    torch.manual_seed(seed)
    config = ReaderConfig(heads=heads_for(part))
    net = ReaderNet(config).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05, betas=(0.9, 0.99))
    state = {"step": 0.0, "minutes": 0.0}
    if init is not None:
        _begin_from(init, net)
    if resume and (folder / CHECKPOINT).exists():
        state = _load(folder / CHECKPOINT, net, optimizer)
    clips = _Clips(train, rows, config)
    _fit(net, optimizer, clips, state, folder, max_minutes, max_steps, batch, seed, device, on_progress)
    reader = Reader(net, part, {}, device)
    scores = measure(reader, test, test_rows)
    _write(folder, net, part, scores, {**state, "clips": len(rows), "seed": seed})
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return scores


def measure(reader: Reader, source: ClipSource, rows: Sequence[int]) -> dict[str, AttributeScore]:
    """How well a reader reads the given clips, an attribute."""
    pairs: dict[str, list[tuple[str, str]]] = {a: [] for a in reader.net.config.heads}
    for first in range(0, len(rows), 32):
        some = rows[first : first + 32]
        for row, reading in zip(some, reader.read_many(source.frames(i) for i in some), strict=True):
            for attribute, true in labels_of(source.records[row].script).items():
                if true is not None:
                    pairs[attribute].append((true, reading[attribute][0]))
    return {a: score_attribute(names, pairs[a]) for a, names in reader.net.config.heads.items()}


def _fit(
    net: ReaderNet, optimizer: torch.optim.Optimizer, clips: _Clips, state: dict[str, float], folder: Path,
    max_minutes: float, max_steps: int | None, batch: int, seed: int, device: str, on_progress: TrainingNote | None,
) -> None:  # fmt: skip
    """The loop; `state` is kept up to date."""
    heads = net.config.heads
    index = {a: {name: i for i, name in enumerate(names)} for a, names in heads.items()}
    mirror = {
        a: torch.tensor(
            [names.index(mirrored(n)) if mirrored(n) in names else i for i, n in enumerate(names)]
        )
        for a, names in heads.items()
    }
    targets = {
        a: torch.tensor(
            [UNKNOWN if (name := labels[a]) is None else index[a][name] for labels in clips.labels]
        )
        for a in heads
    }
    start, first_step, said, saved = (
        time.monotonic() - state["minutes"] * 60.0,
        int(state["step"]),
        0.0,
        time.monotonic(),
    )
    began = time.monotonic()
    net.train()
    while True:
        step = int(state["step"])
        state["minutes"] = (time.monotonic() - start) / 60.0
        done = max(state["minutes"] / max_minutes, step / max_steps if max_steps else 0.0)
        if done >= 1.0:
            return
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * done))
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(
            seed * 1_000_003 + step
        )  # of dropout, so that a resumed run goes on as it would have
        chosen = _order(len(clips), step * batch, batch, seed)
        small, close, boxes = (
            np.stack(part) for part in zip(*(clips.get(i, rng) for i in chosen), strict=True)
        )
        flip = torch.from_numpy(rng.random(len(chosen)) < 0.5)
        x = augment(torch.from_numpy(small).to(device).float() / 255.0, flip, rng)  # b s h w 3
        near = augment(torch.from_numpy(close).to(device).float() / 255.0, flip, rng)  # b t s s 3
        where = torch.from_numpy(boxes)
        where[flip, :, 0] = 1 - where[flip, :, 0]
        others = rng.integers(0, len(clips), MORE_CLOSEUPS * batch)
        more = torch.from_numpy(np.stack([clips.close(i, rng) for i in others])).to(device).float() / 255.0
        more = augment(more, torch.zeros(len(others), dtype=torch.bool), rng)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            logits, found, cells = net(x, near)
            more_logits = net.read_near(more)
        loss = finding_loss(found, cells, where.to(device), x.shape[2] // 4, x.shape[3] // 4)
        for a, values in logits.items():
            y = targets[a][chosen]
            y = torch.where(flip & (y >= 0), mirror[a][y.clamp(min=0)], y).to(device)
            loss = loss + known_entropy(values, y)
        for a, values in more_logits.items():
            loss = loss + known_entropy(values, targets[a][others].to(device))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        state["step"] = step + 1.0
        now = time.monotonic()
        if now - saved > SAVE_SECONDS:
            saved = now
            _save(folder / CHECKPOINT, net, optimizer, state)
        if on_progress and now - said > 5.0:
            said = now
            rate = (step + 1 - first_step) * batch / (now - began)
            on_progress({**state, "loss": float(loss.detach()), "clips_per_second": rate})


def known_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the clips whose label is known; 0 if none is."""
    if not bool((labels >= 0).any()):
        return logits.sum() * 0
    return F.cross_entropy(logits.float(), labels, ignore_index=UNKNOWN, label_smoothing=0.02)


def mirrored(name: str) -> str:
    """The name of the same thing seen in a mirror."""
    swap = {"left": "right", "right": "left"}
    return "-".join(swap.get(word, word) for word in name.split("-"))


def _order(count: int, first: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Rows `first .. first+batch` of an endless walk: every clip once an epoch, each epoch in a new order."""
    at = np.arange(first, first + batch)
    orders = {
        int(e): np.random.default_rng([seed, 7, int(e)]).permutation(count) for e in np.unique(at // count)
    }
    return np.array([orders[int(i // count)][i % count] for i in at], np.int64)


def augment(x: Tensor, flip: Tensor, rng: np.random.Generator) -> Tensor:
    """Clips float [b, s, h, w, 3] in 0..1: flipped where `flip` [b]; toned, blurred, smeared, noised."""
    b, s, h, w, _ = x.shape
    x = torch.where(flip.to(x.device)[:, None, None, None, None], x.flip(3), x)

    def draw(low: float, high: float, channels: int) -> Tensor:
        values = rng.uniform(low, high, (b, 1, 1, 1, channels)).astype(np.float32)
        return torch.from_numpy(values).to(x.device)

    x = (x - 0.4) * draw(0.94, 1.06, 1) * draw(0.985, 1.015, 3) + (0.4 + draw(-0.025, 0.025, 1))
    kind = rng.integers(0, 6, b)  # 0, 1: as it is
    for which in range(2, 6):
        rows = torch.from_numpy(np.flatnonzero(kind == which)).to(x.device)
        if not len(rows):
            continue
        part = x[rows]
        if which in (2, 5):  # what a low-rate decoder loses: fine detail
            flat = part.flatten(0, 1).permute(0, 3, 1, 2)
            coarse = F.interpolate(
                flat, scale_factor=0.5 if which == 2 else 0.4, mode="bilinear", antialias=True
            )
            soft = F.interpolate(coarse, size=(h, w), mode="bilinear").permute(0, 2, 3, 1).view(part.shape)
            part = torch.lerp(part, soft, float(rng.uniform(0.4, 1.0)))
        if which in (3, 5):  # smear along time
            part = part.clone()
            part[:, 1:-1] = 0.5 * part[:, 1:-1] + 0.25 * (part[:, 2:] + part[:, :-2])
        if which == 4:
            seed = int(rng.integers(2**31))
            noise = torch.randn(part.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
            part = part + noise * float(rng.uniform(0.005, 0.025))
        x[rows] = part
    if rng.random() < 0.5:  # the whole batch a little nearer
        scale = float(rng.uniform(0.9, 1.0))
        ch, cw = round(h * scale), round(w * scale)
        top, left = int(rng.integers(0, h - ch + 1)), int(rng.integers(0, w - cw + 1))
        flat = x[:, :, top : top + ch, left : left + cw].flatten(0, 1).permute(0, 3, 1, 2)
        x = F.interpolate(flat, size=(h, w), mode="bilinear").permute(0, 2, 3, 1).reshape(b, s, h, w, 3)
    return x.clamp(0.0, 1.0)


def finding_loss(found: Tensor, cells: Tensor, true: Tensor, rows: int, columns: int) -> Tensor:
    """How far the subject is from where it is found; `found`, `true` [b, t, 4], `cells` [b, t, rows*columns].

    Pictures without the subject (NaN) do not count.
    """
    there = ~true[..., 0].isnan()
    if not bool(there.any()):
        return cells.sum() * 0
    found, cells, true = found[there], cells[there], true[there]
    row = (true[:, 1] * rows).long().clamp(0, rows - 1)
    column = (true[:, 0] * columns).long().clamp(0, columns - 1)
    return 0.3 * F.cross_entropy(cells, row * columns + column) + 5 * (found - true).abs().mean()


class _Clips:
    """The training clips as the net takes them."""

    def __init__(self, source: ClipSource, rows: Sequence[int], config: ReaderConfig) -> None:
        self.source, self.rows, self.config = source, rows, config
        self.labels = [labels_of(source.records[i].script) for i in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def get(
        self, index: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """Small frames, close-ups a little off the subject, and its true boxes (centre, size) or NaN."""
        frames, boxes = self._seen(index)
        return (
            small_frames(frames, self.config),
            closeups(frames, _a_little_off(boxes, rng), self.config),
            boxes,
        )

    def close(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Close-ups a little off the subject."""
        frames, boxes = self._seen(index)
        return closeups(frames, _a_little_off(boxes, rng), self.config)

    def _seen(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A clip's frames, and the subject's box in each picture: centre and size, or NaN."""
        row = self.rows[index]
        frames = self.source.frames(row)
        corners = np.asarray(self.source.truth(row)["boxes"], np.float32)
        corners = corners[np.linspace(0, len(frames) - 1, self.config.pictures).round().astype(int)]
        sides = corners[:, 2:] - corners[:, :2]
        return frames, np.concatenate([corners[:, :2] + sides / 2, sides], axis=1).astype(np.float32)


def _a_little_off(boxes: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Boxes as inexact as those that the net finds; none missing."""
    cut = _filled(boxes)
    cut[:, :2] += rng.normal(0, 0.06, (len(cut), 2)).astype(np.float32) * cut[:, 2:]
    cut[:, 2:] *= np.exp(rng.normal(0, 0.1, (len(cut), 1))).astype(np.float32)
    return cut


def _filled(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes [t, 4] with the nearest in time where there is none; the middle of the picture if there is none at all."""
    there = np.flatnonzero(~np.isnan(boxes[:, 0]))
    if not len(there):
        return np.tile(np.array([0.5, 0.5, 0.2, 0.2], np.float32), (len(boxes), 1))
    nearest = there[np.abs(np.arange(len(boxes))[:, None] - there).argmin(1)]
    filled: NDArray[np.float32] = boxes[nearest].copy()
    return filled


def _begin_from(path: Path, net: ReaderNet) -> None:
    """Takes over the tensors of another reader that fit.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    own = net.state_dict()
    net.load_state_dict(own | {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape})


def _save(path: Path, net: ReaderNet, optimizer: torch.optim.Optimizer, state: dict[str, float]) -> None:
    tensors = {f"net/{k}": v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    for i, p in enumerate(net.parameters()):
        for k, v in optimizer.state.get(p, {}).items():
            tensors[f"optimizer/{i}/{k}"] = v.detach().cpu().contiguous()
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(tensors, aside, metadata={"state": json.dumps(state)})
    aside.replace(path)


def _load(path: Path, net: ReaderNet, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, float] = json.loads(file.metadata()["state"])
            names = list(file.keys())
            net.load_state_dict({k[4:]: file.get_tensor(k) for k in names if k.startswith("net/")})
            parameters = list(net.parameters())
            for k in names:
                if k.startswith("optimizer/"):
                    _, i, key = k.split("/")
                    p, value = parameters[int(i)], file.get_tensor(k)
                    optimizer.state[p][key] = value.to(p.device) if value.ndim else value
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path} cannot be resumed from ({reason}): train without resume") from error
    return state


def _write(
    folder: Path, net: ReaderNet, part: str, scores: dict[str, AttributeScore], note: dict[str, float]
) -> None:
    """Weights first, then the card that names their hash: a reader is whole when its card is."""
    path = folder / "reader.safetensors"
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}, aside)
    card = {
        "version": CARD_VERSION,
        "part": part,
        "sha256": hashlib.sha256(aside.read_bytes()).hexdigest(),
        "bar": BAR,
        "parameters": sum(p.numel() for p in net.parameters()),
        "attributes": {a: {**asdict(s), "scored": s.scored} for a, s in scores.items()},
        "training": note,
    }
    aside.chmod(0o644)
    aside.replace(path)
    card_aside = folder / f".reader.json.{os.getpid()}"
    card_aside.write_text(json.dumps(card, indent=1) + "\n")
    card_aside.replace(folder / "reader.json")
