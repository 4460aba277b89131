"""A finished file becomes another: decode -> fit or filter -> encode -> sign, with constant memory and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from filmwright.media.deliver import Delivered, check_target, deliver
from filmwright.media.formats import DELIVERIES, Delivery, Hdr, check_delivery, check_timecode
from filmwright.media.source import Source, open_source
from filmwright.media.stills import poster, save_still, sheet
from filmwright.spec.cut import START_TIMECODE
from filmwright.spec.errors import BadRequest, TimelineError
from filmwright.spec.events import Finished, OnEvent, Progress, Started, Warned

if TYPE_CHECKING:
    from filmwright.media.post.files import Posted
    from filmwright.provenance.manifest import Change
    from filmwright.provenance.signing import Signed
    from filmwright.spec.post import PostStage

__all__ = ["DeliveredFile", "default_name", "deliver_file", "derived_seal", "post_clip", "still_file"]

PACE = 0.1  # seconds between two events of progress


@dataclass(frozen=True, kw_only=True)
class DeliveredFile:
    """What was written, and how it was signed; None where it was not."""

    delivered: Delivered
    signed: Signed | None


def derived_seal(
    parent: Path, title: str, *, changes: Sequence[Change], private: bool = False, many: bool = False
) -> tuple[Callable[[Path], object], list[Signed]]:
    """What signs a finished file called `title` as made from `parent`, and the list that it puts each signature into.

    A `private` one does not name its parent, whose credentials may hold words. With `many` files, such as the pictures
    of a sequence, the parent is read and hashed once.

    Raises:
        CredentialsError: the keys are unsafe or cannot be written.
    """
    from filmwright.provenance.authority import open_authority
    from filmwright.provenance.manifest import derived_manifest, unnamed_manifest
    from filmwright.provenance.signing import SharedManifest, can_hold, sign_file
    from filmwright.provenance.verdict import verify_file

    authority = open_authority()
    if private:
        verdict = verify_file(parent) if can_hold(parent) else None
        if verdict is None or verdict.state in {"stripped", "unsigned"}:  # nothing but its name could tell
            manifest = derived_manifest(title, parent, changes=changes, parent_title="source")
        else:
            kind = verdict.made.kind if verdict.made is not None else ""
            manifest = unnamed_manifest(title, kind or "composite", changes=changes)
    else:
        manifest = derived_manifest(title, parent, changes=changes)
    shared = SharedManifest(manifest, authority=authority) if many else None
    done: list[Signed] = []

    def seal(path: Path) -> None:
        done.append(shared.sign(path) if shared else sign_file(path, manifest, authority=authority))

    return seal, done


def deliver_file(
    source: Path | str,
    path: Path | str,
    *,
    format: str,  # noqa: A002 (the word that users type)
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    hdr: Hdr | None = None,
    loudness: float | None = None,
    timecode: str | None = None,
    sign: bool = True,
    private: bool = False,
    on_event: OnEvent | None = None,
) -> DeliveredFile:
    """Deliver a clip or film file in another form; see `media.deliver.deliver`.

    The timecode is the source's own if not given, where it has one that exists at the rate, else 01:00:00:00.

    Signed, it names the file that it was made from, whose own chain back to the prompts it holds, unless `private`.

    Raises:
        BadRequest: the form cannot hold it, or it would overwrite its source; nothing was begun.
        TimelineError: no timecode, or one that does not exist at the rate; nothing was begun.
        CredentialsError: the keys are unsafe or cannot be written.
        MediaError: it cannot be read or written; nothing is left.
    """
    tell = on_event or (lambda _: None)
    opened = open_source(source)
    width, height = size or (opened.width, opened.height)
    audio = opened.audio()
    rate = fps or opened.fps
    form = check_delivery(
        format,
        width=width,
        height=height,
        fps=rate,
        hdr=hdr is not None,
        loudness=loudness,
        sound=audio is not None,
    )
    start = _timecode(timecode, opened, rate, form)
    target = check_target(path, form)
    if target.exists() and target.samefile(opened.path):
        raise BadRequest(f"{target} would overwrite the file that it is made from: give another with -o")
    seal: Callable[[Path], object] | None = None
    done: list[Signed] = []
    if sign and _signable(form.suffix, tell):
        _warn_of_changes(opened.path, tell)
        changes = (("c2pa.transcoded", form.said),)
        many = form.kind == "pictures"
        seal, done = derived_seal(opened.path, target.name, changes=changes, private=private, many=many)
    total = round(opened.num_frames / opened.fps * rate)
    tell(Started(stage="write", total=total))
    began = said = time.monotonic()

    def step(count: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= PACE:
            said = now
            left = (now - began) / count * (total - count) if total else None
            tell(Progress(stage="write", done=count, total=total, seconds_left=left))

    delivered = deliver(
        opened.frames(size=size, fps=fps),
        target,
        format=format,
        width=width,
        height=height,
        fps=rate,
        audio=audio,
        hdr=hdr,
        loudness=loudness,
        comment=_mark() if seal is not None else None,
        timecode=start,
        seal=seal,
        on_frame=step,
    )
    for note in delivered.notes:
        tell(Warned(code="delivery", message=note))
    tell(Finished(stage="write", seconds=time.monotonic() - began))
    return DeliveredFile(delivered=delivered, signed=done[0] if done else None)


def _timecode(asked: str | None, source: Source, rate: Fraction, form: Delivery) -> str:
    if asked is not None:
        if not form.timed:
            able = " or ".join(name for name, other in DELIVERIES.items() if other.timed)
            raise BadRequest(f"{form.name} carries no timecode: leave it out, or take {able}")
        return check_timecode(asked, rate)
    with suppress(TimelineError):
        return check_timecode(source.timecode or START_TIMECODE, rate)
    return START_TIMECODE


def post_clip(
    source: Path,
    target: Path,
    stages: Sequence[PostStage],
    *,
    sign: bool = True,
    private: bool = False,
    on_event: OnEvent | None = None,
) -> tuple[Posted, Signed | None]:
    """Write a clip through stages of post; see `media.post.files.post_file`. Signed as a delivery is.

    Raises:
        BadRequest: the stages cannot be run on it, or both are one file; nothing was begun.
        CredentialsError: the keys are unsafe or cannot be written.
        MediaError: it cannot be read or written; nothing is left.
    """
    from filmwright.media.post.files import clip_shape, post_file

    tell = on_event or (lambda _: None)
    clip_shape(source)  # what is no clip is told before anything of its credentials
    seal: Callable[[Path], object] | None = None
    done: list[Signed] = []
    if sign and _signable(target.suffix, tell):
        from filmwright.provenance.manifest import post_changes

        _warn_of_changes(source, tell)
        seal, done = derived_seal(source, target.name, changes=post_changes(stages), private=private)
    posted = post_file(source, target, stages, comment=_mark() if seal else None, seal=seal, on_event=tell)
    return posted, done[0] if done else None


def still_file(
    source: Path | str,
    path: Path | str,
    *,
    kind: str,
    count: int = 12,
    columns: int = 4,
    width: int = 320,
    sign: bool = True,
    on_event: OnEvent | None = None,
) -> tuple[Path, tuple[int, int], int | None]:
    """Write the poster of a video file, or a sheet of it (`kind`): its path, size, and the poster's frame.

    Raises:
        BadRequest: the sheet does not fit a page.
        CredentialsError: the keys are unsafe or cannot be written.
        MediaError: the file cannot be read, or the picture cannot be written.
    """
    opened = open_source(source)
    number: int | None = None
    if kind == "poster":
        frame, number = poster(opened)
        picture, what = Image.fromarray(frame), f"frame {number}"
    else:
        picture, what = sheet(opened, count=count, columns=columns, width=width), "contact sheet"
    seal = None
    tell = on_event or (lambda _: None)
    if sign and _signable(Path(path).suffix, tell):
        _warn_of_changes(opened.path, tell)
        seal, _ = derived_seal(opened.path, Path(path).name, changes=(("c2pa.edited", what),))
    written = save_still(picture, path, comment=_mark() if seal else None, seal=seal)
    return written, picture.size, number


def default_name(source: Path, format: str) -> Path:  # noqa: A002
    """Where a delivery goes when nothing is said: beside its source, `film-h265.mp4`, `film-png`."""
    form = DELIVERIES.get(format)
    suffix = "" if form is None or form.kind == "pictures" else form.suffix
    return source.with_name(f"{source.stem}-{format}{suffix}")


def _signable(suffix: str, tell: OnEvent) -> bool:
    from filmwright.provenance.signing import can_hold, can_sign

    if not can_hold(Path(f"film{suffix}")):
        message = f"NOT SIGNED: {suffix} files cannot carry content credentials"
        tell(Warned(code="unsigned", message=message))
        return False
    if not can_sign():
        message = "NOT SIGNED: c2pa-python is not installed; pip install c2pa-python"
        tell(Warned(code="unsigned", message=message))
        return False
    return True


def _warn_of_changes(source: Path, tell: OnEvent) -> None:
    """Says so where the source, or what it was made from, is not as it was signed, or has no credentials.

    The new file's credentials hold what is wrong with it.
    """
    from filmwright.provenance.signing import can_hold
    from filmwright.provenance.verdict import verify_file

    if not can_hold(source):
        message = f"{source} holds no credentials ({source.suffix} files cannot): the chain ends there"
        tell(Warned(code="chain-ends", message=message))
        return
    verdict = verify_file(source)
    match verdict.state:
        case "tampered":
            tell(Warned(code="tampered", message=f"{source} was {verdict.said}; the new credentials say so"))
        case "broken-chain":
            message = f"{source} is {verdict.said}; the new credentials say so"
            tell(Warned(code="broken-chain", message=message))
        case "stripped" | "unsigned":
            message = f"{source} has no credentials ({verdict.said}): the chain ends there"
            tell(Warned(code="chain-ends", message=message))


def _mark() -> str:
    from filmwright.provenance.signing import MARK

    return MARK
