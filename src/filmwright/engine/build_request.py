"""From what a person asked for to a complete `Request`, or one line that says what is wrong with it.

No tensor library is imported on the way: a typo is answered at once. What a person left open comes from the
model's card; what a person stated is taken or refused, never bent.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from filmwright.engine.check_controls import check_controls, check_name
from filmwright.engine.check_sampling import check_sampling
from filmwright.engine.check_shape import (
    check_frames,
    check_rate,
    check_size,
    frames_for,
    native_size_for,
    size_for_aspect,
)
from filmwright.engine.distilled import check_distilled
from filmwright.engine.early import check_device
from filmwright.engine.options import check_kinds
from filmwright.engine.other_models import naming_others
from filmwright.media.files import digest_file
from filmwright.media.image import check_image, upright_size
from filmwright.spec.backends import ATTENTION_BACKENDS, is_installed
from filmwright.spec.compositions import AS_THEY_ARE, check_together, composition
from filmwright.spec.errors import BadRequest, NotThisModel
from filmwright.spec.request import (
    QUANTIZE,
    CacheBy,
    CameraPath,
    Control,
    ImageRef,
    Keyframe,
    LoraRef,
    Request,
)
from filmwright.spec.shapes import VideoShape
from filmwright.spec.words import mentions
from filmwright.weights.card import WAN, ModelCard, load_card
from filmwright.weights.places import PICKLES

__all__ = [
    "DEFAULT_MODEL",
    "MAX_PROMPT_LETTERS",
    "build_request",
    "check_device",
    "check_request",
    "parse_cache",
    "parse_lora",
    "parse_size",
    "size_for_aspect",
]

Value = TypeVar("Value")

DEFAULT_MODEL = "pocket"
MAX_PROMPT_LETTERS = 1000
MAX_LORA_WEIGHT = 10
NO_CACHE: tuple[float, CacheBy] = (0.0, "first-block")
SEED_BITS = 31  # of a seed drawn for the user: short enough to be typed again


@naming_others
def build_request(
    prompt: str | None = None,
    *,
    model: str | None = None,
    size: str | tuple[int, int] | None = None,
    aspect: str | None = None,
    seconds: float | None = None,
    num_frames: int | None = None,
    fps: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    sampler: str | None = None,
    negative: str | None = None,
    image: Path | str | None = None,
    last_image: Path | str | None = None,
    camera: str | None = None,
    loras: Iterable[str | Path] | None = None,
    cache: float | str | None = None,
    controls: Iterable[Control] | Callable[[VideoShape], Iterable[Control]] | None = None,
    quantize: str | None = None,
    compile: bool | None = None,  # noqa: A002 (the field's name)
    sound: bool | None = None,
    attention: str | None = None,
    cuda_graphs: bool | None = None,
    guidance_down_to: float | None = None,
    shift: float | None = None,
    guidance_low: float | None = None,
    merge_lora: bool | None = None,
    base: Request | None = None,
) -> Request:
    """A complete, checked request; what is None comes from `base`, or from the model's card where there is none.

    Args:
        prompt: what the clip shows, up to 1,000 letters.
        model: a name in `weights.card.CARDS`.
        size: (width, height) in pixels, or as text "256x160"; of what the model makes best, its first or, with a
            picture, the nearest in shape to that, when this and `aspect` are None.
        aspect: "16:9" instead of a size: the nearest that the model makes.
        seconds: length instead of `num_frames`: the nearest 4k+1 frames.
        num_frames: length in frames, 4k+1 or as the model's card says.
        fps: frames a second.
        seed: of the noise; drawn at random when None.
        steps: of the sampler.
        guidance: weight of the prompt against no prompt; 1 is none.
        sampler: a name on the model's card.
        negative: what the clip should not show.
        image: the first frame, any still picture.
        last_image: the last frame.
        camera: a named camera move on the model's card; if None, the one that a new prompt names, if it names one.
        loras: LoRA files, each as PATH, PATH=WEIGHT or, for one of two experts, PATH=WEIGHT@high or @low.
        cache: how little a step may change to be saved, 0 to 1; 0 is exact. With "tea:" before it, by TeaCache.
        controls: keyframes, a camera path, a motion brush, a prefix; or what makes them once the clip's shape is known.
            One takes the place of the base's of its kind, a keyframe of the one at its frame.
        quantize: eight bits for the weights, a `spec.request.Quantize`; "none" is exact.
        compile: whether the denoiser's blocks run as compiled code.
        sound: whether a model that makes sound with the picture gives it.
        attention: what computes attention, a `spec.backends.AttentionBackend`; "auto" is the machine's best exact one.
        cuda_graphs: whether the denoiser's passes are recorded as CUDA graphs.
        guidance_down_to: level, 0 clean to 1 noise, below which the pass without the prompt is left out; 0 is exact.
        merge_lora: whether LoRAs are added to the weights, instead of being computed beside them.
        shift: of the levels, above 0: more of the steps go to noisy ones; the model's own when None.
        guidance_low: guidance of the second of two experts; in the model's own proportion to the first when None.
        base: the request of an earlier clip, such as a sidecar's.

    Raises:
        BadRequest: anything that the model cannot do; the message says what, the numbers, the remedy and, where other
            models would, their names.
        MediaError: the image cannot be used.
    """
    check_kinds(locals().copy())  # all options, by their names
    card = load_card(model if model is not None else base.model if base else DEFAULT_MODEL)
    if size is not None and aspect is not None:
        raise BadRequest("both a size and an aspect were given: give one of them")
    if seconds is not None and num_frames is not None:
        raise BadRequest("both seconds and frames were given: give one of them")
    if prompt is None and base is None and card.takes_words:
        raise BadRequest("there is no prompt: say in a few words what the clip shows")
    rate = _given(fps, base.fps if base else card.fps)
    check_rate(rate, card)
    if aspect is not None:
        width, height = size_for_aspect(aspect, card)
    elif size is not None:
        width, height = parse_size(size) if isinstance(size, str) else size
    else:
        shown = image if image is not None else last_image
        own = card.native_sizes[0] if base or shown is None else native_size_for(*upright_size(shown), card)
        width, height = (base.width, base.height) if base else own
    if seconds is not None:
        num_frames = frames_for(seconds, rate, card)
    length = _given(num_frames, base.num_frames if base else card.num_frames)
    pictures = {at: path for at, path in ((0, image), (length - 1, last_image)) if path is not None}
    shape = VideoShape(width=width, height=height, num_frames=length, fps=rate)
    given = () if controls is None else tuple(controls(shape) if callable(controls) else controls)
    placed = any(isinstance(control, CameraPath) for control in given)
    named = camera if camera is not None or placed else _named_camera(prompt, card)
    change, by = (
        parse_cache(cache) if cache is not None else (base.cache, base.cache_by) if base else NO_CACHE
    )
    request = Request.model_construct(  # checked next, in our words; then once more by the types
        model=card.name,
        prompt=_tidy(prompt if prompt is not None else base.prompt if base else ""),
        negative=_tidy(_given(negative, base.negative if base else card.negative)),
        width=width,
        height=height,
        num_frames=length,
        fps=rate,
        seed=_given(seed, base.seed if base else secrets.randbits(SEED_BITS)),
        steps=_given(steps, base.steps if base else card.steps),
        guidance=_given(guidance, base.guidance if base else card.guidance),
        sampler=_given(sampler, base.sampler if base else card.sampler),
        controls=_controls(pictures, named, _replaced(base.controls if base else (), given)),
        loras=(base.loras if base else ())
        if loras is None
        else tuple(parse_lora(str(text)) for text in loras),
        cache=change,
        cache_by=by,
        quantize=_given(quantize, str(base.quantize) if base else "none"),  # type: ignore[arg-type]
        compile=_given(compile, base.compile if base else False),
        sound=_given(sound, base.sound if base and card.sound else True),
        attention=_given(attention, str(base.attention) if base else "auto"),  # type: ignore[arg-type]
        cuda_graphs=_given(cuda_graphs, base.cuda_graphs if base else False),
        guidance_down_to=_given(guidance_down_to, base.guidance_down_to if base else 0.0),
        shift=_given(shift, base.shift if base else None),
        guidance_low=_given(guidance_low, base.guidance_low if base else None),
        merge_lora=_given(merge_lora, base.merge_lora if base else False),
    )
    check_request(request, card)
    try:
        return Request.model_validate(dict(request))
    except ValidationError as error:  # such as fps=16.5 from Python
        detail = error.errors(include_url=False)[0]
        raise BadRequest(f"{'.'.join(map(str, detail['loc']))} is not understood: {detail['msg']}") from error


def check_request(request: Request, card: ModelCard | None = None) -> None:
    """See that the model can do all that the request asks.

    Raises:
        BadRequest: it cannot, or a picture has changed since the request was made.
        MediaError: a picture cannot be read.
    """
    card = card or load_card(request.model)
    _check_words(request, card)
    check_size(request.width, request.height, card)
    check_rate(request.fps, card)
    check_frames(request.num_frames, card)
    if not 0 <= request.seed < 2**63:
        raise BadRequest(f"seed {request.seed} is out of range: it must be from 0 to {2**63 - 1}")
    check_distilled(request, card)
    if not card.min_steps <= request.steps <= card.max_steps:
        raise BadRequest(
            f"{request.steps} steps are out of range: model {card.name!r} takes {card.min_steps} to {card.max_steps}, "
            f"{card.steps} by default"
        )
    if not 0 <= request.guidance <= card.max_guidance:  # false for NaN too
        raise BadRequest(
            f"guidance {request.guidance:g} is out of range: model {card.name!r} takes 0 to {card.max_guidance:g}, "
            f"{card.guidance:g} by default"
        )
    check_name("sampler", request.sampler, card.samplers)
    check_sampling(request, card)
    check_controls(request, card)
    _check_loras(request, card)
    check_name("quantization", request.quantize, QUANTIZE)
    if request.attention not in ATTENTION_BACKENDS:  # only then is it looked up what is installed
        check_name("attention", request.attention, [n for n in ATTENTION_BACKENDS if is_installed(n)])
    check_together(replace(composition(request, card.family), installed=is_installed(request.attention)))
    if not request.sound and not card.sound:
        raise BadRequest(f"model {card.name!r} makes no sound: leave --no-sound out (in Python: sound)")
    _check_cache(request, card)
    _check_gate(request, card)


def parse_size(size: str) -> tuple[int, int]:
    """Text such as "256x160" as (width, height); their values are not checked.

    Raises:
        BadRequest: not of that form.
    """
    match = re.fullmatch(r"\s*([+-]?\d{1,9})\s*[xX×*]\s*([+-]?\d{1,9})\s*", size)
    if not match:
        raise BadRequest(
            f"size {size!r} is not understood: write it as width x height in pixels, such as 256x160"
        )
    return int(match[1]), int(match[2])


def parse_cache(asked: float | str) -> tuple[float, CacheBy]:
    """0.1 or "0.1", or "tea:0.1", as a change and what tells it; its range is not checked.

    Raises:
        BadRequest: not of that form.
    """
    by, colon, number = str(asked).rpartition(":")
    try:
        change = float(number)
    except ValueError:
        change = math.nan
    if math.isnan(change) or by != ("tea" if colon else ""):
        raise BadRequest(f"--cache {asked} is not understood: write 0.1, or tea:0.1 for TeaCache")
    return change, "tea" if by and change else "first-block"


def parse_lora(text: str) -> LoraRef:
    """PATH, PATH=WEIGHT or PATH=WEIGHT@high|low as a reference to a file that is there.

    Raises:
        BadRequest: not of that form, or a weight out of range.
        MediaError: there is no such file.
    """
    match = re.fullmatch(r"(.+?)(?:=([+-]?\d+(?:\.\d+)?))?(?:@(high|low))?", text)
    if not match or not match[1].endswith(".safetensors"):
        if match and (kind := Path(match[1]).suffix) in PICKLES:
            raise BadRequest(
                f"LoRA {match[1]} is a pickle ({kind}), which may run any code when it is loaded: take the same "
                "LoRA as safetensors"
            )
        raise BadRequest(f"LoRA {text!r} is not understood: write FILE.safetensors or FILE.safetensors=0.8")
    weight = float(match[2]) if match[2] else 1.0
    if abs(weight) > MAX_LORA_WEIGHT:
        raise BadRequest(
            f"LoRA weight {weight:g} is out of range: it must be from {-MAX_LORA_WEIGHT} to {MAX_LORA_WEIGHT}"
        )
    place = Path(match[1]).absolute()
    if not place.is_file():
        raise BadRequest(f"LoRA {match[1]} is not a file: check the path")
    return LoraRef(path=str(place), digest=digest_file(place), weight=weight, expert=match[3] or "both")


def _given(value: Value | None, otherwise: Value) -> Value:
    return otherwise if value is None else value


def _tidy(text: str) -> str:
    """One line, single spaces."""
    return " ".join(text.split())


def _named_camera(prompt: str | None, card: ModelCard) -> str | None:
    """The one camera move that a prompt names beyond doubt: it becomes a control, where it can be seen and changed."""
    if not prompt or "camera" not in card.controls:
        return None
    named = {m.names for m in mentions(prompt) if m.attribute == "camera"}
    if len(named) != 1:
        return None
    names = named.pop()
    return names[0] if len(names) == 1 and names[0] in card.cameras else None


def _controls(
    pictures: dict[int, Path | str], camera: str | None, base: tuple[Control, ...]
) -> tuple[Control, ...]:
    """The base's controls with pictures (frame -> file) and the camera move replaced where they are given."""
    kept: list[Control] = list(base)
    for at, image in sorted(pictures.items(), reverse=True):
        check_image(image)
        place = str(Path(image).absolute())
        kept = [control for control in kept if not (isinstance(control, Keyframe) and control.at == at)]
        kept.insert(0, Keyframe(at=at, image=ImageRef(path=place, digest=digest_file(image))))
    if camera is not None:
        kept = [control for control in kept if not isinstance(control, CameraPath)]
        kept.append(CameraPath(move=camera))
    return tuple(kept)


