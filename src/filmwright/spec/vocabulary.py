"""The closed vocabulary of the world: one name for each thing that a clip can show.

World, captions, reader and evaluation all speak these names; none of them spells one anew.
"""

from __future__ import annotations

__all__ = [
    "ATTRIBUTES",
    "CAMERAS",
    "COLOURS",
    "DIRECTIONS",
    "EVENTS",
    "LENSES",
    "LIGHTS",
    "MATERIALS",
    "MOODS",
    "PARTS",
    "SETTINGS",
    "SIZES",
    "SUBJECTS",
    "Part",
]

from dataclasses import dataclass

SUBJECTS = (
    "ball", "cube", "cylinder", "cone", "capsule", "bottle", "glass", "car", "boat",
    "lighthouse", "stack", "dominoes", "pendulum",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black")
MATERIALS = ("rubber", "wood", "metal", "glass")
SIZES = ("small", "medium", "large")
EVENTS = (
    "rest", "drop", "roll", "slide", "collide", "topple", "spin", "swing", "shatter", "float",
)  # fmt: skip  # `drop` is drop-and-bounce: how high it bounces is the material's business
SETTINGS = ("wood", "marble", "checker", "grass", "sand", "sea")
LIGHTS = ("morning", "noon", "sunset", "overcast", "night")
CAMERAS = (
    "static", "pan-left", "pan-right", "tilt-up", "tilt-down", "push-in", "pull-back",
    "orbit-left", "orbit-right", "overhead", "tracking", "handheld",
)  # fmt: skip
LENSES = ("normal", "wide", "long")
MOODS = ("neutral", "warm", "cold", "vivid", "muted", "monochrome")
DIRECTIONS = ("none", "left", "right")  # of the main motion, as the viewer sees it

ATTRIBUTES = ("subject", "colour", "event", "setting", "light", "camera")  # what adherence is scored on


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stated part of the world: what a set of weights has been trained on."""

    subjects: tuple[str, ...]
    events: tuple[str, ...]
    settings: tuple[str, ...]
    cameras: tuple[str, ...]
    max_bodies: int
    materials: tuple[str, ...] = MATERIALS
    lights: tuple[str, ...] = LIGHTS
    lenses: tuple[str, ...] = LENSES
    moods: tuple[str, ...] = MOODS


PARTS: dict[str, Part] = {
    # one body, four plain solids, five things they do
    "solo": Part(
        subjects=("ball", "cube", "cylinder", "cone"),
        events=("rest", "drop", "roll", "slide", "spin"),
        settings=("wood", "marble", "checker", "grass", "sand"),
        cameras=("static", "pan-left", "pan-right", "push-in", "pull-back", "orbit-left", "orbit-right"),
        max_bodies=1,
        materials=("rubber", "wood", "metal"),
        lenses=("normal",),
        moods=("neutral", "warm", "cold", "monochrome"),
    ),
    # one or two bodies, so that things meet
    "duo": Part(
        subjects=("ball", "cube", "cylinder", "cone", "capsule"),
        events=("rest", "drop", "roll", "slide", "collide", "topple", "spin"),
        settings=("wood", "marble", "checker", "grass", "sand"),
        cameras=CAMERAS,
        max_bodies=2,
        materials=("rubber", "wood", "metal"),
    ),
    "whole": Part(subjects=SUBJECTS, events=EVENTS, settings=SETTINGS, cameras=CAMERAS, max_bodies=4),
}
