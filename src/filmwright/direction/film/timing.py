"""The edit of a film file becomes a `Cut`: seconds become frames, and what cannot be played is said.

A shot's frames are known before it is rendered, so impossible trims and dissolves are found by a check.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from filmwright.direction.film.paths import inside
from filmwright.direction.film.read import Loc, Notes
from filmwright.media.files import digest_file
from filmwright.media.post.cube import check_cube
from filmwright.spec.cut import Cut, CutEvent, Grade, Join, Sound, Source, Title
from filmwright.spec.errors import FilmwrightError
from filmwright.spec.film import Continues, EditEvent, Film, GradeWords, Look, Shot
from filmwright.spec.post import PostShape, PostStage

__all__ = ["cut_of", "grade_of"]

SLACK = 0.5  # frames that a trim may be beyond a shot's end, since its seconds are rounded


def cut_of(
    film: Film,
    folder: Path,
    sources: Mapping[str, Source],
    notes: Notes,
    post: Sequence[PostStage] = (),
) -> Cut:
    """The cut of a film whose shots are `sources` by name; mistakes go to `notes`.

    Rate and size are the film's own, as `post` makes them, else those of the first shot. A shot without a source,
    because it has mistakes of its own, is left out.
    """
    first = next((source for shot in film.shots if (source := sources.get(shot.id)) and not shot.still), None)
    fps = film.fps or (first.fps if first else 16)
    width, height = _size(film.size) if film.size else (first.width, first.height) if first else (0, 0)
    shape = PostShape(num_frames=1, fps=Fraction(fps), width=width, height=height)
    for stage in post:
        shape = stage.shaped(shape)
    fps = int(shape.fps) if film.fps else fps
    width, height = (shape.width, shape.height) if film.size else (width, height)
    shots = {shot.id: shot for shot in film.shots}
    homes: dict[str, tuple[Loc, str | None]] = {
        shot.id: (("sequences", s, "shots", i), shot.look or sequence.look or film.look)
        for s, sequence in enumerate(film.sequences)
        for i, shot in enumerate(sequence.shots)
    }
    entries = film.edit if film.edit is not None else _in_order(film)
    events: list[CutEvent] = []
    torn = False  # what should come before is not there: nothing can be said of how they join
    for index, entry in enumerate(entries):
        loc: Loc = ("edit", index) if film.edit is not None else ("sequences",)
        if entry.shot not in shots:
            notes.add((*loc, "shot"), f"there is no shot {entry.shot!r}: there is {', '.join(shots)}")
            torn = True
            continue
        source = sources.get(entry.shot)
        if source is None:
            torn = True
            continue
        grade = _grade(film, homes[entry.shot], shots[entry.shot], entry, folder, loc, notes)
        if torn and entry.transition is not None:
            entry = entry.model_copy(update={"transition": None})
        events.append(_event(entry, source, events, fps, grade, shots, loc, notes))
        torn = False
    cut = Cut(
        title=film.title,
        fps=fps,
        width=width,
        height=height,
        events=tuple(events),
        titles=_titles(film, folder, fps, notes),
        sounds=_sounds(film, folder, notes),
    )
    _check_ends(film, cut, notes)
    return cut


def _in_order(film: Film) -> tuple[EditEvent, ...]:
    return tuple(EditEvent(shot=shot.id) for shot in film.shots if not shot.still)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _event(
    entry: EditEvent,
    source: Source,
    before: list[CutEvent],
    fps: int,
    grade: Grade,
    shots: Mapping[str, Shot],
    loc: Loc,
    notes: Notes,
) -> CutEvent:
    """One stretch on the track, after those `before`; with a mistake in it, as it would be without."""
    start, count = _stretch(entry, source, before, shots, loc, notes) or (0, source.num_frames)
    pace = entry.speed * source.fps / fps  # source frames a record frame
    length = max(math.ceil(count / pace - 1e-9), 1)
    last = before[-1] if before else None
    join = None
    if entry.transition is not None and entry.transition.kind != "cut":
        frames = max(round(entry.transition.seconds * fps), 1)
        join = Join(kind=entry.transition.kind, num_frames=frames, direction=entry.transition.direction)
        room = 0 if last is None else last.num_frames - (last.join.num_frames if last.join else 0)
        what = f"a {join.kind} of {entry.transition.seconds:g} s ({frames} frames)"
        if last is None:
            notes.add((*loc, "transition"), f"{what} has nothing before it: use fade_in on the first event")
            join = None
        elif frames >= length or frames > room - (0 if last.join else 1):
            less = min(length - 1, room - (0 if last.join else 1))
            whose = entry.shot if frames >= length else last.source.shot
            notes.add(
                (*loc, "transition"),
                f"{what} is longer than shot {whose} plays: it can have {max(less, 0) / fps:.4g} s at most",
            )
            join = None
    fades = round(entry.fade_in * fps), round(entry.fade_out * fps)
    if sum(fades) > length:
        notes.add(
            (*loc, "fade_in" if fades[0] else "fade_out"),
            f"fades of {fades[0]} and {fades[1]} frames do not fit {length} frames of shot {entry.shot}: shorten them",
        )
    return CutEvent(
        source=source,
        source_start=start,
        num_source_frames=count,
        record_start=(last.record_end if last else 0) - (join.num_frames if join else 0),
        num_frames=length,
        speed=entry.speed,
        join=join,
        fade_in=fades[0],
        fade_out=fades[1],
        fade_color=entry.fade_color,
        grade=grade,
    )


def _stretch(
    entry: EditEvent,
    source: Source,
    before: list[CutEvent],
    shots: Mapping[str, Shot],
    loc: Loc,
    notes: Notes,
) -> tuple[int, int] | None:
    """First source frame and how many. Untrimmed, a shot that goes on from the one before leaves out what both show."""
    if entry.trim is None:
        shared = _shared(entry, source, before, shots)
        if shared >= source.num_frames:
            shared = 0  # post left so few frames that it would not play at all
        return shared, source.num_frames - shared
    start, end = (round(seconds * source.fps) for seconds in entry.trim)
    seconds = source.num_frames / source.fps
    if entry.trim[1] <= entry.trim[0]:
        notes.add(
            (*loc, "trim"), f"a trim from {entry.trim[0]:g} to {entry.trim[1]:g} s leaves nothing: swap them"
        )
    elif entry.trim[1] * source.fps > source.num_frames + SLACK:
        notes.add(
            (*loc, "trim"),
            f"a trim to {entry.trim[1]:g} s is past the end of shot {entry.shot}: it has {seconds:.4g} s",
        )
    elif min(end, source.num_frames) <= start:
        notes.add(
            (*loc, "trim"),
            f"a trim from {entry.trim[0]:g} to {entry.trim[1]:g} s of shot {entry.shot} is less than one frame at "
            f"{source.fps} fps: lengthen it",
        )
    else:
        return start, min(end, source.num_frames) - start
    return None


def _shared(entry: EditEvent, source: Source, before: list[CutEvent], shots: Mapping[str, Shot]) -> int:
    """Frames at a shot's start that the event before it has shown."""
    on = shots[entry.shot].continues
    on = Continues(shot=on) if isinstance(on, str) else on
    last = before[-1] if before else None
    if on is None or last is None or entry.transition is not None or last.source.shot != on.shot:
        return 0
    ended = last.source_start + last.num_source_frames == last.source.num_frames
    if not ended:
        return 0
    # post may have changed the rate: those frames are left out whose time the shared ones take
    return -(-on.frames * source.fps // (source.rendered_fps or source.fps))


def _grade(
    film: Film,
    home: tuple[Loc, str | None],
    shot: Shot,
    entry: EditEvent,
    folder: Path,
    loc: Loc,
    notes: Notes,
) -> Grade:
    """The event's, else the shot's, else that of its look."""
    where, name = home
    look = film.looks.get(name or "", Look())
    for words, at in ((entry.grade, loc), (shot.grade, where), (look.grade, ("looks", name or ""))):
        if words is not None:
            return grade_of(words, folder, (*at, "grade"), notes)
    return Grade()


def grade_of(words: GradeWords, folder: Path, loc: Loc, notes: Notes) -> Grade:
    """A grade of a film file with its table's digest; mistakes go to `notes`."""
    lut, digest = None, None
    if words.lut is not None:
        lut, digest = _file(folder, words.lut, (*loc, "lut"), notes)
        if lut is not None and lut.suffix.lower() != ".cube":
            notes.add((*loc, "lut"), f"{words.lut} is no .cube file: give one")
        elif lut is not None:
            try:
                _check_table(lut, digest)
            except FilmwrightError as error:
                notes.add((*loc, "lut"), str(error))
    if words.cdl is None:
        return Grade(lut=lut, lut_digest=digest)
    cdl = words.cdl
    if min(cdl.power) <= 0 or min(cdl.slope) < 0:
        notes.add((*loc, "cdl"), "a CDL's slopes must be 0 or more and its powers more than 0: change them")
    return Grade(
        slope=cdl.slope,
        offset=cdl.offset,
        power=cdl.power,
        saturation=cdl.saturation,
        lut=lut,
        lut_digest=digest,
    )


@lru_cache(maxsize=32)
def _check_table(path: Path, digest: str | None) -> None:  # noqa: ARG001 (the digest keeps a changed file apart)
    check_cube(path)


def _titles(film: Film, folder: Path, fps: int, notes: Notes) -> tuple[Title, ...]:
    made = []
    for index, words in enumerate(film.titles):
        font, digest = None, None
        if words.font is not None:
            font, digest = _file(folder, words.font, ("titles", index, "font"), notes)
            if font is not None and not _is_font(font):
                notes.add(
                    ("titles", index, "font"), f"{words.font} is no font: give a TrueType or OpenType file"
                )
        length = max(round(words.seconds * fps), 1)
        made.append(
            Title(
                text=words.text,
                record_start=round(words.at * fps),
                num_frames=length,
                place=words.place,
                size=words.size,
                color=words.color,
                fade=min(round(words.fade * fps), length // 2),
                font=font,
                font_digest=digest,
            )
        )
    return tuple(made)


def _sounds(film: Film, folder: Path, notes: Notes) -> tuple[Sound, ...]:
    made = []
    for index, words in enumerate(film.sound):
        path, digest = _file(folder, words.file, ("sound", index, "file"), notes)
        start, end = words.trim or (0.0, None)
        if end is not None and end <= start:
            notes.add(
                ("sound", index, "trim"), f"a trim from {start:g} to {end:g} s leaves nothing: swap them"
            )
        if path is not None and digest is not None:
            _check_sound(path, (start, end), ("sound", index), notes)
            made.append(
                Sound(
                    path=path,
                    digest=digest,
                    at=words.at,
                    start=start,
                    seconds=None if end is None else end - start,
                    level=words.level,
                    fade_in=words.fade_in,
                    fade_out=words.fade_out,
                )
            )
    return tuple(made)


def _is_font(path: Path) -> bool:
    from PIL import ImageFont

    try:
        ImageFont.truetype(str(path), 12)
    except (OSError, ValueError):
        return False
    return True


def _check_sound(path: Path, trim: tuple[float, float | None], loc: Loc, notes: Notes) -> None:
    """The file can be heard, and has what is taken of it."""
    from filmwright.media.sound import sound_seconds

    try:
        seconds = sound_seconds(path)
    except FilmwrightError as error:
        notes.add((*loc, "file"), str(error))
        return
    if (trim[1] or 0.0) > seconds + 0.05 or trim[0] >= seconds:
        notes.add((*loc, "trim"), f"this trim is past the end of {path.name}: it has {seconds:.4g} s")


def _check_ends(film: Film, cut: Cut, notes: Notes) -> None:
    """Titles and sounds that begin after the film has ended are mistakes."""
    if notes or not cut.events:
        return
    for index, title in enumerate(cut.titles):
        if title.record_start >= cut.num_frames:
            notes.add(
                ("titles", index, "at"), f"this title begins after the film's end at {cut.seconds:.4g} s"
            )
    for index, words in enumerate(film.sound):
        if words.at >= cut.seconds:
            notes.add(
                ("sound", index, "at"), f"this sound begins after the film's end at {cut.seconds:.4g} s"
            )


def _file(folder: Path, name: str, loc: Loc, notes: Notes) -> tuple[Path | None, str | None]:
    try:
        path = inside(folder, name)
        return path, digest_file(path)
    except FilmwrightError as error:
        notes.add(loc, str(error))
        return None, None
