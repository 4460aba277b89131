"""Timelines to files and back, by the ending of their name.

A file from outside is bounded in size, read strictly, and never obeyed: the media paths in it are words to compare,
nothing behind them is opened. What is written appears whole or not at all, and comes with the list of what it does not
hold. A bundle (.otioz) is a zip archive of `content.otio` and `media/`, as OpenTimelineIO reads it.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from filmwright.direction.timeline.edit import Edit, Event, Loss, Losses, Media, Sound, check_edit
from filmwright.direction.timeline.edl_read import MAX_EDL_BYTES, read_edl
from filmwright.direction.timeline.edl_write import write_edl
from filmwright.direction.timeline.fcp7_read import read_fcp7
from filmwright.direction.timeline.fcp7_write import write_fcp7
from filmwright.direction.timeline.fcpxml_read import read_fcpxml
from filmwright.direction.timeline.fcpxml_write import write_fcpxml
from filmwright.direction.timeline.xml_tree import MAX_XML_BYTES, parse_xml
from filmwright.media.files import check_output, replacing, write_atomic
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["CANNOT", "SUFFIXES", "Imported", "read_timeline", "write_timeline"]

SUFFIXES = (".otio", ".otioz", ".edl", ".xml", ".fcpxml")
MAX_ENTRIES = 100_000
CONTENT = "content.otio"
VERSION = "1.0.0"
XML_LOSES = frozenset({"fade.color", "title.style"})
CANNOT = {  # what a file of a format never tells, so that its absence is no change
    ".otio": frozenset[str](),
    ".edl": XML_LOSES
    | {
        "name",
        "size",
        "title",
        "sound",
        "sound.level",
        "sound.fade",
        "sound.role",
        "media.path",
        "media.range",
    }
    | {"marker.owner", "marker.color", "marker.duration", "marker.note"},
    ".xml": XML_LOSES | {"sound.role"},
    ".fcpxml": XML_LOSES | {"wipe", "marker.owner", "marker.color"},
}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was read: the edit, its format (a suffix), and sentences about what was passed over."""

    edit: Edit
    form: str
    notes: tuple[str, ...] = ()


