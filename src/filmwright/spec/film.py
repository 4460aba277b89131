"""The film file: looks and subjects once, sequences of shots, the edit, sound, deliverables.

These are the words of `film.yaml` as types. A value of the wrong kind is refused here; what names what, whether files
are there and whether a model can do it is `direction.film.check`'s. What is left out has the default that its field
states, or the one of the film, or that of the model's card.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from filmwright.spec.backends import AttentionBackend
from filmwright.spec.brief import Brief
from filmwright.spec.controls import Easing
from filmwright.spec.request import Quantize

__all__ = [
    "FILM_VERSION",
    "Brush",
    "Camera",
    "Cdl",
    "Continues",
    "DeflickerWords",
    "Deliverable",
    "DenoiseWords",
    "EditEvent",
    "Film",
    "GradeWords",
    "Look",
    "PostWords",
    "ResizeWords",
    "RetimeWords",
    "Sequence",
    "Shot",
    "SoundFile",
    "StabiliseWords",
    "TitleWords",
    "Transition",
    "film_schema",
]

FILM_VERSION: Literal[1] = 1
MAX_SECONDS = 86_400.0

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
"""A name of a shot, sequence, look or subject: small letters, digits, - and _."""
Text = Annotated[str, StringConstraints(max_length=1000, strip_whitespace=True, min_length=1)]
Seconds = Annotated[float, Field(ge=0.0, le=MAX_SECONDS)]
Some = Annotated[float, Field(gt=0.0, le=MAX_SECONDS)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Triple = tuple[float, float, float]
Size = Annotated[str, StringConstraints(pattern=r"^\d{2,5}x\d{2,5}$")]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Tea = Annotated[str, Field(pattern=r"^tea:\d*\.?\d+$")]


class Words(BaseModel):
    """Base of all that a film file holds: immutable, no unknown keys, nothing of another type is bent into place."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Cdl(Words):
    """ASC CDL: (in * slope + offset) ** power a channel, then saturation."""

    slope: Annotated[Triple, Field(description="Red, green, blue.")] = (1.0, 1.0, 1.0)
    offset: Triple = (0.0, 0.0, 0.0)
    power: Triple = (1.0, 1.0, 1.0)
    saturation: float = Field(default=1.0, ge=0.0, le=4.0)


class GradeWords(Words):
    """A grade: CDL numbers, a .cube file, or both in this order. A grade renders nothing anew."""

    cdl: Cdl | None = None
    lut: FilePath | None = Field(default=None, description="A .cube file.")


class Look(Words):
    """Parts of a brief that many shots share; a shot's own words go before. And their grade."""

    setting: Text | None = None
    light: Text | None = None
    camera: Text | None = None
    lens: Text | None = None
    mood: Text | None = None
    negative: str | None = Field(default=None, max_length=1000, description="What shots should not show.")
    grade: GradeWords | None = None


class Camera(Words):
    """A named camera move; amount 1 and easing "natural" are the move as trained."""

    move: str
    amount: float = Field(default=1.0, ge=0.0, le=2.0)
    easing: Easing = "natural"


class Continues(Words):
    """Goes on from the end of a shot's selected take: from its last frame, or with its motion from more frames."""

    shot: Id
    frames: int = Field(
        default=1, ge=1, le=129, description="1, or 4k+1 to carry the motion on; they open this shot too."
    )


class Brush(Words):
    """A point of the first picture that moves: (frame, x, y), x and y from 0 to 1, origin top left."""

    points: tuple[tuple[int, float, float], ...] = Field(min_length=2)


class DeflickerWords(Words):
    """Evens out light that jumps from frame to frame."""

    seconds: float = Field(default=0.5, ge=0.05, le=2.0, description="Before and after, to compare with.")
    limit: float = Field(default=0.3, ge=0.0, le=1.0, description="Of a gain: 0.3 is up to 30 percent.")


class DenoiseWords(Words):
    """Averages each frame with its neighbours along the motion."""

    strength: Fraction = 1.0


