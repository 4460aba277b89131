"""A request: everything that determines a clip. Its canonical JSON is cache key, sidecar, API body and provenance."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from filmwright.spec.shapes import VideoShape

__all__ = [
    "QUANTIZE",
    "CameraPath",
    "Control",
    "ImageRef",
    "Keyframe",
    "LoraRef",
    "MotionBrush",
    "Prefix",
    "Quantize",
    "Request",
    "Track",
]

REQUEST_VERSION: Literal[1] = 1
Quantize = Literal["none", "int8", "int8-dynamic", "fp8", "fp8-dynamic"]
"""What the linear layers of a net's blocks are kept in; the dynamic ones also multiply in it."""
QUANTIZE: tuple[Quantize, ...] = get_args(Quantize)


class Frozen(BaseModel):
    """Base of all data types that come from files, HTTP or the command line: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageRef(Frozen):
    """A picture or clip on disk: where it was, and the BLAKE3 digest (hex) of its bytes, which is what counts."""

    path: str
    digest: str


class Keyframe(Frozen):
    """The clip shows this picture at this frame (0 is the first)."""

    kind: Literal["keyframe"] = "keyframe"
    at: int = Field(ge=0)
    image: ImageRef


class CameraPath(Frozen):
    """A named camera move; `amount` 1 is the move as trained."""

    kind: Literal["camera"] = "camera"
    move: str
    amount: float = Field(default=1.0, ge=0.0, le=2.0)


class Track(Frozen):
    """A point that moves: (frame, x, y) with x and y from 0 to 1, origin top left."""

    points: tuple[tuple[int, float, float], ...]


class MotionBrush(Frozen):
    """What starts at each track's first point follows the track; needs a keyframe at 0."""

    kind: Literal["brush"] = "brush"
    tracks: tuple[Track, ...]


class Prefix(Frozen):
    """The clip goes on from the last frames of this one."""

    kind: Literal["prefix"] = "prefix"
    clip: ImageRef
    num_frames: int = Field(ge=1)


Control = Annotated[Keyframe | CameraPath | MotionBrush | Prefix, Field(discriminator="kind")]


class LoraRef(Frozen):
    """A LoRA file, as `ImageRef` a picture: its weight in the sum, and the expert it is for where there are two."""

    path: str
    digest: str
    weight: float = Field(default=1.0, ge=-10.0, le=10.0)
    expert: Literal["both", "high", "low"] = "both"


class Request(Frozen):
    """Everything that determines a clip, and nothing else."""

    version: Literal[1] = REQUEST_VERSION
    prompt: str
    negative: str = ""
    width: int
    height: int
    num_frames: int
    fps: int
    seed: int = Field(ge=0, lt=2**63)
    model: str
    sampler: str
    steps: int = Field(ge=1, le=1000)
    guidance: float = Field(ge=0.0, le=100.0)
    controls: tuple[Control, ...] = ()
    loras: tuple[LoraRef, ...] = ()
    cache: float = Field(
        default=0.0, ge=0.0, le=1.0
    )  # change below which a step is saved; 0: every step is exact
    quantize: Quantize = "none"
    compile: bool = False  # the denoiser's blocks as compiled code, whose last bits are others

    @property
    def shape(self) -> VideoShape:
        """Width, height, frames and rate as one value."""
        return VideoShape(width=self.width, height=self.height, num_frames=self.num_frames, fps=self.fps)

    def canonical(self) -> str:
        """The one JSON text of this request: sorted keys, no spaces."""
        return _compact(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON less the places of files, whose own digests say which they are."""
        places: dict[str, Any] = {"controls": {"__all__": {"image": {"path"}, "clip": {"path"}}}}
        places["loras"] = {"__all__": {"path"}} if self.loras else True  # none: as before there were any
        for name in ("cache", "quantize", "compile"):  # at their defaults: as before there were any
            if getattr(self, name) == type(self).model_fields[name].default:
                places[name] = True
        return hashlib.sha256(_compact(self.model_dump(mode="json", exclude=places)).encode()).hexdigest()


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
