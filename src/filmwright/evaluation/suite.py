"""The bench: clips of held-out prompts, judged beside truth, VAE round trip, frozen clip, noise and shuffled prompts.

Whoever makes the clips comes in as a callable; nothing here knows a model. Clips are judged one by one as they come and
only numbers and a few thumbnails are kept, so that memory does not grow with their count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.evaluation.consistency import steadiness
from filmwright.evaluation.geometry import camera_motion
from filmwright.evaluation.metrics import METRICS, Case, Measured, Value, psnr, ssim, summary, verdicts
from filmwright.evaluation.prompts import PromptRecord, Truth, another_take, render_truth, save_prompts
from filmwright.evaluation.reader import AttributeScore, Reader
from filmwright.evaluation.tracking import ColourModel, fall_height, free_fall, jumps
from filmwright.spec.errors import BadRequest

__all__ = [
    "ROWS",
    "Generate",
    "Results",
    "RoundTrip",
    "Row",
    "Sample",
    "evaluate",
    "evaluate_i2v",
    "evaluate_vae",
]

Frames = NDArray[np.uint8]
Generate = Callable[[list[PromptRecord]], Iterable[Frames]]
"""Makes one clip uint8 [T,H,W,3] a prompt, in order; may do so lazily."""
GenerateFromImage = Callable[[list[PromptRecord], list[Frames]], Iterable[Frames]]
"""The same from each prompt and its first picture uint8 [H,W,3]."""
RoundTrip = Callable[[Frames], Frames]
"""Encodes and decodes a clip uint8 [T,H,W,3] to one of the same shape."""
OnClip = Callable[[int, int], None]
"""Told how many prompts of how many have been judged."""

ROWS: dict[str, str] = {
    "generated": "generated",
    "truth": "truth",
    "another_take": "truth, another take of the same words",
    "vae": "truth through the VAE",
    "frozen": "frozen clip (the truth's first frame)",
    "noise": "noise",
    "shuffled": "generated, against shuffled prompts",
}
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
        judge = _Judge(reader, truth)
        measured["generated"].append(judge(clip))
        for name, other in _companions(truth, vae_round_trip, rng):
            measured[name].append(judge(other, aligned=name in ("truth", "vae")))
        if retake:
            again = draw(_with_script(record))
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
        results.free_fall = _free_fall(generate, list(free_fall_records), vae_round_trip, rng, draw)
    return results


def paired(records: Sequence[PromptRecord], clips: Iterable[Frames]) -> Iterator[tuple[PromptRecord, Frames]]:
    """Prompts with their clips, one by one.

    Raises:
        BadRequest: not one clip a prompt, or something that is no clip.
    """
    count = 0
    for clip in clips:
        if count == len(records):
            raise BadRequest(f"more than {count} clips came for {count} prompts: give one clip a prompt")
        if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3 or len(clip) < 2:
            raise BadRequest(
                f"clip {count} is {clip.dtype} {list(clip.shape)}: a clip is uint8 [T, H, W, 3] with T >= 2"
            )
        yield records[count], clip
        count += 1
    if count < len(records):
        raise BadRequest(f"{count} clips came for {len(records)} prompts: give one clip a prompt")


class _Judge:
    """Measures clips against one truth."""

    def __init__(self, reader: Reader, truth: Truth) -> None:
        self.reader, self.truth = reader, truth
        self.colours = ColourModel.from_truth(truth.frames, truth.mask)
        self.coloured = truth.take.script.mood != "monochrome"

    def __call__(
        self, clip: Frames, *, aligned: bool = False, colours: ColourModel | None = None
    ) -> Measured:
        """`aligned`: pixels can be compared with the truth's."""
        track = (colours or self.colours).track(clip) if self.coloured else None
        return Measured(
            reading=self.reader.read(clip),
            camera=camera_motion(clip).name,
            steady=steadiness(clip),
            psnr=psnr(clip, self.truth.frames) if aligned else None,
            ssim=ssim(clip, self.truth.frames) if aligned else None,
            lost=track.lost if track else None,
            jumps=jumps(track, clip.shape[1]) if track else None,
        )


def _companions(
    truth: Truth, round_trip: RoundTrip | None, rng: np.random.Generator
) -> Iterator[tuple[str, Frames]]:
    """The clips that a generated one is printed beside."""
    yield "truth", truth.frames
    yield "frozen", np.repeat(truth.frames[:1], len(truth.frames), axis=0)
    yield "noise", rng.integers(0, 256, truth.frames.shape, dtype=np.uint8)
    if round_trip:
        yield "vae", round_trip(truth.frames)