def _replaced(base: tuple[Control, ...], given: tuple[Control, ...]) -> tuple[Control, ...]:
    """The base's controls but for those that others are given for."""
    slots = {(c.kind, c.at if isinstance(c, Keyframe) else None) for c in given}
    kept = (c for c in base if (c.kind, c.at if isinstance(c, Keyframe) else None) not in slots)
    return (*kept, *given)


def _check_words(request: Request, card: ModelCard) -> None:
    """See that there are words where the model takes them, and none where it does not."""
    _check_text("prompt", request.prompt)
    if card.takes_words and not request.prompt.strip():
        raise BadRequest("the prompt is empty: say in a few words what the clip shows")
    if request.prompt and not card.takes_words:
        raise NotThisModel(f"model {card.name!r} takes no words, only a picture: leave the prompt out")
    if request.negative != card.negative:  # the model's own may be longer
        _check_text("negative prompt", request.negative)
    if request.negative and not card.takes_negative:
        raise NotThisModel(f"model {card.name!r} takes no negative prompt: leave it out (--negative)")


def _check_text(what: str, text: str) -> None:
    if len(text) > MAX_PROMPT_LETTERS:
        raise BadRequest(f"the {what} has {len(text)} letters: the limit is {MAX_PROMPT_LETTERS}; shorten it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"the {what} is not valid text at letter {error.start + 1}: write it in UTF-8"
        ) from error


