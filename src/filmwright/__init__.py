"""Filmwright turns words into film on machines you own.

    import filmwright

    clip = filmwright.generate("a red ball drops onto a wooden floor and bounces")
    clip.save("film.mp4")

Names are loaded when they are first used, so `import filmwright` is instant and reads no tensor library.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from filmwright.version import VERSION as __version__

# torch and its OpenMP read these once, when torch is imported. Large tensors lie in huge pages, which a CPU fills and
# finds sooner; threads that wait for each other spin for microseconds and then sleep, see docs/decisions/0021
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

if TYPE_CHECKING:
    from filmwright.direction.check.report import PromptCheck, PromptFinding, check
    from filmwright.engine.api import generate
    from filmwright.engine.build_request import build_request
    from filmwright.engine.sidecar import Sidecar, read_sidecar
    from filmwright.media.clips import Clip
    from filmwright.media.video import read_video
    from filmwright.spec.errors import (
        BadRequest,
        Cancelled,
        CredentialsError,
        DoesNotFit,
        FilmwrightError,
        MediaError,
        WeightsError,
    )
    from filmwright.spec.events import Event, Finished, Progress, Started, Warned
    from filmwright.spec.request import (
        CameraPath,
        Control,
        ImageRef,
        Keyframe,
        LoraRef,
        MotionBrush,
        Pose,
        Prefix,
        Region,
        Request,
        Stroke,
        Track,
    )
    from filmwright.spec.shapes import LatentShape, VideoShape
    from filmwright.weights.card import ModelCard, load_card

__all__ = [
    "BadRequest",
    "CameraPath",
    "Cancelled",
    "Clip",
    "Control",
    "CredentialsError",
    "DoesNotFit",
    "Event",
    "FilmwrightError",
    "Finished",
    "ImageRef",
    "Keyframe",
    "LatentShape",
    "LoraRef",
    "MediaError",
    "ModelCard",
    "MotionBrush",
    "Pose",
    "Prefix",
    "Progress",
    "PromptCheck",
    "PromptFinding",
    "Region",
    "Request",
    "Sidecar",
    "Started",
    "Stroke",
    "Track",
    "VideoShape",
    "Warned",
    "WeightsError",
    "__version__",
    "build_request",
    "check",
    "generate",
    "load_card",
    "read_sidecar",
    "read_video",
]

_HOMES = {
    "filmwright.direction.check.report": ("PromptCheck", "PromptFinding", "check"),
    "filmwright.engine.build_request": ("build_request",),
    "filmwright.engine.api": ("generate",),
    "filmwright.engine.sidecar": ("Sidecar", "read_sidecar"),
    "filmwright.media.clips": ("Clip",),
    "filmwright.media.video": ("read_video",),
    "filmwright.spec.errors": (
        "BadRequest",
        "Cancelled",
        "CredentialsError",
        "DoesNotFit",
        "FilmwrightError",
        "MediaError",
        "WeightsError",
    ),
    "filmwright.spec.events": ("Event", "Finished", "Progress", "Started", "Warned"),
    "filmwright.spec.request": (
        "CameraPath",
        "Control",
        "ImageRef",
        "Keyframe",
        "LoraRef",
        "MotionBrush",
        "Pose",
        "Prefix",
        "Region",
        "Request",
        "Stroke",
        "Track",
    ),
    "filmwright.spec.shapes": ("LatentShape", "VideoShape"),
    "filmwright.weights.card": ("ModelCard", "load_card"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import the room that holds `name` and return it (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'filmwright' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
