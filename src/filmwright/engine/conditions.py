"""Controls become tensors: what is known of a clip before the denoiser starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmwright.engine.strokes import brush_tracks
from filmwright.media.files import digest_file
from filmwright.media.image import load_image
from filmwright.media.video import read_video
from filmwright.models.dit import CAMERA, CONTROL_CHANNELS
from filmwright.models.vae import GROUP
from filmwright.spec.errors import BadRequest
from filmwright.spec.request import CameraPath, Keyframe, MotionBrush, Prefix, Request
from filmwright.spec.shapes import LatentShape
from filmwright.weights.backbone import Backbone
from filmwright.world.cameras import camera_path
from filmwright.world.poses import pose_path
from filmwright.world.rays import camera_channels

__all__ = ["Conditions", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Known latent frames and control channels of one clip, batch axis first.

    known: clean latents [1, c, t, h, w]; zeros where nothing is known.
    given: [t] bool, latent frames that are known.
    controls: [1, 43, t, h, w], camera and motion tracks.
    keyframes, key_times: clean latents [1, m, c, h, w] of later pictures and their latent frames [m], or None.
    """

    known: Tensor
    given: Tensor
    controls: Tensor
    keyframes: Tensor | None
    key_times: Tensor | None


def prepare(request: Request, backbone: Backbone) -> Conditions:
    """Encodes pictures and clips, draws camera and tracks.

    Raises:
        BadRequest: a prefix that is too short or of another shape, or a picture that changed since it was named.
        MediaError: a picture or clip cannot be read.
    """
    shape = request.shape.latent(backbone.sizes.vae.latent_channels)
    size = (1, shape.channels, shape.num_frames, shape.height, shape.width)
    known = torch.zeros(size, device=backbone.device, dtype=backbone.dtype)
    given = torch.zeros(shape.num_frames, dtype=torch.bool, device=backbone.device)
    controls = known.new_zeros((1, CONTROL_CHANNELS, *size[2:]))
    later: list[tuple[int, Tensor]] = []
    for control in request.controls:
        match control:
            case Keyframe(at=0, image=image):
                known[:, :, :1] = _encode(
                    load_image(image.path, request.width, request.height)[None], backbone
                )
                given[0] = True
            case Keyframe(at=at, image=image):
                picture = _encode(load_image(image.path, request.width, request.height)[None], backbone)
                later.append((-(-at // GROUP), picture[:, :, 0]))
            case Prefix(clip=clip, num_frames=count):
                latents = _encode(_last_frames(clip.path, clip.digest, count, request), backbone)
                known[:, :, : latents.shape[2]] = latents
                given[: latents.shape[2]] = True
            case CameraPath():
                controls[:, :CAMERA] = _camera(control, request, shape).to(known)
            case MotionBrush():
                pass  # drawn below, when the first frame is known
    for control in request.controls:
        if isinstance(control, MotionBrush):
            controls[:, CAMERA:] = _tracks(control, known, request, shape)
    keyframes = torch.stack([z for _, z in later], dim=1) if later else None
    times = torch.tensor([t for t, _ in later], device=backbone.device) if later else None
    return Conditions(known=known, given=given, controls=controls, keyframes=keyframes, key_times=times)


def _encode(frames: NDArray[np.uint8], backbone: Backbone) -> Tensor:
    """Frames uint8 [T, H, W, 3] -> latents [1, c, t, h, w]."""
    x = torch.tensor(frames, device=backbone.device).permute(3, 0, 1, 2)[None]
    return backbone.vae.encode(x.to(backbone.dtype) / 127.5 - 1)


def _last_frames(path: str, digest: str, count: int, request: Request) -> NDArray[np.uint8]:
    if digest_file(path) != digest:
        raise BadRequest(
            f"{path} has changed since the request was made: give the clip that it named, or start anew"
        )
    frames, _ = read_video(path)
    if len(frames) < count or (count - 1) % GROUP:
        raise BadRequest(
            f"a prefix of {count} frames cannot be taken from {path} with {len(frames)}: it must be 4k+1 and no longer"
        )
    if frames.shape[1:3] != (request.height, request.width):
        raise BadRequest(
            f"{path} is {frames.shape[2]}x{frames.shape[1]}, the request "
            f"{request.width}x{request.height}: make them equal"
        )
    return frames[-count:]


def _camera(path: CameraPath, request: Request, shape: LatentShape) -> Tensor:
    """Camera channels [1, 26, t, h, w] of a named move or a list of poses."""
    if path.move is not None:
        poses = camera_path(path.move, request.num_frames, amount=path.amount, easing=path.easing)
    else:
        poses = pose_path(path.poses, request.num_frames, easing=path.easing)
    channels = camera_channels(poses, shape.height, shape.width, stride=GROUP)
    return torch.from_numpy(channels).transpose(0, 1)[None]


def _tracks(brush: MotionBrush, known: Tensor, request: Request, shape: LatentShape) -> Tensor:
    """A motion brush as control channels [1, 17, t, h, w]: the first frame's latent, put where each track goes."""
    result = torch.zeros((1, shape.channels + 1, shape.num_frames, shape.height, shape.width)).to(known)
    frames = [t * GROUP for t in range(shape.num_frames)]
    size = request.width, request.height
    for (row, column), places in brush_tracks(brush, shape.height, shape.width, frames, size):
        for t, (x, y) in enumerate(places):
            if 0 <= x <= 1 and 0 <= y <= 1:  # false where the track has left the picture, or is none
                there = (
                    min(int(y * shape.height), shape.height - 1),
                    min(int(x * shape.width), shape.width - 1),
                )
                result[0, :-1, t, *there] = known[0, :, 0, row, column]
                result[0, -1, t, *there] = 1
    return result
