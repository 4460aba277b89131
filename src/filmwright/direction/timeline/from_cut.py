"""A film's cut as an edit: the names of `spec.cut` in those of exchange.

Both count a transition's frames in the two events that it joins, so positions are taken over as they are. What differs:
a source of another rate than the film's is counted in the film's frames, and sound, which a cut knows in seconds, too.
"""

from __future__ import annotations

from fractions import Fraction

from filmwright.direction.timeline.edit import (
    Cdl,
    Edit,
    Event,
    Join,
    Loss,
    Losses,
    Media,
    Sound,
    Title,
    check_edit,
    plain_text,
)
from filmwright.spec.cut import Cut, CutEvent, Grade
from filmwright.spec.timecode import frame_of, rate_of

__all__ = ["edit_of_cut"]

WIPES = {"right": 1, "down": 2, "left": 101, "up": 102}
MAX_DENOMINATOR = 1000


def edit_of_cut(cut: Cut) -> tuple[Edit, tuple[Loss, ...]]:
    """The edit of a cut, and what it cannot say.

    Raises:
        TimelineError: the cut cannot be played, such as events that overlap without a transition.
    """
    rate = rate_of(cut.fps)
    moved = [0]

    def frames(seconds: float) -> int:
        exact = seconds * cut.fps
        moved[0] += abs(exact - round(exact)) > 1e-6
        return round(exact)

    events = tuple(_event(cut, i) for i in range(len(cut.events)))
    titles = tuple(
        Title(
            text=title.text, start=title.record_start, duration=title.num_frames,
            style=tuple(sorted((k, str(getattr(title, k))) for k in ("place", "size", "color", "fade"))),
        )
        for title in cut.titles
    )  # fmt: skip
    sounds = []
    for number, sound in enumerate(cut.sounds, 1):
        at, first = frames(sound.at), frames(sound.start)
        length = frames(sound.seconds) if sound.seconds is not None else max(cut.num_frames - at, 1)
        sounds.append(Sound(
            name=plain_text(sound.path.stem), start=at, duration=length, source_start=first,
            media=Media(path=str(sound.path)), track=number, gain=sound.level,
            fade_in=frames(sound.fade_in), fade_out=frames(sound.fade_out),
        ))  # fmt: skip
    edit = check_edit(Edit(
        name=plain_text(cut.title), rate=rate, start=frame_of(cut.start_timecode, rate), events=events, titles=titles,
        sounds=tuple(sounds), width=cut.width, height=cut.height,
    ))  # fmt: skip
    return edit, _losses(cut, moved[0])


def _event(cut: Cut, index: int) -> Event:
    found = cut.events[index]
    after = cut.events[index + 1] if index + 1 < len(cut.events) else None
    source = found.source
    scale = Fraction(cut.fps, source.fps)
    path = source.clip or source.path
    return Event(
        name=source.shot, shot=source.shot, take=source.take, digest=source.digest or "",
        start=found.record_start, duration=found.num_frames, source_start=round(found.source_start * scale),
        media=Media(path=str(path) if path else f"{source.shot}_t{source.take:02d}.mp4",
                    duration=int(source.num_frames * scale)),
        speed=Fraction(found.speed).limit_denominator(MAX_DENOMINATOR), join=_join(found),
        fade_in=0 if found.join else found.fade_in, fade_out=0 if after and after.join else found.fade_out,
        fade_color=found.fade_color, cdl=_cdl(found.grade),
    )  # fmt: skip


def _cdl(grade: Grade) -> Cdl | None:
    found = Cdl(slope=grade.slope, offset=grade.offset, power=grade.power, saturation=grade.saturation)
    plain = Grade()
    is_plain = found == Cdl(
        slope=plain.slope, offset=plain.offset, power=plain.power, saturation=plain.saturation
    )
    return None if is_plain else found


def _join(found: CutEvent) -> Join | None:
    join = found.join
    if join is None or not join.num_frames:
        return None
    wipe = WIPES[join.direction] if join.kind == "wipe" else 1
    return Join(kind=join.kind, frames=join.num_frames, before=join.num_frames // 2, wipe=wipe)


def _losses(cut: Cut, moved: int) -> tuple[Loss, ...]:
    after = [*cut.events[1:], None]
    both = sum(
        bool((event.join and event.fade_in) or (event.fade_out and following and following.join))
        for event, following in zip(cut.events, after, strict=True)
    )
    between = sum(
        (Fraction(event.source_start) * cut.fps / event.source.fps).denominator != 1 for event in cut.events
    )
    losses = Losses()
    losses.add("fade", both, "fades are left out where a transition is at the same edge")
    losses.add("picture", between, "trims of sources of another rate are rounded to the film's frames")
    losses.add("sound", moved, "times of sounds are rounded to frames")
    tables = sum(event.grade.lut is not None for event in cut.events)
    losses.add("grade.lut", tables, "tables (.cube) of grades stay in the film")
    losses.add("title.font", sum(title.font is not None for title in cut.titles), "titles lose their font")
    return tuple(losses.found)
