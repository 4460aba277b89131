"""The rule about time: what is done one after another, and how much of it a clip of this length can show."""

from __future__ import annotations

import re
from collections.abc import Iterator

from filmwright.direction.check import general
from filmwright.direction.check.cuts import tidy
from filmwright.direction.check.reading import Reading, Verb
from filmwright.direction.check.rule import Example, Hit, Rule
from filmwright.direction.check.target import Target
from filmwright.spec.lexicon import STOP_WORDS
from filmwright.spec.nearest import is_trained
from filmwright.spec.words import Mention

__all__ = ["ACTIONS", "moves_in"]

_CAMERA_WORDS = frozenset({"camera", "drone", "shot", "lens", "view"})
_MEANWHILE = general.word_set("while as when where who which that whose because")
_SAME_AGAIN = general.word_set("he she it they then next finally afterwards")
_STARTERS = ("falls", "rolls", "slides", "spins", "swings", "floats")
_OF_ITSELF = ("rolls", "slides", "spins")  # what a body does once that has fallen


def moves_in(reading: Reading, verb: Verb) -> bool:
    """Whether it takes more than a still picture to show; sitting does not, sitting down does."""
    after = reading.words[verb.at + 1].text if verb.at + 1 < len(reading.words) else ""
    return verb.base not in general.STATES or after in ("up", "down", "away", "back", "around")


def _sequence(reading: Reading) -> list[list[Verb]]:
    """Verbs one after another, a list for each subject; what happens meanwhile, and what is done again, is left out."""
    words, verbs = reading.words, {v.at: v for v in reading.verbs}
    others = {a.first for a in reading.leads[1:]}
    chains: list[list[Verb]] = [[]]
    meanwhile = camera = linked = then = False
    for i, word in enumerate(words):
        if word.is_sign:
            meanwhile = camera = linked = then = False
            goes_on = i + 1 < len(words) and words[i + 1].text in _SAME_AGAIN  # "He sits down. He drinks."
            if word.text in ".;!?" and not goes_on:
                chains.append([])
            continue
        if i in others and chains[-1] and not then:
            chains.append([])
        if word.text in _MEANWHILE and not (word.text == "that" and words[i - 1].text == "after"):
            meanwhile = True
        if word.text in ("then", "next", "afterwards", "finally", "and"):
            meanwhile, then = False, then or word.text != "and"
        if word.text in _CAMERA_WORDS and i not in verbs:
            camera = True
        verb = verbs.get(i)
        if verb is None or meanwhile or camera:
            continue
        if linked or not moves_in(reading, verb):
            linked = False
        elif (verb.form in ("s", "base") or then) and all(v.base != verb.base for v in chains[-1]):
            chains[-1].append(verb)
            linked = verb.base in general.LINKING
    return chains


def _many(reading: Reading, target: Target) -> Iterator[Hit]:
    allowed = target.actions
    if target.vocabulary is not None:
        yield from _many_events(reading, allowed, target)
        return
    chain = max(_sequence(reading), key=len)
    if len(chain) > allowed:
        said = tuple(reading.words[v.at].text for v in chain)
        yield Hit(
            why=f"{len(chain)} actions one after another ({', '.join(said)}) in {target.length:.2g} s: "
            f"there is time for {allowed}; split it into shots",
            start=reading.words[chain[allowed].at].start,
            end=reading.words[chain[-1].at].end,
            words=said,
        )


def _many_events(reading: Reading, allowed: int, target: Target) -> Iterator[Hit]:
    """What the lexicon knows to be begun, and verbs that it does not know; a fall brings one thing more of itself."""
    done = [
        (m.start, m.end, m.names[0])
        for m in reading.mentions
        if m.names[0] in _STARTERS and not _by_another(reading, m)
    ]
    for verb in max(_sequence(reading), key=len):
        word = reading.words[verb.at]
        learnt = target.vocabulary is not None and is_trained(
            word.text, target.vocabulary.words
        )  # "it happens"
        if not learnt and not any(m.start <= word.start < m.end for m in reading.mentions):
            done.append((word.start, word.end, verb.base))
    begun: list[tuple[int, int]] = []
    names: set[str] = set()
    fell = False
    for start, end, name in sorted(done):
        if name in names:
            continue
        names.add(name)
        if fell and name in _OF_ITSELF:
            fell = False
            continue
        fell = fell or name == "falls"
        begun.append((start, end))
    if len(begun) > allowed:
        said = tuple(reading.prompt[start:end] for start, end in begun)
        yield Hit(
            why=f"{len(said)} actions one after another ({', '.join(said)}) in {target.length:.2g} s: "
            f"there is time for {allowed}; split it into shots",
            start=begun[allowed][0],
            end=begun[-1][1],
            words=said,
        )


def _by_another(reading: Reading, mention: Mention) -> bool:
    """Whether somebody else does it, who has no name in the lexicon: "a ball rolls, snow falls"."""
    before = [w for w in reading.words if w.end <= mention.start and w.text not in _SAME_AGAIN | STOP_WORDS]
    if not before or before[-1].is_sign or before[-1].text in ("and", "or", "back", "left", "right"):
        return False
    return not any(m.start <= before[-1].start < m.end for m in reading.mentions)


def _fewer(reading: Reading, _: Target, hit: Hit) -> str | None:
    """The prompt up to the last action that there is time for, and what it says of light, camera and mood."""
    assert hit.start is not None
    assert hit.end is not None
    prompt = reading.prompt
    joined = re.search(
        r"(?:[\s,;]|\b(?:and|then|after that|finally|next|it|he|she|they)\b)*$", prompt[: hit.start], re.I
    )
    start = joined.start() if joined else hit.start
    after = re.search(r"[,.;!?](?=\s|$)|\s+(?=(?:on|in|at|across|over)\s)", prompt[hit.end :])
    end = hit.end + after.start() if after else len(prompt)
    return tidy(prompt[:start] + prompt[end:])


ACTIONS: tuple[Rule, ...] = (
    Rule(
        code="many-actions",
        summary="More actions one after another than there is time for.",
        find=_many,
        mend=_fewer,
        fails=Example(
            prompt="A cat wakes up, stretches, jumps off the sofa and runs into the kitchen, morning light"
        ),
        passes=Example(
            prompt="A cyan sphere drops, bounces and rolls to the left on the lawn", model="pocket"
        ),
    ),
)
