"""Sentences about clips: shapes with slots, and the phrases that fill them. The names come from `spec.lexicon`.

Two sets of shapes: training captions are made of `SHAPES`, the paraphrases that only evaluation sees of
`PARAPHRASE_SHAPES`. Their sentence frames differ; their words do not.

Slots: np (what acts, "a red ball"), bare (without article), vp (finite, with the setting: "drops onto a wooden
floor and bounces"), vp0 (without), ving / ving0 (dropping ...), where ("on a wooden floor"), ground ("wooden
floor"), when ("at dusk"), glow ("sunset light"), cam ("the camera pushes in"), caming ("the camera pushing
in"), shot ("static shot"), clip ("a video"), head and tail (comma fragments of whatever is left to say), more
(the same as sentences).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from numpy.random import Generator

from filmwright.spec.inflection import inflect
from filmwright.spec.lexicon import phrases
from filmwright.spec.words import split_words
from filmwright.world.scene import SubjectSpec

__all__ = [
    "CLIPS", "FILLERS", "MAX_WORDS", "PARAPHRASE_SHAPES", "PREPOSITIONS", "SHAPES", "Shape", "article",
    "camera_clause", "count_words", "fragment", "glow", "join_clauses", "noun_phrase", "pick", "sentence",
    "setting_noun", "shot_of", "where",
]  # fmt: skip

MAX_WORDS = 46  # words and signs of a caption: with the end token and one to spare it fits 48 tokens


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A sentence frame: its text with slots, and how often it is drawn."""

    text: str
    weight: float = 1.0

    @cached_property
    def slots(self) -> frozenset[str]:
        """The names of the slots it needs."""
        return frozenset(re.findall(r"{(\w+)}", self.text))


SHAPES: tuple[Shape, ...] = (
    Shape(text="{np} {vp}{tail}", weight=6.0),
    Shape(text="{np} {ving}{tail}", weight=2.0),
    Shape(text="{np}, {ving}{tail}", weight=0.7),
    Shape(text="{np}{tail}", weight=0.3),
    Shape(text="{bare}{tail}", weight=0.3),
    Shape(text="{bare} {vp0}{tail}", weight=1.0),
    Shape(text="{bare}, {ving0}{tail}", weight=1.0),
    Shape(text="{bare} {ving0}, {ground}{tail}", weight=1.2),
    Shape(text="{clip} of {np} {ving}{tail}", weight=2.0),
    Shape(text="{clip}: {np} {vp}{tail}", weight=0.5),
    Shape(text="{when}, {np} {vp}{tail}", weight=1.5),
    Shape(text="{np} {vp} {when}{tail}", weight=1.5),
    Shape(text="{np} {vp} in {glow}{tail}", weight=1.2),
    Shape(text="{np} {vp} as {cam}{tail}", weight=1.5),
    Shape(text="{np} {vp} while {cam}{tail}", weight=1.5),
    Shape(text="{cam} as {np} {vp}{tail}", weight=1.2),
    Shape(text="{cam} while {np} {vp}{tail}", weight=0.6),
    Shape(text="{np} {ving} with {caming}{tail}", weight=1.5),
    Shape(text="{shot} of {np} {ving}{tail}", weight=1.2),
    Shape(text="{where}, {np} {vp0}{tail}", weight=1.5),
    Shape(text="{head}, {np} {vp}", weight=1.2),
    Shape(text="{head}, {np} {vp}{tail}", weight=0.8),
    Shape(text="we see {np} {ving}{tail}", weight=0.7),
    Shape(text="there is {np} {ving}{tail}", weight=0.7),
    Shape(text="{np} can be seen {ving}{tail}", weight=0.3),
    Shape(text="the scene shows {np} {ving}{tail}", weight=0.5),
    Shape(text="this is what happens: {np} {vp}{tail}", weight=0.4),
    Shape(text="this video shows {np} that {vp}{tail}", weight=0.5),
    Shape(text="{np} {vp}.{more}", weight=2.5),
    Shape(text="{cam}. {np} {vp}.{more}", weight=1.0),
    Shape(text="{when} {np} {vp}.{more}", weight=0.8),
    Shape(text="there is {np} {where}. it {vp0}.{more}", weight=0.8),
)

