"""A shot's `controls`, in the schema of `direction.controls`, with its files inside the film's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from filmwright.direction.controls import Controls, read_controls
from filmwright.direction.film.paths import inside
from filmwright.direction.film.read import Loc, Notes, tell_of
from filmwright.spec.controls import CameraPath, Control, Keyframe, MotionBrush, Prefix
from filmwright.spec.errors import BadRequest
from filmwright.spec.film import Continues, Shot
from filmwright.spec.shapes import VideoShape

__all__ = ["check_controls_of", "controls_of"]


def check_controls_of(shot: Shot, loc: Loc, notes: Notes) -> bool:
    """Whether a shot's controls are of the schema; mistakes go to `notes`, each at its place."""
    try:
        Controls.model_validate(shot.controls or {})
    except ValidationError as error:
        tell_of(error, notes, loc, Controls)
        return False
    return True


def controls_of(shot: Shot, folder: Path) -> Callable[[VideoShape], tuple[Control, ...]] | None:
    """What makes a shot's controls once its shape is known; None where it has none of this schema.

    Raises (when it is called):
        BadRequest: a file outside the film's folder, a time past the end, or what another key of the shot says too.
        MediaError: a file is missing.
    """
    if shot.controls is None:
        return None
    written = read_controls(shot.controls)

    def find(path: Path) -> Path:
        return inside(folder, str(path))

    def made(shape: VideoShape) -> tuple[Control, ...]:
        controls = written.resolve(shape, folder, find=find)
        for control in controls:
            if (key := _also(shot, control, shape.num_frames - 1)) is not None:
                what = "a last frame" if key.startswith("last") else _what(control)
                raise BadRequest(f"both {key} and controls say {what}: leave one out")
        return controls

    return made


def _also(shot: Shot, control: Control, last: int) -> str | None:
    """The shot's own key that says the same as a control, if one does."""
    on = shot.continues
    carries = isinstance(on, Continues) and on.frames > 1
    keys: Mapping[str, object]
    match control:
        case CameraPath():
            keys = {"camera": shot.camera}
        case MotionBrush():
            keys = {"brush": shot.brush}
        case Prefix():
            keys = {"continues": on}
        case Keyframe(at=0):
            keys = {"image": shot.image, "keyframe": shot.keyframe, "continues": None if carries else on}
        case Keyframe(at=at) if at == last:
            keys = {"last_image": shot.last_image, "last_keyframe": shot.last_keyframe}
        case _:
            keys = {}
    return next((key for key, value in keys.items() if value is not None), None)


def _what(control: Control) -> str:
    match control:
        case CameraPath():
            return "a camera"
        case MotionBrush():
            return "a motion brush"
        case Prefix():
            return "what the shot goes on from"
        case _:
            return "a first frame"
