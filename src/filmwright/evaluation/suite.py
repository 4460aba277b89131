"""The bench: clips of held-out prompts, judged beside truth, VAE round trip, frozen clip, noise and shuffled prompts.

Whoever makes the clips comes in as a callable; nothing here knows a model. Clips are judged one by one as they come and
only numbers and a few thumbnails are kept, so that memory does not grow with their count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from filmwright.evaluation.judging import (
    ROWS,
    Frames,
    Generate,
    Judge,
    RoundTrip,
    companions,
    paired,
    retaken,
)
from filmwright.evaluation.metrics import METRICS, Case, Measured, Value, summary, verdicts
from filmwright.evaluation.probes import evaluate_free_fall
from filmwright.evaluation.prompts import PromptRecord, Truth, render_truth, save_prompts
from filmwright.evaluation.reader import AttributeScore, Reader
from filmwright.evaluation.tracking import ColourModel
from filmwright.spec.errors import BadRequest

__all__ = ["Results", "Row", "Sample", "evaluate"]

OnClip = Callable[[int, int], None]
"""Told how many prompts of how many have been judged."""
SAMPLE_FRAMES = 6


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table: metric name -> value; metrics that say nothing about this row are missing."""

    name: str
    label: str
    values: dict[str, Value]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A generated clip to look at: a few frames [n,H,W,3], its prompt, and attribute -> (holds, what was read)."""

    prompt: str
    paraphrased: bool
    frames: Frames
    verdicts: dict[str, tuple[bool, str]]


@dataclass(kw_only=True)
class Results:
    """All that a report says. `confusion[attribute][asked][read]` counts generated clips."""

    rows: list[Row]
    reader_part: str
    reader_scores: dict[str, AttributeScore]
    chance: dict[str, float]
    confusion: dict[str, dict[str, dict[str, int]]]
    samples: list[Sample]
    prompts: int
    by_phrasing: dict[str, dict[str, Value]] = field(default_factory=dict)
    free_fall: dict[str, dict[str, Value]] = field(default_factory=dict)
    vae: dict[str, Value] = field(default_factory=dict)
    i2v: dict[str, dict[str, Value]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)


def evaluate(
    generate: Generate,
    reader: Reader,
    records: Sequence[PromptRecord],
    out_dir: Path | str,
    *,
    vae_round_trip: RoundTrip | None = None,
    free_fall_records: Sequence[PromptRecord] = (),
    retake: bool = True,
    samples: int = 24,
    seed: int = 0,
    device: str = "cpu",
    truth_of: Callable[[PromptRecord], Truth] | None = None,
    on_clip: OnClip | None = None,
) -> Results:
    """Judges one clip a prompt, writes the prompts to `out_dir/prompts.json`, and returns every number of the report.

    Args:
        generate: makes the clips; called once with all prompts, and once with `free_fall_records` if there are any.
        reader: trained on the same part of the world as the prompts are from.
        records: the prompts.
        out_dir: folder, made if need be.
        vae_round_trip: encodes and decodes a clip; adds its row, the ceiling of every latent model on that VAE.
        free_fall_records: prompts of drops before a still camera; adds the free-fall table.
        retake: adds a row of other true clips of the same words, the fairest ceiling for consistency.
        samples: how many clips are kept to look at, evenly spread.
        seed: of the noise and of the shuffling.
        device: that the truth is drawn on.
        truth_of: draws the truth of a prompt; by default `render_truth`.
        on_clip: is told how it goes.

    Raises:
        BadRequest: fewer than two prompts, prompts of another part than the reader's, or too few or many clips came.
    """
    parts = {r.script.part for r in records}
    if len(records) < 2 or parts != {reader.part}:
        raise BadRequest(
            f"{len(records)} prompts of part {', '.join(sorted(parts)) or 'none'} cannot be judged by a reader of part "
            f"{reader.part!r}: give at least two, of its part"
        )
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    save_prompts(records, folder / "prompts.json")
    rng = np.random.default_rng([seed, 0x5EED])
    draw = truth_of or (lambda record: render_truth(record.script, device=device))
    measured: dict[str, list[Measured]] = {name: [] for name in ROWS if name != "shuffled"}
    shown = (
        set(np.linspace(0, len(records) - 1, min(samples, len(records))).round().astype(int).tolist())
        if samples
        else set()
    )
    kept: dict[int, Frames] = {}
    for i, (record, clip) in enumerate(paired(records, generate(list(records)))):
        truth = draw(record)
        judge = Judge(reader, truth)
        measured["generated"].append(judge(clip))
        for name, other in companions(truth, vae_round_trip, rng):
            measured[name].append(judge(other, aligned=name in ("truth", "vae")))
        if retake:
            again = draw(retaken(record))
            measured["another_take"].append(
                judge(again.frames, colours=ColourModel.from_truth(again.frames, again.mask))
            )
        if i in shown:
            kept[i] = clip[
                np.linspace(0, len(clip) - 1, min(SAMPLE_FRAMES, len(clip))).round().astype(int)
            ].copy()
        if on_clip:
            on_clip(i + 1, len(records))
    results = _table(reader, records, measured, rng)
    cases = _cases(reader, records, measured["generated"], measured["truth"])
    results.samples = [
        Sample(
            prompt=records[i].prompt,
            paraphrased=records[i].paraphrased,
            frames=kept[i],
            verdicts=verdicts(cases[i]),
        )
        for i in sorted(kept)
    ]
    if free_fall_records:
        results.free_fall = evaluate_free_fall(
            generate, free_fall_records, vae_round_trip=vae_round_trip, seed=seed, truth_of=draw
        )
    return results


def _cases(
    reader: Reader, records: Sequence[PromptRecord], clips: Sequence[Measured], truths: Sequence[Measured]
) -> list[Case]:
    return [
        Case(record=r, clip=c, truth=t, scored=reader.scored)
        for r, c, t in zip(records, clips, truths, strict=True)
    ]


def _values(cases: Sequence[Case], *, groups: Sequence[str] | None = None) -> dict[str, Value]:
    """Every metric over the cases; `groups` limits it to those."""
    found = {
        m.name: summary([m.value(c) for c in cases]) for m in METRICS if groups is None or m.group in groups
    }
    return {k: v for k, v in found.items() if v is not None}


def _table(
    reader: Reader,
    records: Sequence[PromptRecord],
    measured: dict[str, list[Measured]],
    rng: np.random.Generator,
) -> Results:
    truths = measured["truth"]
    rows = [
        Row(name=name, label=ROWS[name], values=_values(_cases(reader, records, clips, truths)))
        for name, clips in measured.items()
        if clips
    ]
    cases = _cases(reader, records, measured["generated"], truths)
    order = derangement(len(records), rng)
    swapped = _cases(reader, [records[j] for j in order], measured["generated"], [truths[j] for j in order])
    rows.append(
        Row(
            name="shuffled",
            label=ROWS["shuffled"],
            values=_values(swapped, groups=("adherence", "consistency")),
        )
    )
    phrasing = {
        label: _values([c for c in cases if c.record.paraphrased == flag], groups=("adherence",))
        for label, flag in (("training's sentence shapes", False), ("unseen sentence shapes", True))
    }
    return Results(
        rows=[r for name in ROWS for r in rows if r.name == name],
        reader_part=reader.part,
        reader_scores=reader.scores,
        chance=chance_levels(cases),
        confusion=confusion_of(cases),
        samples=[],
        prompts=len(records),
        by_phrasing=phrasing,
    )


def derangement(count: int, rng: np.random.Generator) -> list[int]:
    """A random order in which nobody stays in place; `count` of at least 2."""
    walk = rng.permutation(count)
    order = np.empty(count, int)
    order[walk] = np.roll(walk, 1)
    return [int(i) for i in order]


def chance_levels(cases: Sequence[Case]) -> dict[str, float]:
    """How often a clip fits a prompt drawn at random: attribute -> mean over all pairs of clip and prompt."""
    result = {}
    for attribute in sorted({a for c in cases for a in verdicts(c)}):
        judged = [c for c in cases if attribute in verdicts(c)]
        reads = [verdicts(c)[attribute][1] for c in judged]
        wanted = [c.record.atoms[attribute] for c in judged]
        result[attribute] = float(np.mean([[read in w for w in wanted] for read in reads]))
    return result


def confusion_of(cases: Sequence[Case]) -> dict[str, dict[str, dict[str, int]]]:
    """Attribute -> name asked for -> name read -> number of clips; prompts that accept several names are left out."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for case in cases:
        for attribute, (_, read) in verdicts(case).items():
            accepted = case.record.atoms[attribute]
            if len(accepted) == 1:
                row = result.setdefault(attribute, {}).setdefault(accepted[0], {})
                row[read] = row.get(read, 0) + 1
    return result
