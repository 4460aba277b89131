"""Controls as a person writes them: one schema for Python, for a file and for an API, times in frames or seconds.

    {"camera": {"move": "push-in", "easing": "in-out"},
     "keyframes": [{"at": 0, "image": "first.png"}, {"at": "1.5s", "image": "later.png"}],
     "brush": {"strokes": [{"polygon": [[0.1, 0.2], [0.3, 0.2], [0.2, 0.5]], "trajectory": [[0.2, 0.3], [0.6, 0.3]]}],
               "freeze": [{"mask": "sky.png"}]},
     "prefix": {"clip": "earlier.mp4", "num_frames": 9}}

`Controls.resolve` makes of it what a request holds (`spec.controls`): frames instead of seconds, the top left as
origin, files with their digests. What other tools call it is read by `direction.conventions`, under the keys `kling`
and `runway`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from filmwright.direction.conventions import Find, from_kling, from_runway
from filmwright.media.files import digest_file
from filmwright.spec.controls import (
    CameraPath,
    Control,
    Easing,
    ImageRef,
    Keyframe,
    MotionBrush,
    Pose,
    Prefix,
    Region,
    Stroke,
    Track,
)
from filmwright.spec.errors import BadRequest
from filmwright.spec.shapes import VideoShape

__all__ = ["Brush", "Camera", "Controls", "read_controls"]

MAX_BYTES = 1_000_000
Seconds = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*s\s*$")]
When = Annotated[int, Field(ge=0)] | Seconds
"""A frame (0 is the first), or seconds as "1.5s"."""

Origin = Literal["top-left", "bottom-left"]
Places = tuple[float, float]


class _Written(BaseModel):
    """Base of what a person writes: no unknown keys, no nonsense numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WrittenKeyframe(_Written):
    """The clip shows a picture at this time."""

    at: When = 0
    image: Path


class WrittenPose(_Written):
    """See `spec.controls.Pose`."""

    at: When
    eye: tuple[float, float, float]
    look_at: tuple[float, float, float] | None = None
    pan: float = 0.0
    tilt: float = 0.0
    roll: float = 0.0
    fov: float = 40.0


class Camera(_Written):
    """A named move with its amount, or a list of poses; see `spec.controls.CameraPath`."""

    move: str | None = None
    amount: float = 1.0
    easing: Easing = "natural"
    poses: tuple[WrittenPose, ...] = ()


class Moment(_Written):
    """Where something is at a time."""

    at: When
    x: float
    y: float


class WrittenRegion(_Written):
    """A polygon, or a mask's file."""

    polygon: tuple[Places, ...] = ()
    mask: Path | None = None


class WrittenStroke(WrittenRegion):
    """A region and where it goes: points with their times, or points alone, which are spread over the whole clip."""

    trajectory: tuple[Moment, ...] | tuple[Places, ...]


class WrittenTrack(_Written):
    """A point and where it goes."""

    trajectory: tuple[Moment, ...] | tuple[Places, ...]


class Brush(_Written):
    """A motion brush; `origin` is where all its places count from."""

    strokes: tuple[WrittenStroke, ...] = ()
    freeze: tuple[WrittenRegion, ...] = ()
    tracks: tuple[WrittenTrack, ...] = ()
    origin: Origin = "top-left"


class WrittenPrefix(_Written):
    """The clip goes on from the last frames of another."""

    clip: Path
    num_frames: int = 9


class Controls(_Written):
    """All controls of a clip. `kling` and `runway` hold what those tools' users have, in their own words."""

    keyframes: tuple[WrittenKeyframe, ...] = ()
    camera: Camera | None = None
    brush: Brush | None = None
    prefix: WrittenPrefix | None = None
    kling: Mapping[str, Any] | None = None
    runway: Mapping[str, Any] | None = None

    def resolve(
        self, shape: VideoShape, folder: Path | str = ".", *, find: Find | None = None
    ) -> tuple[Control, ...]:
        """The controls of a request for a clip of this shape; files are looked for in `folder`, or where they say.

        Whoever wrote the controls names the files that are read: a server resolves its own uploads, not a client's
        paths. `find` gives the place of a file instead, and may refuse it.

        Raises:
            BadRequest: a time past the end, a place outside the picture, something that no control says.
            MediaError: a file is missing.
        """
        given = self
        where = find or (lambda path: (Path(folder) / path).absolute())
        for name, convert in (("kling", from_kling), ("runway", from_runway)):
            foreign = getattr(self, name)
            if foreign is not None:
                given = given._with(name, convert(foreign, shape, where))
        try:
            return tuple(given._made(shape, where))  # noqa: SLF001 (its own class)
        except ValidationError as error:
            raise BadRequest(f"controls are not understood: {_first(error)}") from error

    def _with(self, name: str, other: Mapping[str, Any]) -> Controls:
        """These and what another tool's words amount to; saying one thing twice is an error."""
        if twice := [key for key in other if getattr(self, key)]:
            raise BadRequest(f"controls say {twice[0]} twice, under {name!r} and beside it: leave one out")
        try:
            read = Controls.model_validate(other)
        except ValidationError as error:
            raise BadRequest(f"{name} controls are not understood: {_first(error)}") from error
        return self.model_copy(update={name: None} | {key: getattr(read, key) for key in other})

    def _made(self, shape: VideoShape, find: Find) -> Iterable[Control]:
        for key in self.keyframes:
            yield Keyframe(at=_frame(key.at, shape, "keyframe"), image=_file(key.image, find))
        if self.camera is not None:
            poses = tuple(
                Pose(**{**dict(pose), "at": _frame(pose.at, shape, "camera pose")})
                for pose in self.camera.poses
            )
            yield CameraPath(
                move=self.camera.move, amount=self.camera.amount, easing=self.camera.easing, poses=poses
            )
        if self.brush is not None:
            yield _brush(self.brush, shape, find)
        if self.prefix is not None:
            yield Prefix(clip=_file(self.prefix.clip, find), num_frames=self.prefix.num_frames)


