"""The prompt check of a whole film: each shot's words, as its model will get them, judged by `direction.check`.

A finding is told where its words stand in the film file: in the prompt, or in the part of the brief that has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from filmwright.direction.check.report import PromptFinding, check_prompt
from filmwright.direction.check.target import target_for
from filmwright.direction.film.drafts import Draft
from filmwright.direction.film.opened import OpenFilm
from filmwright.direction.film.read import Loc, read_text
from filmwright.spec.brief import PARTS_OF_A_BRIEF
from filmwright.spec.controls import is_motion
from filmwright.spec.film import Shot
from filmwright.spec.request import CameraPath

__all__ = ["ShotFinding", "prompt_findings"]

OF_TIME = {"no-motion", "many-actions", "duration-unavailable"}
"""What is not to be said of a single frame."""


@dataclass(frozen=True, kw_only=True)
class ShotFinding:
    """What may make a shot fail, and where in the film file its words stand (from 1)."""

    shot: str
    line: int
    column: int
    finding: PromptFinding

    @property
    def said(self) -> str:
        """In one line, with a rewrite if there is one."""
        remedy = self.finding.rewrite or self.finding.option
        more = f"; try: {remedy}" if remedy else ""
        return " ".join(f"shot {self.shot}: {self.finding.code}: {self.finding.why}{more}".split())

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        found = self.finding
        return {
            "shot": self.shot,
            "line": self.line,
            "column": self.column,
            "code": found.code,
            "why": found.why,
            "words": list(found.words),
            "rewrite": found.rewrite,
        }


def prompt_findings(film: OpenFilm) -> tuple[ShotFinding, ...]:
    """All findings in the words of all shots, in the file's order."""
    selected = film.selected()
    lines = read_text(film.path).splitlines()
    found = [
        _placed(film, lines, shot, ("sequences", s, "shots", i), finding, selected[shot.id].request.prompt)
        for s, sequence in enumerate(film.film.sequences)
        for i, shot in enumerate(sequence.shots)
        for finding in _findings(selected[shot.id])
    ]
    return tuple(sorted(found, key=lambda item: (item.line, item.column)))


def _findings(draft: Draft) -> list[PromptFinding]:
    """Of a shot's words; what its controls say, such as a brush, is not missed in them."""
    request = draft.request
    camera = next((c.move for c in request.controls if isinstance(c, CameraPath) and c.move), None)
    target = target_for(
        request.model,
        size=(request.width, request.height),
        seconds=None if draft.still else request.shape.seconds,
        fps=request.fps,
        camera=camera,
    )
    moved = any(is_motion(control) for control in request.controls)
    moved = moved or any(need.what in {"prefix", "last"} for need in draft.needs)
    unsaid = OF_TIME if draft.still else {"no-motion"} if moved else set()
    return [
        finding for finding in check_prompt(request.prompt, target).findings if finding.code not in unsaid
    ]


def _placed(
    film: OpenFilm, lines: list[str], shot: Shot, loc: Loc, finding: PromptFinding, prompt: str
) -> ShotFinding:
    prompt = " ".join(prompt.split())
    line, column = film.written.place((*loc, *_part(shot, finding, prompt)))
    if finding.start is not None:
        line, column = _within(lines, line, column, prompt[finding.start : finding.end].strip(" ,."))
    return ShotFinding(shot=shot.id, line=line, column=column, finding=finding)


def _within(lines: list[str], line: int, column: int, words: str) -> tuple[int, int]:
    """Where words begin in a text that starts at a place: on its line, or on those that are further in than it."""
    first = lines[line - 1]
    inner = len(first) - len(first.lstrip()) + 1
    for number in range(line - 1, len(lines)):
        text = lines[number]
        if number >= line and len(text) - len(text.lstrip()) < inner and text.strip():
            break
        at = text.lower().find(words.lower(), column - 1 if number == line - 1 else 0) if words else -1
        if at >= 0:
            return number + 1, at + 1
    return line, column


def _part(shot: Shot, finding: PromptFinding, prompt: str) -> Loc:
    """The key whose words a finding is about."""
    if shot.brief is None:
        return ("prompt",)
    if finding.start is not None:
        words = prompt[finding.start : finding.end].strip(" ,.").lower()
        for part in PARTS_OF_A_BRIEF:
            if words and words in (getattr(shot.brief, part) or "").lower():
                return ("brief", part)
    return ("brief",)
