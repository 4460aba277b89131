"""Rules about what happens in a shot: is there something to see, does it move, and is it not too much at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from filmwright.direction.check import general
from filmwright.direction.check.actions import moves_in
from filmwright.direction.check.cuts import added, put, tidy
from filmwright.direction.check.lists import opening_list
from filmwright.direction.check.reading import Actor, Reading
from filmwright.direction.check.rule import Example, Hit, Rule
from filmwright.direction.check.target import Target
from filmwright.spec.controls import STILL_CAMERAS
from filmwright.spec.words import analyse

__all__ = ["CONTENT"]

_MOVING = ("moving camera", "camera towards", "camera away", "flying camera")
_SEEN = general.word_set("witness harness wilderness business governess lioness baroness")
_MEASURES = general.word_set(
    "weight burden cost price taste birth rise fall cycle rhythm language shape triumph"
)
_NOUN_ENDS = general.PREPOSITIONS | {"where", "that", "which", "who", "when"}


# ---------------------------------------------------------------------------------------------- too abstract


def _abstract(reading: Reading, _: Target) -> Iterator[Hit]:
    words, first = reading.words, reading.opens_at
    if words and all(w.is_sign and w.text < "\u2190" for w in words):
        why = "there are no words in this prompt: say who or what is seen and what it does"
        yield Hit(why=why, start=0, end=len(reading.prompt), words=(reading.prompt,))
    if reading.actors or any(m.attribute == "subject" for m in reading.mentions):
        return
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
    named = [i for i in heads if _is_abstract(words[i].text)]
    if not named and heads and words[heads[0]].text in _MEASURES:  # "the weight of silence"
        after = range(heads[0] + 1, min(heads[0] + 4, len(words)))
        named = [i for i in after if words[heads[0] + 1].text == "of" and _is_abstract(words[i].text)]
    named = [i for i in named if words[i - 1].text != "still" or words[i].text != "life"]
    if not named and texts and texts[-1] in ("itself", "alone"):
        named = [heads[-1] - 1] if _is_abstract(words[heads[-1] - 1].text) else []
    at = named[0] if named else vague
    if at is not None:
        word = words[at]
        yield Hit(
            why=f"{word.text!r} cannot be seen: a concrete subject is needed; say who or what stands for it, "
            "what it looks like and what it does",
            start=word.start,
            end=word.end,
            words=(word.text,),
        )


def _is_abstract(word: str) -> bool:
    """Whether a noun is one that no camera sees: of the list, or a quality in -ness."""
    return word in general.ABSTRACT or (word.endswith("ness") and word not in _SEEN)


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


def _competing(reading: Reading, target: Target) -> Iterator[Hit]:
    leads = [(a.first, a.last) for a in reading.leads]
    if len(leads) <= 2 and target.vocabulary is None:
        leads = opening_list(reading)
    if len(leads) > 2:
        names = tuple(reading.words[last].text for _, last in leads)
        yield Hit(
            why=f"{len(leads)} subjects ({', '.join(names)}) compete for one shot: keep one or two, "
            "give the others shots of their own",
            start=reading.words[leads[2][0]].start,
            end=reading.words[leads[2][1]].end,
            words=names,
        )


def _two_leads(reading: Reading, _: Target, __: Hit) -> str | None:
    """The prompt with its first two subjects."""
    leads, prompt, words = reading.leads, reading.prompt, reading.words
    if len(leads) <= 2:
        listed = opening_list(reading)
        second = prompt[words[listed[1][0]].start : words[listed[1][1]].end]
        return put(prompt, words[listed[0][1]].end, words[listed[-1][1]].end, f" and {second}")
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
    if all(w.is_sign for w in reading.words):
        return  # that nothing is said is another finding
    moves = any(moves_in(reading, v) for v in reading.verbs)
    if target.vocabulary is not None:
        moves = moves or "no-motion" not in analyse(reading.prompt, target.vocabulary).codes
    else:
        moves = moves or reading.says(*_MOVING)
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


def _with_motion(reading: Reading, target: Target, _: Hit) -> str | None:
    if any(_abstract(reading, target)):
        return None  # a camera that moves shows no more of it
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


CONTENT: tuple[Rule, ...] = (
    Rule(
        code="too-abstract",
        summary="The subject is something that no camera sees.",
        find=_abstract,
        mend=_concrete,
        fails=Example(prompt="Loneliness in the modern world, sad mood, slow zoom in"),
        passes=Example(prompt="A statue of Justice turns slowly on its plinth as pigeons scatter, overcast square"),
    ),
    Rule(
        code="competing-subjects",
        summary="Three or more subjects lead the shot.",
        find=_competing,
        mend=_two_leads,
        fails=Example(prompt="An elephant, a lion and a giraffe walk through the savanna, aerial shot"),
        passes=Example(prompt="A conductor and a cellist rehearse while rain streaks the tall windows, dim stage"),
    ),
    Rule(
        code="no-motion",
        summary="Neither a subject nor the camera moves.",
        find=_still,
        mend=_with_motion,
        fails=Example(prompt="A vase of dried flowers on a linen tablecloth, soft window light, 50mm lens, still life"),
        passes=Example(prompt="a cat runs across the lawn", model="pocket"),
    ),
    Rule(
        code="crowded-interaction",
        summary="More than two bodies touch each other.",
        find=_crowded,
        mend=_only_two,
        fails=Example(prompt="Three sumo wrestlers push and grab each other in a dohyo, wide shot"),
        passes=Example(prompt="Twelve rowers pull their oars as one, spray flying, low morning sun"),
    ),
)  # fmt: skip
