"""A film file's edit to an editor, and what the editor did back into the file.

Out goes the cut with media of constant names, `<film>_<shot>_v<take>.mp4`, of a private film without their words. Back
come trims, order, speeds, transitions and fades into the file's `edit`; a shot that became longer than its handles gets
more frames, so that the next build renders it and nothing else. What a film cannot say (black between shots, clips that
are none of its shots, backwards, titles and sounds that moved) is listed. The file is changed through ruamel.yaml,
which keeps comments and order, and only if the result is a film without mistakes; then its cut is compared with what
was asked.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from io import StringIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from filmwright.direction.film.opened import OpenFilm, open_film
from filmwright.direction.film.read import read_text, yaml
from filmwright.direction.timeline.changes import Difference, difference
from filmwright.direction.timeline.edit import Edit, Event, Loss, Marker, plain_text
from filmwright.direction.timeline.exchange import CANNOT, Imported
from filmwright.direction.timeline.from_cut import WIPES, edit_of_cut
from filmwright.direction.timeline.match import match
from filmwright.media.files import digest_file, replacing, write_atomic
from filmwright.spec.errors import BadFilm, BadRequest, TimelineError, WeightsError
from filmwright.spec.timecode import Rate
from filmwright.weights.card import load_card

__all__ = ["TakenOver", "copy_media", "edit_of_film", "is_private", "media_name", "take_over"]

SLOWEST, FASTEST = 0.1, 10.0  # of a film's edit
DIRECTIONS = {code: direction for direction, code in WIPES.items()}
OWN = ("trim", "speed", "transition", "fade_in", "fade_out")  # keys of an entry that an editor decides


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """What came back: all changes, what the film does not take over, the shots to render again, the new text.

    With a `refusal` the film cannot take it over at all, and the text is as it was.
    """

    found: Difference
    left: tuple[str, ...]
    rerender: Mapping[str, int]  # shot: frames it now has
    text: str
    refusal: str = ""


def media_name(film: OpenFilm, shot: str, take: int) -> str:
    """The name that a shot's take has for editors, always the same."""
    return f"{film.path.stem}_{shot}_v{take:03d}.mp4"


def is_private(film: OpenFilm) -> bool:
    """Whether a film keeps its words to itself: its file says so, or its last build with --private."""
    from filmwright.direction.build.store import Store

    store = Store()
    built = (store.recall(key) for name, key in store.read_film(film.path).items() if name.startswith("->"))
    return film.film.private or any(
        node and (node.inputs.get("signed") or {}).get("private") for node in built
    )


def edit_of_film(film: OpenFilm, folder: Path, rate: Rate | None = None) -> tuple[Edit, tuple[Loss, ...]]:
    """The edit of a film whose media lie, or will lie, in a folder.

    Args:
        film: the film; its shots need not be rendered.
        folder: of the media.
        rate: 23.976 for a film of 24: the same frames, played a thousandth slower.

    Raises:
        TimelineError: a rate of another timebase, or a cut that cannot be played.
    """
    edit, losses = edit_of_cut(film.cut())
    if rate is not None:
        if rate.timebase != edit.rate.timebase:
            raise TimelineError(
                f"the film has {edit.rate.said} frames a second, which cannot be told as {rate.said}: only the same "
                f"number less a thousandth can; give the film another fps, or leave --fps out"
            )
        edit = replace(edit, rate=rate)
    notes = [entry.note for entry in film.film.edit or ()] or [None] * len(edit.events)
    events = (
        replace(
            event,
            media=replace(event.media, path=str(folder / media_name(film, event.shot, event.take))),
            markers=(Marker(at=0, name=plain_text(note)),) if note else (),
        )
        for event, note in zip(edit.events, notes, strict=True)
        if event.media is not None
    )
    return replace(edit, events=tuple(events)), losses


