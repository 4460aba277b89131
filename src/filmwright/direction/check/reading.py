"""Reads a prompt for the rules: who acts, what is done, which lights and optics are named, and where each stands.

No tagger and no model: words are looked up in `general`, and a word's neighbours say whether "waves" is what the sea
has or what a hand does. That is enough for the plain present tense that prompts are written in, and it answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from filmwright.direction.check import general
from filmwright.direction.check.forms import ends_in_s, is_doing, singular
from filmwright.spec.nearest import describing
from filmwright.spec.verbs import MOSTLY_NOUNS, verb_forms
from filmwright.spec.words import Mention, Word, mentions, split_words

__all__ = ["Actor", "Named", "Reading", "Verb"]

_DETERMINERS = general.word_set(
    "a an the this that these those his her its their my your our some each every no any"
)
_JOINS = general.word_set("and or but")
_SUBORDINATE = general.word_set("while as when where who which that whose because")
_NOUNS = frozenset(
    {"lighting", "painting", "drawing", "building", "being"}
)  # unless something is done to something
_AFTER_A_VERB = frozenset({",", ".", ";"}) | _JOINS | _DETERMINERS | general.PREPOSITIONS
_NO_DOERS = _DETERMINERS | _JOINS | general.PREPOSITIONS | general.NUMBERS.keys() | general.MANY
_NO_VERBS = (
    _JOINS | _SUBORDINATE | _DETERMINERS | general.PREPOSITIONS | general.SEQUENCE | general.BODIES
    | general.word_set("asleep alone awake together alike apart abreast aboard ashore afar outdoors indoors here there "
                       "both all too also still inside face tall old young")
)  # fmt: skip
_RIGHT_OF_NOUN = _JOINS | _SUBORDINATE | general.PREPOSITIONS | general.SEQUENCE
_STOPS = frozenset(".;!?:")
_FOCAL_LENGTHS = ((28, "wide-angle lens"), (70, "telephoto lens"))


@dataclass(frozen=True, kw_only=True)
class Named:
    """A phrase of a group of `general.GROUPS`, and where it stands in characters."""

    group: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A word that says what is done: its place among the words, its base form, and its form (`s`, `ing`, `base`)."""

    at: int
    base: str
    form: str


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A body that is named: its head word (singular), the places of its first and last word, how many it stands for
    (3: three or more), whether it leads (acts, or is what the prompt opens with), and where it stands in characters.
    """

    kind: str
    first: int
    last: int
    count: int
    leads: bool
    start: int
    end: int


@cache
def _groups() -> dict[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for group, phrases in general.GROUPS.items():
        for phrase in phrases:
            key = tuple(w.text for w in split_words(phrase))
            found[key] = (*found.get(key, ()), group)
    return found


_LONGEST = 5


@dataclass(frozen=True)
class Reading:
    """A prompt, taken apart when a rule first asks for it."""

    prompt: str

    @cached_property
    def words(self) -> list[Word]:
        """Words, numbers and signs in order."""
        return split_words(self.prompt)

    @cached_property
    def mentions(self) -> list[Mention]:
        """What the prompt names of the closed world."""
        return mentions(self.prompt)

    @cached_property
    def named(self) -> list[Named]:
        """Lights, optics and camera moves, longest phrases first; focal lengths count as the lens that they are."""
        words, found, index = self.words, [], _groups()
        i = 0
        while i < len(words):
            for n in range(min(_LONGEST, len(words) - i), 0, -1):
                groups = index.get(tuple(w.text for w in words[i : i + n]))
                if groups:
                    start, end = words[i].start, words[i + n - 1].end
                    found += [Named(group=g, start=start, end=end) for g in groups]
                    i += n
                    break
            else:
                i += 1
        for match in re.finditer(r"\b(\d{1,3})\s?-?mm\b", self.prompt, re.IGNORECASE):
            length = int(match[1])
            if length <= _FOCAL_LENGTHS[0][0] or length >= _FOCAL_LENGTHS[1][0]:
                group = _FOCAL_LENGTHS[length >= _FOCAL_LENGTHS[1][0]][1]
                found.append(Named(group=group, start=match.start(), end=match.end()))
        return _joined(self.prompt, sorted(found, key=lambda n: (n.start, -n.end)))

    def says(self, *groups: str) -> bool:
        """Whether any of the groups is named."""
        return any(n.group in groups for n in self.named)

    @cached_property
    def passes(self) -> bool:
        """Whether the prompt says that it goes from one state to another: "from day to night", "then"."""
        text = " " + " ".join(w.text for w in self.words) + " "
        return any(f" {phrase} " in text for phrase in general.TAKES)

    @cached_property
    def verbs(self) -> list[Verb]:
        """What is done, in order, whoever does it."""
        return [verb for i in range(len(self.words)) if (verb := self._verb(i))]

    def _text(self, i: int) -> str:
        return self.words[i].text if 0 <= i < len(self.words) else ""

    def _verb(self, i: int) -> Verb | None:
        text, before, after = self._text(i), self._text(i - 1), self._text(i + 1)
        base, form = verb_forms().get(text, ("", ""))
        if text in _NOUNS and before not in ("is", "are") and after not in _DETERMINERS | {"up"}:
            return None
        if not base and is_doing(text):
            base, form = text, "ing"  # of a verb that no list holds: "vacuuming"
        if (
            not base
            and before in general.BODIES
            and ends_in_s(text)
            and after in _DETERMINERS | general.PREPOSITIONS
        ):
            base, form = text[:-1], "s"  # "a maid vacuums the stairs"
        if not base and self._takes_something(i):
            base, form = text[:-1], "s"  # "one of them checks a watch"
        if not base and self._stands_like_a_verb(i):
            base, form = text, "base"  # "a conductor and a cellist rehearse while"
        if not base or f"{before} {text}" in general.COMPOUNDS or f"{text} {after}" in general.COMPOUNDS:
            return None
        if self.prompt[self.words[i].end : self.words[i].end + 1] == "-":
            return None  # "flying-car"
        if form == "ing":
            return Verb(at=i, base=base, form=form)
        if before in _DETERMINERS - {"that"} or (
            before in general.PREPOSITIONS and before not in ("up", "down", "off", "out")
        ):
            return None  # "the waves", "of drops"
        if (
            self.words[i - 1].end == self.words[i].start - 1
            and self.prompt[self.words[i - 1].end : self.words[i].start] == "-"
        ):
            return None  # "slow-dance"
        if form == "s":
            if before in describing():
                return None  # "wooden stacks"
            if verb_forms().get(before, ("", ""))[1] == "base" and self._ends_plural(i - 2):
                return None  # "boxers trade punches"
            if after in ("of",) or (i + 1 < len(self.words) and self._verb_is_finite(i + 1)):
                return None  # "waves crash", "flocks of"
            return Verb(at=i, base=base, form=form)
        if self._ends_plural(i - 1) or before in ("they", "we", "people"):
            return Verb(at=i, base=base, form=form)
        if before in _JOINS and self._base_before(i - 1):
            return Verb(at=i, base=base, form=form)
        listed = before == "," and base not in MOSTLY_NOUNS and self._base_before(i - 1)
        if listed and (after in _AFTER_A_VERB or not after):  # "they kiss, waltz, argue and part"
            return Verb(at=i, base=base, form=form)
        return None

    def _takes_something(self, i: int) -> bool:
        """Whether a word in -s that no list holds has a doer before it and an article after it."""
        text, before, after = self._text(i), self._text(i - 1), self._text(i + 1)
        if not ends_in_s(text) or text in _NO_VERBS or text.endswith(("wards", "ways", "times", "perhaps")):
            return False
        return after in _DETERMINERS and before.isalpha() and before not in _NO_DOERS | describing()

    def _stands_like_a_verb(self, i: int) -> bool:
        """Whether a word that no list holds stands after bodies and before what follows a verb only."""
        text, before, after = self._text(i), self._text(i - 1), self._text(i + 1)
        if not text.isalpha() or text in _NO_VERBS or text.endswith(("ed", "en", "ly", "s")):
            return False
        bodies = singular(before) != before or (before in general.BODIES and self._coordinated(i - 1))
        return bodies and (not after or after in _AFTER_A_VERB | _SUBORDINATE)

    def _verb_is_finite(self, i: int) -> bool:
        """Whether the next word can only be a verb in its base form, so that this one is its plural doer."""
        text = self._text(i)
        base, form = verb_forms().get(text, ("", ""))
        return form == "base" and base not in MOSTLY_NOUNS

    def _ends_plural(self, i: int) -> bool:
        text = self._text(i)
        if text in general.IRREGULAR_PLURALS:
            return True
        if singular(text) != text:
            return True
        if text in general.BODIES and self._coordinated(i):
            return True  # "a girl and a dog run"
        return ends_in_s(text)

    def _coordinated(self, i: int) -> bool:
        return any(self._text(j) == "and" for j in range(max(0, i - 4), i))

    def _base_before(self, i: int) -> bool:
        """Whether an earlier verb of the same sentence is a base form too: "two men meet and leave"."""
        for j in range(i - 1, -1, -1):
            if self._text(j) in _STOPS:
                return False
            base, form = verb_forms().get(self._text(j), ("", ""))
            if base and form == "base" and self._ends_plural(j - 1):
                return True
        return False

    @cached_property
    def opens_at(self) -> int:
        """The place of the first word after an opening such as "a cinematic shot of"."""
        for i in range(min(9, len(self.words))):
            text = self._text(i)
            if self.words[i].is_sign:
                return 0
            if text in ("of", "about", "showing", "featuring", "following", "depicting", "where", "on"):
                openers = {self._text(j) for j in range(i)} & general.OPENERS
                return i + 1 if openers else 0
        return 0

    @cached_property
    def actors(self) -> list[Actor]:
        """Bodies that are named, in order."""
        found: list[Actor] = []
        for i in range(len(self.words)):
            kind = self._body(i)
            if not kind:
                continue
            first = self._phrase_start(i)
            if found and found[-1].last >= first:
                first = found[-1].last + 1
            found.append(
                Actor(
                    kind=kind,
                    first=first,
                    last=i,
                    count=self._count(first, i),
                    leads=self._leads(first, i, found),
                    start=self.words[first].start,
                    end=self.words[i].end,
                )
            )
        return found

    def _body(self, i: int) -> str:
        """The singular of the word if it is the head of a body's name; "dog sled" and "fish tank" are none."""
        kind = singular(self._text(i))
        if kind not in general.BODIES:
            return ""
        verb = self._verb(i)
        if verb and verb.form != "base":
            return ""
        if self._text(i) in ("fly", "duck", "fish", "train", "cook", "pilot", "bear") and verb:
            return ""
        after = self.prompt[self.words[i].end : self.words[i].end + 1]
        if after == "-" or self._text(i + 1) == "'s" or after == "'":
            return ""
        follows = singular(self._text(i + 1))
        if follows in general.BODIES and not self._verb(i + 1):
            return ""  # "family dog"
        return kind

    def _phrase_start(self, i: int) -> int:
        """Where the noun phrase that ends at word `i` begins, "a group of" included."""
        j = i
        while j > 0:
            word = self.words[j - 1]
            if word.is_sign or word.text in _RIGHT_OF_NOUN:
                of = (
                    word.text == "of"
                    and j >= 2
                    and self._text(j - 2) in general.MANY | general.NUMBERS.keys() | _COLLECTIVES
                )
                if not of:
                    break
            elif (verb := self._verb(j - 1)) and (verb.form != "ing" or not self._attributive(j - 1)):
                break
            j -= 1
            if self._text(j) in ("a", "an", "the") and self._text(j - 1) != "of":
                break
        return j

    def _attributive(self, i: int) -> bool:
        """Whether an -ing word stands before the noun that it describes: "a sleeping dog"."""
        return self._text(i - 1) in _DETERMINERS

    def _count(self, first: int, last: int) -> int:
        texts = [self._text(j) for j in range(first, last + 1)]
        for text in texts:
            if text in general.NUMBERS:
                return general.NUMBERS[text]
            if text.isdigit():
                return int(text[:4])
        if any(t in general.MANY for t in texts):
            return 3
        return 3 if singular(texts[-1]) != texts[-1] or texts[-1] == "people" else 1

    def _leads(self, first: int, last: int, before: list[Actor]) -> bool:
        acts = self.action_of(last) is not None
        context = self._text(first - 1)
        if not before and first <= max(self.opens_at, 2) and context not in _RIGHT_OF_NOUN - {"of"}:
            return True
        if first == self.opens_at:
            return True
        if context in general.PREPOSITIONS and context not in ("as", "until"):
            return False
        joined = bool(before) and first - before[-1].last in (2, 3) and context in ("and", ",", "or")
        if joined and self._text(first - 1) in ("and", ",", "or"):
            return before[-1].leads
        return acts and (
            context in _JOINS | _SUBORDINATE | general.SEQUENCE or not context or not context[-1].isalnum()
        )

    def action_of(self, last: int) -> Verb | None:
        """What the noun phrase that ends at word `last` does: the next verb before a sign, a join or another body."""
        by_place = {v.at: v for v in self.verbs}
        for j in range(last + 1, min(last + 9, len(self.words))):
            if j in by_place:
                return by_place[j]
            text = self._text(j)
            if self.words[j].is_sign or text in _JOINS | _SUBORDINATE or text in general.BODIES:
                return None
        return None

    @cached_property
    def leads(self) -> list[Actor]:
        """Bodies that lead, each kind once."""
        seen: dict[str, Actor] = {}
        for actor in self.actors:
            if actor.leads:
                seen.setdefault(actor.kind, actor)
        return list(seen.values())

    def clauses(self) -> Iterator[tuple[int, int]]:
        """Ranges of words between signs."""
        start = 0
        for i, word in enumerate(self.words):
            if word.is_sign and word.text in ",.;:!?":
                if i > start:
                    yield start, i
                start = i + 1
        if start < len(self.words):
            yield start, len(self.words)


def _joined(prompt: str, found: list[Named]) -> list[Named]:
    """With neighbours of one group as one: "200mm telephoto", "14mm ultra-wide lens"."""
    joined: list[Named] = []
    for name in found:
        if joined and joined[-1].group == name.group and not prompt[joined[-1].end : name.start].strip(" -"):
            joined[-1] = Named(group=name.group, start=joined[-1].start, end=max(name.end, joined[-1].end))
        else:
            joined.append(name)
    return joined


_COLLECTIVES = general.word_set("flock school line row couple pair number herd")
