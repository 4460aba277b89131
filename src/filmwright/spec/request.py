"""A request: everything that determines a clip. Its canonical JSON is cache key, sidecar, API body and provenance."""

from __future__ import annotations

import hashlib
import json
from typing import Literal, get_args

from pydantic import Field

from filmwright.spec.backends import AttentionBackend
from filmwright.spec.controls import (
    CameraPath,
    Control,
    Frozen,
    ImageRef,
    Keyframe,
    MotionBrush,
    Pose,
    Prefix,
    Region,
    Stroke,
    Track,
    without_defaults,
)
from filmwright.spec.shapes import VideoShape

__all__ = [
    "QUANTIZE",
    "CacheBy",
    "CameraPath",
    "Control",
    "ImageRef",
    "Keyframe",
    "LoraRef",
    "MotionBrush",
    "Pose",
    "Prefix",
    "Quantize",
    "Region",
    "Request",
    "Stroke",
    "Track",
]

REQUEST_VERSION: Literal[1] = 1
Quantize = Literal["none", "int8", "int8-dynamic", "fp8", "fp8-dynamic"]
"""What the linear layers of a net's blocks are kept in; the dynamic ones also multiply in it."""
QUANTIZE: tuple[Quantize, ...] = get_args(Quantize)
CacheBy = Literal["first-block", "tea"]
"""What tells a step cache how little a step changes: its first block, or its level alone (TeaCache)."""

LATER = (
    "loras",
    "cache",
    "cache_by",
    "quantize",
    "compile",
    "attention",
    "cuda_graphs",
    "sound",
    "guidance_down_to",
    "merge_lora",
    "shift",
    "guidance_low",
)
"""At their defaults, a digest is as before there were any."""


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
    cache_by: CacheBy = "first-block"
    quantize: Quantize = "none"
    compile: bool = False  # the denoiser's blocks as compiled code, whose last bits are others
    attention: AttentionBackend = "auto"  # as above: each backend has last bits of its own
    cuda_graphs: bool = False  # the denoiser's passes recorded once and played again
    sound: bool = True  # where the model makes it
    guidance_down_to: float = Field(
        default=0.0, ge=0.0, lt=1.0
    )  # level below which the prompted pass stands alone; 0: every step is guided
    merge_lora: bool = (
        False  # LoRAs added to the weights, whose sums have other last bits than those beside them
    )
    shift: float | None = Field(default=None, gt=0.0, le=100.0)  # of the levels; None: the model card's
    guidance_low: float | None = Field(
        default=None, ge=0.0, le=100.0
    )  # of the second of two experts; None: in the card's proportion to the first one's

    @property
    def shape(self) -> VideoShape:
        """Width, height, frames and rate as one value."""
        return VideoShape(width=self.width, height=self.height, num_frames=self.num_frames, fps=self.fps)

    def canonical(self) -> str:
        """The one JSON text of this request: sorted keys, no spaces."""
        return _compact(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON less the places of files, whose own digests say which they are."""
        whole = self.model_dump(mode="json")
        whole["controls"] = [without_defaults(control) for control in whole["controls"]]
        whole["loras"] = [{k: v for k, v in lora.items() if k != "path"} for lora in whole["loras"]]
        for name in LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                del whole[name]
        return hashlib.sha256(_compact(whole).encode()).hexdigest()


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