def copy_media(film: OpenFilm, folder: Path, *, private: bool = False) -> tuple[list[str], dict[str, str]]:
    """Copies the rendered takes that the cut plays into a folder; gives the names there, and why others are not.

    `private` copies have the same frames, and credentials that name no prompt, model or seed.

    Raises:
        BadRequest: an earlier copy, which there is nothing to put in place of, holds words that are private now.
        CredentialsError: private copies cannot be signed.
        MediaError: the folder cannot be written.
    """
    from filmwright.direction.build.graph import Step, Take
    from filmwright.direction.build.private import private_clip
    from filmwright.direction.build.status import states
    from filmwright.direction.build.store import DamagedBlob, Store

    store = Store()
    played = {event.source.shot for event in film.cut().events}
    done: list[str] = []
    missing: dict[str, str] = {}
    try:
        found = states(film, store)
    except (
        WeightsError
    ) as error:  # without its model nobody knows what was rendered; the cut is told all the same
        missing = dict.fromkeys(sorted(played), str(error))
        if private:
            _check_words(film, folder, missing)
        return [], missing
    last = {
        state.shot: state for state in found if state.shot in played and state.selected
    }  # after all of its post
    for shot, state in last.items():
        result, node = state.result, state.result.node
        assert shot is not None
        assert isinstance(result, Take | Step)
        if state.state != "clean" or node is None:
            missing[shot] = "not rendered yet"
            continue
        target = folder / media_name(film, shot, result.draft.take)
        try:
            source = store.proved(store.blob_path(node.outputs["clip"]))
            if private:
                fps = result.draft.request.fps
                if isinstance(result, Step):
                    fps = int(result.stage.shaped(result.shape).fps)
                source = private_clip(node, target.name, fps, store, film.post.get(shot, ()))
        except DamagedBlob:
            missing[shot] = "damaged in the store"
            continue
        if not (target.is_file() and digest_file(target) == digest_file(source)):
            with replacing(target) as part:
                shutil.copyfile(source, part)
        done.append(target.name)
    if private:
        _check_words(film, folder, missing)
    return done, missing


def _check_words(film: OpenFilm, folder: Path, shots: Iterable[str]) -> None:
    from filmwright.provenance.manifest import GENERATION

    selected = film.selected()
    for shot in shots:
        path = folder / media_name(film, shot, selected[shot].take)
        if not path.is_file() or not path.stat().st_size:
            continue
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            if content.find(GENERATION.encode()) >= 0:
                raise BadRequest(
                    f"{path} is of an earlier export and holds the words of shot {shot}, which are private: build the "
                    "film, or remove the file"
                )


def take_over(film: OpenFilm, folder: Path, came: Imported, *, write: bool = True) -> TakenOver:
    """Puts what an editor changed into the film file.

    Args:
        film: the film as it is.
        folder: of the media that the editor had.
        came: what came back.
        write: False only looks.

    Where the film would have mistakes they are the `refusal`, and the file stays as it is.

    Raises:
        BadRequest: no clip is one of the film's.
        TimelineError: the rates differ.
    """
    rate = came.edit.rate
    ours, _ = edit_of_film(film, folder)
    ours = replace(ours, rate=rate) if rate.timebase == ours.rate.timebase else ours
    found = difference(ours, came.edit, cannot=CANNOT[came.form])
    ours_of = {j: i for i, j in match(ours, came.edit).pairs}
    left = [
        change.sentence for change in found.changes if change.kind in {"unknown", "gap", "title", "sound"}
    ]
    longer = _longer(found)
    data = yaml().load(read_text(film.path))
    entries = _entries(film, data)
    made: list[Any] = []
    wanted: list[Event] = []
    for j, event in enumerate(found.merged.events):
        if event.shot not in {shot.id for shot in film.film.shots}:
            continue
        entry = deepcopy(entries[ours_of[j]]) if j in ours_of else CommentedMap({"shot": event.shot})
        old = ours.events[ours_of[j]] if j in ours_of else None
        if old is None or _asked(old) != _asked(event) or event.shot in longer:
            joined = bool(made) and j > 0 and found.merged.events[j - 1] is wanted[-1]
            _change(entry, event, rate.timebase, longer.get(event.shot, (0, 0))[0], left, joined=joined)
        made.append(entry)
        wanted.append(event)
    if not made:
        raise BadRequest(
            "nothing of the film is left in the cut that came back: no clip is known as one of its shots"
        )
    if not found.changes:
        return TakenOver(found=found, left=(), rerender={}, text=read_text(film.path))
    data["edit"] = _sequence(data.get("edit"), made)
    out = StringIO()
    try:
        frames = _lengthen(film, data, longer)
        yaml().dump(data, out)
        left += _compare(film.path, out.getvalue(), wanted, longer)
    except BadRequest as error:
        return TakenOver(
            found=found, left=tuple(left), rerender={}, text=read_text(film.path), refusal=str(error)
        )
    if write:
        write_atomic(film.path, out.getvalue())
    return TakenOver(found=found, left=tuple(left), rerender=frames, text=out.getvalue())


def _asked(event: Event) -> tuple[object, ...]:
    """What an editor decides of an event."""
    join = event.join
    return (
        event.source_start, event.duration, event.speed, event.fade_in, event.fade_out,
        (join.kind, join.frames, join.wipe) if join is not None else None,
    )  # fmt: skip


def _longer(found: Difference) -> dict[str, tuple[int, int]]:
    """Frames more before and after, by shot; the most that any use of it needs."""
    need: dict[str, tuple[int, int]] = {}
    for change in found.changes:
        if change.kind == "rerender":
            head, tail = need.get(change.shot, (0, 0))
            need[change.shot] = max(head, change.after["more_before"]), max(tail, change.after["more_after"])
    return need


