"""How many things a prompt names: "two red balls" are two, a stack of cubes is one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from filmwright.spec.inflection import lemma

if TYPE_CHECKING:
    from filmwright.spec.words import Mention

__all__ = ["NUMBERS", "things_of"]

NUMBERS = {
    "two": 2, "both": 2, "couple": 2, "pair": 2, "three": 3, "several": 3, "many": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "dozen": 12, "hundred": 100,
}  # fmt: skip
_NO_PART_OF_A_NAME = re.compile(r"[,.;:!?]|\b(?:and|or|a|an|the|on|past|over|into|hits?|with)\b")


def things_of(prompt: str, found: Sequence[Mention]) -> dict[str, int]:
    """Subjects told apart by colour and kind, and how many each is; a kind named again uncoloured is the same thing."""
    things: dict[tuple[str, str], tuple[str, int]] = {}
    colour, end = "", 0
    for m in found:
        if m.attribute == "colour":
            colour, end = m.names[0], m.end
        elif m.attribute == "subject":
            own = colour if m.start - end < 30 else ""
            if not any(kind == m.names[0] and (own in ("", other) or not other) for other, kind in things):
                number = _number(prompt, m)
                many = f"{number} {own} {m.phrase}" if number > 1 else f"{own} {m.names[0]}"
                things[own, m.names[0]] = (" ".join(many.split()), number)
            colour = ""
    return dict(things.values())


def _number(prompt: str, mention: Mention) -> int:
    """How many things a subject is: a number stands before it and its adjectives; more than one is two at least."""
    if mention.names[0] in ("stack", "dominoes"):
        return 1
    before = _NO_PART_OF_A_NAME.split(prompt[: mention.start].lower())
    for word in re.findall(r"[a-z]+|\d+", before[-1]):
        if word in NUMBERS or word.isdigit():
            return NUMBERS[word] if word in NUMBERS else max(1, int(word[:4]))
    last = mention.phrase.split()[-1]
    return 2 if lemma(last) != last else 1
