"""A film file as text becomes a `Film`, or the list of all its mistakes, each with its line and column.

YAML 1.2 by ruamel.yaml, whose round-trip loader makes plain data only and keeps where everything stood. The types of
`spec.film` judge the data in their own words; here those become ours, at the place in the file that they are about.
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, ScalarNode

from filmwright.spec.errors import BadFilm, BadRequest
from filmwright.spec.film import Film

__all__ = ["Loc", "Notes", "Written", "read_film", "read_text", "tell_of", "yaml"]

MAX_BYTES = 2_000_000
STANDARD = "tag:yaml.org,2002:"
MAX_NODES = 100_000  # an alias of an alias of an alias grows beyond all bounds
Loc = tuple[str | int, ...]
NUMBERS = {"int", "float", "constrained-int", "constrained-float"}
"""The names that the types give numbers among alternatives."""
UNIONS = {"Camera", "Continues", "PostWords"}
"""Types that stand for a mapping where a name alone would do."""
PATTERNS = {
    "^\\s*\\d": "write a frame, such as 24, or seconds, such as 1.5s",
    "^[a-z0-9]": "a name has small letters, digits, - and _, at most 40",
    "^\\d": "write it as width x height, such as 256x160",
    "^tea:": "write a change from 0 to 1, such as 0.1, or tea:0.1 for TeaCache",
    "^#": "write it as #rrggbb, such as #ffffff",
}


@dataclass(eq=False)
class Written:
    """A film file's plain data, and where each part of it stands: (line, column) from 1."""

    path: Path
    data: Any = None
    keys: dict[Loc, tuple[int, int]] = field(default_factory=dict)
    values: dict[Loc, tuple[int, int]] = field(default_factory=dict)

    def place(self, loc: Loc, *, key: bool = False) -> tuple[int, int]:
        """Where `loc` stands, or the nearest part around it."""
        while loc:
            found = self.keys.get(loc) if key else self.values.get(loc)
            if found is not None:
                return found
            loc, key = loc[:-1], False
        return self.values.get((), (1, 1))


class Notes:
    """Collects mistakes of one file, so that all are told at once."""

    def __init__(self, written: Written) -> None:
        self.written = written
        self._found: list[tuple[int, int, str]] = []

    def add(self, loc: Loc, message: str, *, key: bool = False) -> None:
        """A mistake in what stands at `loc`; its key if `key`, else its value."""
        entry = (*self.written.place(loc, key=key), " ".join(message.split()))
        if entry not in self._found:
            self._found.append(entry)

    def __bool__(self) -> bool:
        return bool(self._found)

    def done(self) -> None:
        """End here if there was a mistake.

        Raises:
            BadFilm: with all of them, in the file's order.
        """
        if self._found:
            raise BadFilm(
                f"{self.written.path}:{line}:{column}: {what}" for line, column, what in sorted(self._found)
            )


def yaml() -> YAML:
    """The reader and writer that keeps comments, quotes and order."""
    handler = YAML(typ="rt")
    handler.preserve_quotes = True
    handler.width = 4096  # lines stay as they were
    handler.indent(mapping=2, sequence=4, offset=2)
    return handler


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        BadRequest: it is missing, cannot be read, is too large, or is no text.
    """
    remedy = "`filmwright film new` writes an example"
    try:
        if path.exists() and not path.is_file():
            raise BadRequest(f"{path} is no file: a film is a text file; {remedy}")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadRequest(f"{path} has {size / 1e6:.0f} MB: a film file has at most {MAX_BYTES // 10**6}")
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{path} is not text in UTF-8 at byte {error.start}: save it anew") from error
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise BadRequest(f"cannot read film file {path}: {reason}; {remedy}") from error


def read_film(path: Path) -> tuple[Film, Written]:
    """The film of a file, and where its parts stand.

    Raises:
        BadFilm: mistakes; all of them.
        BadRequest: the file cannot be read.
    """
    written = Written(path)
    notes = Notes(written)
    text = read_text(path)
    try:
        loaded = yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        what = " ".join(filter(None, (error.context, error.problem))).split("To suppress this check")[0]
        written.values[()] = (line, column)
        notes.add((), f"this is not YAML: {what.strip()}; mend it, and mind spaces and colons")
    except AttributeError:  # how the library ends at a mapping that is merged into itself
        notes.add((), "this is not YAML: a mapping is merged into itself with <<; leave that out")
    except (YAMLError, ValueError, RecursionError) as error:
        written.values[()] = _unreadable(text)
        notes.add((), f"this is not YAML: {error}; mend it")
    else:
        written.data = _plain(loaded, (), written, [0], notes)
    notes.done()
    if not isinstance(written.data, dict):
        notes.add(
            (), "a film file is a mapping with title and sequences; `filmwright film new` writes an example"
        )
        notes.done()
    try:
        return Film.model_validate_json(json.dumps(written.data)), written
    except ValidationError as error:
        tell_of(error, notes)
        notes.done()
        raise


def _plain(node: Any, loc: Loc, written: Written, count: list[int], notes: Notes) -> Any:
    """Dicts, lists and scalars without ruamel's types, noting places on the way."""
    count[0] += 1
    if count[0] > MAX_NODES:
        if count[0] == MAX_NODES + 1:
            notes.add((), f"this has more than {MAX_NODES:,} parts: aliases of aliases grow; write less")
        return None
    tag = getattr(getattr(node, "tag", None), "value", None)
    if tag is not None:
        notes.add(loc, f"the tag {tag} is not used in film files: leave it out")
        return None
    match node:
        case CommentedMap():
            written.values.setdefault(loc, _from_one(node.lc.line, node.lc.col))
            plain = {}
            for key in node:
                name = str(key)
                try:
                    written.keys[(*loc, name)] = _from_one(*node.lc.key(key))
                    written.values[(*loc, name)] = _from_one(*node.lc.value(key))
                except (KeyError, TypeError):
                    pass  # came by a merge: told at the mapping
                plain[name] = _plain(node[key], (*loc, name), written, count, notes)
            return plain
        case CommentedSeq():
            written.values.setdefault(loc, _from_one(node.lc.line, node.lc.col))
            items = []
            for index, item in enumerate(node):
                written.values[(*loc, index)] = _from_one(*node.lc.item(index))
                items.append(_plain(item, (*loc, index), written, count, notes))
            return items
        case bool():
            return node
        case int():
            return int(node)
        case float():
            return float(node)
        case str():
            if strange := next((sign for sign in node if ord(sign) < 32 and sign not in "\n\t"), None):
                notes.add(loc, f"this has a control character (U+{ord(strange):04X}): leave it out")
            return str(node)
        case None:
            return None
        case _:  # such as a date: as it was written
            return str(node)


