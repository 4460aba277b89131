"""What a manifest says of a file: how it came to be, from what, and from which words (C2PA 2.2, section 18).

A generated clip is `c2pa.created` as trainedAlgorithmicMedia. A film is `c2pa.created` as a composite, and places each
shot as a `componentOf` ingredient, whose own manifest is nested whole. A file made from one other (a delivery, post, a
still) opens it as its `parentOf`. Prompt, model, seed and weights stand in an assertion of our own,
`org.filmwright.generation`, and prompt and system once more in IPTC's fields, which other tools read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filmwright.spec.post import PostStage, Resize, Retime
from filmwright.version import VERSION

__all__ = [
    "GENERATION",
    "Change",
    "Generation",
    "Ingredient",
    "Manifest",
    "clip_manifest",
    "derived_manifest",
    "film_manifest",
    "post_changes",
    "unnamed_manifest",
]

GENERATION = "org.filmwright.generation"
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
AGENT = {"name": "Filmwright", "version": VERSION}
TRAINING_USES = ("cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining", "cawg.ai_inference")

POST_ACTIONS = {"resize": "c2pa.resized", "grade": "c2pa.color_adjustments"}  # any other stage is c2pa.edited

Relationship = Literal["parentOf", "componentOf", "inputTo"]
Change = tuple[str, str]
"""A C2PA action, and words about it; none where empty."""


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """A file that went into another; `title` is its name where none is given."""

    path: Path
    relationship: Relationship
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What made a clip: the whole request as plain data, its digest, and the weights (name -> SHA-256)."""

    prompt: str
    negative: str
    model: str
    seed: int
    request_digest: str
    weights: Mapping[str, str]
    request: Mapping[str, Any] = field(default_factory=dict)
    frames_digest: str | None = None

    def plain(self) -> dict[str, Any]:
        """The content of the assertion."""
        return {
            "prompt": self.prompt,
            "negative": self.negative,
            "model": self.model,
            "seed": str(self.seed),  # a seed has up to 63 bits; JSON readers round those
            "requestDigest": self.request_digest,
            "framesDigest": self.frames_digest or "",
            "weights": dict(self.weights),
            "request": dict(self.request),
        }


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Ready to be signed: title, actions in order, further assertions (label -> data), ingredients in order."""

    title: str
    actions: tuple[dict[str, Any], ...]
    assertions: tuple[tuple[str, dict[str, Any]], ...] = ()
    ingredients: tuple[Ingredient, ...] = ()

    def definition(self) -> dict[str, Any]:
        """As the C2PA library takes it; ingredient `n` has the label that the actions name."""
        actions = {"label": "c2pa.actions.v2", "data": {"actions": list(self.actions)}, "created": True}
        return {
            "claim_generator_info": [dict(AGENT)],
            "title": self.title,
            "assertions": [
                actions,
                *({"label": label, "data": data, "created": True} for label, data in self.assertions),
            ],
        }


def ingredient_label(index: int) -> str:
    """The name by which actions speak of the ingredient at `index`."""
    return f"ingredient-{index}"


def clip_manifest(
    title: str,
    generation: Generation | None,
    *,
    private: bool = False,
    inputs: Sequence[Ingredient | Path] = (),
    changes: Sequence[Change] = (),
    allow_training: bool = False,
) -> Manifest:
    """Of a clip that a model made. `inputs` are the pictures it was given, such as a keyframe, or the clips of them;
    `changes` what was done to it since.

    A `private` one, or one of an untold `generation`, says only that it was generated and by what software: no words,
    model, seed or pictures.
    """
    action: dict[str, Any] = _action("c2pa.created", digitalSourceType=f"{SOURCE}trainedAlgorithmicMedia")
    done = tuple(_change(change) for change in changes)
    if private or generation is None:
        return Manifest(title=title, actions=(action, *done), assertions=(_training(allow_training),))
    if inputs:
        action["parameters"] = {"ingredientIds": [ingredient_label(i) for i in range(len(inputs))]}
    iptc = {
        "@context": {"Iptc4xmpExt": IPTC},
        "Iptc4xmpExt:AISystemUsed": f"Filmwright, model {generation.model}",
        "Iptc4xmpExt:AISystemVersionUsed": VERSION,
        "Iptc4xmpExt:AIPromptInformation": generation.prompt,
    }
    return Manifest(
        title=title,
        actions=(action, *done),
        assertions=((GENERATION, generation.plain()), ("cawg.metadata", iptc), _training(allow_training)),
        ingredients=tuple(
            given if isinstance(given, Ingredient) else Ingredient(path=given, relationship="inputTo")
            for given in inputs
        ),
    )


def film_manifest(
    title: str,
    shots: Sequence[Ingredient | Path],
    *,
    all_generated: bool = True,
    source: str = "",
    changes: Sequence[str] = (),
    allow_training: bool = False,
) -> Manifest:
    """Of a film cut from `shots`, in the order of the cut; `changes` are further C2PA actions, such as c2pa.edited.

    `all_generated` is whether everything in it was made by models; else it is a composite with other footage or sound.
    `source` is another of IPTC's words for what it is, such as composite, where nothing was generated.
    """
    parts = tuple(
        shot if isinstance(shot, Ingredient) else Ingredient(path=shot, relationship="componentOf")
        for shot in shots
    )
    kind = source or ("compositeSynthetic" if all_generated else "compositeWithTrainedAlgorithmicMedia")
    placed = (
        _action("c2pa.placed", parameters={"ingredientIds": [ingredient_label(i)]}) for i in range(len(parts))
    )
    return Manifest(
        title=title,
        actions=(
            _action("c2pa.created", digitalSourceType=f"{SOURCE}{kind}"),
            *placed,
            *(_action(change) for change in changes),
        ),
        assertions=(_training(allow_training),),
        ingredients=parts,
    )


def derived_manifest(
    title: str,
    parent: Path,
    *,
    changes: Sequence[Change] = (("c2pa.transcoded", ""),),
    parent_title: str = "",
    allow_training: bool = False,
) -> Manifest:
    """Of a file made from one other by `changes`: a delivery (c2pa.transcoded), a still (c2pa.edited), post.

    `parent_title` is told instead of the parent's name.
    """
    return Manifest(
        title=title,
        actions=(
            _action("c2pa.opened", parameters={"ingredientIds": [ingredient_label(0)]}),
            *map(_change, changes),
        ),
        assertions=(_training(allow_training),),
        ingredients=(Ingredient(path=parent, relationship="parentOf", title=parent_title),),
    )


def unnamed_manifest(
    title: str, source: str, *, changes: Sequence[Change] = (), allow_training: bool = False
) -> Manifest:
    """Of a file made from another that is not named: `source` is IPTC's word for what it is, and `changes` were made.

    So a private file says what it is without the words that its parent's credentials hold.
    """
    return Manifest(
        title=title,
        actions=(_action("c2pa.created", digitalSourceType=f"{SOURCE}{source}"), *map(_change, changes)),
        assertions=(_training(allow_training),),
    )


def post_changes(stages: Sequence[PostStage]) -> tuple[Change, ...]:
    """What stages of post do, as C2PA's actions."""

    def said(stage: PostStage) -> str:
        match stage:
            case Resize(width=width, height=height):
                return f"resize to {width}x{height}"
            case Retime(fps=fps, method=method):
                return f"retime to {fps} frames a second, {method}"
        return stage.name

    return tuple((POST_ACTIONS.get(stage.name, "c2pa.edited"), said(stage)) for stage in stages)


def _change(change: Change) -> dict[str, Any]:
    action, description = change
    return _action(action, description=description) if description else _action(action)


def _action(name: str, **more: Any) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    return {"action": name, "when": now, "softwareAgent": dict(AGENT), **more}


def _training(allow: bool) -> tuple[str, dict[str, Any]]:
    use = "allowed" if allow else "notAllowed"
    return "cawg.training-mining", {"entries": {name: {"use": use} for name in TRAINING_USES}}