PARAPHRASE_SHAPES: tuple[Shape, ...] = (
    Shape(text="{head}: {np} {vp}"),
    Shape(text="{head}: {np} {ving}{tail}"),
    Shape(text="with {caming}, {np} {vp}{tail}"),
    Shape(text="what we see is {np} that {vp}{tail}"),
    Shape(text="what this video shows is {np} {ving}{tail}"),
    Shape(text="in this scene, {np} {vp} and {cam}{tail}"),
    Shape(text="{when} there is {np} that {vp}{tail}"),
    Shape(text="{where} we see {np} {ving0}{tail}"),
    Shape(text="{np} is in the scene. it {vp}, {cam}{tail}"),
    Shape(text="{np} that {vp}, seen {when}{tail}"),
    Shape(text="{ving}: {np}{tail}"),
    Shape(text="{clip} in {glow} shows {np} that {vp}{tail}"),
    Shape(text="in {glow} {np} is seen {ving}{tail}"),
    Shape(text="{caming}: {np} {ving}, {when}{tail}"),
)

CLIPS = (
    "a video", "a clip", "footage", "a short film", "a shot", "a short video", "a film", "an animation",
    "a short clip", "a movie scene", "a close up",
)  # fmt: skip
FILLERS = (
    "high quality", "realistic", "cinematic", "highly detailed", "smooth motion", "simple scene",
    "clean render", "3d render", "animation", "realistic motion", "sharp focus", "beautiful light",
    "photo realistic", "empty background", "studio quality", "film still", "minimal style",
    "nice composition", "smooth look", "clear picture",
)  # fmt: skip
"""Talk that says nothing about the clip: prompts are full of it, so captions hold a little."""

PREPOSITIONS: dict[str, tuple[str, ...]] = {
    "falls": ("onto", "on", "to", "down onto"), "lands": ("on",), "bounces": ("on", "off", "up from"),
    "rolls": ("across", "along", "over", "on"), "slides": ("across", "over", "along", "on"), "spins": ("on",),
    "topples": ("on", "onto"), "swings": ("above", "over"), "shatters": ("on",), "floats": ("on",),
    "stops": ("on",), "rests": ("on",), "hits": ("on",), "leaves": ("on",),
}  # fmt: skip
"""How what happens is put in its place."""


def pick(rng: Generator, options: tuple[str, ...], plain: float = 0.45) -> str:
    """One of the options; the first, plainest one with probability `plain` at least."""
    if len(options) == 1 or rng.random() < plain:
        return options[0]
    return options[int(rng.integers(len(options)))]


def article(noun: str) -> str:
    """`a` or `an`."""
    return "an" if noun[0] in "aeiou" else "a"


def count_words(text: str) -> int:
    """Words and signs, as a tokenizer of words sees them."""
    return len(split_words(text))


def noun_phrase(
    spec: SubjectSpec,
    noun: str,
    rng: Generator,
    *,
    size: bool,
    colour: bool,
    material: bool,
    plain: float = 0.6,
) -> str:
    """A subject with the stated features, without article: "small red rubber ball", "tower of red blocks"."""
    after = ""
    before, inner = [], []
    if size:
        before.append(pick(rng, phrases("size", spec.size, "adjective"), plain))
    if colour:
        inner.append(pick(rng, phrases("colour", spec.colour, "adjective"), plain))
    if material and spec.kind != "glass":
        made_of = phrases("material", spec.material, "heard")
        if made_of and rng.random() < 0.15:
            after = f" {made_of[0]}"
        else:
            inner.append(pick(rng, phrases("material", spec.material, "adjective"), plain))
    head, of, parts = noun.partition(" of ")
    if of and rng.random() < 0.7:
        return " ".join([*before, head, "of", *inner, parts]) + after
    return " ".join([*before, *inner, noun]) + after


def setting_noun(setting: str, rng: Generator, plain: float = 0.4) -> str:
    """What the ground is called, without article."""
    return pick(rng, phrases("setting", setting, "noun"), plain)


def where(setting: str, preposition: str, rng: Generator, plain: float = 0.4) -> str:
    """The setting as an adverbial: "onto a wooden floor"."""
    noun = setting_noun(setting, rng, plain)
    if noun.split()[-1] == "water" or (noun.split()[-1] == "ground" and rng.random() < 0.4):
        return f"{preposition} {noun}"
    if noun in ("sea", "ocean", "open sea") or noun.endswith("ground") or rng.random() < 0.3 * (plain < 1.0):
        return f"{preposition} the {noun}"
    return f"{preposition} {article(noun)} {noun}"


