"""Progress is one stream of typed events: the CLI draws it, a server sends it, a test asserts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from filmwright.spec.plan import Plan

__all__ = ["Event", "Finished", "OnEvent", "Planned", "Progress", "Started", "Warned"]

Stage = Literal["load", "encode", "denoise", "decode", "write"]


@dataclass(frozen=True, kw_only=True)
class Started:
    """A stage begins; `total` is its number of steps."""

    stage: Stage
    total: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A stage has done `done` of `total` steps; `seconds_left` is for the whole run, None while unknown."""

    stage: Stage
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something the user should know: a stable code and one line."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A stage is done after `seconds`."""

    stage: Stage
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What the run will do and need, before anything is loaded."""

    plan: Plan


Event = Planned | Started | Progress | Warned | Finished
OnEvent = Callable[[Event], None]
