"""Results of the store at the places where a film file wants them: a file, or a folder of numbered pictures."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from filmwright.direction.build.store import Blob, Node, Store
from filmwright.direction.film.outputs import Output
from filmwright.media.files import check_output, digest_file, hidden_beside, replacing, say_os_error
from filmwright.spec.errors import MediaError

__all__ = ["check_place", "is_delivered", "outputs_in", "put_in_place"]


def outputs_in(made: Path, output: Output) -> dict[str, Path]:
    """The files of a result by their names in the store: `file`, or the number of each picture of a folder."""
    if output.kind != "pictures":
        return {"file": made}
    return {path.name.split(".")[-2]: path for path in sorted(made.iterdir())}


def check_place(output: Output) -> None:
    """See that a deliverable can be put in its place, before any work is done.

    Raises:
        MediaError: it cannot, or its folder holds what is not the film's.
    """
    if output.kind != "pictures":
        check_output(output.path)
        return
    if output.path.is_file():
        raise MediaError(f"cannot write {output.path}: it is a file; name a folder for the pictures")
    check_output(output.path.with_name(f"{output.path.name}.folder"))
    if output.path.is_dir():
        ours = re.compile(rf"{re.escape(output.path.name)}\.\d{{6}}{re.escape(output.suffix)}")
        others = [path.name for path in output.path.iterdir() if not ours.fullmatch(path.name)]
        if others:
            raise MediaError(
                f"cannot write {output.path}: it holds {others[0]}, which is not of this film; name a new folder"
            )


def is_delivered(node: Node | None, output: Output, store: Store) -> bool:
    """What is at its place is what the store holds: by size and time of change, else by its bytes."""
    if node is None:
        return False
    places = _places(node, output)
    try:
        if output.kind == "pictures" and len(list(output.path.iterdir())) != len(places):
            return False
        return all(_is_there(path, blob, store) for path, blob in places)
    except OSError:
        return False


def put_in_place(node: Node, output: Output, store: Store) -> None:
    """Copies a result to its place, with its time of change, by which the next build knows it; whole or not at all.

    Raises:
        DamagedBlob: it is not what it was.
        MediaError: it cannot be written.
    """
    if output.kind != "pictures":
        with replacing(output.path) as part:
            _copy(node.outputs["file"], part, store)
        return
    part, old = hidden_beside(output.path), output.path.with_name(f".{output.path.name}.old")
    try:
        shutil.rmtree(old, ignore_errors=True)  # of one that was killed
        part.mkdir()
        for path, blob in _places(node, output):
            _copy(blob, part / path.name, store)
        if output.path.exists():
            output.path.replace(old)
        part.replace(output.path)
    except OSError as error:
        raise say_os_error(output.path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _places(node: Node, output: Output) -> list[tuple[Path, Blob]]:
    if output.kind != "pictures":
        return [(output.path, node.outputs["file"])]
    return [
        (output.path / f"{output.path.name}.{number}{output.suffix}", blob)
        for number, blob in node.outputs.items()
    ]


def _is_there(path: Path, blob: Blob, store: Store) -> bool:
    there, kept = path.stat(), store.blob_path(blob).stat()
    if (there.st_size, there.st_mtime_ns) == (kept.st_size, kept.st_mtime_ns):
        return True
    return there.st_size == blob.size and digest_file(path) == blob.digest


def _copy(blob: Blob, path: Path, store: Store) -> None:
    shutil.copyfile(store.proved(store.blob_path(blob)), path)
    state = store.blob_path(blob).stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
