"""Rules about words: what cannot both be had, what a model cannot leave out, what it has not learnt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from filmwright.direction.check import general
from filmwright.direction.check.cuts import cut, put, tidy
from filmwright.direction.check.forms import is_common
from filmwright.direction.check.reading import Named, Reading
from filmwright.direction.check.rule import Example, Hit, Rule
from filmwright.direction.check.target import Target
from filmwright.spec.inflection import inflect
from filmwright.spec.lexicon import phrases
from filmwright.spec.words import Mention, analyse, other_moves, split_words

__all__ = ["CLASHES"]

_NEGATORS = re.compile(
    r"\b(?:no|without|not|never|nothing|none|avoid(?:ing)?|don't|doesn't|isn't|aren't|won't|can't|"
    r"free of|devoid of|empty of|bereft of|sans)\b",
    re.IGNORECASE,
)
_NOT_MEANT = re.compile(
    r"(?:no longer|not only|nothing but|no matter|no\.? \d|not far|"
    r"no sooner|not yet|without (?:warning|end|pause|haste|a sound|effort))\b",
    re.IGNORECASE,
)
_EMPTY_LEADS = re.compile(
    r"(?:(?:and|but|or|with|it|he|she|they|there|is|are|his|her|do|does|please|who|which|that)\s*)*$",
    re.IGNORECASE,
)
_CAMERA_LEFT_OVER = re.compile(
    r"(?:^|[,.;])\s*(?:and\s+)?(?:the\s+)?camera\s+(?:stays|is|holds|remains|keeps)\s*(?=[,.;]|$)",
    re.IGNORECASE,
)
_SHOWING = general.word_set(
    "a an any the show shows showing have having look looks looking leaving leave be add include of at in kind sort"
)
_INSTEAD = {
    "overhead": "static", "tracking": "pan-right", "handheld": "static", "tilt-up": "push-in", "tilt-down": "push-in",
}  # fmt: skip


# ---------------------------------------------------------------------------------------------- contradictions


def _clash(code: str, what: str) -> Rule:
    def find(reading: Reading, target: Target) -> Iterator[Hit]:
        if code == "contradictory-optics":
            yield from _other_moves(reading, target)
        if reading.passes:
            return
        found: list[tuple[Named, Named]] = []
        for one, other in general.CONFLICTS[code]:
            first = next((n for n in reading.named if n.group == one), None)
            second = next((n for n in reading.named if n.group == other), None)
            if first and second and (first.start, first.end) != (second.start, second.end):
                found.append((first, second) if first.start < second.start else (second, first))
        said: set[tuple[int, int]] = set()
        for a, b in sorted(found, key=lambda pair: (pair[1].start, pair[0].start)):
            if (b.start, b.end) in said or _within(a, b) or _from_to(reading.prompt, a, b):
                continue
            said.add((b.start, b.end))
            words = reading.prompt[a.start : a.end], reading.prompt[b.start : b.end]
            yield Hit(
                why=f"{words[0]!r} ({a.group}) and {words[1]!r} ({b.group}) cannot both be had in one shot: keep one",
                start=b.start,
                end=b.end,
                words=words,
            )

    def mend(reading: Reading, _: Target, hit: Hit) -> str | None:
        if len(hit.words) == 1 and hit.start is not None and hit.end is not None:
            return cut(reading.prompt, hit.start, hit.end)
        kept, dropped = (
            next(n for n in reading.named if reading.prompt[n.start : n.end] == w) for w in hit.words
        )
        if reading.prompt[dropped.end :].startswith(" of ") and kept.start < dropped.start:
            kept, dropped = dropped, kept  # "wide-angle close-up of": what is shown hangs on the later one
        text = reading.prompt
        gone = {
            (n.start, n.end)
            for n in reading.named
            if n.group == dropped.group or (n.start, n.end) == (dropped.start, dropped.end)
        }
        for start, end in sorted(gone, reverse=True):
            if not (start < kept.end and kept.start < end):
                text = cut(text, start, end)
        return tidy(_CAMERA_LEFT_OVER.sub("", text))

    examples = {
        "contradictory-optics": ("Wide-angle close-up of a ladybug crawling along a leaf, morning light",
                                 "Static wide shot of a drone taking off from a beach, dusk"),
        "contradictory-light": ("A pickup truck drives down a desert highway at high noon under a full moon",
                                "The harbour from dawn to dusk, cranes swinging over the same ship"),
    }  # fmt: skip
    fails, passes = examples[code]
    return Rule(
        code=code,
        summary=what,
        find=find,
        mend=mend,
        fails=Example(prompt=fails),
        passes=Example(prompt=passes),
    )


def _within(a: Named, b: Named) -> bool:
    return a.start <= b.start < a.end


def _from_to(prompt: str, a: Named, b: Named) -> bool:
    """Whether it goes from the one to the other: "from dawn to dusk"."""
    led = re.search(r"\bfrom\b[^,.;]*$", prompt[: a.start], re.IGNORECASE)
    return bool(led and re.fullmatch(r"[^,.;]*\b(?:in)?to\b[^,.;]*|[^,.;]*\b(?:un)?till?\b[^,.;]*",
                                     prompt[a.end : b.start], re.IGNORECASE))  # fmt: skip


def _other_moves(reading: Reading, target: Target) -> Iterator[Hit]:
    if target.camera not in target.card.cameras:
        return  # it is said of the option that there is no such move
    for m in other_moves(reading.mentions, target.camera):
        move = m.names[0]
        yield Hit(
            why=f"{m.phrase!r} and the option --camera {target.camera} are two camera moves: keep one; "
            "the option will win",
            start=m.start,
            end=m.end,
            words=(m.phrase,),
            option=f"--camera {move}" if move in target.card.cameras else None,
        )


# ---------------------------------------------------------------------------------------------- negation


def _negated(reading: Reading, _: Target) -> Iterator[Hit]:
    plain = reading.prompt.translate(str.maketrans("\u2019\u02bc", "''"))
    until = 0
    for match in _NEGATORS.finditer(plain):
        start = match.start()
        if start < until or _NOT_MEANT.match(plain, start):
            continue
        if plain[match.end() : match.end() + 1] == "-" or plain[start - 1 : start] == "-":
            continue  # "never-ending", "no-entry": the name of something that is there
        if re.search(r"\b(?:an?|the|his|her|their|its)\s+$", plain[:start], re.IGNORECASE):
            continue  # "a never ending row"
        if any(m.start <= start < m.end for m in reading.mentions):
            continue  # the lexicon knows it as a whole: "the camera doesn't move", "without colour"
        after = re.search(r"[,.;:!?](?=\s|$)", plain[start:])
        end = start + after.start() if after else len(plain)
        if match.group().lower() in ("no", "not", "without"):  # "a man with no name rides into town"
            verbs = (reading.words[v.at].start for v in reading.verbs if v.form == "s")
            end = min([end, *(at for at in verbs if plain[match.end() : at].strip())])
        end = start + len(plain[start:end].rstrip())
        until = end
        what = [w.text for w in split_words(plain[match.end() : end]) if w.text not in _SHOWING]
        unwanted = ", ".join(
            " ".join(part.split()) for part in re.split(r"\b(?:or|and|nor)\b", " ".join(what)) if part.strip()
        )
        yield Hit(
            why="models draw what a prompt names, also after "
            f"{match.group().lower()!r}: leave it out, and say {unwanted or 'it'!r} in the negative prompt",
            start=start,
            end=end,
            words=tuple(what),
            negative=unwanted or None,
        )


def _affirmed(reading: Reading, _: Target, hit: Hit) -> str | None:
    assert hit.start is not None
    assert hit.end is not None
    lead = _EMPTY_LEADS.search(reading.prompt[: hit.start])
    start = lead.start() if lead else hit.start
    return cut(reading.prompt, start, hit.end) or None


# ---------------------------------------------------------------------------------------------- closed world


def _unknown(reading: Reading, target: Target) -> Iterator[Hit]:
    if target.vocabulary is None:
        return
    places = {w.text: (w.start, w.end) for w in reversed(reading.words)}
    for word, near in analyse(reading.prompt, target.vocabulary).near.items():
        start, end = places.get(word, (0, len(reading.prompt)))
        yield Hit(
            why=f"model {target.card.name!r} has not learnt the word {word!r}: "
            f"{near.said or 'what it means will be missing'}",
            start=start,
            end=end,
            words=(word, *near.slips, *([near.meant] if near.meant else [])),
        )


def _spelled(reading: Reading, target: Target, hit: Hit) -> str | None:
    """With a slip of the pen mended: of any other word only its author can say what it may become."""
    if target.vocabulary is None or hit.start is None or hit.end is None or is_common(hit.words[0]):
        return None
    near = analyse(reading.prompt, target.vocabulary).near.get(hit.words[0])
    return put(reading.prompt, hit.start, hit.end, near.slips[0]) if near and near.sure else None


def _outside(reading: Reading, target: Target) -> Iterator[Hit]:
    known = target.vocabulary
    if known is None:
        return
    left = list(reading.mentions)
    for finding in analyse(reading.prompt, known).findings:
        if finding.code != "outside-training":
            continue
        if "things" in finding.message:
            subjects = [m for m in reading.mentions if m.attribute == "subject"]
            yield Hit(why=finding.message, start=subjects[0].start, end=subjects[-1].end, words=finding.words)
            continue
        for words in finding.words:
            mention = next((m for m in left if m.phrase == words), None)
            if mention is None or mention.attribute == "camera":
                continue  # a camera move that a model does not have is a limit of its own
            left.remove(mention)
            yield Hit(
                why=f"{mention.phrase!r} ({mention.attribute}) is not in the part {known.part_name!r} of the world, "
                f"which model {target.card.name!r} was trained on",
                start=mention.start,
                end=mention.end,
                words=(mention.phrase,),
            )


def _inside(reading: Reading, _: Target, hit: Hit) -> str | None:
    """Without a material, lens, mood or light that is not there; a subject or event only its author can change."""
    mention = next((m for m in reading.mentions if m.start == hit.start), None)
    if mention is None or mention.attribute not in ("material", "lens", "mood", "light"):
        return None
    if mention.attribute == "material":
        return put(reading.prompt, mention.start, mention.end, "")
    return cut(reading.prompt, mention.start, mention.end)


# ---------------------------------------------------------------------------------------------- camera in words


def _camera_words(reading: Reading, target: Target) -> Iterator[Hit]:
    if target.camera is not None and (refused := target.refusal(camera=target.camera)):
        yield Hit(why=refused, words=(target.camera,), option=_other_move(target), severity="error")
    if not target.card.cameras:
        return  # it takes the words as they are
    for m in reading.mentions:
        if m.attribute == "camera" and not set(m.names) & set(target.card.cameras):
            yield Hit(
                why=f"model {target.card.name!r} has no camera move {m.names[0]!r}: "
                f"it has {', '.join(target.card.cameras)}",
                start=m.start,
                end=m.end,
                words=(m.phrase,),
            )


def _other_move(target: Target) -> str | None:
    near = get_close_matches(target.camera or "", target.card.cameras, n=1, cutoff=0.4)
    return f"--camera {near[0]}" if near else None


def _in_words(reading: Reading, target: Target, hit: Hit) -> str | None:
    if hit.start is None or hit.end is None:
        if target.card.cameras or any(m.attribute == "camera" for m in reading.mentions):
            return None
        said = phrases("camera", target.camera or "", "verb")
        return f"{reading.prompt.rstrip(' ,.')}, the {_third_person(said[0])}" if said else None
    mention = next((m for m in reading.mentions if m.start == hit.start), None)
    return None if mention is None else _other_shot(reading, target, mention)


def _other_shot(reading: Reading, target: Target, mention: Mention) -> str:
    other = _INSTEAD.get(mention.names[0], "static")
    if other not in target.card.cameras or sum(m.attribute == "camera" for m in reading.mentions) > 1:
        return cut(reading.prompt, mention.start, mention.end)
    without = cut(reading.prompt, mention.start, mention.end)
    return f"{without.rstrip(' ,.')}, {phrases('camera', other, 'shot')[0]}"


def _third_person(phrase: str) -> str:
    return "camera " + inflect(phrase.removeprefix("camera "), "s")


CLASHES: tuple[Rule, ...] = (
    _clash("contradictory-optics", "Shot sizes, lenses, angles or camera moves that exclude each other."),
    _clash("contradictory-light", "Times of day, skies or colours that exclude each other."),
    Rule(
        code="negation",
        summary="Something that is not wanted is named in the positive prompt.",
        find=_negated,
        mend=_affirmed,
        fails=Example(prompt="A bus without a driver rolls through an empty town"),
        passes=Example(prompt="A never-ending queue of umbrellas shuffles past a no-parking sign, drizzle"),
    ),
    Rule(
        code="unknown-words",
        summary="Words that the model has never been shown.",
        find=_unknown,
        mend=_spelled,
        fails=Example(prompt="A crimsen sphere drops onto a marble floor", model="pocket"),
        passes=Example(prompt="a ruby sphere plummets onto the parquet floor", model="pocket"),
    ),
    Rule(
        code="outside-training",
        summary="Words that are known, for something that the model was not trained on.",
        find=_outside,
        mend=_inside,
        fails=Example(prompt="two yellow cubes slide on the lawn", model="pocket"),
        passes=Example(prompt="one yellow cube slides on the lawn", model="pocket"),
    ),
    Rule(
        code="camera-unavailable",
        summary="A camera move that the model does not have.",
        find=_camera_words,
        mend=_in_words,
        fails=Example(prompt="a pink cone spins on the sand, overhead view", model="pocket"),
        passes=Example(prompt="a blue ball rolls, the camera pulls back", model="pocket", camera="pull-back"),
    ),
)
