"""For which clip of which model a prompt is checked: its card, its words, and what is asked for beside the prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from inspect import unwrap

from filmwright.engine.build_request import DEFAULT_MODEL, build_request, parse_size
from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.vocabulary import PARTS
from filmwright.spec.words import PromptVocabulary
from filmwright.weights.card import ModelCard, load_card

__all__ = ["Target", "target_for"]

bare_build = unwrap(build_request)  # whose refusals name no other models
SECONDS_AN_ACTION = 2.5  # how long a viewer, and a model, needs to see one thing done


@dataclass(frozen=True, kw_only=True)
class Target:
    """A model's card and what a shot is asked to be; what is None is the model's own.

    `vocabulary` is what a closed world knows, None for a model that was trained on everybody's words.
    """

    card: ModelCard
    vocabulary: PromptVocabulary | None = None
    size: str | None = None
    seconds: float | None = None
    fps: int | None = None
    camera: str | None = None

    @property
    def length(self) -> float:
        """Seconds that the clip will play, as far as they can be made."""
        card = self.card
        own = card.num_frames / (
            card.fps if self.fps is None else min(max(self.fps, card.min_fps), card.max_fps)
        )
        if self.seconds is None or not 0 < self.seconds < float("inf"):
            return own
        return min(self.seconds, self.card.max_frames / self.card.min_fps)

    @property
    def actions(self) -> int:
        """How many things can be done one after the other in this time; one at least."""
        return max(1, int(self.length / SECONDS_AN_ACTION))

    def refusal(self, *, size: str | None = None, seconds: float | None = None, fps: int | None = None,
                camera: str | None = None) -> str | None:  # fmt: skip
        """What `generate` would answer to these options of this model, None if it takes them."""
        name = self.card.name
        try:
            bare_build("x", model=name, size=size, seconds=seconds, fps=fps, camera=camera, seed=0)
        except BadRequest as error:
            return None if _said(error) == _refused_anyway(name) else str(error)
        return None


@cache
def _refused_anyway(model: str) -> str | None:
    """What a model says to words alone: those that animate pictures want one."""
    try:
        bare_build("x", model=model, seed=0)
    except BadRequest as error:
        return _said(error)
    return None


def _said(error: BadRequest) -> str:
    """What is wrong, without the models that would take it: those differ from option to option."""
    return str(error).partition(";")[0]


@cache
def _words(model: str) -> frozenset[str]:
    """The words that captions of a model's training held, without the tokenizer and its arrays."""
    try:
        file = files("filmwright.weights").joinpath(model, "vocabulary.json")
        listed = json.loads(file.read_text(encoding="utf-8"))["words"]
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"the words of model {model!r} cannot be read: install filmwright anew") from error
    return frozenset(word for word in listed if word[0].isalnum())


def target_for(
    model: str | None = None,
    *,
    size: str | tuple[int, int] | None = None,
    seconds: float | None = None,
    fps: int | None = None,
    camera: str | None = None,
) -> Target:
    """The target for a model's name (None: the one that `generate` takes) and options as `generate` takes them.

    Raises:
        BadRequest: there is no such model, or a size that is none.
    """
    card = load_card(model if model is not None else DEFAULT_MODEL)
    if size is not None:
        width, height = parse_size(size) if isinstance(size, str) else size
        size = f"{width}x{height}"
    vocabulary = None
    if card.part is not None:
        vocabulary = PromptVocabulary(words=_words(card.name), part=PARTS[card.part], part_name=card.part)
    return Target(card=card, vocabulary=vocabulary, size=size, seconds=seconds, fps=fps, camera=camera)
