"""Shots become requests: words from brief, look and subjects, settings from shot and film, a request a take.

A shot that starts from another one's frame cannot be a whole request before that frame is there: its draft has every
control but those, and `completed` adds them.
"""

from __future__ import annotations

import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import unwrap
from pathlib import Path
from typing import Any, Literal

from blake3 import blake3

from filmwright.direction.film.paths import inside
from filmwright.direction.film.read import Loc, Notes
from filmwright.direction.film.shot_controls import check_controls_of, controls_of
from filmwright.engine.build_request import DEFAULT_MODEL, build_request, check_request
from filmwright.spec.brief import PARTS_OF_A_BRIEF, Brief
from filmwright.spec.errors import BadRequest, FilmwrightError
from filmwright.spec.film import Camera, Continues, Film, Look, Shot
from filmwright.spec.request import (
    CameraPath,
    Control,
    ImageRef,
    Keyframe,
    MotionBrush,
    Prefix,
    Request,
    Track,
)
from filmwright.weights.card import load_card

__all__ = ["Draft", "Need", "completed", "default_seed", "drafts_of", "prompt_of"]

SUBJECT = re.compile(r"\{([^{}]*)\}")
LOOK_PARTS = ("setting", "light", "camera", "lens", "mood")
BLAMED = (
    "controls", "model", "size", "fps", "seconds", "frames", "steps", "guidance", "sampler", "shift",
    "guidance_low", "negative", "camera",
    "image", "last_image", "loras", "merge_lora", "quantize", "attention", "compile", "cuda_graphs", "cache",
    "guidance_down_to", "prompt", "brief",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a shot takes from another: its frame as first or last picture, or its last frames as a prefix."""

    what: Literal["first", "last", "prefix"]
    shot: str
    num_frames: int = 1


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A take, as far as the film file alone says what it is."""

    shot: str
    take: int  # the first is 1
    sequence: str
    request: Request  # without what it needs
    needs: tuple[Need, ...]
    still: bool
    selected: bool
    wanted: bool  # a build renders it: it is selected, or none of its shot is


def default_seed(shot: str) -> int:
    """The seed of a shot that states none: its own, and the same for ever."""
    return int.from_bytes(blake3(f"seed of {shot}".encode()).digest()[:4], "big") >> 1


def prompt_of(shot: Shot, looks: list[Look], subjects: dict[str, str]) -> str:
    """A shot's words: its own, what its looks add, and subjects put in.

    Raises:
        BadRequest: it has no words or two sets of them, or names an unknown subject.
    """
    if (shot.prompt is None) == (shot.brief is None):
        what = "both a brief and a prompt" if shot.prompt else "neither a brief nor a prompt"
        raise BadRequest(f"shot {shot.id} has {what}: give one of them")
    brief = shot.brief or Brief()
    parts = {part: getattr(brief, part) for part in PARTS_OF_A_BRIEF}
    for look in looks:
        for part in LOOK_PARTS:
            parts[part] = parts[part] or getattr(look, part)
    words = Brief(**parts).render()
    if shot.prompt is not None:
        words = ", ".join(filter(None, (shot.prompt, words)))

    def put_in(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name not in subjects:
            there = ", ".join(subjects) or "none"
            raise BadRequest(
                f"shot {shot.id} names the subject {{{name}}}: there is {there}; add it to subjects"
            )
        return subjects[name]

    return SUBJECT.sub(put_in, words)


def drafts_of(film: Film, folder: Path, notes: Notes) -> tuple[Draft, ...]:
    """A draft of every take that can be made; what cannot goes to `notes`."""
    made: list[Draft] = []
    fallback = tuple(look for look in (_looked(film, film.look, ("look",), notes),) if look is not None)
    with _placeholder() as picture:
        for s, sequence in enumerate(film.sequences):
            of_sequence = _looked(film, sequence.look, ("sequences", s, "look"), notes)
            for i, shot in enumerate(sequence.shots):
                loc: Loc = ("sequences", s, "shots", i)
                own = _looked(film, shot.look, (*loc, "look"), notes)
                looks = [look for look in (own, of_sequence, *fallback) if look is not None][:1]
                seeds = _seeds(shot, loc, notes)
                needs = _needs(shot)
                if not check_controls_of(shot, (*loc, "controls"), notes):
                    continue
                try:
                    request = _request(film, shot, looks, seeds[0], needs, folder, picture)
                except FilmwrightError as error:
                    at = _blamed(film, shot, looks, seeds[0], needs, folder, picture)
                    notes.add((*loc, at) if at else loc, f"shot {shot.id}: {error}" if at else str(error))
                    continue
                for n, seed in enumerate(seeds, start=1):
                    selected = n == (shot.take or 1)
                    made.append(
                        Draft(
                            shot=shot.id,
                            take=n,
                            sequence=sequence.id,
                            request=request.model_copy(update={"seed": seed}),
                            needs=needs,
                            still=shot.still,
                            selected=selected,
                            wanted=selected or shot.take is None,
                        )
                    )
    return tuple(made)


def completed(draft: Draft, found: Callable[[Need], ImageRef]) -> Request:
    """The whole request, once `found` gives the picture or clip of each need.

    Raises:
        BadRequest: the model cannot do it.
    """
    controls = list(draft.request.controls)
    for need in draft.needs:
        file = found(need)
        if need.what == "prefix":
            controls.append(Prefix(clip=file, num_frames=need.num_frames))
        else:
            controls.insert(
                0, Keyframe(at=0 if need.what == "first" else draft.request.num_frames - 1, image=file)
            )
    request = draft.request.model_copy(update={"controls": tuple(controls)})
    if draft.needs:
        check_request(request)
    return request


def _looked(film: Film, name: str | None, loc: Loc, notes: Notes) -> Look | None:
    if name is not None and name not in film.looks:
        notes.add(loc, f"there is no look {name!r}: there is {', '.join(film.looks) or 'none'}")
    return film.looks.get(name) if name else None


def _seeds(shot: Shot, loc: Loc, notes: Notes) -> tuple[int, ...]:
    if shot.seed is not None and shot.takes is not None:
        notes.add((*loc, "takes"), f"shot {shot.id} has both a seed and takes: give one of them")
    seeds = shot.takes or (default_seed(shot.id) if shot.seed is None else shot.seed,)
    for n, seed in enumerate(seeds):
        if seed in seeds[:n]:
            same = seeds.index(seed) + 1
            notes.add(
                (*loc, "takes", n), f"takes {same} and {n + 1} overlap: both have seed {seed}; change one"
            )
    if shot.take is not None and shot.take > len(seeds):
        notes.add(
            (*loc, "take"), f"shot {shot.id} has {len(seeds)} takes, not {shot.take}: select one of them"
        )
    return seeds


def _needs(shot: Shot) -> tuple[Need, ...]:
    needs = []
    if shot.keyframe is not None:
        needs.append(Need(what="first", shot=shot.keyframe))
    if shot.continues is not None:
        on = Continues(shot=shot.continues) if isinstance(shot.continues, str) else shot.continues
        what: Literal["first", "prefix"] = "first" if on.frames == 1 else "prefix"
        needs.append(Need(what=what, shot=on.shot, num_frames=on.frames))
    if shot.last_keyframe is not None:
        needs.append(Need(what="last", shot=shot.last_keyframe))
    return tuple(needs)


def _request(
    film: Film,
    shot: Shot,
    looks: list[Look],
    seed: int,
    needs: tuple[Need, ...],
    folder: Path,
    picture: Path,
    build: Callable[..., Request] = build_request,
) -> Request:
    """The draft's request: checked with a picture where a frame will be, then without it."""
    if sum(value is not None for value in (shot.image, shot.keyframe, shot.continues)) > 1:
        raise BadRequest(
            f"shot {shot.id} has more than one first frame: give one of image, keyframe and continues"
        )
    if shot.last_image is not None and shot.last_keyframe is not None:
        raise BadRequest(f"shot {shot.id} has two last frames: give one of last_image and last_keyframe")
    if shot.still and (shot.seconds is not None or (shot.frames or 1) != 1):
        raise BadRequest(f"shot {shot.id} is still, which is one frame: leave out its length")

    def setting(name: str) -> Any:
        own = getattr(shot, name)
        return getattr(film, name) if own is None else own

    camera = shot.camera.move if isinstance(shot.camera, Camera) else shot.camera
    negative = shot.negative
    for look in looks:
        negative = look.negative if negative is None else negative
    pictures = {need.what: picture for need in needs}
    first = inside(folder, shot.image) if shot.image else pictures.get("first")
    last = inside(folder, shot.last_image) if shot.last_image else pictures.get("last")
    length = 1 if shot.still else shot.frames
    own = load_card(setting("model") or DEFAULT_MODEL)
    loras = setting("loras")
    request = build(
        prompt_of(shot, looks, film.subjects),
        model=setting("model"),
        size=setting("size") or own.native_sizes[0],  # of all shots, whatever their pictures' shape
        fps=setting("fps"),
        seconds=None if length is not None else setting("seconds"),
        num_frames=length,
        seed=seed,
        steps=setting("steps"),
        guidance=setting("guidance"),
        sampler=setting("sampler"),
        shift=setting("shift"),
        guidance_low=setting("guidance_low"),
        negative=film.negative if negative is None else negative,
        image=first,
        last_image=last,
        camera=camera,
        loras=None if loras is None else [_lora(folder, text) for text in loras],
        merge_lora=setting("merge_lora"),
        quantize=setting("quantize"),
        attention=setting("attention"),
        compile=setting("compile"),
        cuda_graphs=setting("cuda_graphs"),
        cache=setting("cache"),
        guidance_down_to=setting("guidance_down_to"),
        controls=controls_of(shot, folder),
    )
    controls = [_as_told(control, shot.camera) for control in request.controls]
    if shot.brush:
        controls.append(MotionBrush(tracks=tuple(Track(points=brush.points) for brush in shot.brush)))
    prefixes: list[Control] = [
        Prefix(clip=_ref(picture), num_frames=need.num_frames) for need in needs if need.what == "prefix"
    ]
    check_request(request.model_copy(update={"controls": (*controls, *prefixes)}), load_card(request.model))
    kept = [c for c in controls if not (isinstance(c, Keyframe) and c.image.path == str(picture))]
    return request.model_copy(update={"controls": tuple(kept)})


def _as_told(control: Control, camera: str | Camera | None) -> Control:
    if isinstance(control, CameraPath) and isinstance(camera, Camera):
        return control.model_copy(update={"amount": camera.amount, "easing": camera.easing})
    return control


def _lora(folder: Path, text: str) -> str:
    name, equals, rest = text.partition("=")
    return f"{inside(folder, name)}{equals}{rest}"


def _blamed(
    film: Film,
    shot: Shot,
    looks: list[Look],
    seed: int,
    needs: tuple[Need, ...],
    folder: Path,
    picture: Path,
) -> str | None:
    """The key of the shot without which it could be made, if there is one."""
    for key in BLAMED:
        if getattr(shot, key) is None:
            continue
        other = {key: None} if key not in {"prompt", "brief"} else {"prompt": "a ball", "brief": None}
        try:
            _request(
                film,
                shot.model_copy(update=other),
                looks,
                seed,
                needs,
                folder,
                picture,
                unwrap(build_request),
            )
        except FilmwrightError:
            continue
        return key
    return "continues" if shot.continues is not None else None


def _ref(path: Path) -> ImageRef:
    return ImageRef(path=str(path), digest=str(blake3(path.read_bytes()).hexdigest()))


@contextmanager
def _placeholder() -> Iterator[Path]:
    """A picture of one pixel, which stands for frames that are not rendered while a shot is checked."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
        yield path