def _with_script(record: PromptRecord) -> PromptRecord:
    return replace(record, script=another_take(record.script))


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


def _free_fall(
    generate: Generate,
    records: list[PromptRecord],
    round_trip: RoundTrip | None,
    rng: np.random.Generator,
    draw: Callable[[PromptRecord], Truth],
) -> dict[str, dict[str, Value]]:
    """Row -> `error` (of g, relative; 1 where no fall is seen) and `seen` (share of clips with a fall)."""
    found: dict[str, list[float | None]] = {}
    for record, clip in paired(records, generate(records)):
        truth = draw(record)
        again = draw(_with_script(record))
        colours = ColourModel.from_truth(truth.frames, truth.mask)
        shown = [("generated", clip, truth), *((n, c, truth) for n, c in _companions(truth, round_trip, rng))]
        for name, frames, of in [*shown, ("another_take", again.frames, truth)]:
            found.setdefault(name, []).append(gravity_error(frames, colours, of, record.script.fps))
    result = {}
    for name in ROWS:
        if name in found:
            error = summary([1.0 if e is None else min(e, 1.0) for e in found[name]])
            seen = summary([float(e is not None) for e in found[name]])
            assert error is not None
            assert seen is not None
            result[name] = {"error": error, "seen": seen}
    return result


def gravity_error(clip: Frames, colours: ColourModel, truth: Truth, fps: int) -> float | None:
    """Relative error of g, seen by the truth's camera, falling where the truth's subject falls; None: no fall."""
    height, width = clip.shape[1:3]
    camera = truth.take.stage.camera
    if len(clip) != len(camera.fov):
        return None
    main = int(np.flatnonzero(truth.take.subject == 0)[0])
    track = colours.track(clip)
    fit = free_fall(fall_height(track, camera, width, height, float(truth.take.position[0, main, 1])), fps)
    return None if fit is None else fit.error


def evaluate_vae(encode_decode: RoundTrip, clips: Iterable[Frames]) -> dict[str, Value]:
    """`psnr` in dB and `ssim` of a VAE's round trip over true clips uint8 [T,H,W,3].

    Raises:
        BadRequest: no clips, or a round trip that changes the shape.
    """
    pairs: list[tuple[float, float]] = []
    for clip in clips:
        back = encode_decode(clip)
        if back.shape != clip.shape:
            raise BadRequest(
                f"the round trip made {list(back.shape)} of {list(clip.shape)}: the shapes must be equal"
            )
        pairs.append((psnr(clip, back), ssim(clip, back)))
    p, s = summary([a for a, _ in pairs]), summary([b for _, b in pairs])
    if p is None or s is None:
        raise BadRequest("no clips came to put through the VAE: give at least one")
    return {"psnr": p, "ssim": s}


def evaluate_i2v(
    generate: GenerateFromImage,
    reader: Reader,
    records: Sequence[PromptRecord],
    *,
    device: str = "cpu",
    truth_of: Callable[[PromptRecord], Truth] | None = None,
) -> dict[str, dict[str, Value]]:
    """Clips from a prompt and the truth's first frame: row -> metric -> value.

    Metrics are `first_frame_psnr`, `camera` (by the reader if it may judge it, else by geometry), `adherence.all` and
    `consistency.score`; rows are generated, truth and frozen.

    Raises:
        BadRequest: not one clip a prompt.
    """
    draw = truth_of or (lambda record: render_truth(record.script, device=device))
    images = [draw(r).frames[0].copy() for r in records]
    numbers: dict[str, dict[str, list[float | None]]] = {}
    for i, (record, clip) in enumerate(paired(records, generate(list(records), images))):
        truth = draw(record)
        judge = _Judge(reader, truth)
        target = judge(truth.frames)
        frozen = np.repeat(truth.frames[:1], len(truth.frames), axis=0)
        for name, frames in (("generated", clip), ("truth", truth.frames), ("frozen", frozen)):
            case = Case(record=record, clip=judge(frames), truth=target, scored=reader.scored)
            camera = verdicts(case).get("camera")
            row = numbers.setdefault(name, {})
            row.setdefault("first_frame_psnr", []).append(psnr(frames[0], images[i]))
            row.setdefault("camera", []).append(None if camera is None else float(camera[0]))
            for metric in METRICS:
                if metric.name in ("adherence.all", "consistency.score"):
                    row.setdefault(metric.name, []).append(metric.value(case))
    summaries = {name: {k: summary(v) for k, v in row.items()} for name, row in numbers.items()}
    return {name: {k: v for k, v in row.items() if v is not None} for name, row in summaries.items()}
