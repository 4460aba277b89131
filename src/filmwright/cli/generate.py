"""`filmwright generate`: a prompt becomes a clip."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli import options
from filmwright.cli.progress import Drawing
from filmwright.spec.errors import BadRequest
from filmwright.spec.events import Warned
from filmwright.spec.plan import parse_memory

if TYPE_CHECKING:
    from filmwright.engine.sidecar import Sidecar
    from filmwright.spec.request import Control, Request
    from filmwright.spec.shapes import VideoShape

__all__ = ["generate", "output_paths"]

DEFAULT_OUT = Path("film.mp4")
MAX_COUNT = 1000


def generate(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROMPT]", help="What the clip shows, in quotes.", show_default=False),
    ] = None,
    size: options.Size = None,
    aspect: options.Aspect = None,
    seconds: options.Seconds = None,
    frames: options.Frames = None,
    fps: Annotated[
        int | None,
        typer.Option(help="Frames a second.", show_default="16 of pocket", rich_help_panel=options.WHAT),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What the clip should not show.", rich_help_panel=options.WHAT),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed gives the same clip.", show_default="random", rich_help_panel=options.WHAT
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(help="How many clips, from this seed on.", rich_help_panel=options.WHAT)
    ] = 1,
    no_sound: options.NoSound = False,
    again: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="CLIP.json",
            help="Make an earlier clip again; other options change it.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    image: options.Image = None,
    last_image: options.LastImage = None,
    camera: options.Camera = None,
    controls: options.Controls = None,
    model: options.ModelInPanel = None,
    weights: options.Weights = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[=WEIGHT]",
            help="A LoRA; several with several --lora. @high, @low: for one expert.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    merge_lora: options.MergeLora = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Denoising steps: more is slower and finer.",
            show_default="12 of pocket",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            help="How strongly the prompt counts; 1 is no guidance.",
            show_default="3.5 of pocket",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    guidance_down_to: options.GuidanceDownTo = None,
    guidance_low: options.GuidanceLow = None,
    shift: options.Shift = None,
    sampler: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="See `filmwright models`.", rich_help_panel=options.HOW),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="[tea:]CHANGE",
            help="Save steps that change less than this, such as 0.1; tea:0.1 by TeaCache; 0 is exact.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    quantize: options.Quantize = None,
    compile_: options.Compile = None,
    attention: options.Attention = None,
    cuda_graphs: options.CudaGraphs = None,
    device: options.DeviceInPanel = None,
    memory: options.Memory = None,
    gpus: Annotated[
        int,
        typer.Option(
            "--gpus",
            help="Processes that make one clip together, a GPU each.",
            rich_help_panel=options.WHERE,
        ),
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="Where the clip goes; film.json lies beside film.mp4.",
            show_default="film.mp4, or the next free film-2.mp4",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Leave prompt, model and seed out of the file's credentials.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    no_sign: Annotated[
        bool,
        typer.Option(
            "--no-sign",
            help="Do not sign the file with content credentials.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    as_json: options.JsonInPanel = False,
) -> None:
    """Make a clip from words."""
    from filmwright.engine.build_request import build_request
    from filmwright.engine.early import check_device, check_memory, check_start
    from filmwright.engine.runs import begun
    from filmwright.engine.sidecar import read_sidecar, sidecar_path
    from filmwright.engine.workers import WorkerDied, is_first, run_workers
    from filmwright.weights.card import load_card

    prompt = prompt_of(words)
    if gpus < 1:
        raise BadRequest(f"--gpus {gpus} makes no clip: give 1 or more")
    if not 1 <= count <= MAX_COUNT:
        raise BadRequest(f"{count} clips are out of range: --count takes 1 to {MAX_COUNT}")
    if private and no_sign:
        raise BadRequest("--private is about the credentials that --no-sign leaves out: give one of them")
    check_device(device)
    budget = None if memory is None else parse_memory(memory)
    check_memory(budget, device)
    if weights is not None and not weights.is_dir():
        raise BadRequest(f"--weights {weights} is not a folder: `filmwright train pack --out DIR` writes one")
    earlier = read_sidecar(again) if again else None
    private = private or bool(earlier and earlier.signed and earlier.signed.private and not no_sign)
    first = build_request(
        prompt,
        model=model,
        size=size,
        aspect=aspect,
        seconds=seconds,
        num_frames=frames,
        fps=fps,
        seed=seed,
        steps=steps,
        guidance=guidance,
        sampler=sampler,
        negative=negative,
        image=image,
        last_image=last_image,
        camera=camera,
        loras=lora,
        cache=cache,
        controls=None if controls is None else controls_of(controls),
        quantize=quantize,
        compile=compile_,
        sound=False if no_sound else None,
        attention=attention,
        cuda_graphs=cuda_graphs,
        guidance_down_to=guidance_down_to,
        guidance_low=guidance_low,
        shift=shift,
        merge_lora=merge_lora,
        base=earlier.request if earlier else None,
    )
    if out is None:
        out = free_out(again.with_name(f"{again.stem}-again.mp4") if again else DEFAULT_OUT, count)
    paths = output_paths(out, count)
    check_outputs(paths, first, controls)
    run = begun(first, out) if seed is None and again is None and count == 1 else None
    if run is not None:
        first = build_request(base=first, seed=run.record.request.seed)
        if not as_json and is_first():
            typer.echo(run.goes_on, err=True)
    requests = [build_request(base=first, seed=first.seed + index) for index in range(count)]

    if gpus > 1 and load_card(first.model).family != "wan":
        raise BadRequest(
            f"model {first.model!r} runs in one process, the Wan family in several: leave --gpus out"
        )
    if gpus > 1 and count > 1:
        raise BadRequest(f"--gpus {gpus} makes one clip at a time: leave --count out")
    check_start(first, device=device, weights=weights, memory=budget, sign=not no_sign and is_first())

    from filmwright.engine.compiled import check_place
    from filmwright.engine.devices import pick_device
    from filmwright.engine.generate import generate_file

    place = pick_device(device)
    check_place(first, place, gpus if gpus > 1 else None)
    if gpus > 1:
        check_gpus(gpus, place, first)
        passed = {"--memory": memory, "--weights": weights}
        words = [str(word) for pair in passed.items() if pair[1] is not None for word in pair]
        words += [
            word
            for word, given in {"--json": as_json, "--private": private, "--no-sign": no_sign}.items()
            if given
        ]
        try:
            run_workers(first, out, gpus, place.partition(":")[0], words)
        except WorkerDied as died:
            typer.echo(str(died), err=True)
            raise typer.Exit(1) from None
        return
    made_with = earlier.weights if earlier else None
    proved = earlier.proofs if earlier and earlier.request.attention == first.attention else None
    results = []
    for index, (request, path) in enumerate(zip(requests, paths, strict=True)):
        title = f"{index + 1}/{count} " if count > 1 else ""
        with Drawing(title=title, quiet=as_json or not is_first()) as drawing:
            sidecar = generate_file(
                request,
                path,
                on_event=drawing,
                device=place,
                weights=weights,
                made_with=made_with,
                proved=proved,
                memory=budget,
                sign=not no_sign,
                private=private,
                lone=count == 1,
            )
            same = None if earlier is None else same_frames(earlier, sidecar)
            if same is False and earlier is not None:
                drawing(Warned(code="other-frames", message=why_others(earlier, sidecar)))
        if not as_json and is_first():
            typer.echo(
                f"{path}: {request.width}x{request.height}, {request.num_frames} frames, "
                f"{request.shape.seconds:.2f} s{', with sound' if sidecar.sound else ''}, seed {request.seed}"
                f"{'; the same frames as before, bit for bit' if same else ''}"
            )
        results.append(
            {
                "path": str(path),
                "sidecar": str(sidecar_path(path)),
                "width": request.width,
                "height": request.height,
                "num_frames": request.num_frames,
                "fps": request.fps,
                "seconds": request.shape.seconds,
                "seed": request.seed,
                "request_digest": request.digest(),
                "resumed": run is not None,
                "same_frames": same,
                "sound": sidecar.sound.model_dump() if sidecar.sound else None,
                "signed": sidecar.signed.model_dump() if sidecar.signed else None,
                "warnings": [{"code": warned.code, "message": warned.message} for warned in drawing.warnings],
            }
        )
    if "RANK" in os.environ:
        from filmwright.engine.parallel import leave

        leave()
    if as_json and is_first():
        typer.echo(json.dumps({"clips": results}, ensure_ascii=False))


def prompt_of(words: list[str] | None) -> str | None:
    """The prompt, if there is one; several words are one that the shell has taken apart.

    Raises:
        BadRequest: there are several.
    """
    if words and len(words) > 1:
        said = " ".join(words)
        raise BadRequest(
            f"the prompt came in {len(words)} pieces: put it in quotes, as in filmwright generate "
            f'"{said[:60]}{"..." if len(said) > 60 else ""}"'
        )
    return words[0] if words else None


def check_outputs(paths: list[Path], request: Request, controls: Path | None) -> None:
    """See that the clips and their sidecars can be written, over nothing but earlier clips.

    Raises:
        MediaError: they cannot.
    """
    from filmwright.engine.credentials import inputs_of
    from filmwright.media.beside import check_beside, sidecar_path
    from filmwright.media.files import check_output

    inputs = [*inputs_of(request), *([] if controls is None else [controls])]
    for path in paths:
        check_output(path, suffixes=(".mp4",))
        check_output(sidecar_path(path))
        check_beside(path, inputs)


def free_out(wanted: Path, count: int) -> Path:
    """Where clips go that were given no place: film.mp4, or film-2.mp4 and so on, so that no earlier clip is lost, nor
    one that another process makes now.
    """
    from filmwright.engine.runs import unfinished
    from filmwright.media.beside import is_free, numbered

    running = {run.record.path for run in unfinished() if run.running}

    def are_free(out: Path) -> bool:
        return all(is_free(path) and path.absolute() not in running for path in output_paths(out, count))

    return next(filter(are_free, numbered(wanted)))


def same_frames(earlier: Sidecar, made: Sidecar) -> bool | None:
    """Whether a clip that was made again has the frames of the earlier one; None where it was to be another."""
    if earlier.request_digest != made.request_digest or not earlier.frames_digest or not made.frames_digest:
        return None
    return earlier.frames_digest == made.frames_digest


def why_others(earlier: Sidecar, made: Sidecar) -> str:
    """A line on a clip that was made again and came out otherwise."""
    from filmwright.engine.sidecar import differences

    found = "; ".join(differences(earlier, made)) or (
        "versions, kind of machine and weights are the same, so another processor or number of threads may be why"
    )
    return f"the frames are not those of the earlier clip: {found}"


def controls_of(path: Path) -> Callable[[VideoShape], tuple[Control, ...]]:
    """What makes a file's controls once the clip's shape is known; files that it names are looked for beside it."""
    from filmwright.direction.controls import read_controls

    controls = read_controls(path)
    return lambda shape: controls.resolve(shape, path.parent)


def check_gpus(count: int, device: str, request: Request) -> None:
    """Raises BadRequest where processes have no GPU, or heads cannot be shared; on a CPU they share its cores."""
    import torch

    from filmwright.engine.parallel import sharing
    from filmwright.weights.card import load_card
    from filmwright.weights.wan import WAN_SIZES

    if device != "cpu" and torch.cuda.device_count() < count:
        raise BadRequest(f"--gpus {count} needs {count} GPUs: {torch.cuda.device_count()} are found")
    card = load_card(request.model)
    heads, share = WAN_SIZES[card.variant or card.name].heads, sharing(count, guided=request.guidance != 1)
    if heads % share:
        raise BadRequest(
            f"--gpus {count} would share the {heads} heads of {request.model} among {share} processes, "
            "which does not divide: take a count that does"
        )


def output_paths(out: Path, count: int) -> list[Path]:
    """film.mp4 for one clip; film-1.mp4, film-2.mp4 ... for several, numbered so that they sort."""
    if count == 1:
        return [out]
    digits = len(str(count))
    return [out.with_name(f"{out.stem}-{index:0{digits}d}{out.suffix}") for index in range(1, count + 1)]
