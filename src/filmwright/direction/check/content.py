"""Rules about what happens in a shot: is there something to see, does it move, and is it not too much at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from filmwright.direction.check import general
from filmwright.direction.check.cuts import added, put, tidy
from filmwright.direction.check.reading import Actor, Reading, Verb
from filmwright.direction.check.rule import Example, Hit, Rule
from filmwright.direction.check.target import Target
from filmwright.spec.controls import STILL_CAMERAS
from filmwright.spec.words import Mention, analyse

__all__ = ["CONTENT"]

_MOVING = ("moving camera", "camera towards", "camera away", "flying camera")
_CAMERA_WORDS = frozenset({"camera", "drone", "shot", "lens", "view"})
_MEANWHILE = general.word_set("while as when where who which that whose because")
_SAME_AGAIN = general.word_set("he she it they then next finally afterwards")
_NOUN_ENDS = general.PREPOSITIONS | {"where", "that", "which", "who", "when"}
_CHAIN = {
    "falls": {"bounces", "rolls", "slides", "lands", "stops", "spins"},
    "hits": {"topples", "shatters", "bounces"},
}
_STARTERS = ("falls", "rolls", "slides", "spins", "swings", "floats")


# ---------------------------------------------------------------------------------------------- too abstract


def _abstract(reading: Reading, _: Target) -> Iterator[Hit]:
    if reading.actors or any(m.attribute == "subject" for m in reading.mentions):
        return
    words, first = reading.words, reading.opens_at
    verbs = {v.at for v in reading.verbs}
    heads: list[int] = []
    for i in range(first, len(words)):
        over = words[i].is_sign or i in verbs or words[i].text in _NOUN_ENDS
        if i > first and (over or words[i].text == "and"):
            heads.append(i - 1)
        if over:
            break
    else:
        heads += [len(words) - 1] if len(words) > first else []
    texts = [words[i].text for i in range(first, heads[-1] + 1)] if heads else []
    vague = next((i for i in range(first, first + len(texts)) if words[i].text in general.VAGUE), None)
    named = [i for i in heads if words[i].text in general.ABSTRACT]
    if not named and texts and texts[-1] in ("itself", "alone"):
        named = [heads[-1] - 1] if words[heads[-1] - 1].text in general.ABSTRACT else []
    at = named[0] if named else vague
    if at is not None:
        word = words[at]
        yield Hit(
            why=f"{word.text!r} cannot be seen: say who or what stands for it, what it looks like and what it does",
            start=word.start,
            end=word.end,
            words=(word.text,),
        )


def _concrete(reading: Reading, _: Target, hit: Hit) -> str | None:
    """A picture that may stand for it, with the light, camera and mood that the prompt names."""
    said = [w.text for w in reading.words]
    picture = next((general.SYMBOLS[w] for w in [*hit.words, *said] if w in general.SYMBOLS), None)
    if picture is None:
        return None
    kept = []
    for n, (first, last) in enumerate(reading.clauses()):
        start, end = reading.words[first].start, reading.words[last - 1].end
        if n and not any(reading.words[i].text in general.ABSTRACT for i in range(first, last)):
            kept.append(reading.prompt[start:end])
    return ", ".join([picture[:1].upper() + picture[1:], *kept])


# ---------------------------------------------------------------------------------------------- competing


def _competing(reading: Reading, _: Target) -> Iterator[Hit]:
    leads = reading.leads
    if len(leads) > 2:
        names = tuple(reading.words[a.last].text for a in leads)
        yield Hit(
            why=f"{len(leads)} subjects ({', '.join(names)}) compete for one shot: keep one or two, "
            "give the others shots of their own",
            start=leads[2].start,
            end=leads[2].end,
            words=names,
        )


def _two_leads(reading: Reading, _: Target, __: Hit) -> str | None:
    """The prompt with its first two subjects."""
    leads, prompt, words = reading.leads, reading.prompt, reading.words
    if all(b.first - a.last <= 3 for a, b in pairwise(leads)) and not any(
        reading.action_of(a.last) for a in leads[:-1]
    ):  # a list: "a cat, a dog and a parrot"
        return put(prompt, leads[0].end, leads[-1].end, f" and {prompt[leads[1].start : leads[1].end]}")
    text = prompt
    for actor in reversed(leads[2:]):
        start = actor.start
        joined = re.search(r"[\s,;]*\b(?:and|while|as|,)?\s*$", prompt[:start], re.IGNORECASE)
        start = joined.start() if joined else start
        after = next(
            (i for i in range(actor.last, len(words)) if words[i].is_sign and words[i].text in ",.;"), None
        )
        nexts = [a.start for a in leads if a.start > actor.start]
        end = min([words[after].start if after is not None else len(prompt), *nexts])
        text = text[:start] + " " + text[end:]
    return tidy(text) if text != prompt else None


# ---------------------------------------------------------------------------------------------- no motion


def _still(reading: Reading, target: Target) -> Iterator[Hit]:
    if target.camera is not None and target.camera not in STILL_CAMERAS:
        return
    if target.vocabulary is not None:
        moves = "no-motion" not in analyse(reading.prompt, target.vocabulary).codes
    else:
        moves = reading.says(*_MOVING) or any(_moves(reading, v) for v in reading.verbs)
        moves = (
            moves or reading.says("time-lapse") or any(w.text in general.MOVING_NOUNS for w in reading.words)
        )
        moves = moves or any(m.attribute == "camera" and not set(m.names) <= set(STILL_CAMERAS)
                             for m in reading.mentions)  # fmt: skip
    if not moves:
        yield Hit(
            why="nothing moves in this prompt: say what the subject does, or how the camera moves",
            start=0,
            end=len(reading.prompt),
        )


def _moves(reading: Reading, verb: Verb) -> bool:
    """Whether it takes more than a still picture to show; sitting does not, sitting down does."""
    after = reading.words[verb.at + 1].text if verb.at + 1 < len(reading.words) else ""
    return verb.base not in general.STATES or after in ("up", "down", "away", "back", "around")


def _with_motion(reading: Reading, target: Target, _: Hit) -> str | None:
    if reading.says("static camera") or (target.card.cameras and "push-in" not in target.card.cameras):
        return None
    return added(
        reading.prompt, "the camera pushes in" if target.vocabulary else "the camera slowly pushes in"
    )


# ---------------------------------------------------------------------------------------------- crowded


def _crowded(reading: Reading, target: Target) -> Iterator[Hit]:
    words = [w.text for w in reading.words]
    verbs = {v.at: v for v in reading.verbs}
    for i in range(len(words)):
        verb = verbs.get(i)
        touching = verb is not None and verb.base in general.TOUCHES
        reciprocal = any(words[i : i + 3][: len(p.split())] == p.split() for p in general.RECIPROCAL)
        if not (touching or reciprocal):
            continue
        who = _doer(reading, i)
        if who is not None:
            many = reading.prompt[who.start : who.end]
            yield Hit(
                why=f"{many!r} in contact with each other: bodies and limbs melt into one another; "
                "show two, or part them",
                start=who.start,
                end=reading.words[i].end,
                words=(many, words[i]),
            )
            return
    if target.vocabulary is not None and any(m.names == ("hits",) for m in reading.mentions):
        things = [m for m in reading.mentions if m.attribute == "subject"]
        number = next(
            (general.NUMBERS.get(w, 0) for w in words if general.NUMBERS.get(w, 0) > 2), len(things)
        )
        if number > 2 and things:
            yield Hit(
                why=f"{number} things that hit each other at once: show two",
                start=things[0].start,
                end=things[-1].end,
                words=tuple(m.phrase for m in things),
            )


def _doer(reading: Reading, at: int) -> Actor | None:
    """Who does what word `at` says, if they are more than two; leads that are joined count together."""
    before = [a for a in reading.actors if a.last < at and a.leads] or [
        a for a in reading.actors if a.last < at
    ]
    if not before:
        return None
    who = before[-1]
    joined = [a for a in reading.leads if a.last < at]
    if who.count > 2:
        return who
    if len(joined) > 2 and all(b.first - a.last <= 3 for a, b in pairwise(joined)):
        return Actor(kind=who.kind, first=joined[0].first, last=who.last, count=len(joined), leads=True,
                     start=joined[0].start, end=who.end)  # fmt: skip
    return None


def _only_two(reading: Reading, _: Target, hit: Hit) -> str | None:
    """Two instead of many, and their verb with them."""
    if hit.start is None:
        return None
    actor = next((a for a in reading.actors if a.start == hit.start), None)
    if actor is None:
        return None
    last, words = actor.last, reading.words
    inner = next(
        (a for a in reading.actors if a.first in (last + 1, last + 2) and words[last + 1].text == "of"), None
    )
    named = inner or actor
    last = named.last
    skipped = {"a", "an", "the", "of", *general.NUMBERS, *general.MANY}
    kept = [
        words[i].text
        for i in range(actor.first, last + 1)
        if words[i].text not in skipped or words[i].text.isdigit()
    ]
    kept = [w for w in kept if not w.isdigit()]
    noun = kept[-1] if kept and named.kind not in general.MANY else "people"
    name = " ".join(["two", *kept[:-1], noun] if noun != "people" else ["two", "people"])
    text, end = name, named.end
    verb = next((v for v in reading.verbs if v.at == last + 1), None)
    if verb and verb.form == "s":
        text, end = f"{name} {verb.base}", words[verb.at].end
    if actor.first == 0:
        text = text[:1].upper() + text[1:]
    rest = reading.prompt[end:]
    rest = re.sub(r",\s*every(one|body)\b[^,.;]*", "", rest)
    return tidy(reading.prompt[: actor.start] + text + rest)


# ---------------------------------------------------------------------------------------------- many actions


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
        if linked or not _moves(reading, verb):
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
    started: list[Mention] = []
    for m in reading.mentions:
        if m.attribute != "happening" or m.names[0] not in _STARTERS:
            continue
        follows = any(m.names[0] in _CHAIN.get(s.names[0], ()) for s in started)
        if not follows and all(s.names != m.names for s in started):
            started.append(m)
    if len(started) > allowed:
        said = tuple(m.phrase for m in started)
        yield Hit(
            why=f"{len(said)} actions one after another ({', '.join(said)}) in {target.length:.2g} s: "
            f"there is time for {allowed}; split it into shots",
            start=started[allowed].start,
            end=started[-1].end,
            words=said,
        )


def _fewer(reading: Reading, _: Target, hit: Hit) -> str | None:
    """The prompt up to the last action that there is time for, and what it says of light, camera and mood."""
    assert hit.start is not None
    assert hit.end is not None
    prompt = reading.prompt
    joined = re.search(
        r"(?:[\s,;]|\b(?:and|then|after that|finally|next|it|he|she|they)\b)*$", prompt[: hit.start], re.I
    )
    start = joined.start() if joined else hit.start
    after = re.search(r"[,.;!?](?=\s|$)|\s+(?=on an?\b|in the\b|on the\b)", prompt[hit.end :])
    end = hit.end + after.start() if after else len(prompt)
    return tidy(prompt[:start] + prompt[end:])


CONTENT: tuple[Rule, ...] = (
    Rule(
        code="too-abstract",
        summary="The subject is something that no camera sees.",
        find=_abstract,
        mend=_concrete,
        fails=Example(prompt="The spirit of freedom, camera moving forward, golden hour"),
        passes=Example(prompt="A white bird flies out of an open cage, golden hour"),
    ),
    Rule(
        code="competing-subjects",
        summary="Three or more subjects lead the shot.",
        find=_competing,
        mend=_two_leads,
        fails=Example(prompt="A cat, a dog and a parrot run through a kitchen"),
        passes=Example(prompt="A girl runs along a beach with a dog, a kite above them"),
    ),
    Rule(
        code="no-motion",
        summary="Neither a subject nor the camera moves.",
        find=_still,
        mend=_with_motion,
        fails=Example(prompt="A vase of dried flowers on a table, soft window light"),
        passes=Example(prompt="A vase of dried flowers on a table, petals fall, soft window light"),
    ),
    Rule(
        code="crowded-interaction",
        summary="More than two bodies touch each other.",
        find=_crowded,
        mend=_only_two,
        fails=Example(prompt="Five wrestlers grapple in a ring"),
        passes=Example(prompt="Two wrestlers grapple in a ring in front of a cheering crowd"),
    ),
    Rule(
        code="many-actions",
        summary="More actions one after another than there is time for.",
        find=_many,
        mend=_fewer,
        fails=Example(prompt="A man walks in, sits down, opens a letter and weeps"),
        passes=Example(prompt="A man sits down and opens a letter, rain running down the window"),
    ),
)  # fmt: skip