class StabiliseWords(Words):
    """Takes out a camera's shake."""

    seconds: float = Field(default=0.5, ge=0.05, le=2.0, description="Before and after, to compare with.")
    crop: float = Field(
        default=0.08, ge=0.0, le=0.4, description="Share of width and of height that is given up."
    )


class RetimeWords(Words):
    """Another frame rate at the same speed."""

    fps: int = Field(ge=1, le=240)
    method: Literal["flow", "blend", "nearest"] = "flow"


class ResizeWords(Words):
    """Another size, by Lanczos."""

    size: Size
    fit: Literal["fill", "pad", "stretch"] = "fill"
    linear: bool = Field(default=False, description="Mixes linear light instead of code values.")


class PostWords(Words):
    """One stage of post."""

    deflicker: DeflickerWords | None = None
    denoise: DenoiseWords | None = None
    stabilise: StabiliseWords | None = None
    retime: RetimeWords | None = None
    resize: ResizeWords | None = None
    grade: GradeWords | None = None


class Settings(Words):
    """How shots are made; a shot's own go before its film's."""

    model: str | None = Field(default=None, description="A model's name; pocket if not given.")
    size: Size | None = Field(default=None, description="Width x height in pixels, such as 256x160.")
    fps: int | None = Field(default=None, ge=1, le=240, description="Frames a second.")
    seconds: Some | None = Field(default=None, description="Length; the model's own if not given.")
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0.0, le=100.0)
    sampler: str | None = None
    shift: float | None = Field(
        default=None, gt=0.0, le=100.0, description="Of the noise levels; the model's own if not given."
    )
    guidance_low: float | None = Field(
        default=None, ge=0.0, le=100.0, description="Guidance of the second of two experts."
    )
    negative: str | None = Field(default=None, max_length=1000)
    loras: tuple[FilePath, ...] | None = Field(default=None, description="FILE.safetensors or FILE=WEIGHT.")
    merge_lora: bool | None = Field(default=None, description="Adds LoRAs to the weights.")
    quantize: Quantize | None = Field(default=None, description="Eight bits for the weights.")
    attention: AttentionBackend | None = Field(default=None, description="What computes attention.")
    compile: bool | None = Field(default=None, description="Runs the denoiser's blocks as compiled code.")
    cuda_graphs: bool | None = Field(
        default=None, description="Records the denoiser's passes as CUDA graphs."
    )
    cache: Fraction | Tea | None = Field(
        default=None, description="Save steps that change less, or tea:CHANGE for TeaCache; 0 is exact."
    )
    guidance_down_to: float | None = Field(
        default=None, ge=0.0, lt=1.0, description="Level below which the prompted pass stands alone."
    )
    post: tuple[str | PostWords, ...] | None = Field(
        default=None, max_length=16, description="Stages after rendering, in order; [] for none."
    )


class Shot(Settings):
    """What one shot shows, in a brief or as a prompt. {name} in its words stands for a subject of the film."""

    id: Id
    brief: Brief | None = None
    prompt: Text | None = None
    look: Id | None = None
    frames: int | None = Field(default=None, ge=1, description="Length in frames, 4k+1, instead of seconds.")
    seed: Seed | None = Field(default=None, description="Made from the shot's name if not given.")
    takes: tuple[Seed, ...] | None = Field(
        default=None, min_length=1, max_length=99, description="Seeds of several takes."
    )
    take: int | None = Field(default=None, ge=1, description="The selected take; the first is 1.")
    still: bool = Field(default=False, description="A keyframe: one frame, for other shots to start from.")
    camera: str | Camera | None = Field(default=None, description="A camera move of the model.")
    brush: tuple[Brush, ...] | None = Field(default=None, description="Needs a first picture.")
    image: FilePath | None = Field(default=None, description="The first frame, a picture.")
    last_image: FilePath | None = Field(default=None, description="The last frame, a picture.")
    keyframe: Id | None = Field(default=None, description="A still shot that is the first frame.")
    last_keyframe: Id | None = Field(default=None, description="A still shot that is the last frame.")
    continues: Id | Continues | None = Field(default=None, description="Starts from this shot's last frame.")
    controls: dict[str, Any] | None = Field(
        default=None, description="Camera poses, a motion brush, keyframes at times, a prefix."
    )
    grade: GradeWords | None = Field(default=None, description="Instead of the look's.")
    note: str | None = None


