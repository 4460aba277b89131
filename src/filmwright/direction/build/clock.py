"""How much of a film's build is done, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from filmwright.direction.build.events import BuildProgress, OnBuildEvent
from filmwright.direction.build.store import Store
from filmwright.direction.film.outputs import Output
from filmwright.spec.post import PostShape
from filmwright.spec.request import Request

__all__ = ["BuildClock", "Work", "work_of_cut", "work_of_post", "work_of_request"]

SHARES = {"load": (0.0, 0.0), "encode": (0.0, 0.02), "denoise": (0.02, 0.85), "decode": (0.85, 1.0)}
"""Which part of a take each stage is, roughly: a bar needs no better."""
GUESS = 2e-6  # seconds a unit of a take, where nothing is known: only weighs results against each other
QUICK_GUESS = {"cut": 1e-7, "post": 4e-7}  # of what is short beside the takes: good enough for the time left


@dataclass(frozen=True, kw_only=True)
class Work:
    """What making a result costs, in units of which `pace` says how many seconds one takes."""

    pace: str
    units: float


def work_of_request(request: Request) -> Work:
    """Pixels times passes of the denoiser."""
    passes = request.steps * (2 if request.guidance != 1 else 1)
    return Work(pace=request.model, units=float(request.width * request.height * request.num_frames * passes))


def work_of_cut(output: Output, num_frames: int) -> Work:
    """Pixels; each format has a pace of its own."""
    pace = "cut" if output.format == "h264" else f"cut {output.format}"
    return Work(pace=pace, units=float(output.width * output.height * num_frames))


def work_of_post(stage: str, shape: PostShape) -> Work:
    """Pixels that come in."""
    return Work(pace=f"post.{stage}", units=float(shape.width * shape.height * shape.num_frames))


class BuildClock:
    """Adds up the work of all results to make; a result's own progress is a share of its work."""

    def __init__(self, works: Mapping[str, Work], store: Store, tell: OnBuildEvent) -> None:
        self.works = dict(works)
        self.store, self.tell = store, tell
        self.paces = store.read_paces()
        self.planned: dict[str, float] = {}
        self.done: set[str] = set()
        self.began = time.monotonic()

    def expect(self, work: Work, seconds: float) -> None:
        """What a plan says of a work: counts until something of its pace was seen."""
        self.planned.setdefault(work.pace, seconds / work.units)

    def start(self, name: str) -> None:
        """This result is being made."""
        self.began = time.monotonic()
        self.step(name, "load", 0, 1)

    def step(self, name: str, stage: str, done: int, total: int) -> None:
        """A stage of it has done `done` of `total`."""
        low, high = SHARES.get(stage, (0.0, 1.0))
        share = low + (high - low) * done / max(total, 1)
        work = self.works.get(name)
        paces = {**self.planned, **self.paces}
        if work is not None and work.pace not in self.paces and share > 0.05:
            paces[work.pace] = (time.monotonic() - self.began) / (share * work.units)
        weight = {key: w.units * paces.get(w.pace, _quick(w.pace) or GUESS) for key, w in self.works.items()}
        total_work = sum(weight.values()) or 1.0
        over = sum(weight[key] for key in self.done if key in weight)
        over += share * weight.get(name, 0.0)
        known = all(
            w.pace in paces or _quick(w.pace) for key, w in self.works.items() if key not in self.done
        )
        self.tell(
            BuildProgress(
                name=name,
                stage=stage,
                share=min(over / total_work, 1.0),
                seconds_left=total_work - over if known else None,
            )
        )

    def end(self, name: str, working: float | None) -> None:
        """It is finished; `working` seconds teach the pace of those to come."""
        self.done.add(name)
        work = self.works.get(name)
        if work is not None and working and work.units:
            self.paces[work.pace] = working / work.units
            self.store.write_pace(work.pace, self.paces[work.pace])


def _quick(pace: str) -> float | None:
    """The guess for a cut or a stage of post; None for a model."""
    return next((guess for kind, guess in QUICK_GUESS.items() if pace.startswith(kind)), None)
