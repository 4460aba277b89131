"""A brief: what a shot should show, in parts. It renders to a prompt, and a prompt parses back to one.

The order of the prompt is subject, action, setting, light, camera, lens, mood: a sentence, then comma fragments.
"""

from __future__ import annotations

import re
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from filmwright.spec.lexicon import STOP_WORDS
from filmwright.spec.nearest import describing
from filmwright.spec.verbs import MOSTLY_NOUNS, MOTIONS, first_move, verb_forms
from filmwright.spec.words import Mention, mentions, split_words

__all__ = ["PARTS_OF_A_BRIEF", "Brief", "parse_brief"]

PARTS_OF_A_BRIEF = ("subject", "action", "setting", "light", "camera", "lens", "mood")

_PART_OF = {
    "subject": "subject", "colour": "subject", "material": "subject", "size": "subject",
    "happening": "action", "direction": "action", "setting": "setting", "light": "light", "camera": "camera",
    "lens": "lens", "mood": "mood",
}  # fmt: skip
_LINKS = re.compile(r"^(?:(?:and|then|while|as|with|in which)\s+)+(?=\S)", re.IGNORECASE)
_NO_NAME = ("",)  # of a verb that the lexicon does not know
_OF = re.compile(r"\s*of\s+(?:the\s+)?")
_PLACE = re.compile(
    r"((?:on|in|at|over|across|along|through|inside|beside|near)\s+(?:an?|the)\s+[\w-]+(?:\s+[\w-]+)?)\s+"
    r"(?=(?:in|at|under|by|on|during|with|from)\b)",
    re.IGNORECASE,
)


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
    if not re.search(r"\w|[^\x00-\x7f]", prompt):
        return Brief()
    for n, (start, end) in enumerate(_clauses(prompt)):
        inside = _with_verb(prompt, start, end, [m for m in found if start <= m.start < end], acted)
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


def _with_verb(prompt: str, start: int, end: int, inside: list[Mention], acted: bool) -> list[Mention]:
    """The mentions of a clause, and its first verb if it is one that the lexicon does not know: "a cat runs"."""
    if any(m.attribute in ("happening", "camera") for m in inside):
        return inside
    words = split_words(prompt[start:end])
    at = first_move([w.text for w in words], describing())
    if at is None and words and _is_doing(words[0].text, words[1].text if words[1:] else "", acted):
        at = 0  # ", walks through rain"
    if at is None:
        return inside
    verb = Mention(
        attribute="happening",
        names=_NO_NAME,
        phrase=words[at].text,
        start=start + words[at].start,
        end=start + words[at].end,
    )
    if any(m.start <= verb.start < m.end for m in inside):
        return inside
    return sorted([*inside, verb], key=lambda m: m.start)


def _is_doing(word: str, after: str, acted: bool) -> bool:
    """Whether a clause that begins with these words goes on with what is done: "they kiss, waltz and part"."""
    base, form = verb_forms().get(word, ("", ""))
    if form == "base":
        return acted and base in MOTIONS - MOSTLY_NOUNS and (not after or after in STOP_WORDS)
    return base in MOTIONS


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
        if runs and mention.names == _NO_NAME and runs[-1][0] == "subject":
            runs[-1] = ("subject", mention.start)  # "a lighthouse keeper walks"
        if (
            part == "setting"
            and runs
            and runs[-1][0] == "subject"
            and _OF.fullmatch(prompt, runs[-1][1], mention.start)
        ):
            part = "subject"  # "a glass of water"
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
        text = prompt[at:stop].strip()
        place = _PLACE.match(text) if part == "light" else None
        if place and not mentions(place[1]):  # "on a table in moonlight"
            pieces.append(("setting", place[1]))
            text = text[place.end() :]
        pieces.append((part, text))
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
