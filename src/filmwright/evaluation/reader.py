"""Reads subject, colour, event, setting, light and camera from a clip of any size, with a stated accuracy.

A reader is two files: `reader.safetensors` and `reader.json` beside it, which says for which part of the world it was
trained, how well it reads held-out truth, and the SHA-256 of the weights. An attribute that it reads right in less
than 98 % of held-out true clips is not scored by it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from filmwright.evaluation.reader_net import ReaderConfig, ReaderNet, closeups
from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.vocabulary import ATTRIBUTES, COLOURS, PARTS
from filmwright.world.scene import Script

__all__ = ["BAR", "AttributeScore", "Reader", "Reading", "heads_for", "labels_of", "small_frames"]

BAR = 0.98  # accuracy on held-out truth below which an attribute is not scored
CARD_VERSION = 2

Frames = NDArray[np.uint8]
Reading = dict[str, tuple[str, float]]
"""Attribute -> (name, probability)."""


@dataclass(frozen=True, kw_only=True)
class AttributeScore:
    """How well an attribute is read on held-out truth; `confusion[i][j]` counts clips of name i read as name j."""

    names: tuple[str, ...]
    accuracy: float
    standard_error: float
    n: int
    confusion: tuple[tuple[int, ...], ...]

    @property
    def scored(self) -> bool:
        """Whether it is good enough to judge others by."""
        return self.n > 0 and self.accuracy >= BAR


def heads_for(part: str) -> dict[str, tuple[str, ...]]:
    """What there is to read in a part of the world: attribute -> names.

    Raises:
        BadRequest: unknown part.
    """
    if part not in PARTS:
        raise BadRequest(f"unknown part of the world {part!r}: choose one of {', '.join(PARTS)}")
    p = PARTS[part]
    names = {
        "subject": p.subjects, "colour": COLOURS, "event": p.events,
        "setting": p.settings, "light": p.lights, "camera": p.cameras,
    }  # fmt: skip
    return {a: names[a] for a in ATTRIBUTES}


def labels_of(script: Script | dict[str, Any]) -> dict[str, str | None]:
    """What a script shows, attribute -> name; None for the colour of a black-and-white clip, which nobody can see.

    `script` is a Script, or what `dataclasses.asdict` made of one.
    """
    if isinstance(script, Script):
        main: dict[str, Any] = {"kind": script.subjects[0].kind, "colour": script.subjects[0].colour}
        get: dict[str, Any] = vars(script)
    else:
        main, get = script["subjects"][0], script
    return {
        "subject": main["kind"],
        "colour": None if get["mood"] == "monochrome" else main["colour"],
        "event": get["event"],
        "setting": get["setting"],
        "light": get["light"],
        "camera": get["camera"],
    }


def small_frames(frames: Frames, config: ReaderConfig) -> Frames:
    """uint8 [T, H, W, 3] -> uint8 [samples, height, width, 3]: evenly spread samples, area-averaged.

    Raises:
        BadRequest: not a clip of at least two frames.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2 or frames.dtype != np.uint8:
        raise BadRequest(f"a clip is uint8 [T, H, W, 3] with T >= 2, not {frames.dtype} {list(frames.shape)}")
    at = np.linspace(0, len(frames) - 1, config.samples).round().astype(int)
    size = (config.width, config.height)
    shrink = frames.shape[1] >= config.height and frames.shape[2] >= config.width
    how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.stack(
        [cv2.resize(np.ascontiguousarray(frames[i]), size, interpolation=how) for i in at]
    ).astype(np.uint8)


