"""A brief: what a shot should show, in parts. It renders to a prompt, and a prompt parses back to one.

The order of the prompt is subject, action, setting, light, camera, lens, mood: a sentence, then comma fragments.
"""

from __future__ import annotations

import re
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from filmwright.spec.words import Mention, mentions

__all__ = ["PARTS_OF_A_BRIEF", "Brief", "parse_brief"]

PARTS_OF_A_BRIEF = ("subject", "action", "setting", "light", "camera", "lens", "mood")

_PART_OF = {
    "subject": "subject", "colour": "subject", "material": "subject", "size": "subject",
    "happening": "action", "direction": "action", "setting": "setting", "light": "light", "camera": "camera",
    "lens": "lens", "mood": "mood",
}  # fmt: skip
_LINKS = re.compile(r"^(?:(?:and|then|while|as|with|in which)\s+)+(?=\S)", re.IGNORECASE)


class Brief(BaseModel):
    """What a shot should show. Every part is free text and may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    subject: str | None = None
    action: str | None = None
    setting: str | None = None
    light: str | None = None
    camera: str | None = None
    lens: str | None = None
    mood: str | None = None

    def render(self) -> str:
        """The prompt: "subject action setting, light, camera, lens, mood", parts that are missing left out."""
        sentence = " ".join(p for p in (self.subject, self.action, self.setting) if p)
        return ", ".join(p for p in (sentence, self.light, self.camera, self.lens, self.mood) if p)


def parse_brief(prompt: str) -> Brief:
    """Splits a prompt into a brief's parts by what the lexicon knows of it; no word is lost.

    A clause that names nothing known is the subject if it comes first, else it goes to the mood, where style words are.
    """
    parts: dict[str, list[str]] = {name: [] for name in PARTS_OF_A_BRIEF}
    found = mentions(prompt)
    acted = False
    for n, (start, end) in enumerate(_clauses(prompt)):
        inside = [m for m in found if start <= m.start < end]
        at_start = True
        for part, text in _pieces(prompt, start, end, inside, first=n == 0, acted=acted):
            acted = acted or part == "action"
            if text:
                # a clause of the action keeps the comma before it
                parts[part].append(f", {text}" if n and at_start and part == "action" else text)
            at_start = False
    joined = {k: _joined(k, v) for k, v in parts.items()}
    return Brief(**{k: v for k, v in joined.items() if v})


def _clauses(prompt: str) -> list[tuple[int, int]]:
    """Character ranges between punctuation."""
    edges = [-1, *(m.start() for m in re.finditer(r"[,.;:!?\n](?=\s|$)", prompt)), len(prompt)]
    return [(a + 1, b) for a, b in pairwise(edges) if prompt[a + 1 : b].strip()]


def _pieces(
    prompt: str, start: int, end: int, inside: list[Mention], *, first: bool, acted: bool
) -> list[tuple[str, str]]:
    """A clause cut after each mention that is followed by one of another part: (part, text)."""
    if not inside:
        return [("subject" if first else "mood", prompt[start:end].strip())]
    runs: list[tuple[str, int]] = []  # part, where its text ends
    for mention in inside:
        part = _PART_OF[mention.attribute]
        acted = acted or part == "action"
        if part == "subject" and acted:
            part = "action"  # what the action is done to
        if runs and runs[-1][0] == part:
            runs[-1] = (part, mention.end)
        else:
            runs.append((part, mention.end))
    runs[-1] = (runs[-1][0], end)
    pieces, at = [], start
    if runs[0][0] == "action" and first:
        # what acts has no name that we know: it is the subject all the same
        lead = prompt[start : inside[0].start].strip()
        if lead and inside[0].attribute == "happening":
            pieces.append(("subject", lead))
            at = inside[0].start
    for part, stop in runs:
        pieces.append((part, prompt[at:stop].strip()))
        at = stop
    return pieces


def _joined(part: str, texts: list[str]) -> str:
    if part == "action":
        return " ".join(texts).replace(" , ", ", ").removeprefix(", ")
    cut = [_unlinked(t) for t in texts]
    if part == "setting":
        cut = [re.sub(r"^(down )?onto\b", "on", t) for t in cut]
    return ", ".join(cut)


def _unlinked(text: str) -> str:
    """Without the words that tied it to what stood before, unless they belong to a phrase: "as the sun sets"."""
    found = mentions(text)
    return text if found and found[0].start == 0 else _LINKS.sub("", text)
