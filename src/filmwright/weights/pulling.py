"""Pulling a model: its files into one folder, whole and with the right hashes or not at all, and onto the list.

The download of `huggingface_hub` 2 throws an unfinished file away, so the bytes are written here (decision 0009):
appended to NAME.part, hashed as they come, asked for from where they stopped, and renamed once their hash is the hub's
(SHA-256 of a file in LFS, else git's SHA-1). `.pull.json` in the folder says of which commit it is and what is done, so
that a killed pull goes on with the same files, and what is done is not hashed again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, field_validator

from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.home import home
from filmwright.spec.plan import say_bytes
from filmwright.weights.hub import (
    Dropped,
    HubFile,
    HubListing,
    is_inside,
    list_files,
    saying_why,
    stream_file,
    unreachable,
)
from filmwright.weights.places import Place, WeightsFile, keep, places, weights_in

if TYPE_CHECKING:
    from filmwright.weights.card import ModelCard

__all__ = [
    "OnBytes",
    "already_pulled",
    "bytes_there",
    "default_folder",
    "delete_pulled",
    "list_pull",
    "pull",
    "pulled_names",
]

RECORD = ".pull.json"
MARGIN = 1 << 29  # bytes of the disk that a pull leaves free
WAITS: tuple[float, ...] = (
    1,
    2,
    4,
    8,
    16,
)  # seconds before trying again; all of them anew once bytes have come
CHUNK = 1 << 20

OnBytes = Callable[[HubFile, int], None]
"""(the file that comes, bytes of the whole pull that are there)."""


class _Record(BaseModel):
    """What lies in a folder because it was pulled."""

    model_config = ConfigDict(extra="forbid")

    hub: str
    revision: str
    files: dict[str, WeightsFile] = {}

    @field_validator("files")
    @classmethod
    def _are_inside(cls, files: dict[str, WeightsFile]) -> dict[str, WeightsFile]:
        """What is deleted by its name here must lie in the folder, whoever wrote the record."""
        if not all(is_inside(name) for name in files):
            raise ValueError("a file lies outside of the folder")
        return files

    def write(self, folder: Path) -> None:
        aside = folder / f"{RECORD}.{os.getpid()}"
        try:
            aside.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
            aside.replace(folder / RECORD)
        finally:
            aside.unlink(missing_ok=True)


def default_folder(model: str) -> Path:
    """Where a model is pulled to if nobody says where."""
    return home() / "models" / model


def already_pulled(card: ModelCard, folder: Path) -> Place | None:
    """Where a model lies that was pulled into this folder, if nothing is missing or changed; the hub is not asked."""
    place = places().get(card.name)
    if place is None or not place.pulled or place.path != folder.resolve():
        return None
    record = _record(folder)
    if (
        record is None
        or record.revision != place.revision
        or record.revision != (card.revision or record.revision)
    ):
        return None
    return place if all(f.is_as_it_was(folder / name) for name, f in record.files.items()) else None


def list_pull(card: ModelCard, folder: Path) -> HubListing:
    """The files of a model: at its card's revision, else at that of an earlier pull, else where main stands now.

    Raises:
        BadRequest: the model is not on the hub.
        HubError: the hub cannot be reached, or does not give them.
    """
    record, place = _record(folder), places().get(card.name)
    before = record.revision if record and record.hub == card.hub else place.revision if place else None
    return list_files(card, card.revision or before, folder)


def pull(listing: HubListing, folder: Path, on_bytes: OnBytes | None = None) -> Place:
    """Fetches what is not there yet, and puts the model on the list of this machine.

    Raises:
        BadRequest: the folder holds other weights, or another pull is writing to it.
        HubError: the hub broke off or refuses; what has come is kept.
        WeightsError: too little room on the disk, or a file is not what the hub says it is.
    """
    record = _record(folder)
    ours = {} if record is None else record.files
    if others := sorted(weights_in(folder).keys() - {f.name for f in listing.files} - ours.keys()):
        raise BadRequest(
            f"{folder} holds other weights ({others[0]}): pull into another folder with --to DIR"
        )
    _check_room(listing, folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            return _pull(listing, folder, ours, on_bytes)


def _pull(listing: HubListing, folder: Path, ours: dict[str, WeightsFile], on_bytes: OnBytes | None) -> Place:
    record = _Record(hub=listing.hub, revision=listing.revision, files=dict(ours))
    record.write(folder)
    done = 0
    for file in listing.files:

        def tell(count: int, file: HubFile = file, before: int = done) -> None:
            if on_bytes:
                on_bytes(file, before + count)

        record.files[file.name] = _have(listing, file, folder, ours.get(file.name), tell)
        record.write(folder)
        done += file.size
    for name in record.files.keys() - {file.name for file in listing.files}:  # of an earlier commit
        (folder / name).unlink(missing_ok=True)
        del record.files[name]
    record.write(folder)
    place = Place(
        path=folder.resolve(),
        files={name: f for name, f in record.files.items() if name.endswith(".safetensors")},
        revision=listing.revision,
        pulled=True,
    )
    keep(listing.model, place)
    return place


def _have(
    listing: HubListing, file: HubFile, folder: Path, known: WeightsFile | None, tell: Callable[[int], None]
) -> WeightsFile:
    """A file that lies whole in the folder, fetched if it was not there; `tell` hears how many of its bytes are."""
    path = folder / file.name
    mine = known is not None and known.is_as_it_was(path)
    if mine and known is not None and known.sha256 == file.sha256:
        tell(file.size)
        return known
    if path.exists():
        digest = _Digest(file)
        if path.stat().st_size == file.size:
            digest.read(path)
        if digest.found == digest.wanted:
            tell(file.size)
            return digest.of(path)
        if not mine:
            raise BadRequest(f"{path} is not what {listing.hub} has there: remove it, or pull with --to DIR")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    digest = _fetch(listing, file, part, folder, tell)
    if digest.found != digest.wanted:
        part.unlink()
        raise WeightsError(
            f"{file.name} came with the hash {digest.found[:12]}... and the hub says {(digest.wanted or '')[:12]}...: "
            "it was damaged on the way and is removed; pull again"
        )
    part.replace(path)
    return digest.of(path)


def _fetch(
    listing: HubListing, file: HubFile, part: Path, folder: Path, tell: Callable[[int], None]
) -> _Digest:
    """Completes `part`; a broken connection is taken up again where it broke, until nothing more comes."""
    digest = _Digest(file)
    if part.exists() and part.stat().st_size <= file.size:
        digest.read(part)
    with part.open("ab" if digest.count else "wb") as out:
        waits = iter(WAITS)
        while digest.count < file.size:
            before, why = digest.count, "it stopped sending"
            try:
                with saying_why(listing.hub, listing.model, folder):
                    for chunk in stream_file(listing.hub, listing.revision, file.name, before):
                        out.write(chunk)
                        digest.update(chunk)
                        tell(min(digest.count, file.size))
            except Dropped as error:
                why = str(error)
            if digest.count > before:
                waits = iter(WAITS)
                continue
            wait = next(waits, None)
            if wait is None:
                raise unreachable(listing.hub, listing.model, folder, why)
            time.sleep(wait)
        out.flush()
        os.fsync(out.fileno())
    tell(file.size)
    return digest


class _Digest:
    """SHA-256 of a file that comes in pieces, and git's SHA-1 where the hub tells no other."""

    def __init__(self, file: HubFile) -> None:
        self.file, self.count = file, 0
        self._sha256 = hashlib.sha256()
        self._blob = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        """More of the file."""
        self.count += len(piece)
        self._sha256.update(piece)
        if self.file.sha256 is None:
            self._blob.update(piece)

    def read(self, path: Path) -> None:
        """All that lies in a file already."""
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                self.update(piece)

    @property
    def found(self) -> str:
        """The hash in hex, of the kind that the hub tells."""
        return (self._blob if self.file.sha256 is None else self._sha256).hexdigest()

    @property
    def wanted(self) -> str | None:
        """What the hub says."""
        return self.file.sha256 or self.file.blob

    def of(self, path: Path) -> WeightsFile:
        """The file as it lies there, with this hash."""
        state = path.stat()
        return WeightsFile(sha256=self._sha256.hexdigest(), size=state.st_size, changed=state.st_mtime_ns)


