"""What a word that a model has not learnt may be: a slip of the pen, or something of which it knows the like.

A slip is one edit away from a known word (a letter too many, too few, wrong, or two in the wrong order), is no English
word itself, and the known word fits where it stands: "rde ball" is a red ball, "lone keeper" is not a "long keeper".
Everything else keeps its word, and gets the names of its own kind that are known: a cat is no subject here, a ball is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from string import ascii_lowercase

from filmwright.spec.english import MEANT, WORN, is_english
from filmwright.spec.inflection import VERB_FORMS, inflect, lemma
from filmwright.spec.lexicon import ARTICLES, LEXICON, STOP_WORDS, phrases
from filmwright.spec.things import NUMBERS
from filmwright.spec.verbs import is_plural, verb_forms, word_set
from filmwright.spec.vocabulary import Part

__all__ = ["Near", "describing", "is_trained", "near"]

MOST_KNOWN = 6
_PLACING = word_set(
    "in on onto over across through along under at inside beside near into from behind around"
)
_CLAUSE_ENDS = frozenset(",.;:!?")
_FITS = {"subject": "noun", "place": "noun", "action": "verb", "look": "describing"}
_DOING = {"drop": "falls", "roll": "rolls", "slide": "slides", "collide": "hits", "topple": "topples", "spin": "spins",
          "swing": "swings", "shatter": "shatters", "float": "floats"}  # fmt: skip  # event -> happening


@dataclass(frozen=True, kw_only=True)
class Near:
    """What an unknown word may be.

    `slips`: known words that it may be a slip of, the likeliest first; `sure`: there is one, and it fits.
    `kind`: "subject", "action", "place" or "look", as far as its place says; `known`: names of that kind that the
    model has learnt; `meant`: that among them which comes nearest, if anybody wrote it down.
    """

    slips: tuple[str, ...] = ()
    sure: bool = False
    kind: str | None = None
    known: tuple[str, ...] = ()
    meant: str | None = None

    @property
    def said(self) -> str:
        """In a few words: "did you mean 'red'?", "subjects known: ball, cube"; empty if there is nothing to say."""
        if self.slips:
            return f"did you mean {' or '.join(map(repr, self.slips))}?"
        meant = f"{self.meant!r} comes nearest; " if self.meant else ""
        if self.kind is None or not self.known:
            return meant.removesuffix("; ")
        plural = {"subject": "subjects", "action": "actions", "place": "places", "look": "looks"}[self.kind]
        return f"{meant}{plural} known: {', '.join(self.known)}"


def is_trained(word: str, words: frozenset[str]) -> bool:
    """Whether a lower-case word, or another form of it, is among `words`."""
    base = lemma(word)
    return not word.isalpha() or bool(words & {word, base, inflect(base, "s"), inflect(base, "ing")})


def near(words: Sequence[str], at: int, known: frozenset[str], part: Part) -> Near:
    """What the word at place `at` of a prompt's lower-case words and signs may be, for a model that knows `known`."""
    word, kind = words[at], _kind_at(words, at)
    slips = _slips(word, known)
    fitting = tuple(s for s in slips if _fits(s, kind))
    if fitting:
        swapped = tuple(s for s in fitting if sorted(s) == sorted(word))
        best = swapped or fitting
        return Near(slips=best[:3], sure=len(best) == 1, kind=kind)
    meant = MEANT.get(lemma(word)) or MEANT.get(verb_forms().get(word, (word, ""))[0])
    if meant is not None and not _has(meant, part):
        meant = None
    if meant in _names("happening"):
        kind = "action"
    elif meant in part.subjects:
        kind = "subject"
    listed = _known_of(kind, part) if kind else ()
    return Near(kind=kind, known=listed[:MOST_KNOWN], meant=meant)


def _kind_at(words: Sequence[str], at: int) -> str | None:
    """What is said at this place, as far as the neighbours tell: a subject, an action, a place, or a look."""
    word = words[at]
    before, after = words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else ""
    if not word.isalpha():
        return "subject"
    led = not before or before in ARTICLES or before in describing() or before in _CLAUSE_ENDS
    named = after and after not in _CLAUSE_ENDS and after not in STOP_WORDS and not _is_doing(after)
    if named and (led or after in _heads()):
        return "look"
    doer = before and before not in STOP_WORDS and before not in describing() and before not in _CLAUSE_ENDS
    if doer and (_is_doing(word) or word.endswith("s")) and not (is_plural(before) and is_plural(word)):
        return "action"
    if doer and is_plural(before) and verb_forms().get(word, ("", ""))[1] == "base":
        return "action"
    start = at  # of the noun phrase: "in a smoky gym" is a place, "two young lovers" are subjects
    while start and at - start < 4 and _is_inside(words[start - 1]):
        start -= 1
    if start and words[start - 1] in _PLACING:
        return None if word in WORN else "place"
    return "subject" if start < at or start == 0 else None


