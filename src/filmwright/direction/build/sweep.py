"""Sweeping the store: the results that were not used for longest go first, and files that no result needs."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from filmwright.direction.build.node import Node
from filmwright.media.files import say_os_error

__all__ = ["Gone", "Swept", "blobs_in", "remove_file", "sweep"]


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A result that is removed: what films call it, as (film file, name), its stage, and the bytes that go with it."""

    names: tuple[tuple[str, str], ...]
    stage: str
    freed: int


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was removed, or would be; sizes in bytes."""

    nodes: int
    freed: int
    kept: int
    gone: tuple[Gone, ...] = ()


def sweep(folder: Path, keep: int, *, dry_run: bool = False) -> Swept:
    """Removes nodes of the store in `folder`, which nobody else uses, until blobs take at most `keep` bytes.

    A `dry_run` removes nothing.

    Raises:
        MediaError: the store cannot be written.
    """
    for path in () if dry_run else folder.rglob(".*"):
        if path.is_file():
            remove_file(path)  # half written by a process that died
    blobs = blobs_in(folder)
    before = sum(size for size, _ in blobs.values())
    nodes: list[tuple[int, Path, Node]] = []
    for path in (folder / "nodes").glob("*/*.json"):
        try:
            node = Node.model_validate_json(path.read_text("utf-8"))
            nodes.append((path.stat().st_mtime_ns, path, node))
        except (OSError, ValueError):
            if not dry_run:
                remove_file(path)  # damaged: nothing can use it
    nodes.sort(key=lambda item: item[0], reverse=True)
    wanted: set[str] = set()
    going: list[tuple[Path, Node]] = []
    total = 0
    for _, path, node in nodes:
        more = {blob.name for blob in node.outputs.values()} - wanted
        size = sum(blobs[name][0] for name in more if name in blobs)
        if total + size > keep:
            going.append((path, node))
            continue
        total += size
        wanted |= more
    gone = _gone(folder, [node for _, node in going], blobs, wanted)
    if not dry_run:
        for path, _ in going:
            remove_file(path)
        for name, (_, path) in blobs.items():
            if name not in wanted:
                remove_file(path)
        for work in (folder / "work").glob("*"):
            shutil.rmtree(work, ignore_errors=True)
        for aside in (folder / "locks").glob("*"):
            aside.unlink(missing_ok=True)
    return Swept(nodes=len(going), freed=before - total, kept=total, gone=gone)


def blobs_in(folder: Path) -> dict[str, tuple[int, Path]]:
    """Size and place of all blobs, by name."""
    found: dict[str, tuple[int, Path]] = {}
    for path in (folder / "blobs").glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # half written by a build that went on
            found[path.name] = path.stat().st_size, path
    return found


def remove_file(path: Path) -> None:
    """Removes a file, if it is there.

    Raises:
        MediaError: the store cannot be written.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise say_os_error(path, error) from error


def _gone(
    folder: Path, nodes: list[Node], blobs: dict[str, tuple[int, Path]], wanted: set[str]
) -> tuple[Gone, ...]:
    """What is said of nodes that go: those of films by their names first, then the others by size."""
    names: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((folder / "films").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
            content = json.loads(path.read_text("utf-8"))
            for name, key in content["nodes"].items():
                names.setdefault(str(key), []).append((str(content["path"]), str(name)))
    counted = set(wanted)
    gone = []
    for node in nodes:
        own = {blob.name for blob in node.outputs.values()} - counted
        counted |= own
        freed = sum(blobs[name][0] for name in own if name in blobs)
        gone.append(Gone(names=tuple(names.get(node.key, ())), stage=node.stage, freed=freed))
    return tuple(sorted(gone, key=lambda item: (not item.names, item.names, -item.freed)))
