"""Model cards: what a named backbone can do, as data that is read without loading a tensor library."""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from filmwright.spec.errors import BadRequest, WeightsError

__all__ = ["CARDS", "FAMILIES", "WAN", "ModelCard", "load_card"]

WAN = (
    "wan2.1-t2v-1.3b",
    "wan2.1-t2v-14b",
    "wan2.1-i2v-14b-480p",
    "wan2.1-i2v-14b-720p",
    "wan2.1-flf2v-14b",
    "wan2.2-t2v-a14b",
    "wan2.2-i2v-a14b",
    "wan2.2-ti2v-5b",
    # distilled to few steps, and to streams
    "fastwan2.1-t2v-1.3b",
    "fastwan2.1-t2v-14b",
    "fastwan2.2-ti2v-5b",
    "lightx2v-t2v-14b",
    "lightx2v-i2v-14b-480p",
    "lightx2v-i2v-14b-720p",
    "lightx2v-t2v-a14b",
    "lightx2v-i2v-a14b",
    "self-forcing-t2v-1.3b",
)
FAMILIES = (
    "hunyuanvideo",
    "hunyuanvideo-1.5-480p",
    "hunyuanvideo-1.5-720p",
    "hunyuanvideo-1.5-i2v-480p",
    "hunyuanvideo-1.5-i2v-720p",
    "mochi-1",
    "ltx-video",
    "ltx-2",
    "svd",
    "svd-xt",
)
"""Models that run through diffusers."""
CARDS = {"pocket": "pocket/card.json", **{name: f"cards/{name}.json" for name in WAN + FAMILIES}}
"""Every model by name, and where its card lies in this room. Names are matched exactly."""


class ModelCard(BaseModel):
    """The limits and defaults of one model. Sides in pixels, rates in frames a second."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    family: Literal[
        "pocket", "wan", "hunyuanvideo", "hunyuanvideo-1.5", "mochi", "ltx-video", "ltx-2", "svd"
    ] = "pocket"
    summary: str
    licence: str
    permits: str | None = None  # what the licence allows, in a sentence
    non_commercial: bool = False  # whether it forbids commerce
    hub: str | None = None  # where its weights are published; None: they come with the package
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")  # the commit there; None: its main
    hub_files: tuple[str, ...] | None = (
        None  # patterns of its files there; None: those its model_index.json names
    )
    bytes: int | None = None  # of the published weights: parameters times the size of their dtype
    hub_lora: str | None = None  # where they are published as LoRA files over the model `base`
    base: str | None = None  # the model that this one was distilled from
    variant: str | None = None  # of the family: its nets and sizes, such as a key of weights.wan.WAN_SIZES
    part: str | None = None  # of the world, a key of spec.vocabulary.PARTS, that the weights were trained on
    side_multiple: int
    min_side: int
    max_side: int
    native_sizes: tuple[tuple[int, int], ...] = Field(
        min_length=1
    )  # (width, height); the first is the default
    only_native: bool = False  # whether it makes no others
    fps: int  # as trained; another rate plays the same motion slower or faster
    min_fps: int
    max_fps: int
    num_frames: int
    min_frames: int
    max_frames: int
    frame_step: int = (
        4  # frames are a multiple of this and one more; a chunked model makes whole chunks of its latents
    )
    steps: int
    min_steps: int = 1
    max_steps: int
    guidance: float
    guidance_low: float | None = None  # of the second expert, which has the lower levels
    max_guidance: float
    # blocks of the denoiser that spatio-temporal guidance leaves attention out of
    perturbed: tuple[int, ...] = ()
    shift: float | None = None  # of the levels; None: after the number of latents
    boundary: float | None = None  # the lowest level of the first of two experts
    # of a model distilled to few steps: the levels that it was made for, before the shift; it takes these and no other,
    # and no guidance
    levels: tuple[float, ...] = ()
    # of a model that makes a clip chunk by chunk, in latent frames: a chunk, what it sees with itself, and the clip's
    # first ones that it always sees
    chunk: int | None = None
    window: int | None = None
    sink: int = 0
    # of TeaCache, from the highest power down: how far its velocity moves when what levels do to a block does
    tea: tuple[float, ...] = ()
    sampler: str
    samplers: tuple[str, ...]
    negative: str = ""  # what a clip should not show, where the request does not say
    takes_words: bool = True
    takes_negative: bool = True
    calls: int = 1  # of the denoiser, a step
    sound: bool = False  # made with the picture
    cameras: tuple[str, ...]
    controls: tuple[str, ...]  # kinds of spec.request.Control that the model takes
    pictures: Literal["any", "none", "first", "first_or_none", "first_and_last"] = (
        "any"  # keyframes that it needs
    )

    @property
    def camera_axes(self) -> tuple[str, ...]:
        """What a list of poses may change (`spec.controls.AXES`): what the named moves that it knows change."""
        moves = {name.partition("-")[0] for name in self.cameras} if "camera" in self.controls else set()
        shown = {
            "position": moves & {"push", "pull", "orbit", "tracking"},
            "pan": moves & {"pan"},
            "tilt": moves & {"tilt"},
        }
        return tuple(axis for axis, by in shown.items() if by)

    @property
    def lengths(self) -> range:
        """The lengths in frames that the model makes. The first latent frame is one frame, the others are four."""
        step = self.frame_step * (self.chunk or 1)
        first = step - self.frame_step + 1  # of one chunk
        least = first + step * max(-((first - self.min_frames) // step), 0)
        return range(least, self.max_frames + 1, step)

    def steps_of(self, num_frames: int, steps: int) -> int:
        """Steps of a whole clip: a chunk's, as many times as there are chunks."""
        if self.chunk is None:
            return steps
        latent_frames = (num_frames - 1) // self.frame_step + 1
        return steps * (latent_frames // self.chunk)


@cache
def load_card(name: str) -> ModelCard:
    """The card of the model called `name`.

    Raises:
        BadRequest: no model has this name.
        WeightsError: the card file is damaged.
    """
    if name not in CARDS:
        near = get_close_matches(name.lower(), CARDS, n=1)
        first, *others = CARDS
        listed = f"there is {first}, and `filmwright models` lists {len(others)} more"
        remedy = f"did you mean {near[0]!r}?" if near else listed
        raise BadRequest(f"unknown model {name!r}: {remedy}")
    file = files("filmwright.weights").joinpath(CARDS[name])
    try:
        return ModelCard.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise WeightsError(
            f"the card of model {name!r} is missing or damaged: install filmwright anew"
        ) from error
