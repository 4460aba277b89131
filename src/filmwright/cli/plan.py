"""`filmwright plan`: what a clip would need in memory and time, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from filmwright.cli import options
from filmwright.spec.errors import BadRequest
from filmwright.spec.plan import Plan, parse_memory, say_bytes, say_seconds

__all__ = ["plan"]


def plan(
    prompt: options.Prompt = None,
    size: options.Size = None,
    aspect: options.Aspect = None,
    seconds: options.Seconds = None,
    frames: options.Frames = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="1 is no guidance, and half the time.")] = None,
    image: options.Image = None,
    last_image: options.LastImage = None,
    again: Annotated[
        Path | None, typer.Option("--from", metavar="CLIP.json", help="Of an earlier clip's request.")
    ] = None,
    quantize: options.Quantize = None,
    compile_: options.Compile = None,
    no_sound: options.NoSound = False,
    attention: options.Attention = None,
    cuda_graphs: options.CudaGraphs = None,
    guidance_down_to: options.GuidanceDownTo = None,
    shift: options.Shift = None,
    merge_lora: options.MergeLora = None,
    model: options.Model = None,
    weights: options.Weights = None,
    device: options.Device = None,
    memory: options.Memory = None,
    as_json: options.Json = False,
) -> None:
    """Say what a clip would need; nothing is made."""
    from filmwright.engine.build_request import build_request, check_device
    from filmwright.engine.sidecar import read_sidecar

    check_device(device)
    budget = parse_memory(memory) if memory else None
    if weights is not None and not weights.is_dir():
        raise BadRequest(f"--weights {weights} is not a folder")
    request = build_request(
        prompt or ("a clip" if not again and takes_words(model) else None),
        model=model,
        size=size,
        aspect=aspect,
        seconds=seconds,
        num_frames=frames,
        steps=steps,
        guidance=guidance,
        image=image,
        last_image=last_image,
        quantize=quantize,
        compile=compile_,
        sound=False if no_sound else None,
        attention=attention,
        cuda_graphs=cuda_graphs,
        guidance_down_to=guidance_down_to,
        shift=shift,
        merge_lora=merge_lora,
        base=read_sidecar(again).request if again else None,
    )

    from filmwright.engine.compiled import check_place
    from filmwright.engine.devices import pick_device
    from filmwright.engine.plan import plan_for

    place = pick_device(device)
    check_place(request, place)
    made = plan_for(
        request, device=place, weights=weights, budget=budget, as_published=True, elsewhere=True, lone=True
    )
    check_place(request, place, nets=made.strategy.nets)
    if as_json:
        typer.echo(json.dumps(made.plain(), ensure_ascii=False))
        return
    for line in table(made):
        typer.echo(line)


def takes_words(model: str | None) -> bool:
    """Whether a model, the default one if None, takes a prompt."""
    from filmwright.weights.card import load_card

    return model is None or load_card(model).takes_words


def table(made: Plan) -> list[str]:
    """The plan in lines: a phase each, then the whole."""
    lines = [
        f"{phase.name:<8} {say_bytes(phase.peak):>8}"
        + (f" {say_seconds(phase.seconds):>8}" if phase.seconds is not None else "")
        for phase in made.phases
    ]
    return [f"{made.model} on {made.device}, {made.dtype}", *lines, made.why]
