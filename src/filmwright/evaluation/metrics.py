"""Every metric of the report: what it is called, what its unit is, which way is better, what a perfect clip gets.

A metric is a plain function of one `Case`: a clip as measured, the prompt it is scored against, and the truth of that
prompt as measured. `None` means that the metric says nothing about this case, and is never counted as a success.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filmwright.evaluation.consistency import Steadiness, motion_gate, ssim_map
from filmwright.evaluation.geometry import geometric_name
from filmwright.evaluation.prompts import PromptRecord
from filmwright.evaluation.reader import Reading
from filmwright.spec.vocabulary import ATTRIBUTES

__all__ = [
    "METRICS",
    "PERFECT_PSNR",
    "Case",
    "Measured",
    "Metric",
    "Value",
    "adherence_metrics",
    "psnr",
    "ssim",
    "summary",
    "verdicts",
]

PERFECT_PSNR = 60.0  # dB: printed for equal pictures, so that a mean stays finite

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that is kept of a clip. What needs a truth of the same pixels or colours is None without it."""

    reading: Reading
    camera: str  # by geometry
    steady: Steadiness
    psnr: float | None = None
    ssim: float | None = None
    lost: float | None = None
    jumps: float | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A clip, the prompt that it is scored against, the truth of that prompt, and what the reader may judge."""

    record: PromptRecord
    clip: Measured
    truth: Measured
    scored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Value:
    """A mean over clips with its standard error."""

    mean: float
    standard_error: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A named number of a clip; `floor` is what a perfect clip gets, `group` the section of the report."""

    name: str
    label: str
    group: str
    unit: str
    higher_is_better: bool
    floor: float
    value: Callable[[Case], float | None]


def psnr(a: Frames, b: Frames) -> float:
    """Peak signal-to-noise ratio in dB of two pictures or clips uint8 of one shape, at most 60."""
    error = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return PERFECT_PSNR if error <= 0 else min(PERFECT_PSNR, 10.0 * math.log10(255.0**2 / error))


def ssim(a: Frames, b: Frames) -> float:
    """Structural similarity of two clips uint8 [T,H,W,3], mean over frames and channels; Wang et al. 2004."""
    edge = 5  # half of the window: there the mean would see what lies outside
    maps = [
        float(ssim_map(x.astype(np.float32), y.astype(np.float32))[edge:-edge, edge:-edge].mean())
        for x, y in zip(a, b, strict=True)
    ]
    return float(np.mean(maps))


def summary(values: Sequence[float | None]) -> Value | None:
    """Mean and standard error of the values that are there; None without any."""
    known = np.array([v for v in values if v is not None], np.float64)
    if not len(known):
        return None
    error = float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else 0.0
    return Value(mean=float(known.mean()), standard_error=error, n=len(known))


def verdicts(case: Case) -> dict[str, tuple[bool, str]]:
    """Attribute -> (does it hold, what was read), for each atom of the prompt that can be judged.

    An attribute is judged by the reader if it reads it well enough; the camera otherwise by geometry.
    """
    result: dict[str, tuple[bool, str]] = {}
    for attribute, accepted in case.record.atoms.items():
        if attribute in case.scored:
            read = case.clip.reading[attribute][0]
            result[attribute] = (read in accepted, read)
        elif attribute == "camera" and (holds := _camera_holds(case)) is not None:
            result[attribute] = (holds, case.clip.camera)
    return result


def _camera_holds(case: Case) -> bool | None:
    """Whether geometry sees the camera that the prompt names; None for a move that geometry has no name for."""
    wanted = [geometric_name(c) for c in case.record.atoms.get("camera", ())]
    return None if not wanted or None in wanted else case.clip.camera in wanted


def _holds(attribute: str) -> Callable[[Case], float | None]:
    def value(case: Case) -> float | None:
        found = verdicts(case).get(attribute)
        return None if found is None or attribute not in case.scored else float(found[0])

    return value


