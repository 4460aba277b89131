"""What a build tells while it works: one stream of typed events, which a command line draws and a test asserts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BuildEvent", "BuildProgress", "Counted", "Made", "Making", "OnBuildEvent", "Told", "Waiting"]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The build begins: how many results it has to make, and how many are there."""

    to_make: int
    kept: int


@dataclass(frozen=True, kw_only=True)
class Making:
    """It makes this result now, `index` (from 1) of `count`."""

    name: str
    index: int
    count: int


@dataclass(frozen=True, kw_only=True)
class BuildProgress:
    """Of the whole film: `share` from 0 to 1 is done; `seconds_left` is None while unknown."""

    name: str
    stage: str
    share: float
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A result is finished and safe, after `seconds`; `shared` if another build made it meanwhile."""

    name: str
    seconds: float
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Other builds make all that is left."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """Something the user should know of a result."""

    name: str
    code: str
    message: str


BuildEvent = Counted | Making | BuildProgress | Made | Waiting | Told
OnBuildEvent = Callable[[BuildEvent], None]