def _is_inside(word: str) -> bool:
    """Whether a word may stand inside a noun phrase, before the noun."""
    return (
        word in ARTICLES
        or word in NUMBERS
        or not (word in STOP_WORDS or word in _CLAUSE_ENDS or _is_doing(word))
    )


def _is_doing(word: str) -> bool:
    return verb_forms().get(word, ("", ""))[1] in ("s", "ing") or VERB_FORMS.get(word, word) != word


@cache
def _kinds() -> dict[str, frozenset[str]]:
    """Word of the lexicon -> what it can be: a noun, a verb, describing."""
    kinds: dict[str, set[str]] = {}

    def add(word: str, kind: str) -> None:
        kinds.setdefault(word, set()).add(kind)

    for attribute, names in LEXICON.items():
        for roles in names.values():
            for role, said in roles.items():
                for phrase in said:
                    words = [w for w in phrase.split() if w.isalpha() and w not in STOP_WORDS]
                    if not words:
                        continue
                    if role == "verb":
                        for form in ("base", "s", "ing", "ed"):
                            add(inflect(words[0] if words[0] != "camera" else words[-1], form), "verb")
                    elif attribute in ("colour", "material", "size"):
                        for word in words:
                            add(word, "describing")
                    elif attribute in ("subject", "setting"):
                        for word in words[:-1]:
                            add(word, "describing")
                        for word in {words[-1], inflect(words[-1], "s")}:
                            add(word, "noun")
    return {word: frozenset(said) for word, said in kinds.items()}


@cache
def describing() -> frozenset[str]:
    """Words of the lexicon that stand before a noun and are none: colours, materials, sizes."""
    return frozenset(w for w, kinds in _kinds().items() if kinds == {"describing"})


@cache
def _heads() -> frozenset[str]:
    return frozenset(w for w, kinds in _kinds().items() if "noun" in kinds)


def _fits(word: str, kind: str | None) -> bool:
    can = _kinds().get(word)
    if kind is None or can is None:
        return True
    return _FITS[kind] in can


@lru_cache(maxsize=4096)  # a check that tries rewrites asks for the same words again and again
def _slips(word: str, known: frozenset[str]) -> tuple[str, ...]:
    """Known words one edit away; of words of three letters only those with the same letters."""
    if len(word) < 3 or not word.isalpha() or not word.isascii() or word in verb_forms() or is_english(word):
        return ()
    found = {
        w for w in _one_edit(word) if len(w) > 2 and (w in known or (w in _kinds() and is_trained(w, known)))
    }
    if len(word) == 3:
        found = {w for w in found if sorted(w) == sorted(word)}
    return tuple(
        sorted(found, key=lambda w: (w in STOP_WORDS, sorted(w) != sorted(word), w[0] != word[0], w))
    )


def _one_edit(word: str) -> set[str]:
    halves = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    return (
        {a + b[1:] for a, b in halves if b}
        | {a + b[1] + b[0] + b[2:] for a, b in halves if len(b) > 1}
        | {a + c + b[1:] for a, b in halves if b for c in ascii_lowercase}
        | {a + c + b for a, b in halves for c in ascii_lowercase}
    ) - {word}


def _names(attribute: str) -> frozenset[str]:
    return frozenset(LEXICON[attribute])


def _has(meant: str, part: Part) -> bool:
    """Whether a part of the world has what a phrase of `MEANT` names."""
    if meant in _names("subject") and meant not in ("glass",):
        return meant in part.subjects
    if meant in _names("happening"):
        return any(happening == meant for event, happening in _DOING.items() if event in part.events) or (
            meant in ("bounces", "lands") and "drop" in part.events
        )
    for name in LEXICON["setting"]:
        if meant in phrases("setting", name, "noun"):
            return name in part.settings
    return meant not in ("glass",) or "glass" in part.subjects


def _known_of(kind: str, part: Part) -> tuple[str, ...]:
    """The plainest words for what a part of the world has of a kind."""
    if kind == "subject":
        return tuple(phrases("subject", name, "noun")[0] for name in part.subjects)
    if kind == "action":
        doing = [_DOING[event] for event in part.events if event in _DOING]
        return tuple(inflect(phrases("happening", name, "verb")[0], "s") for name in doing)
    if kind == "place":
        return tuple(phrases("setting", name, "noun")[0] for name in part.settings)
    looks = [("size", n) for n in ("small", "large")] + [("material", n) for n in part.materials[:2]]
    looks += [("colour", name) for name in LEXICON["colour"]]
    return tuple(phrases(attribute, name, "adjective")[0] for attribute, name in looks)