def _geometry(case: Case) -> float | None:
    holds = _camera_holds(case)
    return None if holds is None else float(holds)


def _share(case: Case) -> float | None:
    found = verdicts(case)
    return float(np.mean([ok for ok, _ in found.values()])) if found else None


def _all(case: Case) -> float | None:
    found = verdicts(case)
    return float(all(ok for ok, _ in found.values())) if found else None


TOLERANCE = {"warp": 0.02, "flicker": 0.01, "structure": 0.15}
"""Distance from the truth's value at which steadiness counts nothing."""


def _distance(name: str) -> Callable[[Case], float | None]:
    def value(case: Case) -> float | None:
        return abs(float(getattr(case.clip.steady, name)) - float(getattr(case.truth.steady, name)))

    return value


def _gate(case: Case) -> float:
    return motion_gate(case.clip.steady.motion, case.truth.steady.motion)


def _motion_distance(case: Case) -> float | None:
    """|log2| of the ratio of path lengths, at most 4: twice as much and half as much are equally wrong."""
    a, b = case.clip.steady.motion + 0.02, case.truth.steady.motion + 0.02
    return min(4.0, abs(math.log2(a / b)))


def _consistency(case: Case) -> float | None:
    parts = [max(0.0, 1.0 - float(_distance(name)(case) or 0.0) / limit) for name, limit in TOLERANCE.items()]
    return _gate(case) * float(np.mean(parts))


def _metric(
    name: str,
    label: str,
    group: str,
    value: Callable[[Case], float | None],
    *,
    unit: str = "",
    higher: bool = True,
    floor: float = 1.0,
) -> Metric:
    return Metric(
        name=name, label=label, group=group, unit=unit, higher_is_better=higher, floor=floor, value=value
    )


def adherence_metrics() -> tuple[Metric, ...]:
    """Does the clip show what the prompt says: an attribute, the camera by geometry, the share, and all together."""
    each = tuple(_metric(f"adherence.{a}", a, "adherence", _holds(a), unit="%") for a in ATTRIBUTES)
    return (
        *each,
        _metric("adherence.camera_geometry", "camera by geometry", "adherence", _geometry, unit="%"),
        _metric("adherence.share", "share of what was asked", "adherence", _share, unit="%"),
        _metric("adherence.all", "all together", "adherence", _all, unit="%"),
    )


METRICS: tuple[Metric, ...] = (
    *adherence_metrics(),
    _metric("consistency.score", "consistency, gated", "consistency", _consistency, unit="%"),
    _metric("consistency.gate", "motion gate", "consistency", _gate, unit="%"),
    _metric(
        "consistency.warp",
        "warping error, distance",
        "consistency",
        _distance("warp"),
        higher=False,
        floor=0.0,
    ),
    _metric(
        "consistency.flicker",
        "flicker, distance",
        "consistency",
        _distance("flicker"),
        higher=False,
        floor=0.0,
    ),
    _metric(
        "consistency.structure",
        "structure kept, distance",
        "consistency",
        _distance("structure"),
        higher=False,
        floor=0.0,
    ),
    _metric(
        "consistency.motion",
        "amount of motion, octaves off",
        "consistency",
        _motion_distance,
        higher=False,
        floor=0.0,
    ),
    _metric(
        "subject.lost",
        "frames without the subject",
        "subject",
        lambda c: c.clip.lost,
        unit="%",
        higher=False,
        floor=0.0,
    ),
    _metric(
        "subject.jumps",
        "jumps of the subject",
        "subject",
        lambda c: c.clip.jumps,
        unit="%",
        higher=False,
        floor=0.0,
    ),
    _metric(
        "pixels.psnr",
        "PSNR against the truth",
        "pixels",
        lambda c: c.clip.psnr,
        unit="dB",
        floor=PERFECT_PSNR,
    ),
    _metric("pixels.ssim", "SSIM against the truth", "pixels", lambda c: c.clip.ssim, floor=1.0),
)