def pulled_names(place: Place) -> list[str]:
    """The files that pulls have put into a model's folder, if that is under this program's own; else none."""
    root = home().resolve() / "models"
    record = _record(place.path)
    if not place.pulled or record is None or not place.path.is_relative_to(root) or place.path == root:
        return []
    return [name for name in sorted(record.files) if (place.path / name).is_file()]


def delete_pulled(place: Place) -> None:
    """Deletes these files, what is left of unfinished ones, and the folders that are empty then.

    Raises:
        WeightsError: a file cannot be deleted.
    """
    names = [*pulled_names(place), RECORD]
    try:
        for name in names:
            (place.path / name).unlink(missing_ok=True)
            (place.path / f"{name}.part").unlink(missing_ok=True)
        folders = {place.path, *((place.path / name).parent for name in names)}
        for folder in sorted(folders, key=lambda p: -len(p.parts)):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise WeightsError(f"{error.filename} cannot be deleted ({error.strerror})") from error


def bytes_there(listing: HubListing, folder: Path) -> int:
    """How much of a listing lies in a folder already, by the sizes of files and unfinished ones."""
    count = 0
    for file in listing.files:
        for path in (folder / file.name, folder / f"{file.name}.part"):
            if path.is_file():
                count += min(path.stat().st_size, file.size)
                break
    return count


def _check_room(listing: HubListing, folder: Path) -> None:
    """Raises WeightsError where the disk has not room for what is missing."""
    disk = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(disk).free
    needed = listing.bytes - bytes_there(listing, folder) + MARGIN
    if free < needed:
        raise WeightsError(
            f"{listing.model} needs {say_bytes(needed)} on the disk of {folder} and {say_bytes(free)} is free: free "
            f"{say_bytes(needed - free)}, or pull to another disk with --to DIR; nothing was written"
        )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns the operating system's refusals to write into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise WeightsError(
                f"the disk of {folder} is full: free some space and pull again, it goes on where it stopped"
            ) from error
        raise WeightsError(
            f"{folder} cannot be written ({error.strerror or error}): pull with --to DIR"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a folder against other pulls.

    Raises:
        BadRequest: another one is at it.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BadRequest(f"another pull writes to {folder}: wait for it, or pull with --to DIR") from error
    finally:
        os.close(lock)


def _record(folder: Path) -> _Record | None:
    """What a folder's record says; None where there is none, or it is damaged, which only costs hashing anew."""
    try:
        return _Record.model_validate_json((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