class Sequence(Words):
    """Shots that belong together."""

    id: Id
    look: Id | None = None
    note: str | None = None
    shots: tuple[Shot, ...] = Field(min_length=1)


class Transition(Words):
    """How an event takes over from the one before it; both play in it, so each needs that many seconds."""

    kind: Literal["cut", "dissolve", "wipe"]
    seconds: Some = 0.5
    direction: Literal["left", "right", "up", "down"] = Field(
        default="right", description="Where a wipe's edge moves to."
    )


class EditEvent(Words):
    """A stretch of a shot's selected take; a shot may be used more than once or not at all."""

    shot: Id
    trim: tuple[Seconds, Seconds] | None = Field(
        default=None, description="[from, to] in seconds of the shot; all of it if not given."
    )
    speed: float = Field(default=1.0, ge=0.1, le=10.0, description="2 is twice as fast.")
    transition: Transition | None = None
    fade_in: Seconds = 0.0
    fade_out: Seconds = 0.0
    fade_color: Color = "#000000"
    grade: GradeWords | None = Field(default=None, description="Instead of the shot's.")
    note: str | None = None


class TitleWords(Words):
    """Words over the picture, at a time of the film."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    at: Seconds = 0.0
    seconds: Some = 2.0
    place: Literal["upper", "center", "lower"] = "center"
    size: float = Field(
        default=0.1, ge=0.02, le=0.5, description="Of a line, as a share of the picture's height."
    )
    color: Color = "#ffffff"
    fade: Seconds = 0.25
    font: FilePath | None = None


class SoundFile(Words):
    """A sound file at a time of the film; what several say at once is added up."""

    file: FilePath
    at: Seconds = 0.0
    trim: tuple[Seconds, Seconds] | None = Field(
        default=None, description="[from, to] in seconds of the file."
    )
    level: float = Field(default=0.0, ge=-96.0, le=24.0, description="Decibels.")
    fade_in: Seconds = 0.0
    fade_out: Seconds = 0.0


class Deliverable(Words):
    """A file that the build writes."""

    path: FilePath
    format: str = Field(
        default="h264",
        description="h264, h265, h265-10, av1, av1-10, prores-422-hq, dnxhr-hqx; png or exr, a folder of pictures; "
        "wav; poster, the frame that stands for the film.",
    )
    size: Size | None = Field(default=None, description="The film's if not given; the picture fills it.")
    fps: float | str | None = Field(
        default=None, description="24, 23.976 or 24000/1001; the film's if not given. The length stays."
    )
    hdr: bool = Field(default=False, description="HDR10, white at 203 cd/m2; of h265-10 and av1-10.")
    loudness: float | None = Field(default=None, description="LUFS to bring the sound to, such as -16.")


class Film(Settings):
    """A whole film file."""

    film: Literal[1] = Field(default=FILM_VERSION, description="Version of this format.")
    title: Text
    look: Id | None = Field(default=None, description="Of shots that have none.")
    looks: dict[Id, Look] = {}
    subjects: dict[Id, Text] = Field(default={}, description="name: words; {name} in a shot stands for them.")
    sequences: tuple[Sequence, ...] = Field(min_length=1)
    edit: tuple[EditEvent, ...] | None = Field(
        default=None, min_length=1, description="All shots in order, in full, if not given."
    )
    titles: tuple[TitleWords, ...] = ()
    sound: tuple[SoundFile, ...] = ()
    deliverables: tuple[Deliverable, ...] = Field(
        default=(), description="The film as h264 beside this file if not given."
    )
    private: bool = Field(
        default=False, description="Deliverables are signed without words, models, seeds and shots."
    )

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All shots of all sequences, in order."""
        return tuple(shot for sequence in self.sequences for shot in sequence.shots)


def film_schema() -> dict[str, Any]:
    """The JSON Schema of a film file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Film.model_json_schema(mode="validation"),
    }