def read_controls(source: Path | str | Mapping[str, Any]) -> Controls:
    """Controls from a JSON file, or from a mapping such as a film file or an API body holds.

    Raises:
        BadRequest: no such file, not JSON, or not the schema.
    """
    data: Any = source
    where = "controls"
    if not isinstance(source, Mapping):
        path, where = Path(source), f"controls {source}"
        try:
            if path.stat().st_size > MAX_BYTES:
                raise BadRequest(
                    f"{where}: {path.stat().st_size / 1e6:.1f} MB are no controls, 1 MB is the limit"
                )
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadRequest(
                f"cannot read {where}: {(error.strerror or str(error)).lower()}; check the path"
            ) from error
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"{where} are not JSON: see docs/controls.md") from error
    try:
        return Controls.model_validate(data)
    except ValidationError as error:
        raise BadRequest(f"{where} are not understood: {_first(error)}") from error


def _brush(brush: Brush, shape: VideoShape, find: Find) -> MotionBrush:
    upward = brush.origin == "bottom-left"

    def turned(place: Places) -> Places:
        return place[0], 1 - place[1] if upward else place[1]

    def region(written: WrittenRegion) -> Region:
        mask = None if written.mask is None else _file(written.mask, find)
        return Region(polygon=tuple(turned(p) for p in written.polygon), mask=mask)

    def path(written: tuple[Moment, ...] | tuple[Places, ...]) -> tuple[tuple[int, float, float], ...]:
        moments = _timed(written, shape)
        return tuple((at, *turned((x, y))) for at, x, y in moments)

    return MotionBrush(
        tracks=tuple(Track(points=path(t.trajectory)) for t in brush.tracks),
        strokes=tuple(Stroke(region=region(s), trajectory=path(s.trajectory)) for s in brush.strokes),
        freeze=tuple(region(r) for r in brush.freeze),
    )


def _timed(
    written: tuple[Moment, ...] | tuple[Places, ...], shape: VideoShape
) -> list[tuple[int, float, float]]:
    """Points with frames; points alone are spread over the clip, as many as it has frames at most."""
    moments = [(_frame(m.at, shape, "trajectory point"), m.x, m.y) for m in written if isinstance(m, Moment)]
    if moments:
        return moments
    places = [m for m in written if not isinstance(m, Moment)]
    last = shape.num_frames - 1
    if len(places) < 2:
        raise BadRequest(f"a trajectory of {len(places)} points goes nowhere: give two or more")
    if len(places) > shape.num_frames:  # more points than frames: those nearest to each frame
        picked = [round(i * (len(places) - 1) / max(last, 1)) for i in range(shape.num_frames)]
        return [(i, *places[n]) for i, n in enumerate(picked)]
    return [(round(i * last / (len(places) - 1)), x, y) for i, (x, y) in enumerate(places)]


def _frame(when: int | str, shape: VideoShape, what: str) -> int:
    """The frame of a time; seconds become the nearest one."""
    at = when if isinstance(when, int) else round(float(when.strip().rstrip("s")) * shape.fps)
    if isinstance(when, str) and at == shape.num_frames:
        at -= 1  # a clip of 2 s ends at "2s"
    if at >= shape.num_frames:
        raise BadRequest(
            f"a {what} at {when} is past the end: the clip has {shape.num_frames} frames, {shape.seconds:.2f} s"
        )
    return at


def _file(path: Path, find: Find) -> ImageRef:
    place = find(path)
    return ImageRef(path=str(place), digest=digest_file(place))


def _first(error: ValidationError) -> str:
    """The first complaint in a few words."""
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else detail["msg"].removeprefix("Value error, ")
