"""Forms of English words, as far as the general lists need them."""

from __future__ import annotations

from filmwright.direction.check import general
from filmwright.spec.verbs import verb_forms

__all__ = ["ends_in_s", "is_common", "is_doing", "singular"]


def ends_in_s(word: str) -> bool:
    """Whether a word may be a plural, or a verb in the third person."""
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s"))


def is_doing(word: str) -> bool:
    """Whether an unlisted word in -ing says that something is done."""
    return len(word) > 5 and word.endswith("ing") and word not in general.NO_DOING


def is_common(word: str) -> bool:
    """Whether a word is one of the general lists, and so hardly a slip for another."""
    return word in verb_forms() or singular(word) in general.BODIES or word in general.ABSTRACT


def singular(word: str) -> str:
    """The body that a plural is of; any other word as it is."""
    if word in general.IRREGULAR_PLURALS:
        return general.IRREGULAR_PLURALS[word]
    if word.endswith("s") and word[:-1] in general.BODIES:
        return word[:-1]
    if word.endswith("es") and word[:-2] in general.BODIES:
        return word[:-2]
    return word