def _entries(film: OpenFilm, data: Any) -> list[Any]:
    """The entries of the file's edit, or those that it means by having none."""
    if film.film.edit is not None:
        return list(data["edit"])
    return [CommentedMap({"shot": event.source.shot}) for event in film.cut().events]


def _sequence(old: Any, entries: list[Any]) -> Any:
    """The list of entries, written as the old one was; comments between entries go with it."""
    found = CommentedSeq(entries)
    if isinstance(old, CommentedSeq):
        found.ca.comment = old.ca.comment
        if old.ca.end:
            found.ca.end = old.ca.end
        last = old.ca.items.get(len(old) - 1)
        if last is not None:  # the lines between the list and what follows it hang on its last entry
            found.ca.items[len(entries) - 1] = last
    return found


def _change(entry: Any, event: Event, fps: int, ahead: int, left: list[str], *, joined: bool) -> None:
    """Writes an event's values into an entry of the file; `ahead` frames will be put before the shot's first."""
    for key in OWN:
        entry.pop(key, None)
    speed = float(event.speed)
    if not SLOWEST <= speed <= FASTEST:
        left.append(f"{event.shot}: a film cannot play at {speed:g} times the speed; it plays at full speed")
        speed = 1.0
    frames = max(round(event.duration * speed), 1)
    if event.join is not None and not joined:
        left.append(f"{event.shot}: its transition is left out, as the clip before it is")
    first = event.source_start + ahead
    entry["trim"] = _flow([_seconds(first, fps), _seconds(first + frames, fps)])
    if speed != 1:
        entry["speed"] = round(speed, 6)
    if event.join is not None and joined:
        words = CommentedMap({"kind": event.join.kind, "seconds": _seconds(event.join.frames, fps)})
        if event.join.kind == "wipe":
            words["direction"] = DIRECTIONS.get(event.join.wipe, "right")
            if event.join.wipe not in DIRECTIONS:
                left.append(f"{event.shot}: wipe {event.join.wipe} becomes one that moves right")
        words.fa.set_flow_style()
        entry["transition"] = words
    for key, value in (("fade_in", event.fade_in), ("fade_out", event.fade_out)):
        if value:
            entry[key] = _seconds(value, fps)


def _flow(values: list[float]) -> CommentedSeq:
    found = CommentedSeq(values)
    found.fa.set_flow_style()
    return found


def _seconds(frames: int, fps: int) -> float:
    return round(frames / fps, 6)


def _lengthen(film: OpenFilm, data: Any, longer: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Gives shots the frames that they need, or the next length that their model makes.

    Raises:
        BadRequest: their model makes no clip so long.
    """
    made: dict[str, int] = {}
    sources = {event.source.shot: event.source for event in film.cut().events}
    drafts = film.selected()
    for sequence in data["sequences"]:
        for shot in sequence["shots"]:
            need = longer.get(shot["id"])
            if need is None:
                continue
            source = sources[shot["id"]]
            least = source.num_frames + math.ceil(sum(need) * source.fps / film.cut().fps)
            lengths = load_card(drafts[shot["id"]].request.model).lengths
            if least > lengths[-1]:
                slower = math.floor(100 * lengths[-1] / least) / 100
                raise BadRequest(
                    f"{film.path} cannot take this cut over: shot {shot['id']} would need {least} frames, its model "
                    f"makes {lengths[-1]} at most; play it at {slower:g} of its speed in the editor, or let another "
                    "shot continue it"
                )
            frames = next((length for length in lengths if length >= least), least)
            shot.pop("seconds", None)
            shot["frames"] = made[shot["id"]] = frames
    return made


def _compare(path: Path, text: str, wanted: list[Event], longer: Mapping[str, tuple[int, int]]) -> list[str]:
    """What the film would play otherwise than was asked.

    Raises:
        BadRequest: it would have mistakes.
    """
    aside = path.with_name(f".{path.stem}.taken{path.suffix}")
    try:
        write_atomic(aside, text)
        edit, _ = edit_of_cut(open_film(aside).cut())
    except (BadFilm, TimelineError) as error:
        reason = plain_text(str(error).replace(aside.name, path.name), 300)
        raise BadRequest(
            f"{path} cannot take this cut over: {reason}; change the cut, or the film by hand"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    told = []
    for asked, got in zip(wanted, edit.events, strict=True):
        ahead = longer.get(asked.shot, (0, 0))[0]
        if (got.source_start - ahead, got.duration) != (asked.source_start, asked.duration):
            told.append(
                f"{asked.shot}: plays {got.duration} frames from {got.source_start}, the editor's "
                f"{asked.duration} from {asked.source_start + ahead}: at this speed not every length can be had"
            )
    return told
