"""`filmwright.generate`: words in, a clip out; a bad word is refused before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict, Unpack

from filmwright.engine.build_request import build_request
from filmwright.engine.credentials import inputs_of
from filmwright.engine.early import check_start
from filmwright.engine.options import check_paths
from filmwright.engine.runs import begun
from filmwright.media.beside import check_beside
from filmwright.media.clips import Clip
from filmwright.media.files import check_output
from filmwright.spec.backends import AttentionBackend
from filmwright.spec.errors import BadRequest
from filmwright.spec.events import OnEvent, Warned
from filmwright.spec.plan import parse_memory
from filmwright.spec.request import Control, Quantize, Request
from filmwright.spec.shapes import VideoShape

__all__ = ["Options", "generate"]


class Options(TypedDict, total=False):
    """What `build_request` takes besides the prompt; what is left out comes from the model's card."""

    model: str
    size: str | tuple[int, int]
    aspect: str
    seconds: float
    num_frames: int
    fps: int
    seed: int
    steps: int
    guidance: float
    sampler: str
    negative: str
    image: Path | str
    last_image: Path | str
    camera: str
    loras: list[str | Path]
    cache: float | str
    controls: Iterable[Control] | Callable[[VideoShape], Iterable[Control]]
    quantize: Quantize
    compile: bool
    sound: bool
    attention: AttentionBackend
    cuda_graphs: bool
    guidance_down_to: float
    shift: float
    guidance_low: float
    merge_lora: bool
    base: Request


def generate(
    prompt: str | Request,
    *,
    path: Path | str | None = None,
    on_event: OnEvent | None = None,
    device: str | None = None,
    weights: Path | str | None = None,
    memory: int | str | None = None,
    sign: bool = True,
    private: bool = False,
    **options: Unpack[Options],
) -> Clip:
    """Make a clip from words, or from a whole request.

    Args:
        prompt: what the clip shows, or everything that determines it.
        path: where to write it as H.264 in MP4, with its sidecar beside it; nowhere when None. Without a seed, a run
            that died while it made this very clip there goes on with its own.
        on_event: called with each event of the run.
        device: where the nets run; a GPU where there is one, else the CPU, when None.
        weights: a folder from `filmwright train pack`, instead of the model's own.
        memory: what the run may come to use, in bytes or as "8GB"; what is free when None.
        sign: sign what is written, and what the clip is saved to, with content credentials.
        private: leave words, model and seed out of them.
        options: as `build_request` takes them; not together with a whole request.

    Raises:
        DoesNotFit: it needs more memory than that; nothing was loaded.
        BadRequest: the model cannot do what is asked.
        CredentialsError: the signing keys are unsafe or cannot be written.
        MediaError: a picture cannot be read, or the output cannot be written.
        WeightsError: the model's files are missing or damaged.
    """
    if isinstance(prompt, Request):
        if options:
            raise BadRequest(
                f"a whole request and {', '.join(options)} were given: build_request(base=...) changes one"
            )
        request = prompt
    else:
        request = build_request(prompt, **options)
    check_paths({"path": path, "weights": weights, "memory": memory, "on_event": on_event})
    target = None if path is None else check_output(path, suffixes=(".mp4",))
    folder = None if weights is None else Path(weights)
    budget = parse_memory(memory) if isinstance(memory, str) else memory
    if folder is not None and not folder.is_dir():
        raise BadRequest(f"weights {folder} is not a folder: `filmwright train pack --out DIR` writes one")
    if target is not None:
        check_beside(target, inputs_of(request))
        drawn = (
            not isinstance(prompt, Request) and options.get("seed") is None and options.get("base") is None
        )
        if drawn and (run := begun(request, target)) is not None:
            request = request.model_copy(update={"seed": run.record.request.seed})
            if on_event is not None:
                on_event(Warned(code="goes-on", message=run.goes_on))
    check_start(request, device=device, weights=folder, memory=budget, sign=sign)

    from filmwright.engine.devices import pick_device
    from filmwright.engine.generate import generate_clip

    return generate_clip(
        request,
        path=target,
        on_event=on_event,
        device=pick_device(device),
        weights=folder,
        memory=budget,
        sign=sign,
        private=private,
    )
