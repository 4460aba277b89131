"""Captions from the event log: what happened, in which order, seen how; and the same as a brief.

The log is the truth: a caption tells a selection of its entries in their order, and features of the script, never more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from filmwright.spec.brief import Brief
from filmwright.spec.inflection import inflect
from filmwright.spec.lexicon import phrases
from filmwright.world import grammar
from filmwright.world.grammar import PARAPHRASE_SHAPES, SHAPES, Shape, article, pick
from filmwright.world.scene import Happening, Script

__all__ = ["brief_for", "captions_for", "likely_log"]

CORE: dict[str, tuple[str, ...]] = {
    "rest": ("rests",), "drop": ("falls", "bounces"), "roll": ("rolls",), "slide": ("slides",), "collide": ("hits",),
    "topple": ("topples",), "spin": ("spins",), "swing": ("swings",), "shatter": ("shatters",), "float": ("floats",),
}  # fmt: skip
"""What has to be told of each event for the caption to be about it."""

EXTRAS = ("light", "camera", "lens", "mood")
STANDS = ("cube", "cylinder", "cone", "bottle", "glass", "lighthouse", "stack", "dominoes", "car")
LIES = ("ball", "capsule", "cylinder")


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Consecutive happenings of one kind by one subject: told as one."""

    what: str
    who: int
    whom: int | None
    direction: str
    count: int


def captions_for(
    script: Script,
    log: Sequence[Happening],
    *,
    count: int,
    seed: int,
    paraphrase: bool = False,
    complete: bool = False,
) -> tuple[str, ...]:
    """`count` captions of a clip, different ones as far as that goes, deterministic in `(script, log, count, seed)`.

    Args:
        script: what the clip was to show.
        log: what happened in it, in order; without entries, `likely_log(script)` is told.
        count: how many.
        seed: of the choice of words.
        paraphrase: sentence shapes that training never uses, of the same words; for evaluation.
        complete: every caption names subject, colour, event, setting, light and camera.
    """
    rng = np.random.default_rng([0xCA97, seed, script.seed, int(paraphrase), int(complete)])
    beats = _beats_of(script, log)
    found: list[str] = []
    for _ in range(count):
        for _ in range(20):
            caption = _caption(script, beats, rng, paraphrase=paraphrase, complete=complete)
            if caption not in found:
                break
        found.append(caption)
    return tuple(found)


def brief_for(script: Script, log: Sequence[Happening]) -> Brief:
    """The clip as a brief in the plainest words. A normal lens and a neutral mood go without saying."""
    rng = np.random.default_rng(0)
    told = _Told(script, rng, plain=1.0, size=True, colour=True, material=True)
    beats = _core_chain(script, _beats_of(script, log))
    name, action = told.action(beats, form="s", setting=False)
    return Brief(
        subject=f"{article(name)} {name}",
        action=action,
        setting=grammar.where(script.setting, "on", rng, plain=1.0),
        light=phrases("light", script.light, "noun")[0],
        camera="the camera "
        + inflect(phrases("camera", script.camera, "verb")[0].removeprefix("camera "), "s"),
        lens=None if script.lens == "normal" else phrases("lens", script.lens, "shot")[0],
        mood=None if script.mood == "neutral" else phrases("mood", script.mood, "shot")[0],
    )