def _unreadable(text: str) -> tuple[int, int]:
    """Where the first number or date stands that is none; the library does not say."""
    waiting = [yaml().compose(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ScalarNode):
            if str(node.tag).removeprefix(STANDARD) in {"int", "float", "timestamp", "bool"}:
                try:
                    yaml().load(f"!<{node.tag}> {node.value}")
                except (YAMLError, ValueError, AttributeError):
                    return _from_one(node.start_mark.line, node.start_mark.column)
        elif isinstance(node, CollectionNode):
            waiting += [
                part for item in node.value for part in (item if isinstance(item, tuple) else (item,))
            ][::-1]
    return 1, 1


def _from_one(line: int, column: int) -> tuple[int, int]:
    return line + 1, column + 1


def tell_of(error: ValidationError, notes: Notes, within: Loc = (), root: type[BaseModel] = Film) -> None:
    """Each complaint of the types at its place, in our words; `root` is the type of what stands at `within`."""
    written = notes.written
    found = [
        (loc, detail)
        for detail in error.errors(include_url=False)
        if (loc := _in_file((*within, *detail["loc"]), written))
    ]
    locs = [loc for loc, _ in found]
    raw = {detail["loc"] for _, detail in found}
    for loc, detail in found:
        kind, value, name = detail["type"], detail.get("input"), str(loc[-1])
        alternative = detail["loc"][-1]
        either = any((*detail["loc"][:-1], number) in raw for number in NUMBERS)
        if either and isinstance(value, str) == (alternative in NUMBERS):
            continue  # a number or words will do: it is told of what was meant
        if kind == "too_short" and any(len(other) > len(loc) and other[: len(loc)] == loc for other in locs):
            continue  # it has too few that are right: said of those
        if kind == "extra_forbidden":
            notes.add(loc, _unknown(loc, loc[len(within) :], root), key=True)
        elif kind == "missing":
            what = "an item" if isinstance(loc[-1], int) else repr(name)
            notes.add(loc[:-1], f"{what} is missing: give one")
        else:
            shown = json.dumps(value, ensure_ascii=False)
            shown = shown if len(shown) <= 40 else shown[:37] + "..."
            pattern = detail.get("ctx", {}).get("pattern", "")
            ours = [said for start, said in PATTERNS.items() if pattern.startswith(start)]
            message = ours[0] if ours else detail["msg"].replace("Input should", "it should")
            is_key = detail["loc"][-1] == "[key]"
            subject = "this name" if is_key else f"item {name}" if isinstance(loc[-1], int) else name
            notes.add(loc, f"{subject} is {shown}: {message[:1].lower()}{message[1:]}", key=is_key)


def _in_file(loc: Loc, written: Written) -> Loc | None:
    """A complaint's place without the names of alternatives; None where it is about one that was not meant."""
    data: Any = written.data
    place: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if in_list or (isinstance(data, dict) and part in data):
            data = data[part]
        elif part == "[key]":
            continue
        elif part in {"str", "constrained-str", *NUMBERS, *UNIONS}:
            if (part in UNIONS) != isinstance(data, dict):
                return None
            continue
        elif not last:
            return tuple(place)
        place.append(part)
    return tuple(place)


def _unknown(loc: Loc, inside: Loc, root: type[BaseModel]) -> str:
    known = _keys_at(inside[:-1], root)
    near = get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
    return f"unknown key {str(loc[-1])!r}: {remedy}"


def _keys_at(loc: Loc, root: type[BaseModel]) -> list[str]:
    """The keys that the mapping at `loc` of a `root` may have, by walking the types."""
    kind: Any = root
    inside = False  # of a list or mapping of models: the next part says which
    for part in loc:
        if inside:
            inside = False
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            annotation = kind.model_fields[str(part)].annotation
            kind = _model_in(annotation)
            inside = _holds_many(annotation)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _holds_many(kind: Any) -> bool:
    """It is a tuple or dict, perhaps one or None."""
    if typing.get_origin(kind) in {tuple, dict}:
        return True
    return typing.get_origin(kind) in {typing.Union, types.UnionType} and any(
        map(_holds_many, typing.get_args(kind))
    )


def _model_in(kind: Any) -> Any:
    """The model within tuple[...], dict[...], Annotated and unions."""
    if typing.get_origin(kind) is None and isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    for part in typing.get_args(kind):
        if (found := _model_in(part)) is not None:
            return found
    return None
