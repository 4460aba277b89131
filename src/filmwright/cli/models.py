"""`filmwright models`: what can be asked of which model, what its licence allows, and whether its weights are here."""

from __future__ import annotations

import json
from collections.abc import Callable
from inspect import unwrap
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli import options
from filmwright.cli.model_files import add, pull, remove, unpinned
from filmwright.spec.errors import BadRequest
from filmwright.spec.plan import say_bytes

if TYPE_CHECKING:
    from filmwright.spec.request import Request
    from filmwright.weights.card import ModelCard
    from filmwright.weights.places import Place

__all__ = ["models_app"]


models_app = typer.Typer(
    invoke_without_command=True, help="The models: what they make and take, where they are."
)


models_app.command("add")(add)
models_app.command("pull")(pull)
models_app.command("remove")(remove)


@models_app.callback()
def models(context: typer.Context, as_json: options.Json = False) -> None:
    """List the models, a line each."""
    if context.invoked_subcommand is not None:
        return
    from filmwright.weights.card import CARDS, load_card
    from filmwright.weights.places import places

    cards, here = [load_card(name) for name in CARDS], places()
    if as_json:
        rows = [{**card.model_dump(mode="json"), "here": _is_here(card, here)} for card in cards]
        typer.echo(json.dumps({"models": rows}, ensure_ascii=False))
        return
    widths = [max(len(card.name) for card in cards), max(len(card.licence) for card in cards)]
    for card in cards:
        width, height = card.native_sizes[0]
        where = "here" if _is_here(card, here) else "not here"
        size = say_bytes(card.bytes) if card.bytes else ""
        shape = f"{width}x{height} {card.num_frames / card.fps:.1f} s"
        licence = f"{card.licence:<{widths[1]}}"
        typer.echo(f"{card.name:<{widths[0]}}  {where:<8} {size:>8}  {licence}  {shape:<14}  {card.summary}")


def _is_here(card: ModelCard, here: dict[str, Place]) -> bool:
    return card.hub is None or card.name in here


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
        told = (
            None if place is None else place.model_dump(mode="json", include={"parts", "revision", "pulled"})
        )
        path = None if place is None else str(place.path)
        row = {**card.model_dump(mode="json"), "path": path, "place": told}
        typer.echo(json.dumps(row, ensure_ascii=False))
        return
    for line in (*lines_of(card), *_weights_lines(card, place)):
        typer.echo(line)


def _weights_lines(card: ModelCard, place: Place | None) -> list[str]:
    """Where the weights are published, and where they lie."""
    from filmwright.weights.places import over_its_base

    if card.hub is None:
        return ["  weights   here: they come with the package"]
    commit = f", commit {card.revision[:12]}" if card.revision else ""
    size = f", {say_bytes(card.bytes)}" if card.bytes else ", size not known before a pull"
    over = f", as LoRA over {card.base} in {card.hub_lora}" if card.hub_lora else ""
    lines = [f"  hub       {card.hub}{over}{commit}{size}"]
    if card.revision is None:
        lines.append(f"  pinned    {unpinned(card)}")
    if place is None:
        how = f"filmwright models pull {card.name}" if card.hub_lora is None else over_its_base(card)
        return [*lines, f"  weights   not here: {how}"]
    how = f", commit {place.revision[:12]}" if place.revision else ""
    lines.append(f"  weights   {place.path}, {say_bytes(place.bytes)}{how}")
    lines += [f"            {role}: {path}" for role, path in place.parts.items() if role != "transformer"]
    return lines


