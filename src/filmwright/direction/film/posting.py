"""The post of a film's shots: words become stages, and a source gets the shape that they make of it.

A film's `post` is that of each of its shots that names none, and not of the film as one clip: tracks and light are
followed within a shot, and a cut is where they end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from filmwright.direction.film.read import Loc, Notes
from filmwright.direction.film.timing import grade_of
from filmwright.spec.cut import Source
from filmwright.spec.film import (
    DeflickerWords,
    DenoiseWords,
    Film,
    PostWords,
    ResizeWords,
    StabiliseWords,
)
from filmwright.spec.post import (
    ORDER,
    Deflicker,
    Denoise,
    GradeStage,
    PostShape,
    PostStage,
    Resize,
    Retime,
    Stabilise,
)

__all__ = ["common_stages", "posted", "shape_of", "stages_of"]

ALONE = ("deflicker", "denoise", "stabilise")
"""Stages that need no words."""
SIDES = (16, 8192)  # pixels


def common_stages(film: Film, folder: Path, notes: Notes) -> tuple[PostStage, ...]:
    """The stages of shots that name none; mistakes go to `notes`."""
    return _stages(film.post or (), folder, ("post",), notes)


def stages_of(film: Film, folder: Path, notes: Notes) -> dict[str, tuple[PostStage, ...]]:
    """The stages of each shot that has some; mistakes go to `notes`."""
    common = common_stages(film, folder, notes)
    found: dict[str, tuple[PostStage, ...]] = {}
    for s, sequence in enumerate(film.sequences):
        for i, shot in enumerate(sequence.shots):
            stages = () if shot.still else common
            if shot.post is not None:
                stages = _stages(shot.post, folder, ("sequences", s, "shots", i, "post"), notes)
            if stages:
                found[shot.id] = stages
    return found


def posted(source: Source, stages: Mapping[str, tuple[PostStage, ...]]) -> Source:
    """A source with the frames, rate and size that its shot's stages make."""
    shape = shape_of(source)
    for stage in stages.get(source.shot, ()):
        shape = stage.shaped(shape)
    return replace(
        source,
        num_frames=shape.num_frames,
        fps=int(shape.fps),
        width=shape.width,
        height=shape.height,
        rendered_fps=source.fps,
    )


def shape_of(source: Source) -> PostShape:
    """A source's shape, for stages."""
    return PostShape(
        num_frames=source.num_frames, fps=Fraction(source.fps), width=source.width, height=source.height
    )


def _stages(
    words: tuple[str | PostWords, ...], folder: Path, loc: Loc, notes: Notes
) -> tuple[PostStage, ...]:
    made = [_stage(item, folder, (*loc, index), notes) for index, item in enumerate(words)]
    return tuple(stage for stage in made if stage is not None)


def _stage(item: str | PostWords, folder: Path, loc: Loc, notes: Notes) -> PostStage | None:
    if isinstance(item, str):
        if item not in ORDER:
            notes.add(loc, f"there is no stage {item!r}: there is {', '.join(ORDER)}")
            return None
        if item not in ALONE:
            notes.add(loc, f"{item} has to be told what to do: write it as {{{item}: {{...}}}}")
            return None
        item = PostWords.model_validate({item: {}})
    given = [name for name in ORDER if getattr(item, name) is not None]
    if len(given) != 1:
        notes.add(loc, f"an item of post is one stage, not {len(given)}: give each an item of its own")
        return None
    match getattr(item, given[0]):
        case DeflickerWords() as words:
            return Deflicker(seconds=words.seconds, limit=words.limit)
        case DenoiseWords() as words:
            return Denoise(strength=words.strength)
        case StabiliseWords() as words:
            return Stabilise(seconds=words.seconds, crop=words.crop)
        case ResizeWords() as words:
            width, height = map(int, words.size.split("x"))
            if width % 2 or height % 2 or not all(SIDES[0] <= side <= SIDES[1] for side in (width, height)):
                notes.add(
                    (*loc, "resize", "size"),
                    f"cannot make {words.size}: both sides must be even, from {SIDES[0]} to {SIDES[1]} pixels",
                )
                return None
            return Resize(width=width, height=height, fit=words.fit, linear=words.linear)
    if item.retime is not None:
        return Retime(fps=item.retime.fps, method=item.retime.method)
    assert item.grade is not None
    return GradeStage(grade=grade_of(item.grade, folder, (*loc, "grade"), notes))
