"""Which other models would make what one cannot: the whole request is tried on each card, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, cast

from filmwright.spec.errors import FilmwrightError, NotThisModel, listed
from filmwright.spec.request import Request
from filmwright.weights.card import CARDS

__all__ = ["naming_others"]

P = ParamSpec("P")
MOST = 20  # names in a message
ANY_WORDS = "a clip"


def naming_others(build: Callable[P, Request]) -> Callable[P, Request]:
    """`build`, which takes a prompt and options; where its model cannot, the error names those that would.

    `inspect.unwrap` gives `build` back, for who tries the models by himself.
    """
    bare = cast("Callable[..., Request]", build)

    @wraps(build)
    def built(*args: P.args, **asked: P.kwargs) -> Request:
        options: dict[str, Any] = dict(asked)
        if isinstance(options.get("controls"), Iterator):
            options["controls"] = tuple(options["controls"])  # they are asked for more than once
        try:
            return bare(*args, **options)
        except NotThisModel as error:
            raise NotThisModel(f"{error}; {_who_would(bare, args, options)}") from error

    return built


def _who_would(build: Callable[..., Request], args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """In words, the models that take the same request; with a prompt, where there is none and some would take that."""
    if able := _able(build, args, options):
        return f"{listed(able, MOST)} would"
    options = {name: value for name, value in options.items() if name != "prompt" or value is not None}
    if not any(args) and "prompt" not in options and (able := _able(build, (ANY_WORDS,), options)):
        return f"with a prompt {listed(able, MOST)} would"
    return "no other model would"


def _able(build: Callable[..., Request], args: tuple[Any, ...], options: dict[str, Any]) -> list[str]:
    found = []
    for name in CARDS:
        try:
            build(*args, **options | {"model": name})
        except FilmwrightError:
            continue
        found.append(name)
    return found