def read_timeline(path: Path | str, *, rate: Rate | None = None, start: int | None = None) -> Imported:
    """The timeline of a file.

    Args:
        path: .otio, .otioz, .edl, .xml (Final Cut Pro 7) or .fcpxml.
        rate: frames a second of an EDL, which does not say it; other formats do.
        start: the frame of the first timecode of an EDL that begins with nothing.

    Raises:
        TimelineError: missing, too large, broken, or not of its format; names line and column where there are any.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        hint = "; take the Info.fcpxml out of it" if suffix == ".fcpxmld" else ""
        raise TimelineError(
            f"{path}: no timeline ends in {suffix or 'nothing'!r}, but {', '.join(SUFFIXES)}{hint}"
        )
    data = b"" if suffix == ".otioz" else _bytes(path, MAX_EDL_BYTES if suffix == ".edl" else MAX_XML_BYTES)
    place = str(path)
    if suffix in (".otio", ".otioz"):
        reader = _otio("otio_read")
        timeline = reader.parse_otio(_content(path) if suffix == ".otioz" else data, place)
        edit, notes = reader.edit_of(timeline)
        form = ".otio"
    elif suffix == ".edl":
        text, notes = _text(data)
        edit, more = read_edl(text, rate=rate, start=start, place=place)
        notes += more
        form = ".edl"
    else:
        root = parse_xml(data, place)
        if root.tag not in ("xmeml", "fcpxml"):
            raise TimelineError(
                f"{place}:{root.line}:{root.column}: <{root.tag}> is no timeline; export Final Cut Pro XML or FCPXML"
            )
        form = ".xml" if root.tag == "xmeml" else ".fcpxml"
        edit, notes = (read_fcp7 if form == ".xml" else read_fcpxml)(root, place)
    try:
        return Imported(edit=check_edit(edit), form=form, notes=tuple(notes))
    except TimelineError as error:
        raise TimelineError(f"{place}: {error}") from error


def write_timeline(edit: Edit, path: Path | str, *, media: Path | None = None) -> tuple[Loss, ...]:
    """Writes a timeline; gives what the file does not hold.

    Args:
        edit: what to write.
        path: where to; the ending says the format.
        media: for a bundle (.otioz), the folder whose files may go into it. Nothing outside of it is read.

    Raises:
        TimelineError: the format has no room for it.
        MediaError: the file cannot be written.
    """
    path = check_output(path, suffixes=SUFFIXES)
    suffix = path.suffix.lower()
    edit = check_edit(edit)
    losses: tuple[Loss, ...] = ()
    if suffix == ".otioz":
        return (*_bundle(edit, path, media), *_colours(edit, suffix))
    if suffix == ".otio":
        text = _json(edit)
    else:
        text, losses = {".edl": write_edl, ".xml": write_fcp7, ".fcpxml": write_fcpxml}[suffix](edit)
    write_atomic(path, text)
    return (*losses, *_colours(edit, suffix))


def _colours(edit: Edit, suffix: str) -> tuple[Loss, ...]:
    """Colour decisions, which only an EDL has words for that editors share."""
    losses = Losses()
    if suffix != ".edl":
        losses.add("grade", sum(event.cdl is not None for event in edit.events), "grades stay in the film")
    return tuple(losses.found)


def _otio(name: str) -> ModuleType:
    """The modules that need OpenTimelineIO, which an EDL does not."""
    from importlib import import_module

    try:
        return import_module(f"filmwright.direction.timeline.{name}")
    except ImportError as error:
        raise TimelineError(
            "OpenTimelineIO needs the extra `film`: pip install 'filmwright[film]'"
        ) from error


def _json(edit: Edit) -> str:
    return str(_otio("otio_write").timeline_of_edit(edit).to_json_string(indent=2)) + "\n"


def _bytes(path: Path, limit: int) -> bytes:
    try:
        if not path.is_file():
            what = "it is a folder" if path.is_dir() else "there is no such file"
            raise TimelineError(f"cannot read {path}: {what}; check the path")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise TimelineError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > limit:
        raise TimelineError(
            f"{path} has more than {limit} bytes, the limit for {path.suffix}; is it a timeline?"
        )
    return data


def _text(data: bytes) -> tuple[str, list[str]]:
    """The text of an EDL; old systems write Latin letters of one byte."""
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("latin-1"), ["the file is not UTF-8; its letters are taken as Latin-1"]


def _content(path: Path) -> bytes:
    """The timeline in a bundle, after a look at every name in it; no medium is unpacked."""
    if not path.is_file():
        raise TimelineError(f"cannot read {path}: there is no such file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise TimelineError(f"{path} holds {len(entries)} files, the limit is {MAX_ENTRIES}")
            for entry in entries:
                _check_entry(path, entry)
            if CONTENT not in archive.namelist():
                raise TimelineError(f"{path}: there is no {CONTENT} in it; is it an OpenTimelineIO bundle?")
            with archive.open(CONTENT) as file:
                data = file.read(MAX_XML_BYTES + 1)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
    ) as error:
        raise TimelineError(f"{path}: no zip archive that can be read: {error}; export it again") from error
    if len(data) > MAX_XML_BYTES:
        raise TimelineError(f"{path}: {CONTENT} has more than {MAX_XML_BYTES} bytes, the limit")
    return data


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename)
    drive = bool(name.parts) and ":" in name.parts[0]
    outside = name.is_absolute() or ".." in name.parts or "\\" in entry.filename or drive
    if outside or stat.S_ISLNK(entry.external_attr >> 16):
        raise TimelineError(
            f"{path}: the entry {entry.filename[:80]!r} leads out of the bundle; it is refused"
        )


def _bundle(edit: Edit, path: Path, folder: Path | None) -> tuple[Loss, ...]:
    """Writes a bundle; media within `folder` go into it."""
    packed: dict[Media, str] = {}
    files: dict[str, Path] = {}
    missing = 0
    parts: list[Event | Sound] = [*edit.events, *edit.sounds]
    for found in dict.fromkeys(part.media for part in parts if part.media is not None):
        source = _inside(found.path, folder)
        if source is None:
            missing += 1
            continue
        name = next((name for name, known in files.items() if known == source), None)
        if name is None:
            file_name, count = PurePosixPath(found.file_name), 1
            name = f"media/{file_name}"
            while name in files:
                count += 1
                name = f"media/{file_name.stem}-{count}{file_name.suffix}"
            files[name] = source
        packed[found] = name

    def moved(media: Media | None) -> Media | None:
        return replace(media, path=packed[media]) if media in packed and media is not None else media

    inside = replace(
        edit, events=tuple(replace(event, media=moved(event.media)) for event in edit.events),
        sounds=tuple(replace(sound, media=moved(sound.media)) for sound in edit.sounds),
    )  # fmt: skip
    content = _json(inside)
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(CONTENT, content, compress_type=zipfile.ZIP_DEFLATED)
        archive.writestr("version.txt", VERSION)
        for name, source in files.items():
            with source.open("rb") as file, archive.open(name, "w", force_zip64=True) as entry:
                shutil.copyfileobj(file, entry, 1 << 20)
    where = f"in {folder}" if folder is not None else "in a folder that was named with --media"
    losses = Losses()
    losses.add("media.path", len(packed), "media lie in the bundle, so that their paths change")
    losses.add("media", missing, f"media are not in the bundle, as they are not {where}")
    return tuple(losses.found)


def _inside(path: str, folder: Path | None) -> Path | None:
    """The file of a path if it lies in the folder, links followed; None if not."""
    if folder is None or "://" in path[:12] or "\0" in path:
        return None
    root = folder.resolve()
    found = (root / path).resolve()
    return found if found.is_relative_to(root) and found.is_file() else None
