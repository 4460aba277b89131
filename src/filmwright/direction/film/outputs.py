"""Where a film goes and in which forms: the deliverables of a film file, checked before anything is made.

The forms are those of `media.formats`, and the poster, a picture that stands for the film.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from filmwright.direction.film.paths import inside
from filmwright.direction.film.read import Loc, Notes
from filmwright.media.formats import DELIVERIES, check_delivery, parse_fps
from filmwright.spec.cut import Cut
from filmwright.spec.errors import BadRequest
from filmwright.spec.film import Deliverable, Film

__all__ = ["FORMATS", "POSTER", "Output", "outputs_of"]

POSTER = "poster"
FORMATS: dict[str, tuple[str, ...]] = {
    **{name: () if form.kind == "pictures" else (form.suffix,) for name, form in DELIVERIES.items()},
    POSTER: (".png", ".jpg", ".jpeg"),
}
"""What a deliverable can be, and the endings of its files; a folder of pictures has none."""

BLAMED = ("hdr", "loudness", "fps", "size")
"""Keys that may be what a form cannot hold, in the order in which they are tried."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """A deliverable with its place, size and rate; `loudness` in LUFS."""

    path: Path  # absolute; a folder for pictures
    format: str
    width: int
    height: int
    fps: Fraction
    hdr: bool = False
    loudness: float | None = None

    @property
    def kind(self) -> Literal["film", "pictures", "sound", "poster"]:
        """What is at its place: one file with pictures, a folder of them, sound alone, or one picture."""
        return "poster" if self.format == POSTER else DELIVERIES[self.format].kind

    @property
    def suffix(self) -> str:
        """The ending of its file, or of each in its folder."""
        return DELIVERIES[self.format].suffix if self.kind == "pictures" else self.path.suffix.lower()

    def num_frames(self, cut: Cut) -> int:
        """How many pictures it has of a cut."""
        return max(round(cut.num_frames * self.fps / cut.fps), 1)


def outputs_of(film: Film, path: Path, cut: Cut, notes: Notes) -> tuple[Output, ...]:
    """The deliverables of the film file at `path`: known forms that can hold it, no two at one place, none over a file
    that the film needs. Mistakes go to `notes`.
    """
    wanted = film.deliverables or (Deliverable(path=f"{path.stem}.mp4"),)
    outputs: list[Output] = []
    for index, item in enumerate(wanted):
        loc: Loc = ("deliverables", index)
        if item.format not in FORMATS:
            notes.add((*loc, "format"), f"unknown format {item.format!r}: there is {', '.join(FORMATS)}")
            continue
        try:
            place = inside(path.absolute().parent, item.path)
        except BadRequest as error:
            notes.add((*loc, "path"), str(error))
            continue
        endings = FORMATS[item.format]
        if endings and place.suffix.lower() not in endings:
            notes.add(
                (*loc, "path"),
                f"{item.path} must end in {' or '.join(endings)} to hold {item.format}: rename it",
            )
        _check_place(item, place, path, outputs, cut, (*loc, "path"), notes)
        try:
            fps = Fraction(cut.fps) if item.fps is None else _rate(item.fps)
        except BadRequest as error:
            notes.add((*loc, "fps"), str(error))
            continue
        width, height = map(int, item.size.split("x")) if item.size else (cut.width, cut.height)
        output = Output(
            path=place,
            format=item.format,
            width=width,
            height=height,
            fps=fps,
            hdr=item.hdr,
            loudness=item.loudness,
        )
        if (
            width and (refusal := _refusal(output, cut)) is not None
        ):  # no width: all shots have mistakes of their own
            notes.add(_blamed(output, item, cut, loc), refusal)
        outputs.append(output)
    return tuple(outputs)


def _rate(fps: float | str) -> Fraction:
    return parse_fps(fps if isinstance(fps, str) else f"{fps:.10g}")


def _check_place(
    item: Deliverable, place: Path, film: Path, others: list[Output], cut: Cut, loc: Loc, notes: Notes
) -> None:
    """Nothing that is needed lies at a deliverable's place, or within it."""
    if any(place == other.path for other in others):
        notes.add(loc, f"two deliverables go to {item.path}: rename one")
    elif any(other.kind == "pictures" and place.is_relative_to(other.path) for other in others) or (
        item.format in DELIVERIES
        and DELIVERIES[item.format].kind == "pictures"
        and any(other.path.is_relative_to(place) for other in others)
    ):
        notes.add(loc, f"{item.path} and another deliverable lie within each other: rename one")
    if any(place == sound.path for sound in cut.sounds):
        notes.add(loc, f"{item.path} is a sound of the film, which would be lost: rename it")
    if place == film.resolve():
        notes.add(loc, f"{item.path} is the film file itself, which would be lost: rename it")


def _refusal(output: Output, cut: Cut) -> str | None:
    """Why its form cannot hold a cut; None where it can."""
    if output.format == POSTER:
        if output.hdr or output.loudness is not None:
            return "a poster is one picture without sound: leave hdr and loudness out"
        return None
    try:
        check_delivery(
            output.format,
            width=output.width,
            height=output.height,
            fps=output.fps,
            hdr=output.hdr,
            loudness=output.loudness,
            sound=bool(cut.sounds),
        )
    except BadRequest as error:
        return str(error)
    return None


def _blamed(output: Output, item: Deliverable, cut: Cut, loc: Loc) -> Loc:
    """The place of the key without which the form could hold it; else of the form, else of its file."""
    plain = {"hdr": False, "loudness": None, "fps": Fraction(cut.fps)}
    for key in BLAMED:
        if key not in item.model_fields_set:
            continue
        other = (
            replace(output, width=cut.width, height=cut.height)
            if key == "size"
            else replace(output, **{key: plain[key]})  # type: ignore[arg-type]
        )
        if _refusal(other, cut) is None:
            return (*loc, key)
    for key in ("size", "format"):
        if key in item.model_fields_set:
            return (*loc, key)
    return (*loc, "path")
