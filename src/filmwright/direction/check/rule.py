"""What a rule is: a code, why it matters, what to look for, how to mend it, and an example of each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from filmwright.direction.check.reading import Reading
from filmwright.direction.check.target import Target

__all__ = ["Example", "Hit", "Rule", "Severity", "never"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Where a rule fires: characters of the prompt (None: an option, not the words), why, the words it is about, and
    the option that would do instead ("--size 256x160"), what belongs into the negative prompt, and how grave it is if
    not as its rule says.
    """

    why: str
    start: int | None = None
    end: int | None = None
    words: tuple[str, ...] = ()
    option: str | None = None
    negative: str | None = None
    severity: Severity | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """A prompt with what is asked for beside it."""

    prompt: str
    model: str = "wan2.1-t2v-1.3b"
    size: str | None = None
    seconds: float | None = None
    fps: int | None = None
    camera: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that makes a shot fail.

    `find` gives a hit for each place; `mend` the whole prompt rewritten, or None where only its author can say what is
    meant. `error`: the model will refuse it; `warning`: it will make something, but hardly that. `fails` is an example
    that the rule must find, `passes` one that it must not: both are cases of the fixture
    `tests/direction/prompts.json`.
    """

    code: str
    summary: str
    find: Callable[[Reading, Target], Iterator[Hit]]
    mend: Callable[[Reading, Target, Hit], str | None]
    fails: Example
    passes: Example
    severity: Severity = "warning"


def never(reading: Reading, target: Target, hit: Hit) -> str | None:  # noqa: ARG001
    """No rewrite of the words helps."""
    return None
