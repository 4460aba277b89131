"""What other tools call a control, in our words. Their axes and signs differ; each is stated where it is turned.

Kling (`camera_control`, `static_mask`, `dynamic_masks`, as in its API): `pan` turns the camera in the vertical plane
(up is positive) and `tilt` in the horizontal one (right is positive), the reverse of film usage; `horizontal` and
`vertical` move it; `roll` is clockwise; `zoom` is the focal length, and positive is *wider*. Values run from -10 to
10. Trajectories are in pixels from the bottom left.

Runway has neither in its API. Its Director Mode sliders run from -100 to 100: `horizontal_pan` turns (right is
positive), `vertical_pan` moves up, `tilt` turns up, `roll` is clockwise, `zoom` is towards what is seen: positive is
*nearer*. Its Motion Brush has regions with `horizontal` and `vertical` from -10 to 10, right and up.

Half of a slider is a move as our own weights were trained on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filmwright.media.image import check_image
from filmwright.spec.errors import BadRequest
from filmwright.spec.shapes import VideoShape

__all__ = ["Find", "from_kling", "from_runway"]

Find = Callable[[Path], Path]
"""Gives the place of a file that somebody named."""
Axes = dict[str, float]
"""Shares of a trained move, by film name: right, up, forward (of the place), pan, tilt, roll, nearer (of the lens)."""

TURN = {"pan": 22.0, "tilt": 12.0, "roll": 15.0}  # degrees of a trained move; roll was never trained
MOVE = {"right": 1.3, "up": 0.6, "forward": 1.6}  # metres
EYE = (0.0, -2.94, 1.19)  # about where the plain camera stands, and what it looks at
TARGET = (0.0, 0.0, 0.5)
FOV = 40.0
KLING_MOVES: dict[str, Axes] = {  # presets, each with the two moves that its name says
    "down_back": {"up": -1.0, "forward": -1.0},
    "forward_up": {"forward": 1.0, "tilt": 1.0},
    "right_turn_forward": {"pan": 1.0, "forward": 1.0},
    "left_turn_forward": {"pan": -1.0, "forward": 1.0},
}
KLING_AXES = {
    "horizontal": "right",
    "vertical": "up",
    "pan": "tilt",
    "tilt": "pan",
    "roll": "roll",
    "zoom": "wider",
}
RUNWAY_AXES = {
    "horizontal_pan": "pan",
    "vertical_pan": "up",
    "tilt": "tilt",
    "roll": "roll",
    "zoom": "forward",
}
NAMED = {
    "pan": ("pan-left", "pan-right"),
    "tilt": ("tilt-down", "tilt-up"),
    "forward": ("pull-back", "push-in"),
}
KLING_MASKS, KLING_POINTS, RUNWAY_REGIONS = 6, 77, 5
REACH = 0.5  # of the picture, that a region moves at the end of a Runway slider


def from_kling(data: Mapping[str, Any], shape: VideoShape, find: Find) -> dict[str, Any]:
    """Kling's camera, masks and pictures (`image`, `image_tail`) as `direction.controls` writes them.

    `find` gives the place of a file that they name.

    Raises:
        BadRequest: a key, type or number that Kling does not have either.
        MediaError: a mask that cannot be read.
    """
    _only(data, ("camera_control", "static_mask", "dynamic_masks", "image", "image_tail"), "kling")
    made: dict[str, Any] = {}
    frames = [("image", 0), ("image_tail", shape.num_frames - 1)]
    if keys := [{"at": at, "image": _path(data[name], name)} for name, at in frames if data.get(name)]:
        made["keyframes"] = keys
    if (control := data.get("camera_control")) is not None:
        made["camera"] = _kling_camera(control, shape)
    strokes = _kling_strokes(data.get("dynamic_masks") or (), find)
    freeze = [{"mask": _path(data["static_mask"], "static_mask")}] if data.get("static_mask") else []
    if strokes or freeze:
        made["brush"] = {"strokes": strokes, "freeze": freeze, "origin": "bottom-left"}
    return made


def from_runway(data: Mapping[str, Any], shape: VideoShape, find: Find) -> dict[str, Any]:  # noqa: ARG001
    """Runway's `director` sliders, `motion_brush` regions and `promptImage` as `direction.controls` writes them.

    Raises:
        BadRequest: a key or number that Runway does not have, or one that no control of ours says.
    """
    _only(data, ("director", "motion_brush", "promptImage"), "runway")
    made: dict[str, Any] = {}
    if images := data.get("promptImage"):
        last = shape.num_frames - 1
        listed = [{"uri": images, "position": "first"}] if isinstance(images, str) else images
        made["keyframes"] = [
            {
                "at": last if image.get("position") == "last" else 0,
                "image": _path(image.get("uri"), "promptImage"),
            }
            for image in _mappings(listed, "promptImage")
        ]
    if (sliders := data.get("director")) is not None:
        _only(sliders, tuple(RUNWAY_AXES), "director")
        axes = {RUNWAY_AXES[k]: _number(v, 100, f"director {k}") / 50 for k, v in sliders.items()}
        made["camera"] = _camera(axes, shape)
    if regions := _mappings(data.get("motion_brush") or (), "motion_brush"):
        if len(regions) > RUNWAY_REGIONS:
            raise BadRequest(f"{len(regions)} regions: Runway's motion brush has {RUNWAY_REGIONS} at most")
        made["brush"] = {"strokes": [_runway_stroke(region) for region in regions]}
    return made


def _kling_camera(control: Any, shape: VideoShape) -> dict[str, Any]:
    _only(control, ("type", "config"), "camera_control")
    kind = control.get("type") or "simple"
    if isinstance(kind, str) and kind in KLING_MOVES:
        return _camera(KLING_MOVES[kind], shape)
    if kind != "simple":
        raise BadRequest(
            f"camera_control type {kind!r} is unknown: there is simple, {', '.join(KLING_MOVES)}"
        )
    config = control.get("config") or {}
    _only(config, tuple(KLING_AXES), "camera_control config")
    return _camera(
        {KLING_AXES[k]: _number(v, 10, f"camera_control {k}") / 5 for k, v in config.items()}, shape
    )


def _camera(axes: Axes, shape: VideoShape) -> dict[str, Any]:
    """A named move where one axis has one, else the poses at the first and the last frame."""
    moved = {axis: share for axis, share in axes.items() if share}
    if not moved:
        return {"move": "static"}
    if len(moved) == 1 and (axis := next(iter(moved))) in NAMED:
        return {"move": NAMED[axis][moved[axis] > 0], "amount": abs(moved[axis])}
    if shape.num_frames < 2:
        raise BadRequest("a camera that moves needs two frames or more")
    ends = [_pose(moved, side) for side in (-0.5, 0.5)]
    return {"poses": [{"at": at, **end} for at, end in zip((0, shape.num_frames - 1), ends, strict=True)]}


def _pose(axes: Axes, side: float) -> dict[str, Any]:
    """The pose at one end of a move that is laid symmetrically around the plain view."""
    share = {axis: side * value for axis, value in axes.items()}
    x, y, z = (to - at for to, at in zip(TARGET, EYE, strict=True))
    far = math.hypot(x, y, z)
    forward = share.get("forward", 0.0) * MOVE["forward"] / far
    eye = (
        EYE[0] + forward * x + share.get("right", 0.0) * MOVE["right"],
        EYE[1] + forward * y,
        max(EYE[2] + forward * z + share.get("up", 0.0) * MOVE["up"], 0.1),
    )
    plain_tilt = math.degrees(math.atan2(z, math.hypot(x, y)))
    return {
        "eye": eye,
        "pan": share.get("pan", 0.0) * TURN["pan"],
        "tilt": plain_tilt + share.get("tilt", 0.0) * TURN["tilt"],
        "roll": share.get("roll", 0.0) * TURN["roll"],
        "fov": FOV * 2 ** (share.get("wider", 0.0) / 2),
    }


def _kling_strokes(masks: Any, find: Find) -> list[dict[str, Any]]:
    strokes = []
    listed = _mappings(masks, "dynamic_masks")
    if len(listed) > KLING_MASKS:
        raise BadRequest(f"{len(listed)} dynamic_masks: Kling takes {KLING_MASKS} at most")
    for mask in listed:
        _only(mask, ("mask", "trajectories"), "dynamic_masks")
        path = _path(mask.get("mask"), "mask")
        width, height = check_image(find(Path(path)))
        points = list(_mappings(mask.get("trajectories") or (), "trajectories"))
        if not 2 <= len(points) <= KLING_POINTS:
            raise BadRequest(f"{len(points)} points of a trajectory: Kling takes 2 to {KLING_POINTS}")
        try:
            places = [(float(p["x"]) / width, float(p["y"]) / height) for p in points]
        except (KeyError, TypeError, ValueError) as error:
            raise BadRequest(
                'a point of a trajectory is {"x": pixels, "y": pixels}, from the bottom left'
            ) from error
        strokes.append({"mask": path, "trajectory": places})
    return strokes


def _runway_stroke(region: Mapping[str, Any]) -> dict[str, Any]:
    _only(region, ("polygon", "mask", "horizontal", "vertical", "proximity", "ambient"), "motion_brush")
    for name, instead in (("proximity", "the camera pushes in"), ("ambient", "say in the prompt what stirs")):
        if region.get(name):
            raise BadRequest(
                f"no control of ours says {name!r}: regions move in the picture's plane; {instead}"
            )
    right = _number(region.get("horizontal", 0), 10, "horizontal") / 10 * REACH
    up = _number(region.get("vertical", 0), 10, "vertical") / 10 * REACH
    shape = {key: region[key] for key in ("polygon", "mask") if region.get(key)}
    return {**shape, "trajectory": [(0.5, 0.5), (0.5 + right, 0.5 - up)]}


def _only(data: Any, keys: tuple[str, ...], what: str) -> None:
    if not isinstance(data, Mapping):
        raise BadRequest(f"{what} is no mapping: it has the keys {', '.join(keys)}")
    if others := sorted(str(key) for key in data if key not in keys):
        raise BadRequest(f"{what} has no {others[0]!r}: there is {', '.join(keys)}")


def _mappings(items: Any, what: str) -> list[Mapping[str, Any]]:
    if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
        raise BadRequest(f"{what} is a list of mappings")
    return list(items)


def _number(value: Any, limit: int, what: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -limit <= value <= limit:
        raise BadRequest(f"{what} is {value!r}: it takes {-limit} to {limit}")
    return float(value)


def _path(value: Any, what: str) -> str:
    """A file of this machine; other tools take addresses and base64 too."""
    if not isinstance(value, str) or len(value) > 4096 or "://" in value[:16] or value.startswith("data:"):
        raise BadRequest(f"{what} is no file: save it, and give its path")
    return value
