"""A film file, read and checked: its types, what names what, what models can do, the edit. No tensor library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filmwright.direction.film.drafts import Draft, drafts_of
from filmwright.direction.film.outputs import Output, outputs_of
from filmwright.direction.film.posting import common_stages, posted, stages_of
from filmwright.direction.film.read import Loc, Notes, Written, read_film
from filmwright.direction.film.timing import cut_of
from filmwright.spec.cut import Cut, Source
from filmwright.spec.film import Continues, Film, Shot
from filmwright.spec.post import PostStage

__all__ = ["OpenFilm", "Output", "open_film", "source_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenFilm:
    """A film without mistakes."""

    path: Path
    film: Film
    written: Written
    drafts: tuple[Draft, ...]  # all takes; a shot comes after those that it starts from
    outputs: tuple[Output, ...]
    post: Mapping[str, tuple[PostStage, ...]]  # stages by shot, of those that have some

    @property
    def folder(self) -> Path:
        """What relative paths are relative to."""
        return self.path.absolute().parent

    def selected(self) -> dict[str, Draft]:
        """The selected take of each shot."""
        return {draft.shot: draft for draft in self.drafts if draft.selected}

    def cut(self, sources: Mapping[str, Source] | None = None) -> Cut:
        """The edit, of the rendered `sources` by shot, or of takes as they will be."""
        notes = Notes(self.written)
        unrendered = {name: posted(source_of(draft), self.post) for name, draft in self.selected().items()}
        common = common_stages(self.film, self.folder, notes)
        cut = cut_of(self.film, self.folder, {**unrendered, **(sources or {})}, notes, common)
        notes.done()
        return cut


def open_film(path: Path | str) -> OpenFilm:
    """Read and check a film file.

    Raises:
        BadFilm: it has mistakes; all of them, each with its line and column.
        BadRequest: it cannot be read.
    """
    path = Path(path)
    film, written = read_film(path)
    notes = Notes(written)
    folder = path.absolute().parent
    _check_names(film, notes)
    order = _ordered(film, notes)
    drafts = drafts_of(film, folder, notes)
    _check_prefixes(film, drafts, notes)
    post = stages_of(film, folder, notes)
    selected = {draft.shot: posted(source_of(draft), post) for draft in drafts if draft.selected}
    cut = cut_of(film, folder, selected, notes, common_stages(film, folder, notes))
    outputs = outputs_of(film, path, cut, notes)
    notes.done()
    place = {name: n for n, name in enumerate(order)}
    return OpenFilm(
        path=path,
        film=film,
        written=written,
        drafts=tuple(sorted(drafts, key=lambda draft: (place[draft.shot], draft.take))),
        outputs=outputs,
        post=post,
    )


def source_of(draft: Draft) -> Source:
    """What is known of a take before it is rendered, and before its post."""
    request = draft.request
    return Source(
        shot=draft.shot,
        take=draft.take,
        sequence=draft.sequence,
        prompt=request.prompt,
        num_frames=request.num_frames,
        fps=request.fps,
        width=request.width,
        height=request.height,
    )


def _places(film: Film) -> list[tuple[Loc, Shot]]:
    return [
        (("sequences", s, "shots", i), shot)
        for s, sequence in enumerate(film.sequences)
        for i, shot in enumerate(sequence.shots)
    ]


def _starts(shot: Shot) -> list[tuple[str, str]]:
    """(key, shot) of all that a shot starts from or ends on."""
    on = shot.continues.shot if isinstance(shot.continues, Continues) else shot.continues
    named = (("keyframe", shot.keyframe), ("continues", on), ("last_keyframe", shot.last_keyframe))
    return [(key, name) for key, name in named if name is not None]


def _check_names(film: Film, notes: Notes) -> None:
    """Names are given once, and what is named is there."""
    shots: dict[str, Shot] = {}
    sequences: set[str] = set()
    for s, sequence in enumerate(film.sequences):
        if sequence.id in sequences:
            notes.add(("sequences", s, "id"), f"there are two sequences {sequence.id!r}: rename one")
        sequences.add(sequence.id)
    for loc, shot in _places(film):
        if shot.id in shots:
            notes.add((*loc, "id"), f"there are two shots {shot.id!r}: rename one")
        shots[shot.id] = shot
    for loc, shot in _places(film):
        for key, name in _starts(shot):
            if name not in shots:
                notes.add((*loc, key), f"there is no shot {name!r}: there is {', '.join(shots)}")
            elif key != "continues" and not shots[name].still:
                notes.add((*loc, key), f"shot {name} is no keyframe: add still: true to it, or use continues")


def _ordered(film: Film, notes: Notes) -> list[str]:
    """Shots, each after those that it starts from; a circle of them is a mistake."""
    places = {shot.id: loc for loc, shot in _places(film)}
    starts = {shot.id: [name for _, name in _starts(shot)] for _, shot in _places(film)}
    done: list[str] = []
    for first, others in starts.items():
        stack: list[tuple[str, list[str]]] = [(first, list(others))] if first not in done else []
        while stack:
            name, rest = stack[-1]
            if not rest:
                done.append(name)
                stack.pop()
                continue
            following = rest.pop(0)
            way = [shot for shot, _ in stack]
            if following in way:
                circle = [*way[way.index(following) :], following]
                shot = next(s for _, s in _places(film) if s.id == name)
                key = next(key for key, other in _starts(shot) if other == following)
                notes.add(
                    (*places[name], key),
                    f"shots start from each other in a circle: {' -> '.join(circle)}; let one start by itself",
                )
            elif following in starts and following not in done:
                stack.append((following, list(starts[following])))
    return done


def _check_prefixes(film: Film, drafts: tuple[Draft, ...], notes: Notes) -> None:
    """What carries a shot's frames on must be of its size and have so many."""
    selected = {draft.shot: draft for draft in drafts if draft.selected}
    for loc, shot in _places(film):
        draft = selected.get(shot.id)
        for need in draft.needs if draft else ():
            other = selected.get(need.shot)
            if draft is None or other is None or need.what != "prefix":
                continue
            mine, theirs = draft.request, other.request
            if (mine.width, mine.height, mine.fps) != (theirs.width, theirs.height, theirs.fps):
                notes.add(
                    (*loc, "continues"),
                    f"shot {shot.id} is {mine.width}x{mine.height} at {mine.fps} fps and shot {need.shot} "
                    f"{theirs.width}x{theirs.height} at {theirs.fps}: motion is carried on between equals; "
                    "make them equal, or leave out frames",
                )
            elif need.num_frames > theirs.num_frames:
                notes.add(
                    (*loc, "continues"),
                    f"shot {need.shot} has {theirs.num_frames} frames, not {need.num_frames}: carry on fewer",
                )
