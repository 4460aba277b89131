"""The truth heads: they read what they are asked for, share a batch fairly, and ask nothing of a missing caption."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from filmwright.models.catalog import size
from filmwright.training.truth import LABELS, TruthHeads, labels_of_script
from filmwright.world.author import write_script

FRAMES, ROWS, COLUMNS = 3, 4, 6


@pytest.fixture
def heads() -> TruthHeads:
    torch.manual_seed(0)
    return TruthHeads(size("tiny").dit)


def batch(count: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    labels = torch.tensor([labels_of_script(asdict(write_script(i, "solo"))) for i in range(count)])
    return {
        "tokens": torch.randn(count, FRAMES * ROWS * COLUMNS // 4, 128, generator=g),
        "pooled": torch.randn(count, 128, generator=g),
        "labels": labels,
        "cover": (torch.rand(count, FRAMES, ROWS, COLUMNS, generator=g) > 0.7).float(),
        "told": torch.tensor([True] * count),
    }


def test_labels_are_places_in_the_vocabulary() -> None:
    script = write_script(7, "solo")
    told = {
        k: names[i] for (k, names), i in zip(LABELS.items(), labels_of_script(asdict(script)), strict=True)
    }
    assert told["subject"] == script.subjects[0].kind
    assert told["event"] == script.event
    assert told["direction"] == script.direction
    assert told["mood"] == script.mood


def test_halves_of_a_batch_give_the_loss_of_the_whole(heads: TruthHeads) -> None:
    whole = batch(4)
    whole["told"][3] = False
    loss = heads(**whole)[0].detach()
    halves = [
        heads(**{k: v[part] for k, v in whole.items()})[0].detach() for part in (slice(0, 2), slice(2, 4))
    ]
    assert float(loss) == pytest.approx(float(sum(halves)) / 2, rel=1e-5)


def test_words_are_not_asked_of_a_clip_without_a_caption(heads: TruthHeads) -> None:
    silent = batch(3)
    silent["told"][:] = False
    _, parts = heads(**silent)
    assert parts["words"].item() == 0.0
    assert parts["where"].item() > 0.0


def test_the_cover_of_a_token_is_that_of_its_own_cells(heads: TruthHeads) -> None:
    data = batch(1)
    data["cover"].zero_()
    data["cover"][0, 1, 2, 5] = 1.0  # frame 1, row 2, column 5: token (1, 1, 2), its cell (0, 1)
    token = 1 * 6 + 1 * 3 + 2
    data["tokens"].zero_()
    data["tokens"][0, token, 0] = 1.0
    with torch.no_grad():
        heads.of_tokens["cover"].weight.zero_()
        heads.of_tokens["cover"].bias.fill_(-20.0)
        heads.of_tokens["cover"].weight[1, 0] = 40.0 / 128**0.5
    _, parts = heads(**data)
    assert parts["where"].item() < 1e-3
