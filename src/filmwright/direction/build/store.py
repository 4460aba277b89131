"""The store: results by the hash of what made them, shared by all films of this machine.

    blobs/ab/ab12....png     files by the BLAKE3 of their bytes
    nodes/ab/ab34....json    what a key stands for: its inputs, its outputs (blobs), the seconds it took
    films/ab56....json       what a film's nodes were when it was last built, for `explain`
    locks/ab34....           held while a process makes a key
    work/ab34....            where it does; of one that died, the next build removes what is half written
    users                    locked, shared, by every build, and alone by gc

in $FILMWRIGHT_HOME/store. Files are written aside, flushed to the disk and renamed, blobs before the node that names
them: a process that dies, or a machine, leaves nothing half there. A clock is never asked: blobs are known by size and
time of change as it was noted, and by their bytes where these differ; last use orders nodes and says no more. What
goes into another result, or out to somebody, is hashed before, once a process: disks rot without a new time of change.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blake3 import blake3

from filmwright.direction.build.node import Blob, DamagedBlob, Node, key_of
from filmwright.direction.build.sweep import Swept, blobs_in, remove_file, sweep
from filmwright.media.files import digest_file, is_left_over, say_os_error, write_atomic
from filmwright.spec.errors import BadRequest, MediaError
from filmwright.spec.home import home

__all__ = ["Blob", "DamagedBlob", "Node", "Store", "key_of"]

DAMAGED = 0
"""The time of change of a blob whose bytes were found wrong, which no blob was put there with."""


class Store:
    """The store in a folder; $FILMWRIGHT_HOME/store if none is given. Reading makes nothing on the disk."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or home() / "store"
        self._read: dict[
            str, tuple[tuple[int, ...], bool]
        ] = {}  # blobs that were hashed, and whether they were right

    def blob_path(self, blob: Blob) -> Path:
        """Where a blob lies."""
        return self.folder / "blobs" / blob.digest[:2] / blob.name

    def find(self, key: str, *, thorough: bool = False) -> Node | None:
        """The node of a key, if it is finished and all of its blobs are whole; `thorough` reads every byte of them."""
        node = self.recall(key)
        if node is None:
            return None
        whole = all(self._is_whole(blob, thorough=thorough) for blob in node.outputs.values())
        return node if whole else None

    def proved(self, path: Path) -> Path:
        """The path of a blob whose bytes are about to be used: all of them are read first, once a process.

        Raises:
            DamagedBlob: they are not what they were. From now on no result is found that has them.
        """
        if not self._is_right(path):
            raise DamagedBlob(path)
        return path

    def drop(self, path: Path) -> None:
        """Removes a blob, so that no result is found any more that has it.

        Raises:
            MediaError: the store cannot be written.
        """
        remove_file(path)

    def recall(self, key: str) -> Node | None:
        """What is written of a key, whether or not its blobs are whole."""
        try:
            node = Node.model_validate_json(self._node_path(key).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return node if node.key == key else None

    def note_use(self, nodes: Iterable[Node]) -> None:
        """Nodes are in use now, so gc takes them last; a store that cannot be written stays as it is."""
        for node in nodes:
            with contextlib.suppress(OSError):
                os.utime(self._node_path(node.key))

    def put(
        self,
        key: str,
        stage: str,
        inputs: Mapping[str, Any],
        files: Mapping[str, Path],
        seconds: float,
        facts: Mapping[str, Any] | None = None,
    ) -> Node:
        """Takes finished files over as the outputs of a key, by name; they are moved.

        Raises:
            MediaError: the store cannot be written, or the disk is full.
        """
        outputs = {name: self._take(path) for name, path in files.items()}
        node = Node(
            key=key,
            stage=stage,
            inputs=dict(inputs),
            outputs=outputs,
            seconds=round(seconds, 3),
            facts=dict(facts or {}),
        )
        self._write(self._node_path(key), node.model_dump_json(indent=1) + "\n")
        return node

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While a build works, gc waits outside. A store that cannot be written needs no such care."""
        self._make(self.folder)
        with _locked(self.folder / "users", shared=True) as got:
            if not got:
                raise BadRequest(f"gc is at work in {self.folder}: wait for it")
            self._sweep_dead()
            yield

    @contextmanager
    def making(self, key: str) -> Iterator[Path | None]:
        """A folder to work in, alone; None where another process makes this key now.

        The folder stays until the key is put: a run that died goes on by its name.

        Raises:
            MediaError: the store cannot be written.
        """
        work = self.folder / "work" / key
        self._make(self.folder / "locks")
        with _locked(self.folder / "locks" / key) as got:
            if not got:
                yield None
                return
            self._make(work)
            yield work
            if self._node_path(key).exists():
                shutil.rmtree(work, ignore_errors=True)

    def read_film(self, path: Path) -> dict[str, str]:
        """Node name -> key of a film's last build; empty if there was none."""
        try:
            content = json.loads(self._film_path(path).read_text("utf-8"))
            return {str(k): str(v) for k, v in content["nodes"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return {}

    def write_film(self, path: Path, nodes: Mapping[str, str]) -> None:
        """Remembers a film's nodes, if they have changed; a disk that refuses is no reason to stop."""
        if self.read_film(path) != nodes:
            content = {"path": str(path.absolute()), "nodes": dict(nodes)}
            with contextlib.suppress(MediaError):
                self._write(self._film_path(path), json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def read_paces(self) -> dict[str, float]:
        """Seconds a unit of work took last, by model; for the time left, nothing else."""
        try:
            content = json.loads((self.folder / "paces.json").read_text("utf-8"))
            return {str(k): float(v) for k, v in content.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def write_pace(self, model: str, pace: float) -> None:
        """Remembers a pace; a disk that refuses is no reason to stop."""
        with contextlib.suppress(MediaError):
            write_atomic(self.folder / "paces.json", json.dumps({**self.read_paces(), model: pace}) + "\n")

    def check(self, *, remove: bool = True) -> list[str]:
        """Reads every byte of every blob; names those that are not what they were, and removes them if `remove`."""
        damaged = []
        for path in sorted((self.folder / "blobs").glob("*/*")):
            if not path.name.startswith(".") and digest_file(path) != path.name.partition(".")[0]:
                damaged.append(str(path))
                if remove:
                    remove_file(path)
        return damaged

    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(size for size, _ in blobs_in(self.folder).values())

    def gc(self, keep: int, *, dry_run: bool = False) -> Swept:
        """Removes the nodes that were not used for longest until blobs take at most `keep` bytes, and what none needs.

        A `dry_run` only says what would go.

        Raises:
            BadRequest: a build is at work.
            MediaError: the store cannot be written.
        """
        if not self.folder.exists():
            return Swept(nodes=0, freed=0, kept=0)
        if dry_run:
            return sweep(self.folder, keep, dry_run=True)
        with _locked(self.folder / "users") as got:
            if not got:
                raise BadRequest(f"a build is at work in {self.folder}: wait for it, then sweep")
            return sweep(self.folder, keep)

    def _sweep_dead(self) -> None:
        """Removes what processes that died had half written; what others make now is locked."""
        for work in (self.folder / "work").glob("*"):
            dead = [path for path in work.rglob(".*") if is_left_over(path)]
            if not dead:
                continue
            with _locked(self.folder / "locks" / work.name) as got:
                for path in dead if got else ():
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        remove_file(path)

    def _is_whole(self, blob: Blob, *, thorough: bool) -> bool:
        path = self.blob_path(blob)
        try:
            state = path.stat()
        except OSError:
            return False
        known = self._read.get(path.name) == (_mark_of(state), False)
        if state.st_size == blob.size and state.st_mtime_ns == blob.changed and not thorough and not known:
            return True
        if state.st_size != blob.size or not self._is_right(path):
            return False
        with contextlib.suppress(
            OSError
        ):  # it was copied or touched: from now on it is known at a glance again
            os.utime(path, ns=(state.st_atime_ns, blob.changed))
            self._read[path.name] = _mark_of(path.stat()), True
        return True

    def _is_right(self, path: Path) -> bool:
        """Whether a blob's bytes are those that its name says; one that was found wrong is marked."""
        try:
            state = path.stat()
        except OSError:
            return False
        mark, right = self._read.get(path.name, ((), False))
        if mark == _mark_of(state):
            return right
        try:
            right = digest_file(path) == path.name.partition(".")[0]
        except MediaError:  # a disk that cannot read it
            right = False
        if not right and state.st_mtime_ns != DAMAGED:
            with contextlib.suppress(OSError):
                os.utime(path, ns=(state.st_atime_ns, DAMAGED))
                state = path.stat()
        self._read[path.name] = _mark_of(state), right
        return right

    def _take(self, path: Path) -> Blob:
        """Moves a file among the blobs, unless the same bytes are there already."""
        digest, state = digest_file(path), path.stat()
        blob = Blob(digest=digest, size=state.st_size, suffix=path.suffix, changed=state.st_mtime_ns)
        place = self.blob_path(blob)
        try:
            if self._is_right(place):
                path.unlink()
                return blob.model_copy(update={"changed": place.stat().st_mtime_ns})
            self._make(place.parent)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(place)
            _sync_folder(place.parent)
        except OSError as error:
            raise say_os_error(place, error) from error
        return blob

    def _write(self, path: Path, text: str) -> None:
        self._make(path.parent)
        write_atomic(path, text)
        _sync_folder(path.parent)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _no_store(self.folder, error) from error

    def _node_path(self, key: str) -> Path:
        return self.folder / "nodes" / key[:2] / f"{key}.json"

    def _film_path(self, path: Path) -> Path:
        name = blake3(os.fsencode(path.absolute())).hexdigest()[:32]
        return self.folder / "films" / f"{name}.json"


@contextmanager
def _locked(path: Path, *, shared: bool = False) -> Iterator[bool]:
    """Whether the lock was got; it ends with the block or the process."""
    try:
        file = path.open("ab")
    except OSError as error:
        raise _no_store(path.parent, error) from error
    with file:
        for wait in (0.02, 0.1, 0.0):
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(wait)
            else:
                yield True
                return
        yield False


def _mark_of(state: os.stat_result) -> tuple[int, ...]:
    """What says that a file is the one that was read."""
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _no_store(folder: Path, error: OSError) -> MediaError:
    told = say_os_error(folder / "store", error)
    return MediaError(f"the store {folder} cannot be used ({told}); or set FILMWRIGHT_HOME to another place")


def _sync_folder(folder: Path) -> None:
    """So that a new name outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
