"""Benches beside the main one: gravity in drops, the VAE on true clips, and clips that start from an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from filmwright.evaluation.judging import (
    ROWS,
    Frames,
    Generate,
    GenerateFromImage,
    Judge,
    RoundTrip,
    companions,
    paired,
    retaken,
)
from filmwright.evaluation.metrics import METRICS, Case, Value, psnr, ssim, summary, verdicts
from filmwright.evaluation.prompts import PromptRecord, Truth, render_truth
from filmwright.evaluation.reader import Reader
from filmwright.evaluation.tracking import ColourModel, fall_height, free_fall
from filmwright.spec.errors import BadRequest

__all__ = ["evaluate_free_fall", "evaluate_i2v", "evaluate_vae", "gravity_error"]


def evaluate_free_fall(
    generate: Generate,
    records: Sequence[PromptRecord],
    *,
    vae_round_trip: RoundTrip | None = None,
    seed: int = 0,
    device: str = "cpu",
    truth_of: Callable[[PromptRecord], Truth] | None = None,
) -> dict[str, dict[str, Value]]:
    """Gravity in clips of drops: row -> `error` (of g, relative; 1 where no fall is seen) and `seen` (share that fall).

    Raises:
        BadRequest: not one clip a prompt.
    """
    rng = np.random.default_rng([seed, 0xFA11])
    draw = truth_of or (lambda record: render_truth(record.script, device=device))
    found: dict[str, list[float | None]] = {}
    for record, clip in paired(records, generate(list(records))):
        truth = draw(record)
        again = draw(retaken(record))
        colours = ColourModel.from_truth(truth.frames, truth.mask)
        shown = [
            ("generated", clip, truth),
            *((n, c, truth) for n, c in companions(truth, vae_round_trip, rng)),
        ]
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
        judge = Judge(reader, truth)
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