def likely_log(script: Script) -> tuple[Happening, ...]:
    """What a script asks for as a log, without any physics: the main happenings of its event, in order."""
    others = range(1, len(script.subjects))
    springs = script.subjects[0].material in ("rubber", "wood") and script.setting not in ("sand", "sea")
    plans: dict[str, tuple[str, ...]] = {
        "drop": ("falls", "lands", "bounces") if springs else ("falls", "lands"),
        "shatter": ("falls", "shatters"), "collide": ("rolls", "hits"),
    }  # fmt: skip
    log = []
    struck: set[int] = set()
    for n, what in enumerate(plans.get(script.event, CORE[script.event])):
        sideways = what in ("rolls", "slides", "topples")
        hits = what == "hits" and len(script.subjects) > 1
        if what == "rolls" and script.event == "collide" and script.subjects[0].kind in ("cube", "cone"):
            what = "slides"
        if hits:
            struck.add(1)
        log.append(
            Happening(
                seconds=0.3 * n,
                what=what,
                who=0,
                whom=1 if hits else None,
                direction=script.direction if sideways else "none",
            )
        )
    idle = "floats" if script.event == "float" else "rests"
    log += [Happening(seconds=0.0, what=idle, who=i) for i in others if i not in struck]
    return tuple(sorted(log, key=lambda h: h.seconds))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one caption will say."""

    length: str  # short, medium, long
    extras: dict[str, str]  # of EXTRAS: attribute -> name
    setting: bool
    size: bool
    colour: bool
    material: bool
    company: bool  # the others, at rest nearby
    filler: bool


def _plan(script: Script, rng: Generator, *, complete: bool, squeeze: int) -> Plan:
    """Draws what to say; each `squeeze` takes something off that a caption can do without."""
    length = ("short", "medium", "long")[
        int(rng.choice(3, p=(0.0, 0.5, 0.5) if complete else (0.25, 0.4, 0.35)))
    ]
    if squeeze > 1:
        length = "medium" if complete else "short"
    share = {"short": 0.12, "medium": 0.5, "long": 0.9}[length]
    usual = {"lens": "normal", "mood": "neutral"}
    extras = {}
    for attribute in EXTRAS:
        name = getattr(script, attribute)
        chance = 0.05 if usual.get(attribute) == name else 0.9 * share
        drawn = rng.random() < chance
        if (drawn and (attribute not in usual or squeeze < 2)) or (complete and attribute not in usual):
            extras[attribute] = name
    features = {"short": 0.15, "medium": 0.3, "long": 0.4}[length] * (squeeze < 1)
    return Plan(
        length=length,
        extras=extras,
        setting=complete or rng.random() < {"short": 0.4, "medium": 0.85, "long": 0.97}[length],
        size=rng.random() < features,
        colour=complete or rng.random() < (0.6 if script.mood == "monochrome" else 0.93),
        material=rng.random() < 0.85 * features,
        company=rng.random() < (0.0 if squeeze else share),
        filler=rng.random() < (0.0 if squeeze or length == "short" else 0.08),
    )


def _caption(script: Script, beats: list[Beat], rng: Generator, *, paraphrase: bool, complete: bool) -> str:
    for squeeze in range(6):
        plan = _plan(script, rng, complete=complete, squeeze=squeeze)
        chosen = _select(script, beats, rng, "short" if squeeze > 2 else plan.length)
        text = _written(script, beats, chosen, plan, rng, paraphrase=paraphrase, complete=complete)
        if grammar.count_words(text) <= grammar.MAX_WORDS:
            return text
    return " ".join(text.split()[: grammar.MAX_WORDS // 2])


def _shape(plan: Plan, chosen: list[Beat], rng: Generator, *, paraphrase: bool, complete: bool) -> Shape:
    """A sentence frame whose slots this plan can fill and that has room for all it says."""
    has = dict.fromkeys(("where", "ground"), plan.setting)
    has |= dict.fromkeys(("when", "glow"), "light" in plan.extras)
    has |= dict.fromkeys(("cam", "caming", "shot"), "camera" in plan.extras)
    alone = all(b.who == chosen[0].who and b.whom is None for b in chosen)
    fit = []
    for shape in PARAPHRASE_SHAPES if paraphrase else SHAPES:
        slots = shape.slots
        rest = _left(plan, slots)
        if not all(has.get(s, True) for s in slots) or ("head" in slots and not rest):
            continue
        if rest and not slots & {"tail", "head", "more"}:
            continue
        told = bool(slots & {"vp", "vp0", "ving", "ving0"})
        if (complete and not told) or (shape.text.startswith("{ving}:") and not alone):
            continue
        fit.append(shape)
    weights = np.array([s.weight for s in fit])
    return fit[int(rng.choice(len(fit), p=weights / weights.sum()))]


def _left(plan: Plan, slots: frozenset[str]) -> list[str]:
    """What is left to say beside the slots."""
    said = {"light": {"when", "glow"}, "camera": {"cam", "caming", "shot"}}
    left = [a for a in plan.extras if not said.get(a, set()) & slots]
    if plan.setting and not slots & {"vp", "ving", "where", "ground"}:
        left.append("setting")
    return left


def _written(
    script: Script,
    beats: list[Beat],
    chosen: list[Beat],
    plan: Plan,
    rng: Generator,
    *,
    paraphrase: bool,
    complete: bool,
) -> str:
    shape = _shape(plan, chosen, rng, paraphrase=paraphrase, complete=complete)
    slots = shape.slots
    told = _Told(script, rng, plain=0.5, size=plan.size, colour=plan.colour, material=plan.material)
    form = "ing" if slots & {"ving", "ving0"} else "s"
    name, action = told.action(chosen, form=form, setting=plan.setting and bool(slots & {"vp", "ving"}))
    filled = dict.fromkeys(("vp", "vp0", "ving", "ving0"), action)
    filled |= {"np": f"{article(name)} {name}", "bare": name, "clip": pick(rng, grammar.CLIPS, 0.2)}
    if plan.setting:
        filled["where"] = grammar.where(script.setting, "on", rng)
        filled["ground"] = grammar.setting_noun(script.setting, rng)
    if "light" in plan.extras:
        filled["when"] = pick(rng, phrases("light", script.light, "when"), 0.3)
        filled["glow"] = grammar.glow(script.light, rng)
    if "camera" in plan.extras:
        either = rng.random() < 0.12
        filled["cam"] = grammar.camera_clause(script.camera, rng, "s", either=either)
        filled["caming"] = grammar.camera_clause(script.camera, rng, "ing", either=either)
        filled["shot"] = grammar.shot_of(script.camera, rng)
    parts = [(a, filled["where"] if a == "setting" else "") for a in _left(plan, slots)]
    if not slots & {"vp", "vp0", "ving", "ving0"}:
        chosen = []
    company = _company(told, beats, chosen) if plan.company and slots & {"tail", "more"} else None
    as_sentences = "more" in slots
    pieces = []
    for attribute, text in parts:
        if as_sentences:
            pieces.append(
                f"it is {text}" if text else grammar.sentence(attribute, plan.extras[attribute], rng)
            )
        else:
            pieces.append(text or grammar.fragment(attribute, plan.extras[attribute], rng))
    rng.shuffle(pieces)
    if company:
        pieces.insert(0, f"{company} is nearby" if as_sentences else f"with {company} nearby")
    if plan.filler and slots & {"tail"}:
        pieces.insert(int(rng.integers(len(pieces) + 1)), pick(rng, grammar.FILLERS, 0.0))
    in_head = len(pieces) if "tail" not in slots else max(1, len(pieces) // 2)
    if "head" in slots:
        filled["head"], pieces = ", ".join(pieces[:in_head]), pieces[in_head:]
    filled["tail"] = "".join(f", {p}" for p in pieces)
    filled["more"] = "".join(f" {p}." for p in pieces)
    return _finished(shape.text.format(**filled), rng)


def _company(told: _Told, beats: list[Beat], chosen: list[Beat]) -> str | None:
    """Somebody at rest who is not told of otherwise."""
    named = {b.who for b in chosen} | {b.whom for b in chosen} | {0}
    idle = [b.who for b in beats if b.what == "rests" and b.who not in named]
    return told.name(idle[0]) if idle else None


def _finished(text: str, rng: Generator) -> str:
    """Capitals and a full stop, where the writer would set them."""
    draw = rng.random()
    if "." in text or draw < 0.15:
        text = ". ".join(t[:1].upper() + t[1:] for t in text.split(". "))
    if 0.05 < draw < 0.2 and not text.endswith("."):
        text += "."
    return text


def _beats_of(script: Script, log: Sequence[Happening]) -> list[Beat]:
    """The beats of a log; of a likely one where there is none, and then nobody has counted the bounces."""
    return _beats(log) if log else [replace(b, count=0) for b in _beats(likely_log(script))]


def _beats(log: Sequence[Happening]) -> list[Beat]:
    """The log in order of time, repeated happenings of one subject merged."""
    beats: list[Beat] = []
    for h in sorted(log, key=lambda h: h.seconds):
        own = [i for i, b in enumerate(beats) if b.who == h.who]
        landing = h.what == "lands" and own and beats[own[-1]].what in ("lands", "bounces")
        if own and (beats[own[-1]].what == h.what or landing) and h.what != "hits":
            if not landing:
                beats[own[-1]] = replace(beats[own[-1]], count=beats[own[-1]].count + 1)
            continue
        beats.append(Beat(what=h.what, who=h.who, whom=h.whom, direction=h.direction, count=1))
    return beats


def _core_chain(script: Script, beats: list[Beat]) -> list[Beat]:
    """What must be told, and what leads to it: from the first beat of the actor up to the event."""
    core = [i for i, b in enumerate(beats) if b.what in CORE[script.event] and 0 in (b.who, b.whom)]
    if not core:
        core = [i for i, b in enumerate(beats) if b.who == 0] or list(range(len(beats)))
    last = core[-1] if script.event == "drop" else core[0]
    chain = [b for i, b in enumerate(beats) if i <= last and (i in core or b.what not in ("rests", "lands"))]
    return chain or beats[:1]


def _select(script: Script, beats: list[Beat], rng: Generator, length: str) -> list[Beat]:
    """The beats that this caption tells, in order; the event's own are always among them."""
    core = [b for b in beats if b.what in CORE[script.event] and (b.who == 0 or b.whom == 0)]
    core = core or [b for b in beats if b.who == 0] or beats
    must = core[:1]
    keep = {"short": 0.15, "medium": 0.55, "long": 0.8}[length]
    rare = {"lands": 0.3, "stops": 0.6, "leaves": 0.5}
    chosen = [
        b for b in beats if b in must or (b.what != "rests" and rng.random() < keep * rare.get(b.what, 1.0))
    ]
    actors = [b.who for b in chosen]
    if len(set(actors)) > 1 and length == "short":
        chosen = [b for b in chosen if b in must or b.who == must[0].who]
    return chosen[:5]