class Reader:
    """A trained reader; `scores` are its accuracies on held-out truth, `part` the part of the world it knows."""

    def __init__(
        self, net: ReaderNet, part: str, scores: dict[str, AttributeScore], device: str = "cpu"
    ) -> None:
        self.net = net.eval().to(device)
        self.part = part
        self.scores = scores
        self.device = device

    @classmethod
    def load(cls, path: Path | str, *, device: str = "cpu") -> Reader:
        """Reads `reader.safetensors` (or the folder that holds it) and the card beside it.

        Raises:
            WeightsError: a file is missing, damaged, of another version, or not the bytes that the card names.
        """
        path = Path(path)
        path = path / "reader.safetensors" if path.is_dir() else path
        card_path = path.with_suffix(".json")
        try:
            card = json.loads(card_path.read_text())
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"cannot read the reader {path} and its card {card_path.name}: "
                f"{getattr(error, 'strerror', None) or error}; train one"
            ) from error
        if card.get("version") != CARD_VERSION:
            raise WeightsError(
                f"{card_path} has version {card.get('version')}, this program reads {CARD_VERSION}"
            )
        actual = hashlib.sha256(data).hexdigest()
        if actual != card["sha256"]:
            raise WeightsError(
                f"{path} has SHA-256 {actual[:12]}..., its card says {card['sha256'][:12]}...: train it anew"
            )
        scores = {
            name: AttributeScore(
                names=tuple(item["names"]), accuracy=item["accuracy"], standard_error=item["standard_error"],
                n=item["n"], confusion=tuple(tuple(row) for row in item["confusion"]),
            )
            for name, item in card["attributes"].items()
        }  # fmt: skip
        net = ReaderNet(ReaderConfig(heads={k: s.names for k, s in scores.items()}))
        try:
            net.load_state_dict(load_tensors(data))
        except (SafetensorError, RuntimeError) as error:
            raise WeightsError(
                f"{path} is not a reader of this version: {str(error).splitlines()[0]}"
            ) from error
        return cls(net, card["part"], scores, device)

    @property
    def scored(self) -> tuple[str, ...]:
        """The attributes that this reader may judge, in vocabulary order."""
        return tuple(a for a in ATTRIBUTES if a in self.scores and self.scores[a].scored)

    def read(self, frames: Frames) -> Reading:
        """What a clip uint8 [T, H, W, 3] shows: attribute -> (name, probability).

        Raises:
            BadRequest: not a clip of at least two frames.
        """
        return self.read_many([frames])[0]

    @torch.inference_mode()
    def read_many(self, clips: Iterable[Frames], *, batch: int = 16) -> list[Reading]:
        """Reads several clips; their sizes may differ."""
        config = self.net.config
        result: list[Reading] = []
        for some in _batches(clips, batch):
            small = np.stack([small_frames(c, config) for c in some])
            x = torch.from_numpy(small).to(self.device).float() / 255.0  # b s h w 3
            boxes = self.net.locate(x).float().cpu().numpy()
            close = np.stack([closeups(c, box, config) for c, box in zip(some, boxes, strict=True)])
            logits, _, _ = self.net(x, torch.from_numpy(close).to(self.device).float() / 255.0)
            odds = {k: v.softmax(-1).cpu() for k, v in logits.items()}
            for i in range(len(x)):
                best = {k: int(p[i].argmax()) for k, p in odds.items()}
                result.append({k: (config.heads[k][j], float(odds[k][i, j])) for k, j in best.items()})
        return result


def _batches(clips: Iterable[Frames], size: int) -> Iterator[list[Frames]]:
    row: list[Frames] = []
    for clip in clips:
        row.append(clip)
        if len(row) == size:
            yield row
            row = []
    if row:
        yield row


def score_attribute(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> AttributeScore:
    """Accuracy and confusion of (true name, read name) pairs."""
    index = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), int)
    for true, read in pairs:
        table[index[true], index[read]] += 1
    n = int(table.sum())
    accuracy = float(np.trace(table) / n) if n else 0.0
    error = math.sqrt(max(accuracy * (1 - accuracy), 0.0) / n) if n else 0.0
    rows = tuple(tuple(int(v) for v in row) for row in table)
    return AttributeScore(names=tuple(names), accuracy=accuracy, standard_error=error, n=n, confusion=rows)
