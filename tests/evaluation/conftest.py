"""A few true clips, drawn once, and a reader that has learnt them by heart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from filmwright.evaluation.prompts import PromptRecord, Truth, held_out_prompts, render_truth
from filmwright.evaluation.reader import Reader
from filmwright.evaluation.train_reader import train_reader
from filmwright.world.author import variant, write_script
from filmwright.world.scene import Script

SEED = 41


@dataclass(frozen=True)
class Record:
    script: dict[str, Any]
    split: str


class Source:
    """Clips in memory in the shape that the trainer asks for."""

    def __init__(self, truths: list[Truth], split: str) -> None:
        self.truths = truths
        self.records = [Record(script=asdict(t.take.script), split=split) for t in truths]

    def frames(self, index: int) -> NDArray[np.uint8]:
        return self.truths[index].frames

    def truth(self, index: int) -> dict[str, NDArray[np.float32]]:
        mask = self.truths[index].mask
        boxes = np.full((len(mask), 4), np.nan, np.float32)
        for i, frame in enumerate(mask):
            if frame.any():
                y, x = np.nonzero(frame)
                boxes[i] = x.min(), y.min(), x.max() + 1, y.max() + 1
        return {"boxes": boxes / np.array([mask.shape[2], mask.shape[1]] * 2, np.float32)}


@pytest.fixture(scope="session")
def draw() -> Callable[..., Truth]:
    """Draws the main clip of a part with some attributes forced; uncompiled, because compiling takes longer here."""
    cache: dict[Script, Truth] = {}

    def drawn(*, part: str = "solo", seed: int = SEED, **forced: str) -> Truth:
        script = variant(write_script(seed, part), **{"mood": "neutral", **forced})  # type: ignore[arg-type]
        if script not in cache:
            cache[script] = render_truth(script, compiled=False)
        return cache[script]

    return drawn


@pytest.fixture(scope="session")
def records() -> list[PromptRecord]:
    return held_out_prompts(4, part="solo", seed=3)


@pytest.fixture(scope="session")
def truths(records: list[PromptRecord]) -> list[Truth]:
    return [render_truth(r.script, compiled=False) for r in records]


@pytest.fixture(scope="session")
def truth_of(records: list[PromptRecord], truths: list[Truth]) -> Callable[[PromptRecord], Truth]:
    known = {r.script: t for r, t in zip(records, truths, strict=True)}

    def find(record: PromptRecord) -> Truth:
        if record.script not in known:
            known[record.script] = render_truth(record.script, compiled=False)
        return known[record.script]

    return find


@pytest.fixture(scope="session")
def source() -> Callable[[list[Truth], str], Source]:
    return Source


@pytest.fixture(scope="session")
def reader_folder(truths: list[Truth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    torch.set_num_threads(1)
    train_reader(
        Source(truths, "train"),
        Source(truths, "held_out"),
        folder,
        max_minutes=5,
        max_steps=50,
        batch=4,
        seed=1,
    )
    return folder


@pytest.fixture(scope="session")
def reader(reader_folder: Path) -> Reader:
    return Reader.load(reader_folder)
