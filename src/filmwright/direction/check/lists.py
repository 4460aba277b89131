"""The list that a prompt may open with: "a nun, a baker and a peacock share a lift". No word of it need be known."""

from __future__ import annotations

from filmwright.direction.check import general
from filmwright.direction.check.reading import Reading

__all__ = ["opening_list"]

_FIRST = general.word_set("a an the one two my his her")
_LONGEST = 4


def opening_list(reading: Reading) -> list[tuple[int, int]]:
    """First and last word of each of those who open the prompt together and then act; none if it is no list."""
    found: list[tuple[int, int]] = []
    texts, verbs = [w.text for w in reading.words], {v.at for v in reading.verbs}
    at = reading.opens_at
    while at < len(texts) and texts[at] in _FIRST:
        end = at + 1
        while end < len(texts) and end - at <= _LONGEST and not _ends(texts, end, verbs):
            end += 1
        if end == at + 1 or end == len(texts):
            return []
        if end in verbs:
            return [*found, (at, end - 1)]
        if texts[end] in _FIRST:  # "a peacock share a lift": of a verb that no list holds
            return [*found, (at, end - 2)] if end - at > 2 else []
        if texts[end] not in (",", "and"):
            return []
        found.append((at, end - 1))
        at = end + 1
        if texts[at - 1] == "," and at < len(texts) and texts[at] == "and":
            at += 1
    return []


def _ends(texts: list[str], i: int, verbs: set[int]) -> bool:
    return i in verbs or texts[i] in _FIRST or texts[i] == "and" or not texts[i][-1].isalnum() or (
        texts[i] in general.PREPOSITIONS
    )  # fmt: skip