def camera_clause(camera: str, rng: Generator, form: str, *, either: bool) -> str:
    """A clause about the camera, `form` as in `inflect`; `either` leaves the side of a pan or orbit open."""
    open_name = next((n for n in _OPEN if camera in n.split("|")), None)
    name = open_name if either and open_name else camera
    verb = pick(rng, phrases("camera", name, "verb"), 0.35).removeprefix("camera ")
    adverb = ""
    if camera not in ("static", "overhead", "handheld") and rng.random() < 0.25:
        adverb = pick(rng, ("slowly", "gently", "smoothly", "steadily"), 0.4) + " "
    return f"the camera {adverb}{inflect(verb, form)}"


_OPEN = ("pan-left|pan-right", "orbit-left|orbit-right")


def fragment(attribute: str, name: str, rng: Generator) -> str:
    """One attribute of the picture as a comma fragment: "at dusk", "push in", "warm tones"."""
    if attribute == "light":
        role = "when" if rng.random() < 0.4 else "noun"
        return pick(rng, phrases("light", name, role), 0.3)
    if attribute == "camera":
        if rng.random() < 0.6:
            return camera_clause(name, rng, "s" if rng.random() < 0.75 else "ing", either=rng.random() < 0.12)
        slow = (
            "slow "
            if name not in ("static", "overhead", "handheld", "tracking") and rng.random() < 0.15
            else ""
        )
        return slow + pick(rng, phrases("camera", name, "shot"), 0.35)
    phrase = pick(rng, phrases(attribute, name, "shot"), 0.35)
    draw = rng.random()
    if attribute == "lens" and draw < 0.4:
        lens = f"{article(phrase)} {phrase}"
        return ("shot on " if draw < 0.15 else "through " if draw < 0.25 else "shot with ") + lens
    if attribute == "mood" and draw < 0.3:
        return f"in {_with_article(phrase)}"
    return phrase


def sentence(attribute: str, name: str, rng: Generator) -> str:
    """One attribute of the picture as a sentence of its own, without the full stop."""
    if attribute == "camera":
        return camera_clause(name, rng, "s", either=rng.random() < 0.12)
    if attribute == "light":
        if rng.random() < 0.5:
            return f"it happens {pick(rng, phrases('light', name, 'when'), 0.3)}"
        return f"the scene is lit by {glow(name, rng)}"
    phrase = pick(rng, phrases(attribute, name, "shot"), 0.35)
    if attribute == "lens":
        return f"it is shot with {article(phrase)} {phrase}"
    return f"the picture {'is in' if name == 'monochrome' else 'has'} {_with_article(phrase)}"


def _with_article(phrase: str) -> str:
    return f"{article(phrase)} {phrase}" if phrase.endswith(("mood", "palette")) else phrase


def glow(light: str, rng: Generator) -> str:
    """The light as something to be in: "sunset light"."""
    nouns = tuple(n for n in phrases("light", light, "noun") if n.endswith(("light", "sun")))
    return pick(rng, nouns, 0.3)


def shot_of(camera: str, rng: Generator) -> str:
    """The camera's move as a kind of shot, to be followed by "of": "a static shot"."""
    open_name = next((n for n in _OPEN if camera in n.split("|")), None)
    shots = tuple(s for s in phrases("camera", camera, "shot") if s.endswith(("shot", "view", "pan", "tilt")))
    shots = shots or phrases("camera", open_name or camera, "shot")
    shot = pick(rng, shots, 0.4)
    return f"{article(shot)} {shot}" if rng.random() < 0.6 else shot


def join_clauses(clauses: list[str], rng: Generator) -> str:
    """Verb phrases in their order: "drops, bounces and rolls", "drops and then bounces", "drops, then bounces"."""
    if len(clauses) == 1:
        return clauses[0]
    draw = rng.random()
    if len(clauses) == 2:
        link = " and " if draw < 0.6 else ", then " if draw < 0.8 else " and then "
    else:
        link = " and " if draw < 0.6 else " and then " if draw < 0.8 else ", then "
    return ", ".join(clauses[:-1]) + link + clauses[-1]
