"""Options as they come from Python: each is of its kind, or is refused by name in one line, before it is used."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Final

from filmwright.spec.controls import CameraPath, Keyframe, MotionBrush, Prefix
from filmwright.spec.errors import BadRequest
from filmwright.spec.request import Request

__all__ = ["check_kinds", "check_paths"]

Check = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _switch(value: Any) -> bool:
    return isinstance(value, bool)


def _size(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, tuple | list) and len(value) == 2 and all(map(_whole, value))
    )


def _several(one: Check) -> Check:
    """For many of one kind; what gives them one by one, and once only, is not looked into."""

    def check(value: Any) -> bool:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            return False
        return not isinstance(value, Collection) or all(map(one, value))

    return check


def _control(value: Any) -> bool:
    return isinstance(value, Keyframe | CameraPath | MotionBrush | Prefix)


TEXT: Final = (_text, "text")
WHOLE: Final = (_whole, "a whole number")
NUMBER: Final = (_number, "a number")
SWITCH: Final = (_switch, "True or False")
PATH: Final = (_path, "a path")
KINDS: Final[Mapping[str, tuple[Check, str]]] = {
    "prompt": TEXT,
    "model": TEXT,
    "size": (_size, 'width and height in pixels, such as (256, 160) or "256x160"'),
    "aspect": (_text, 'text as width:height, such as "16:9"'),
    "seconds": NUMBER,
    "num_frames": WHOLE,
    "fps": WHOLE,
    "seed": WHOLE,
    "steps": WHOLE,
    "guidance": NUMBER,
    "sampler": TEXT,
    "negative": TEXT,
    "image": (_path, "the path of a picture"),
    "last_image": (_path, "the path of a picture"),
    "camera": (_text, 'the name of a camera move, such as "push-in"'),
    "loras": (_several(_path), 'a list of files, such as ["style.safetensors=0.8"]'),
    "cache": (lambda value: _number(value) or _text(value), 'a number, or text such as "tea:0.1"'),
    "controls": (
        lambda value: callable(value) or _several(_control)(value),
        "a list of Keyframe, CameraPath, MotionBrush and Prefix",
    ),
    "quantize": TEXT,
    "compile": SWITCH,
    "sound": SWITCH,
    "attention": TEXT,
    "cuda_graphs": SWITCH,
    "guidance_down_to": NUMBER,
    "shift": NUMBER,
    "guidance_low": NUMBER,
    "merge_lora": SWITCH,
    "base": (lambda value: isinstance(value, Request), "a Request, such as a sidecar's"),
}
"""What `build_request` takes: how to tell it, and in words."""
PATHS: Final[Mapping[str, tuple[Check, str]]] = {
    "path": PATH,
    "weights": (_path, "the path of a folder"),
    "memory": (lambda value: _whole(value) or _text(value), 'bytes, or text such as "8GB"'),
    "on_event": (callable, "a function of one event"),
}
"""What a run takes beside its request."""


def check_kinds(options: Mapping[str, Any]) -> None:
    """See that options of `build_request` are of their kinds; None is no option.

    Raises:
        BadRequest: one is of another kind.
    """
    _check(options, KINDS)


def check_paths(options: Mapping[str, Any]) -> None:
    """As `check_kinds`, for what a run takes beside its request.

    Raises:
        BadRequest: one is of another kind.
    """
    _check(options, PATHS)


def _check(options: Mapping[str, Any], kinds: Mapping[str, tuple[Check, str]]) -> None:
    for name, value in options.items():
        if value is None:
            continue
        is_kind, said = kinds[name]
        if not is_kind(value):
            shown = " ".join(repr(value).split())
            raise BadRequest(
                f"{name} {shown[:60]}{'...' if len(shown) > 60 else ''} is not understood: give {said}"
            )
