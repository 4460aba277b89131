"""Sees that a model knows the controls of a request: what it does not know is refused by name, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from filmwright.media.files import digest_file
from filmwright.media.image import check_image
from filmwright.spec.controls import moved_axes
from filmwright.spec.errors import BadRequest, NotThisModel
from filmwright.spec.request import CameraPath, ImageRef, Keyframe, MotionBrush, Pose, Prefix, Request
from filmwright.weights.card import ModelCard

__all__ = ["check_controls", "check_name"]


def check_name(what: str, name: str, names: Iterable[str]) -> None:
    """See that a name is one of those.

    Raises:
        BadRequest: it is not; the message has the nearest.
    """
    names = tuple(names)
    if name in names:
        return
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? There" if near else "there"
    raise BadRequest(f"unknown {what} {name!r}: {hint} is {', '.join(names)}")


def check_controls(request: Request, card: ModelCard) -> None:
    """See that a model takes all controls of a request, and that their files are as they were.

    Raises:
        BadRequest: it does not, or they are not.
        MediaError: a picture cannot be read.
    """
    kinds = [control.kind for control in request.controls if control.kind != "keyframe"]
    if twice := next((kind for kind in kinds if kinds.count(kind) > 1), None):
        raise BadRequest(
            f"there are {kinds.count(twice)} controls of kind {twice}: give one that says it all"
        )
    for control in request.controls:
        if control.kind not in card.controls:
            instead = ", so say the camera move in the prompt" if control.kind == "camera" else ""
            raise NotThisModel(
                f"model {card.name!r} takes no {control.kind}: it takes "
                f"{', '.join(card.controls) or 'words alone'}{instead}"
            )
        match control:
            case Keyframe(at=at, image=image):
                if at >= request.num_frames:
                    raise BadRequest(
                        f"a keyframe at frame {at} is past the end: {request.num_frames} frames end at "
                        f"{request.num_frames - 1}"
                    )
                check_image(image.path)
                _check_same(image)
            case CameraPath(move=None, poses=poses):
                _check_poses(poses, request, card)
            case CameraPath(move=str(move)):
                check_name("camera move", move, card.cameras)
            case Prefix(clip=clip, num_frames=num_frames):
                if num_frames >= request.num_frames:
                    raise BadRequest(
                        f"a prefix of {num_frames} frames leaves nothing to make of {request.num_frames}: shorten it"
                    )
                step = card.frame_step
                if (num_frames - 1) % step:
                    near = max(round((num_frames - 1) / step), 1) * step + 1
                    raise BadRequest(f"{num_frames} frames cannot be carried on: {step}k+1, such as {near}")
                _check_same(clip)
            case MotionBrush():
                starts = [
                    other for other in request.controls if isinstance(other, Keyframe) and other.at == 0
                ]
                if not starts:
                    raise BadRequest("a motion brush needs a picture to move: give a keyframe at frame 0")
                for region in control.regions():
                    if region.mask is not None:
                        check_image(region.mask.path)
                        _check_same(region.mask)
    _check_pictures(request, card)


def _check_poses(poses: tuple[Pose, ...], request: Request, card: ModelCard) -> None:
    if poses[-1].at >= request.num_frames:
        raise BadRequest(
            f"a camera pose at frame {poses[-1].at} is past the end: {request.num_frames} frames end at "
            f"{request.num_frames - 1}"
        )
    if others := [axis for axis in moved_axes(poses) if axis not in card.camera_axes]:
        raise BadRequest(
            f"model {card.name!r} takes no camera poses that change {' and '.join(others)}: it was shown "
            f"{' and '.join(card.camera_axes) or 'no camera that moves'} only"
        )


def _check_pictures(request: Request, card: ModelCard) -> None:
    """See that a model which is made for certain pictures gets those, and no others."""
    last = request.num_frames - 1
    given = {control.at for control in request.controls if isinstance(control, Keyframe)}
    needs = {
        "first": ({0}, "a first picture (--image)"),
        "first_and_last": ({0, last}, "a first and a last picture (--image and --last-image)"),
    }
    if card.pictures in needs:
        wanted, said = needs[card.pictures]
        if given != wanted:
            frames = ", ".join(map(str, sorted(given)))
            what = f"{len(given)} picture{'s'[: len(given) > 1]} at frame {frames}" if given else "no picture"
            raise NotThisModel(f"model {card.name!r} needs {said} and no other, not {what}")
    elif card.pictures == "first_or_none" and given - {0}:
        raise NotThisModel(
            f"model {card.name!r} takes a first picture or none, not one at frame {max(given)}"
        )


def _check_same(image: ImageRef) -> None:
    found = digest_file(image.path)
    if found != image.digest:
        raise BadRequest(
            f"{image.path} has changed since the request was made (digest {found[:12]}, was {image.digest[:12]}): "
            "restore it or give it anew with --image"
        )
