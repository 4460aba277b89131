"""`filmwright models`: what can be asked of which model, and where the weights of those lie that do not ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli import options
from filmwright.spec.errors import BadRequest

if TYPE_CHECKING:
    from filmwright.weights.card import ModelCard

__all__ = ["models_app"]

models_app = typer.Typer(
    invoke_without_command=True, help="The models: what they make and take, where they are."
)


@models_app.callback()
def models(context: typer.Context, as_json: options.Json = False) -> None:
    """List the models, a line each."""
    if context.invoked_subcommand is not None:
        return
    from filmwright.weights.card import CARDS, load_card
    from filmwright.weights.places import places

    here = {"pocket", *places()}
    cards = [load_card(name) for name in CARDS]
    if as_json:
        rows = [{**card.model_dump(mode="json"), "here": card.name in here} for card in cards]
        typer.echo(json.dumps({"models": rows}, ensure_ascii=False))
        return
    for card in cards:
        width, height = card.native_sizes[0]
        seconds = card.num_frames / card.fps
        where = "here" if card.name in here else "not here"
        typer.echo(f"{card.name:<27}{where:<10}{width}x{height} {seconds:.1f} s  {card.summary}")


@models_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A model, see `filmwright models`.")],
    as_json: options.Json = False,
) -> None:
    """Show all that is known of one model."""
    from filmwright.weights.card import load_card
    from filmwright.weights.places import places

    card = load_card(name)
    place = places().get(name)
    if as_json:
        typer.echo(json.dumps({**card.model_dump(mode="json"), "path": str(place.path) if place else None}))
        return
    for line in lines_of(card):
        typer.echo(line)
    if card.hub is not None:
        typer.echo(f"  weights   {place.path if place else f'not here; published as {card.hub}'}")


def lines_of(card: ModelCard) -> list[str]:
    """A card to be read."""
    sizes = ", ".join(f"{width}x{height}" for width, height in card.native_sizes)
    low, high = card.min_frames / card.fps, card.max_frames / card.fps
    guidance = f"{card.guidance:g}" + (
        "" if card.guidance_low is None else f", {card.guidance_low:g} for detail"
    )
    lines = [
        f"{card.name}: {card.summary} ({card.licence})",
        f"  sizes     {sizes}; any sides of {card.min_side} to {card.max_side} in steps of {card.side_multiple}",
        *([] if card.permits is None else [f"  licence   {card.permits}"]),
        f"  length    {low:.2f} to {high:.2f} s, {card.max_frames} frames at {card.fps} fps",
        f"  samplers  {', '.join(card.samplers)}; {card.sampler} by default",
        f"  steps     {card.steps}; guidance {guidance}",
    ]
    if card.cameras:
        lines.append(f"  cameras   {', '.join(card.cameras)}")
    lines.append(f"  controls  {', '.join(card.controls) or 'none'}")
    if card.part is not None:
        lines.append(f"  trained on the part {card.part!r} of the world")
    return lines


@models_app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="A folder as diffusers saves it.")],
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Which model it is, where that is not clear.")
    ] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Take nets of other widths and depths than published.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Tell where a model's weights lie; every file is hashed once."""
    from filmwright.weights.card import load_card

    if name is not None and load_card(name).hub is None:
        raise BadRequest(f"{name!r} comes with the package: there is nothing to add")
    if not folder.is_dir():
        raise BadRequest(f"{folder} is not a folder: name one with a model_index.json")

    from filmwright.weights.places import hashed, keep
    from filmwright.weights.recognise import model_names

    names = model_names(folder, any_size=any_size)
    if name is not None and name not in names:
        raise BadRequest(f"{folder} is not {name!r}: it may be {', '.join(names)}")
    if name is None and len(names) > 1:
        raise BadRequest(f"{folder} may be any of {', '.join(names)}: say which with --as NAME")
    chosen = name or names[0]
    place = hashed(
        folder, lambda done, total, file: typer.echo(f"hashing {done + 1}/{total} {file}", err=True)
    )
    keep(chosen, place)
    if as_json:
        typer.echo(json.dumps({"name": chosen, "path": str(place.path), "files": len(place.files)}))
    else:
        typer.echo(f"{chosen}: {place.path}, {len(place.files)} weights files")


@models_app.command("pick")
def pick(
    size: options.Size = None,
    aspect: options.Aspect = None,
    seconds: options.Seconds = None,
    image: options.Image = None,
    last_image: options.LastImage = None,
    camera: options.Camera = None,
    memory: options.Memory = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Say which models can make a clip on this machine, and what each would need; the fastest first."""
    from filmwright.engine.build_request import build_request, check_device
    from filmwright.spec.errors import DoesNotFit, WeightsError
    from filmwright.spec.plan import parse_memory, say_bytes, say_seconds
    from filmwright.weights.card import CARDS, load_card
    from filmwright.weights.places import places

    check_device(device)
    budget = parse_memory(memory) if memory else None
    here = {"pocket", *places()}
    requests, refused = {}, {}
    for name in CARDS:
        try:
            requests[name] = build_request(
                "a clip" if load_card(name).takes_words else None, model=name, size=size, aspect=aspect,
                seconds=seconds, image=image, last_image=last_image, camera=camera, seed=0,
            )  # fmt: skip
        except BadRequest as error:
            refused[name] = str(error)
    if not requests:
        raise BadRequest(f"no model can do this: {next(iter(refused.values()))}")

    from filmwright.engine.devices import pick_device
    from filmwright.engine.plan import plan_for

    place = pick_device(device)
    plans = {}
    for name, request in requests.items():
        try:
            plans[name] = plan_for(request, device=place, budget=budget, as_published=True)
        except (DoesNotFit, WeightsError) as error:
            refused[name] = str(error)
    order = sorted(plans, key=lambda name: plans[name].seconds or 0.0)
    if as_json:
        rows = [{"name": name, "here": name in here, **plans[name].plain()} for name in order]
        typer.echo(json.dumps({"models": rows, "refused": refused}, ensure_ascii=False))
        return
    for name in order:
        plan, request = plans[name], requests[name]
        where = "here" if name in here else "not here"
        time = "" if plan.seconds is None else say_seconds(plan.seconds)
        what = f"{request.width}x{request.height}, {request.num_frames} frames, {request.steps} steps"
        typer.echo(f"{name:<27}{where:<10}{say_bytes(plan.peak):>8} {time:>8}  {what}; {plan.strategy.said}")
    for name, why in refused.items():
        typer.echo(f"{name:<27}no: {why}")
