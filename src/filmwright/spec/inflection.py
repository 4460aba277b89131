"""English word forms, as far as the lexicon needs them: verbs bent for a sentence, words taken back to their base."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from filmwright.spec.lexicon import LEXICON

__all__ = ["VERB_FORMS", "inflect", "lemma"]

_IRREGULAR: dict[str, tuple[str, str, str]] = {
    "fall": ("falls", "falling", "fell"), "come": ("comes", "coming", "came"),
    "spring": ("springs", "springing", "sprang"), "slide": ("slides", "sliding", "slid"),
    "spin": ("spins", "spinning", "spun"), "hit": ("hits", "hitting", "hit"),
    "strike": ("strikes", "striking", "struck"), "run": ("runs", "running", "ran"),
    "swing": ("swings", "swinging", "swung"), "break": ("breaks", "breaking", "broke"),
    "burst": ("bursts", "bursting", "burst"), "ride": ("rides", "riding", "rode"),
    "sit": ("sits", "sitting", "sat"), "stand": ("stands", "standing", "stood"),
    "lie": ("lies", "lying", "lay"), "leave": ("leaves", "leaving", "leaves"),
    "go": ("goes", "going", "went"), "do": ("does", "doing", "did"), "hold": ("holds", "holding", "held"),
    "creep": ("creeps", "creeping", "crept"), "draw": ("draws", "drawing", "drew"),
    "is": ("is", "being", "was"), "set": ("sets", "setting", "set"), "get": ("gets", "getting", "got"),
    "keep": ("keeps", "keeping", "kept"), "shake": ("shakes", "shaking", "shook"),
    "travel": ("travels", "travelling", "travelled"), "dolly": ("dollies", "dollying", "dollied"),
}  # fmt: skip  # "left" is a side here, never the past of "leave"
_VOWELS = "aeiou"


@cache
def inflect(phrase: str, form: str) -> str:
    """A verb phrase with its first word inflected: `base` (drop), `s` (drops), `ing` (dropping), `ed` (dropped)."""
    verb, _, rest = phrase.partition(" ")
    if form == "base":
        return phrase
    if verb in _IRREGULAR:
        word = _IRREGULAR[verb][("s", "ing", "ed").index(form)]
    elif form == "s":
        word = verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z")) else "s")
    else:
        closed = (
            len(verb) > 2
            and verb[-1] not in _VOWELS + "wxy"
            and verb[-2] in _VOWELS
            and verb[-3] not in _VOWELS
            and sum(a in _VOWELS and b not in _VOWELS for a, b in pairwise(verb)) == 1
        )
        stem = verb[:-1] if verb.endswith("e") else verb + verb[-1] if closed else verb
        word = stem + form
    return f"{word} {rest}" if rest else word


_HEARD_VERBS = (
    "move", "turn", "look", "track", "follow", "travel", "approach", "retreat", "revolve", "set", "collide", "crash",
    "bump", "knock", "collapse", "break", "truck", "tremble",
)  # fmt: skip


def _verbs() -> frozenset[str]:
    found = set(_HEARD_VERBS)
    for attribute in ("happening", "camera"):
        for roles in LEXICON[attribute].values():
            for phrase in roles.get("verb", ()):
                found.add(phrase.removeprefix("camera ").split()[0])
    return frozenset(found)


VERB_FORMS: dict[str, str] = {
    inflect(verb, form): verb for verb in sorted(_verbs() - {"do"}) for form in ("ed", "ing", "s", "base")
} | {"does": "do", "laying": "lie", "traveling": "travel", "traveled": "travel"}
"""Every form of every verb of the lexicon, to its base."""

_PLURALS = {
    "boxes": "box", "glasses": "glass", "wineglasses": "glass", "dominoes": "domino", "dominos": "domino",
    "grasses": "grass", "beaches": "beach", "torches": "torch", "lenses": "lens", "waters": "water",
    "colors": "colour", "color": "colour", "gray": "grey", "panning": "pan", "clouds": "cloud",
    "coloured": "colour", "colored": "colour", "centre": "center",
}  # fmt: skip


@cache
def lemma(word: str) -> str:
    """The form under which the lexicon looks a lower-case word up: `dropping` -> `drop`, `balls` -> `ball`."""
    if word in VERB_FORMS:
        return VERB_FORMS[word]
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "ns")):
        return word[:-1]
    return word