def _check_cache(request: Request, card: ModelCard) -> None:
    if not 0 <= request.cache <= 1:
        raise BadRequest(
            f"--cache {request.cache:g} is out of range: 0 is exact, 0.05 to 0.15 saves about half"
        )
    if request.cache and request.cache_by == "tea" and not card.tea:
        known = ", ".join(name for name in WAN if load_card(name).tea)
        raise BadRequest(
            f"TeaCache has published no coefficients for model {card.name!r}, but for {known}: "
            f"take --cache {request.cache:g}, which looks at the first block"
        )


def _check_gate(request: Request, card: ModelCard) -> None:
    level = request.guidance_down_to
    if not 0 <= level < 1:
        raise BadRequest(
            f"--guidance-down-to {level:g} is out of range: 0 guides every step, 0.2 to 0.5 saves some"
        )
    if level and card.family != "wan":
        raise BadRequest(
            f"model {card.name!r} has no --guidance-down-to: the models of the Wan family that are guided do"
        )
    if level and request.guidance == 1:
        raise BadRequest("--guidance-down-to is for clips that are guided, and --guidance is 1: leave it out")


def _check_loras(request: Request, card: ModelCard) -> None:
    if request.loras and card.family in AS_THEY_ARE:
        raise BadRequest(f"model {card.name!r} takes no LoRA: all models but pocket and svd do")
    for lora in request.loras:
        if lora.expert != "both" and card.boundary is None:
            raise BadRequest(
                f"model {card.name!r} has no {lora.expert}-noise expert: leave out @{lora.expert}"
            )
        if not Path(lora.path).is_file():
            raise BadRequest(f"LoRA {lora.path} is not a file: check the path")
        if digest_file(lora.path) != lora.digest:
            raise BadRequest(
                f"LoRA {lora.path} has changed since the request was made: restore it or give it anew with --lora"
            )
