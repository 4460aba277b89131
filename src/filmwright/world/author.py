"""Writes scripts: which subject does what, where, in which light, seen by which camera.

Sampling is deterministic in `(WORLD_VERSION, seed, part)` and only combines what can happen.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from filmwright.spec.errors import BadRequest
from filmwright.spec.vocabulary import (
    CAMERAS,
    COLOURS,
    DIRECTIONS,
    EVENTS,
    LENSES,
    LIGHTS,
    MATERIALS,
    MOODS,
    PARTS,
    SETTINGS,
    SIZES,
    SUBJECTS,
    Part,
)  # fmt: skip
from filmwright.world.scene import Script, SubjectSpec
from filmwright.world.version import WORLD_VERSION

__all__ = ["ALLOWED", "MOVING", "check", "generator", "possible", "subjects_for", "variant", "write_script"]

ALLOWED: dict[str, tuple[str, ...]] = {
    "rest": tuple(s for s in SUBJECTS if s != "pendulum"),
    "drop": ("ball", "cube", "cylinder", "cone", "capsule"),
    "roll": ("ball", "cylinder", "capsule", "car"),
    "slide": ("cube", "cylinder", "cone", "bottle", "glass"),
    "collide": ("ball", "cube", "cylinder", "cone", "capsule", "car"),
    "topple": ("cylinder", "capsule", "bottle", "lighthouse", "stack", "dominoes"),
    "spin": ("ball", "cube", "cylinder", "cone", "capsule", "bottle"),
    "swing": ("pendulum",),
    "shatter": ("bottle", "glass"),
    "float": ("boat", "ball", "cube"),
}
"""The main subjects that can do each event."""

STRUCK = ("ball", "cube", "cylinder", "cone", "capsule")
BYSTANDERS = ("ball", "cube", "cylinder", "cone", "capsule")
MOVING = ("roll", "slide", "collide")  # events with a direction that a tracking camera can follow
PUSHED = ("topple",)

WEIGHT: dict[str, float] = {"rest": 0.5, "drop": 1.2, "collide": 1.2, "swing": 0.6}
SUBJECT_WEIGHT: dict[str, float] = {"ball": 1.2}


def generator(seed: int, part: str, *more: int) -> Generator:
    """The random stream of `(WORLD_VERSION, seed, part)`; `more` tells several streams of one clip apart."""
    return np.random.default_rng([WORLD_VERSION, seed, zlib.crc32(part.encode()), *more])


def _pick(rng: Generator, choices: tuple[str, ...], weights: dict[str, float] | None = None) -> str:
    if not choices:
        raise BadRequest(
            "no choice is left: the requested combination cannot happen in this part of the world"
        )
    p = np.array([(weights or {}).get(c, 1.0) for c in choices])
    return choices[int(rng.choice(len(choices), p=p / p.sum()))]


def _part(name: str) -> Part:
    if name not in PARTS:
        raise BadRequest(f"unknown part of the world {name!r}: choose one of {', '.join(PARTS)}")
    return PARTS[name]


def subjects_for(event: str, part: Part) -> tuple[str, ...]:
    """The main subjects of a part that can do `event`; none when the part has too few bodies or settings."""
    if event == "collide" and part.max_bodies < 2:
        return ()
    if event == "float" and "sea" not in part.settings:
        return ()
    return tuple(s for s in ALLOWED[event] if s in part.subjects)


def possible(subject: str, event: str, setting: str, camera: str, part: str = "whole") -> bool:
    """Whether a main subject can do an event there, seen so."""
    stated = _part(part)
    return (
        subject in subjects_for(event, stated)
        and setting in _settings(event, subject, stated)
        and camera in _cameras(event, stated)
    )


def _settings(event: str, subject: str, part: Part) -> tuple[str, ...]:
    if event == "float":
        return tuple(s for s in part.settings if s == "sea")
    if event == "rest" and subject == "boat":
        return tuple(s for s in part.settings if s == "sand")
    if event == "shatter":
        return tuple(s for s in part.settings if s in ("wood", "marble", "checker"))
    return tuple(s for s in part.settings if s != "sea")


def _cameras(event: str, part: Part) -> tuple[str, ...]:
    return tuple(
        c
        for c in part.cameras
        if not (c == "tracking" and event not in MOVING)
        and not (c == "overhead" and event in ("drop", "swing", "shatter"))
    )


def _materials(event: str, subject: str, part: Part) -> tuple[str, ...]:
    if event == "shatter" or subject == "glass":
        return ("glass",)
    if subject in ("bottle",):
        return tuple(m for m in part.materials if m in ("glass", "metal"))
    if subject in ("boat", "car", "lighthouse", "stack", "dominoes") or event == "float":
        return tuple(m for m in part.materials if m in ("wood", "rubber")) if subject == "ball" else ("wood",)
    if event == "drop":
        return tuple(m for m in part.materials if m != "glass")
    return part.materials


def _subject(rng: Generator, kind: str, event: str, part: Part, taken: tuple[str, ...]) -> SubjectSpec:
    colours = tuple(c for c in COLOURS if c not in taken)
    return SubjectSpec(
        kind=kind,
        colour=_pick(rng, colours),
        material=_pick(rng, _materials(event, kind, part)),
        size=_pick(rng, SIZES),
    )


def write_script(
    seed: int,
    part: str = "whole",
    *,
    width: int = 256,
    height: int = 160,
    num_frames: int = 33,
    fps: int = 16,
) -> Script:
    """The script of clip `seed` of a part of the world.

    `width` and `height` in pixels. Raises `BadRequest` for an unknown part or a size that is not positive.
    """
    stated = _part(part)
    if min(width, height, num_frames, fps) < 1:
        raise BadRequest(f"size {width}x{height}, {num_frames} frames at {fps} fps: all must be positive")
    rng = generator(seed, part)
    event = _pick(rng, tuple(e for e in stated.events if subjects_for(e, stated)), WEIGHT)
    kind = _pick(rng, subjects_for(event, stated), SUBJECT_WEIGHT)
    main = _subject(rng, kind, event, stated, ())
    others = _others(rng, event, main, stated)
    setting = _pick(rng, _settings(event, kind, stated))
    return check(
        Script(
            version=WORLD_VERSION,
            seed=seed,
            part=part,
            subjects=(main, *others),
            event=event,
            direction=_direction(rng, event),
            setting=setting,
            light=_pick(rng, stated.lights),
            camera=_pick(rng, _cameras(event, stated)),
            lens=_pick(rng, stated.lenses, {"normal": 2.0}),
            mood=_pick(rng, stated.moods, {"neutral": 4.0, "monochrome": 0.4}),
            width=width,
            height=height,
            num_frames=num_frames,
            fps=fps,
        )
    )


def _direction(rng: Generator, event: str) -> str:
    if event in MOVING or event in PUSHED:
        return ("left", "right")[int(rng.integers(2))]
    return "none"


def _others(rng: Generator, event: str, main: SubjectSpec, part: Part) -> tuple[SubjectSpec, ...]:
    """The further subjects: what is struck, what pushes, and bystanders at rest."""
    found: list[SubjectSpec] = []
    taken = [main.colour]

    def add(kinds: tuple[str, ...], role: str) -> None:
        kind = _pick(rng, tuple(k for k in kinds if k in part.subjects))
        found.append(_subject(rng, kind, role, part, tuple(taken)))
        taken.append(found[-1].colour)

    room = part.max_bodies - 1
    if event == "collide":
        add(STRUCK, "collide")
    elif event == "topple" and room and main.kind != "dominoes" and rng.random() < 0.6:
        add(("ball",), "roll")
    if event in ("rest", "drop", "roll", "slide", "spin", "collide", "float") and main.kind != "dominoes":
        free = room - len(found)
        number = int(min(free, rng.choice([0, 0, 0, 1, 1, 2, 3]))) if free else 0
        for _ in range(number):
            add(("ball", "cube") if event == "float" else BYSTANDERS, "float" if event == "float" else "rest")
    return tuple(found)


def _known(word: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadRequest(f"unknown {word} {value!r}: choose one of {', '.join(known)}")


def check(script: Script) -> Script:
    """The same script, if all its words are known and can go together.

    Raises `BadRequest`, with the remedy, otherwise.
    """
    stated = _part(script.part)
    _known("event", script.event, EVENTS)
    _known("direction", script.direction, DIRECTIONS)
    _known("setting", script.setting, SETTINGS)
    _known("light", script.light, LIGHTS)
    _known("camera", script.camera, CAMERAS)
    _known("lens", script.lens, LENSES)
    _known("mood", script.mood, MOODS)
    for subject in script.subjects:
        _known("subject", subject.kind, SUBJECTS)
        _known("colour", subject.colour, COLOURS)
        _known("material", subject.material, MATERIALS)
        _known("size", subject.size, SIZES)
    if not 1 <= len(script.subjects) <= max(stated.max_bodies, 1):
        raise BadRequest(
            f"{len(script.subjects)} subjects: part {script.part!r} holds 1 to {stated.max_bodies}"
        )
    main = script.subjects[0].kind
    if main not in subjects_for(script.event, stated):
        raise BadRequest(
            f"a {main} cannot {script.event} in part {script.part!r}: choose one of {', '.join(ALLOWED[script.event])}"
        )
    if script.event == "collide" and len(script.subjects) < 2:
        raise BadRequest("a collision needs 2 subjects, not 1: add one")
    if script.setting not in _settings(script.event, main, stated):
        raise BadRequest(f"{script.event} cannot happen on {script.setting!r}: choose another setting")
    if script.camera not in _cameras(script.event, stated):
        raise BadRequest(f"camera {script.camera!r} cannot show {script.event!r}: choose another move")
    return script


def variant(
    script: Script,
    *,
    subject: str | None = None,
    colour: str | None = None,
    material: str | None = None,
    size: str | None = None,
    event: str | None = None,
    direction: str | None = None,
    setting: str | None = None,
    light: str | None = None,
    camera: str | None = None,
    lens: str | None = None,
    mood: str | None = None,
) -> Script:
    """The same clip with some attributes forced; what cannot stay beside them is chosen anew from the same seed.

    Raises `BadRequest` when what was asked for cannot go together.
    """
    stated = _part(script.part)
    rng = generator(script.seed, script.part, 0x7A21)
    old = script.subjects[0]
    event = event or (script.event if subject is None or subject in ALLOWED[script.event] else None)
    if event is None:
        event = _pick(rng, tuple(e for e in stated.events if subject in subjects_for(e, stated)))
    kinds = subjects_for(event, stated)
    kind = subject or (old.kind if old.kind in kinds else _pick(rng, kinds))
    materials = _materials(event, kind, stated)
    main = SubjectSpec(
        kind=kind,
        colour=colour or old.colour,
        material=material or (old.material if old.material in materials else _pick(rng, materials)),
        size=size or old.size,
    )
    if event == script.event:
        spare = tuple(
            c for c in COLOURS if c != main.colour and all(c != s.colour for s in script.subjects[1:])
        )
        others = tuple(
            replace(s, colour=spare[0]) if s.colour == main.colour else s for s in script.subjects[1:]
        )
    else:
        others = _others(rng, event, main, stated)
    settings, cameras = _settings(event, kind, stated), _cameras(event, stated)
    wanted = direction or script.direction
    if event not in MOVING and event not in PUSHED:
        wanted = direction or "none"
    elif wanted == "none":
        wanted = _direction(rng, event)
    return check(
        replace(
            script,
            subjects=(main, *others),
            event=event,
            direction=wanted,
            setting=setting or (script.setting if script.setting in settings else _pick(rng, settings)),
            light=light or script.light,
            camera=camera or (script.camera if script.camera in cameras else _pick(rng, cameras)),
            lens=lens or script.lens,
            mood=mood or script.mood,
        )
    )