def lines_of(card: ModelCard) -> list[str]:
    """A card to be read."""
    sizes = ", ".join(f"{width}x{height}" for width, height in card.native_sizes)
    low, high = card.min_frames / card.fps, card.max_frames / card.fps
    guidance = f"{card.guidance:g}" + (
        "" if card.guidance_low is None else f", {card.guidance_low:g} of the second expert"
    )
    any_sides = f"any sides of {card.min_side} to {card.max_side} in steps of {card.side_multiple}"
    own = f"{card.num_frames} frames at {card.fps} fps, {card.num_frames / card.fps:.2f} s, by default"
    bounds = f"{card.min_frames} to {card.max_frames}, {low:.2f} to {high:.2f} s"
    lines = [
        f"{card.name}: {card.summary}",
        f"  licence   {card.licence}" + (f": {card.permits}" if card.permits else ""),
        f"  sizes     {sizes}; {'no others' if card.only_native else any_sides}; {said_size(card)} by default",
        f"  length    {own}" + ("; no other" if low == high else f"; {bounds}"),
        f"  samplers  {', '.join(card.samplers)}; {card.sampler} by default",
        f"  steps     {card.steps}; guidance {guidance}"
        + (": distilled, takes no other" if card.levels else ""),
        f"  shift     {_said_shift(card)}",
    ]
    if card.boundary is not None:
        lines.append(f"  boundary  {card.boundary:g}: the second expert has the noise levels below it")
    if card.takes_negative and not card.levels:
        lines.append(f"  negative  {card.negative or 'none'}")
    if card.chunk is not None and card.window is not None:
        lines.append(
            f"  chunks    {card.chunk} latent frames at a time, each sees {card.window} with itself; "
            f"trained on {card.num_frames} frames"
        )
    if card.cameras:
        lines.append(f"  cameras   {', '.join(card.cameras)}")
    lines.append(f"  controls  {', '.join(card.controls) or 'none'}")
    if card.sound:
        lines.append("  sound     made with the picture")
    if card.part is not None:
        lines.append(f"  trained on the part {card.part!r} of the world")
    return lines


def said_size(card: ModelCard) -> str:
    """The size that a model makes if nobody asks for another."""
    width, height = card.native_sizes[0]
    return f"{width}x{height}"


def _said_shift(card: ModelCard) -> str:
    if card.shift is not None:
        return f"{card.shift:g}{': distilled, takes no other' if card.levels else ''}"
    return "after the number of latents" if card.family == "pocket" else "its sampler's own; takes no other"


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
    build: Callable[..., Request] = unwrap(build_request)  # whose refusals name no other models
    requests, refused = {}, {}
    for name in CARDS:
        try:
            requests[name] = build(
                "a clip" if load_card(name).takes_words else None, model=name, size=size, aspect=aspect,
                seconds=seconds, image=image, last_image=last_image, camera=camera, seed=0,
            )  # fmt: skip
        except BadRequest as error:
            refused[name] = str(error)
    if not requests:
        raise BadRequest(f"no model can do this: {next(iter(refused.values()))}")

    from rich.console import Console
    from rich.progress import track

    from filmwright.engine.devices import pick_device
    from filmwright.engine.plan import plan_for

    place, console = pick_device(device), Console(stderr=True)
    plans = {}
    for name, request in track(  # the first time a net is outlined takes seconds
        requests.items(),
        "planning",
        console=console,
        transient=True,
        disable=as_json or not console.is_terminal,
    ):
        try:
            plans[name] = plan_for(
                request, device=place, budget=budget, as_published=True, elsewhere=True, lone=True
            )
        except (DoesNotFit, WeightsError) as error:
            refused[name] = str(error)
    order = sorted(plans, key=lambda name: plans[name].seconds or 0.0)
    if as_json:
        rows = [
            {"name": name, "here": name in here, **licence(name), **plans[name].plain()} for name in order
        ]
        typer.echo(json.dumps({"models": rows, "refused": refused}, ensure_ascii=False))
        return
    for name in order:
        plan, request = plans[name], requests[name]
        where = "here" if name in here else "not here"
        time = "" if plan.seconds is None else say_seconds(plan.seconds)
        what = f"{request.width}x{request.height}, {request.num_frames} frames, {request.steps} steps"
        card = load_card(name)
        terms = card.licence + (", non-commercial" if card.non_commercial else "")
        typer.echo(
            f"{name:<27}{where:<10}{say_bytes(plan.peak):>8} {time:>8}  {terms:<33}  {what}; {plan.strategy.said}"
        )
    for name, why in refused.items():
        typer.echo(f"{name:<27}no: {why}")


def licence(name: str) -> dict[str, str | bool | None]:
    """What a model's licence is called and allows."""
    from filmwright.weights.card import load_card

    card = load_card(name)
    return {"licence": card.licence, "permits": card.permits, "non_commercial": card.non_commercial}