class _Told:
    """One caption's way of naming things: a noun for each subject, used throughout."""

    def __init__(
        self, script: Script, rng: Generator, *, plain: float, size: bool, colour: bool, material: bool
    ) -> None:
        self.script, self.rng, self.plain = script, rng, plain
        self.features = {"size": size, "colour": colour, "material": material}
        self.nouns = [pick(rng, phrases("subject", s.kind, "noun"), plain) for s in script.subjects]
        self.known: set[int] = set()

    def bare(self, who: int) -> str:
        """A subject's first mention without article."""
        self.known.add(who)
        spec = self.script.subjects[who]
        return grammar.noun_phrase(spec, self.nouns[who], self.rng, **self.features, plain=self.plain)

    def name(self, who: int) -> str:
        """A subject with its article: at first "a small red ball", then "the ball"."""
        if who not in self.known:
            name = self.bare(who)
            return f"{article(name)} {name}"
        kinds = [s.kind for s in self.script.subjects]
        alike = kinds.count(kinds[who]) > 1
        spec = self.script.subjects[who]
        return f"the {spec.colour} {self.nouns[who]}" if alike else f"the {self.nouns[who]}"

    def action(self, beats: list[Beat], *, form: str, setting: bool) -> tuple[str, str]:
        """Who acts first (bare) and what happens, `form` as in `inflect`, with or without the ground it happens on."""
        first = beats[0].who
        name = self.bare(first)
        groups: list[list[Beat]] = []
        for beat in beats:
            if groups and groups[-1][0].who == beat.who:
                groups[-1].append(beat)
            else:
                groups.append([beat])
        at = int(self.rng.integers(2)) if setting and len(groups[0]) > 1 else 0
        told: list[str] = []
        for n, group in enumerate(groups):
            clauses = [self._clause(b, form, setting and n == 0 and i == at) for i, b in enumerate(group)]
            text = grammar.join_clauses(clauses, self.rng)
            if n == 0:
                told.append(text)
            elif groups[n - 1][-1].whom == group[0].who and form == "s" and self.rng.random() < 0.4:
                told.append(f", which {text}")
            else:
                link = " and " if self.rng.random() < 0.6 else ", then "
                told.append(f"{link}{self.name(group[0].who)} {text}")
        return name, "".join(told)

    def _clause(self, beat: Beat, form: str, setting: bool) -> str:
        rng = self.rng
        options = phrases("happening", beat.what, "verb")
        if beat.what == "rests":
            kind = self.script.subjects[beat.who].kind
            unfit = {v for v, kinds in (("stand", STANDS), ("lie", LIES)) if kind not in kinds}
            options = tuple(o for o in options if o.split()[0] not in unfit)
        text = inflect(pick(rng, options, self.plain), form)
        if beat.whom is not None:
            text += f" {self.name(beat.whom)}"
        if beat.what == "bounces" and beat.count and self.plain < 1.0 and rng.random() < 0.4:
            often = " several times" if rng.random() < 0.6 else " again and again"
            text += {1: " once", 2: " twice"}.get(beat.count, often)
        way = beat.direction in ("left", "right") and beat.what in ("rolls", "slides", "topples")
        if way and (self.plain == 1.0 or rng.random() < 0.5):
            text += f" {pick(rng, phrases('direction', beat.direction, 'where'), self.plain)}"
        if setting:
            prepositions = grammar.PREPOSITIONS[beat.what]
            if text.endswith((" down", " over")):
                prepositions = prepositions[:2]
            preposition = pick(rng, prepositions, 0.5)
            text += f" {grammar.where(self.script.setting, preposition, rng)}"
        return text
