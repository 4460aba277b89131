"""Reads a prompt with the lexicon: what it names, and what a set of weights will not understand of it.

Matching is by longest phrase over words in their base form, articles and adverbs left out, so that "the camera slowly
circles around" and "camera circles around" are one. No torch: a prompt check answers at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from filmwright.spec.inflection import inflect, lemma
from filmwright.spec.lexicon import ADVERBS, ARTICLES, EVENT_OF, LEXICON, STOP_WORDS
from filmwright.spec.nearest import Near, describing, is_trained, near
from filmwright.spec.things import things_of
from filmwright.spec.verbs import first_move
from filmwright.spec.vocabulary import PARTS, Part

__all__ = [
    "Finding", "Mention", "PromptReport", "PromptVocabulary", "Word", "analyse", "event_of", "in_known_words",
    "is_known", "mentions", "other_moves", "split_words",
]  # fmt: skip

_WORD = re.compile(r"[a-z]+n't\b|[a-z]+|'s\b|\d+|[^\sa-z\d_-]", re.IGNORECASE)
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc", "'''")
_LONGEST = 8
_BETWEEN_ADJECTIVES = re.compile(r"(?:(?!\b(?:on|the|an?|of|and|to|into|is)\b)[\w\s-])*")
FEATURES = ("colour", "size", "material")  # what stands between an article and its noun


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word or sign of a prompt, lower case, and where it stands in it."""

    text: str
    start: int
    end: int

    @property
    def is_sign(self) -> bool:
        """Punctuation rather than a word or number."""
        return not self.text[-1].isalnum()


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A phrase of the lexicon found in a prompt: the names it may stand for (mostly one) and where, in characters."""

    attribute: str
    names: tuple[str, ...]
    phrase: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class PromptVocabulary:
    """What a set of weights understands: the words it was trained on and the part of the world it has seen."""

    words: frozenset[str]
    part: Part = PARTS["whole"]
    part_name: str = "whole"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with a prompt: a stable code, the words it is about, and one line to show."""

    code: str
    message: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PromptReport:
    """What a prompt says in the vocabulary's names, and what is wrong with it.

    `attributes`: names in order of mention for subject, colour, material, size, event, setting, light, camera, lens,
    mood and direction, as far as they are named; a phrase that leaves open which ("pans") counts as the first.
    `happenings`: those of the event log, in order. `near`: for each unknown word what it may be.
    """

    attributes: dict[str, tuple[str, ...]]
    happenings: tuple[str, ...]
    unknown: tuple[str, ...]
    near: dict[str, Near]
    findings: tuple[Finding, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings."""
        return tuple(f.code for f in self.findings)


def split_words(text: str) -> list[Word]:
    """Words, numbers and signs of a text in order; hyphens separate words, typographic apostrophes are plain ones."""
    plain = text.translate(_APOSTROPHES)
    return [Word(text=m.group().lower(), start=m.start(), end=m.end()) for m in _WORD.finditer(plain)]


@cache
def _index() -> dict[tuple[str, ...], tuple[str, tuple[str, ...]]]:
    """Phrase in base forms -> (attribute, names). The first attribute of the lexicon that claims a phrase has it."""
    index: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}
    for attribute, names in LEXICON.items():
        for name, roles in names.items():
            for role, phrases in roles.items():
                for phrase in phrases:
                    key = _key(phrase)
                    if role == "verb" and attribute == "camera" and key[0] != "camera":
                        index.setdefault(("camera", *key), (attribute, tuple(name.split("|"))))
                    index.setdefault(key, (attribute, tuple(name.split("|"))))
    return index


def _key(phrase: str) -> tuple[str, ...]:
    words = [w.text for w in split_words(phrase)]
    return tuple(lemma(w) for w in words if w not in _SKIPPED)


_SKIPPED = (ARTICLES | ADVERBS) - {"camera"}


def mentions(prompt: str) -> list[Mention]:
    """What a prompt names, in order, longest phrases first; phrases do not cross punctuation."""
    words = [w for w in split_words(prompt) if w.text not in _SKIPPED]
    keys = [lemma(w.text) for w in words]
    index = _index()
    found: list[Mention] = []
    i = 0
    while i < len(words):
        for n in range(min(_LONGEST, len(words) - i), 0, -1):
            entry = index.get(tuple(keys[i : i + n]))
            if entry is not None:
                start, end = words[i].start, words[i + n - 1].end
                found.append(
                    Mention(
                        attribute=entry[0],
                        names=entry[1],
                        phrase=prompt[start:end].lower(),
                        start=start,
                        end=end,
                    )
                )
                i += n
                break
        else:
            i += 1
    return list(_settled(prompt, found))


def _settled(prompt: str, found: list[Mention]) -> Iterator[Mention]:
    """Mentions whose meaning hangs on their neighbours: materials, containers, moves whose direction comes later."""
    skip = -1
    for i, mention in enumerate(found):
        if i <= skip:
            continue
        after = found[i + 1] if i + 1 < len(found) else None
        between = prompt[mention.end : after.start] if after else ""
        adjacent = not re.search(r"[,.;:!?]|\band\b|\bor\b", between)
        if mention.attribute == "subject" and mention.names == ("glass",) and mention.phrase == "glass":
            # "a glass ball" is of glass, "a glass" is one
            kind = next((m for m in found[i + 1 :] if m.attribute not in FEATURES), None)
            if (
                kind
                and kind.attribute == "subject"
                and _BETWEEN_ADJECTIVES.fullmatch(prompt, mention.end, kind.start)
            ):
                yield replace(mention, attribute="material")
                continue
        if (
            mention.attribute == "subject"
            and mention.names[0] in ("stack", "dominoes")
            and " of" not in mention.phrase
        ):
            # "a stack of small red cubes" is one thing; what it is made of is no subject of its own
            inner = next((j for j in range(i + 1, len(found)) if found[j].attribute == "subject"), None)
            if inner is not None:
                gap = prompt[mention.end : found[inner].start]
                if re.match(r"\s+of\b[^,.;:]*$", gap) and all(
                    m.attribute in FEATURES for m in found[i + 1 : inner]
                ):
                    yield mention
                    yield from found[i + 1 : inner]
                    yield replace(found[inner], names=mention.names)
                    skip = inner
                    continue
        if len(mention.names) > 1 and after and after.attribute == "direction" and adjacent:
            yield Mention(
                attribute=mention.attribute,
                names=tuple(n for n in mention.names if n.endswith(after.names[0])) or mention.names,
                phrase=prompt[mention.start : after.end].lower(),
                start=mention.start,
                end=after.end,
            )
            skip = i + 1
            continue
        yield mention


def event_of(happenings: Iterable[str], subjects: Iterable[str] = ()) -> str | None:
    """The event that happenings of the log amount to; None where they name none.

    A stack or a row of dominoes that is hit and topples is a toppling, whatever hit it.
    """
    seen, kinds = set(happenings), set(subjects)
    if "topples" in seen and kinds & {"stack", "dominoes"}:
        return "shatter" if "shatters" in seen else "topple"
    return next((event for what, event in EVENT_OF if what in seen), None)


def analyse(
    prompt: str, known: PromptVocabulary, *, negative: str = "", camera: str | None = None
) -> PromptReport:
    """What a prompt says, and findings with stable codes.

    `unknown-words`: words that the weights were never trained on, in the prompt or the `negative` one; `no-motion`:
    neither an event nor a camera move is named; `outside-training`: something that is known as a word, but not in the
    part of the world that was trained on; `contradictory-optics`: the words name another camera move than `camera`,
    the one that is asked for beside them.
    """
    found = mentions(prompt)
    attributes: dict[str, list[str]] = {}
    for m in found:
        if m.attribute != "happening" and m.names[0] not in attributes.get(m.attribute, ()):
            attributes.setdefault(m.attribute, []).append(m.names[0])
    happenings = tuple(m.names[0] for m in found if m.attribute == "happening")
    event = event_of(happenings, attributes.get("subject", ()))
    if event:
        attributes["event"] = [event]
    nearby = _unlearnt(prompt, known)
    findings = [
        *_unknown(nearby, ""),
        *_unknown(_unlearnt(negative, known), "in the negative prompt, "),
        *_no_motion(prompt, found),
        *_outside(prompt, found, event, known),
        *_other_move(found, camera),
    ]
    return PromptReport(
        attributes={k: tuple(v) for k, v in attributes.items()},
        happenings=happenings,
        unknown=tuple(nearby),
        near=nearby,
        findings=tuple(findings),
    )


def _unlearnt(prompt: str, known: PromptVocabulary) -> dict[str, Near]:
    """The words, and pictures such as emoji, that no caption held, each once, and what they may be."""
    words = split_words(in_known_words(prompt, known.words))
    texts = [w.text for w in words]
    nearby: dict[str, Near] = {}
    for i, word in enumerate(words):
        if word.text not in nearby and (_is_picture(word.text) or not is_known(word, known.words)):
            nearby[word.text] = near(texts, i, known.words, known.part)
    return nearby


def _is_picture(sign: str) -> bool:
    """Whether a sign is an emoji or the like: "\U0001f388" means something, "!" and a skin tone alone do not."""
    return len(sign) == 1 and sign >= "\u2190" and unicodedata.category(sign) == "So"


def in_known_words(prompt: str, words: frozenset[str]) -> str:
    """The prompt with phrases of the lexicon that hold an unknown word put plainly: "twilight" -> "sunset light"."""
    if all(is_trained(w.text, words) for w in split_words(prompt)):
        return prompt
    text, at = "", 0
    for m in mentions(prompt):
        if all(is_trained(w.text, words) or w.text in _SKIPPED for w in split_words(m.phrase)):
            continue
        said = _plainly(m)
        if said:
            text, at = text + prompt[at : m.start] + said, m.end
    return text + prompt[at:]


def _plainly(mention: Mention) -> str | None:
    """The plainest phrase for what a mention means, in the form that its first word has."""
    own = split_words(mention.phrase)[0].text
    for name in ("|".join(mention.names), mention.names[0]):
        roles = LEXICON[mention.attribute].get(name, {})
        for role in ("verb", "noun", "adjective", "shot", "where", "when"):
            if role in roles:
                said = roles[role][0]
                if role != "verb":
                    return said
                verb = inflect(said.removeprefix("camera "), "ing" if own.endswith("ing") else "s")
                return f"camera {verb}" if mention.attribute == "camera" else verb
    return None


def is_known(word: Word, words: frozenset[str]) -> bool:
    """Whether a word, or another form of it, is among `words`; signs, numbers and stop words always are."""
    return word.is_sign or word.text.isdigit() or word.text in STOP_WORDS or is_trained(word.text, words)


def _unknown(nearby: dict[str, Near], where: str) -> Iterator[Finding]:
    if nearby:
        listed = ", ".join(f"{w!r}" + (f" ({n.said})" if n.said else "") for w, n in nearby.items())
        message = (
            f"{where}{_count(len(nearby), 'word')} the model has not learnt: {listed}; "
            "what they mean will be missing"
        )
        yield Finding(code="unknown-words", message=message, words=tuple(nearby))


def _no_motion(prompt: str, found: list[Mention]) -> Iterator[Finding]:
    if any(m.attribute in ("happening", "camera") for m in found):
        return
    if first_move([w.text for w in split_words(prompt)], describing()) is None:
        yield Finding(
            code="no-motion",
            message=(
                "nothing moves in this prompt: say what happens (drops, rolls, slides, spins) or how the camera moves"
            ),
        )


_AT_ONCE = frozenset(
    {"overhead", "handheld"}
)  # where a camera is and how it is held: it can move all the same


def other_moves(found: Iterable[Mention], camera: str | None) -> list[Mention]:
    """The camera moves in a prompt's words that the move asked for beside them, if any, contradicts."""
    if camera is None or camera in _AT_ONCE:
        return []
    return [m for m in found if m.attribute == "camera" and not set(m.names) & {camera, *_AT_ONCE}]


def _other_move(found: list[Mention], camera: str | None) -> Iterator[Finding]:
    if said := other_moves(found, camera):
        listed = ", ".join(repr(m.phrase) for m in said)
        yield Finding(
            code="contradictory-optics",
            message=f"the prompt says {listed}, the option is --camera {camera}: keep one; the option will win",
            words=tuple(m.phrase for m in said),
        )


def _outside(
    prompt: str, found: list[Mention], event: str | None, known: PromptVocabulary
) -> Iterator[Finding]:
    part = known.part
    limits = {
        "subject": part.subjects, "setting": part.settings, "camera": part.cameras, "material": part.materials,
        "light": part.lights, "lens": part.lenses, "mood": part.moods,
    }  # fmt: skip
    outside = {
        m.phrase: m.attribute
        for m in found
        if m.attribute in limits and not set(m.names) & set(limits[m.attribute])
    }
    if event and event not in part.events:
        happened = [m for m in found if m.attribute == "happening"]
        outside |= {m.phrase: "event" for m in happened if event_of(m.names) not in (None, *part.events)}
    if outside:
        listed = ", ".join(f"{phrase!r} ({attribute})" for phrase, attribute in outside.items())
        message = (
            f"these weights were trained on the part {known.part_name!r} of the world, which has no {listed}"
        )
        yield Finding(code="outside-training", message=message, words=tuple(outside))
    things = things_of(prompt, found)
    number = sum(things.values())
    if number > part.max_bodies:
        yield Finding(
            code="outside-training",
            message=(
                f"{number} things ({', '.join(things)}) in one prompt: these weights were trained on the part "
                f"{known.part_name!r} of the world, which shows {part.max_bodies} at most"
            ),
            words=tuple(things),
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
