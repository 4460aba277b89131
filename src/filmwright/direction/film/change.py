"""Changes a film file as a person would: the few letters that are about a take, and nothing else of the text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from filmwright.direction.film.drafts import default_seed
from filmwright.direction.film.opened import open_film
from filmwright.direction.film.read import Loc, Written, read_film, read_text
from filmwright.media.files import write_atomic
from filmwright.spec.errors import BadRequest
from filmwright.spec.film import Film, Shot

__all__ = ["add_takes", "select_take"]

TOKEN = re.compile(r"[^\s,\]}#]+")


def select_take(path: Path, shot_id: str, take: int) -> None:
    """Selects a take of a shot in the file.

    Raises:
        BadRequest: no such shot or take, or a file that is written so that it must be changed by hand.
        MediaError: the file cannot be written.
    """
    film, written = read_film(path)
    loc, shot = _find(film, shot_id)
    count = len(shot.takes or (0,))
    if not 1 <= take <= count:
        raise BadRequest(
            f"shot {shot_id} has {count} takes, not {take}: `filmwright film takes {shot_id}` lists them"
        )
    lines = _Lines(path)
    if shot.take is not None:
        lines.replace(written, (*loc, "take"), str(take))
    else:
        lines.insert_key(written, loc, "take", str(take))
    _write(path, lines.text, shot_id, {"take": take})


def add_takes(path: Path, shot_id: str, count: int) -> tuple[int, ...]:
    """Adds so many takes to a shot in the file, with seeds that it does not have yet; gives those seeds.

    Raises:
        BadRequest: no such shot, too many takes, or a file that must be changed by hand.
        MediaError: the file cannot be written.
    """
    film, written = read_film(path)
    loc, shot = _find(film, shot_id)
    have = shot.takes or (default_seed(shot_id) if shot.seed is None else shot.seed,)
    if count < 1 or len(have) + count > 99:
        raise BadRequest(f"{count} takes cannot be added to {len(have)}: a shot has 1 to 99")
    new: list[int] = []
    seed = have[-1]
    while len(new) < count:
        seed = (seed + 1) % 2**63
        if seed not in have:
            new.append(seed)
    lines = _Lines(path)
    if shot.takes is not None:
        lines.append_items(written, (*loc, "takes"), len(have), [str(seed) for seed in new])
    elif shot.seed is not None:
        lines.replace_key(written, (*loc, "seed"), "takes", _listed([*have, *new]))
    else:
        lines.insert_key(written, loc, "takes", _listed([*have, *new]))
    _write(path, lines.text, shot_id, {"takes": (*have, *new)})
    return tuple(new)


def _listed(seeds: list[int]) -> str:
    return f"[{', '.join(map(str, seeds))}]"


def _find(film: Film, shot_id: str) -> tuple[Loc, Shot]:
    for s, sequence in enumerate(film.sequences):
        for i, shot in enumerate(sequence.shots):
            if shot.id == shot_id:
                return ("sequences", s, "shots", i), shot
    raise BadRequest(f"there is no shot {shot_id!r}: there is {', '.join(shot.id for shot in film.shots)}")


def _write(path: Path, text: str, shot_id: str, wanted: dict[str, Any]) -> None:
    """Writes the text, once it is seen to say what was meant, and to be a film without mistakes."""
    aside = path.with_name(f".{path.stem}.changed{path.suffix}")
    try:
        write_atomic(aside, text)
        try:
            _, shot = _find(read_film(aside)[0], shot_id)
            if any(getattr(shot, key) != value for key, value in wanted.items()):
                raise BadRequest("it does not say so")
            open_film(aside)
        except BadRequest as error:
            told = ", ".join(f"{key}: {_plain(value)}" for key, value in wanted.items())
            raise BadRequest(
                f"{path} cannot be changed at shot {shot_id}: write {told} there by hand ({error})"
            ) from error
    finally:
        aside.unlink(missing_ok=True)
    write_atomic(path, text)


def _plain(value: Any) -> str:
    return _listed(list(value)) if isinstance(value, tuple) else str(value)


class _Lines:
    """A file's text by lines, changed at places that `Written` gives."""

    def __init__(self, path: Path) -> None:
        self._lines = read_text(path).splitlines(keepends=True)

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._lines)

    def replace(self, written: Written, loc: Loc, value: str) -> None:
        """The scalar at `loc` becomes `value`."""
        line, column = written.place(loc)
        self._splice(line, *self._token(line, column), value)

    def replace_key(self, written: Written, loc: Loc, key: str, value: str) -> None:
        """The key at `loc` and its scalar become others."""
        self.replace(written, loc, value)
        line, column = written.place(loc, key=True)
        self._splice(line, *self._token(line, column, until=":"), key)

    def insert_key(self, written: Written, loc: Loc, key: str, value: str) -> None:
        """A new key of the mapping at `loc`, after its id: on a line of its own where the mapping is written so."""
        line, column = written.place((*loc, "id"), key=True)
        text = self._lines[line - 1]
        _, end = self._token(*written.place((*loc, "id")))
        if "{" in text[: column - 1].split("#")[0]:
            self._splice(line, end, end, f", {key}: {value}")
        else:
            ending = "" if text.endswith("\n") else "\n"
            self._lines.insert(line, f"{ending}{' ' * (column - 1)}{key}: {value}\n")

    def append_items(self, written: Written, loc: Loc, count: int, items: list[str]) -> None:
        """More items of the list of scalars at `loc`."""
        line, column = written.place((*loc, count - 1))
        start, end = self._token(line, column)
        before = self._lines[line - 1][:start]
        if before.rstrip().endswith("-"):
            self._lines[line:line] = [f"{before.rstrip()} {item}\n" for item in items]
        else:
            self._splice(line, end, end, "".join(f", {item}" for item in items))

    def _token(self, line: int, column: int, until: str = "") -> tuple[int, int]:
        """Where the scalar that starts at (line, column), from 1, starts and ends in its line."""
        text, start = self._lines[line - 1], column - 1
        if text[start : start + 1] in {'"', "'"}:
            return start, text.index(text[start], start + 1) + 1
        found = TOKEN.match(text, start)
        end = found.end() if found else start
        return start, text.index(until, start) if until else end

    def _splice(self, line: int, start: int, end: int, value: str) -> None:
        text = self._lines[line - 1]
        self._lines[line - 1] = text[:start] + value + text[end:]
