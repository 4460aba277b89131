"""`filmwright models`: what can be asked of which model."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["models"]


def models(as_json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False) -> None:
    """List the models, what they make and what they take."""
    from filmwright.weights.card import CARDS, load_card

    cards = [load_card(name) for name in CARDS]
    if as_json:
        typer.echo(
            json.dumps({"models": [card.model_dump(mode="json") for card in cards]}, ensure_ascii=False)
        )
        return
    for card in cards:
        sizes = ", ".join(f"{width}x{height}" for width, height in card.native_sizes)
        low, high = card.min_frames / card.fps, card.max_frames / card.fps
        typer.echo(f"{card.name}: {card.summary} ({card.licence})")
        typer.echo(
            f"  sizes     {sizes}; any sides of {card.min_side} to {card.max_side} in steps of {card.side_multiple}"
        )
        typer.echo(f"  length    {low:.2f} to {high:.2f} s, {card.max_frames} frames at {card.fps} fps")
        typer.echo(
            f"  samplers  {', '.join(card.samplers)}; {card.sampler} with {card.steps} steps by default"
        )
        typer.echo(f"  cameras   {', '.join(card.cameras)}")
        typer.echo(f"  controls  {', '.join(card.controls)}")
        typer.echo(f"  trained on the part {card.part!r} of the world")
