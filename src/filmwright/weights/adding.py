"""What `filmwright models add` does: says which model some files are, sees that they are whole, and hashes them.

A folder as diffusers saves it is a whole model. A transformer alone, one file or a folder of shards, is completed by
files given one by one, or by those of a model that is here already. Which net a file is, its tensors' names tell; which
variant, their shapes (`weights.wan_parts`, `weights.wan_folder`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from filmwright.spec.errors import BadRequest, WeightsError, listed
from filmwright.spec.request import LoraRef
from filmwright.weights.card import CARDS, ModelCard, load_card
from filmwright.weights.places import (
    OnFile,
    Place,
    PlacedLora,
    check_path,
    hashed,
    hashed_file,
    pickles_in,
    place_of,
    places,
)
from filmwright.weights.recognise import model_names
from filmwright.weights.wan_folder import WanFolder, looks, wan_names
from filmwright.weights.wan_parts import NETS, WanParts, describe, index_of, net_of, parts_in, tensors_of

__all__ = ["OPTIONS", "added"]

OPTIONS = {
    "transformer_2": "--low",
    "text_encoder": "--text",
    "vae": "--vae",
    "image_encoder": "--eye",
    "tokenizer": "--tokenizer",
}
"""Role -> the option that gives it."""

LENT = ("text_encoder", "tokenizer", "vae", "image_encoder", "image_processor")  # by --like


def added(
    path: Path,
    *,
    name: str | None = None,
    given: Mapping[str, Path] | None = None,
    like: str | None = None,
    loras: Sequence[LoraRef] = (),
    any_size: bool = False,
    on_file: OnFile | None = None,
) -> tuple[str, Place]:
    """The model that a path is, by name, and where its files lie, hashed; nothing is written.

    `given` are parts by role, `like` a model that was added, or a folder, that lends what is not given. `loras` make
    the model of its base's weights. Nets of other sizes than published are taken with `any_size`, under a `name`.

    Raises:
        BadRequest: it may be several models, or is another than `name`.
        WeightsError: a file is missing, truncated, a pickle, or of no known model; the message says what was found.
    """
    given = dict(given or {})
    for part in (path, *given.values()):
        check_path(part)
    whole = path.is_dir() and (path / "model_index.json").exists()
    if whole and (given or like):
        raise BadRequest(
            f"{path} is a whole model: --like and the options of parts go with a transformer alone"
        )
    parts = None if whole else _completed(path, given, like)
    names = model_names(path, any_size=any_size) if parts is None else wan_names(parts, any_size=any_size)
    if name is not None and name not in names:
        raise BadRequest(f"{path} is not {name!r}: it may be {', '.join(names)}")
    if name is None and len(names) > 1:
        raise BadRequest(f"{path} may be any of {', '.join(names)}: say which with --as NAME")
    chosen = name or names[0]
    _check_loras(load_card(chosen), loras)
    if load_card(chosen).family == "wan":
        known = parts_in(path) if parts is None else parts
        WanFolder(known if known.index else replace(known, index=index_of(load_card(chosen)))).check()
    place = hashed(path, on_file, None if parts is None else parts.paths)
    _see_that_it_is_not_its_base(path, load_card(chosen), place, loras)
    made_by = [
        PlacedLora(path=Path(r.path), weight=r.weight, expert=r.expert, file=hashed_file(Path(r.path)))
        for r in loras
    ]
    return chosen, place.model_copy(update={"loras": tuple(made_by)})


def _check_loras(card: ModelCard, loras: Sequence[LoraRef]) -> None:
    """Raises BadRequest where a model is not made by LoRAs, or has not the expert that one is for."""
    if loras and card.hub_lora is None:
        raise BadRequest(f"{card.name!r} is not made by a LoRA: give LoRAs to `filmwright generate`")
    if wrong := [r for r in loras if r.expert != "both" and card.boundary is None]:
        raise BadRequest(
            f"model {card.name!r} has no {wrong[0].expert}-noise expert: leave out @{wrong[0].expert}"
        )


def _see_that_it_is_not_its_base(path: Path, card: ModelCard, place: Place, loras: Sequence[LoraRef]) -> None:
    """Raises BadRequest where the weights are those of the model that this one was distilled from."""
    base = places().get(card.base or "")
    if base is not None and not loras and _transformers(base) == _transformers(place):
        remedy = "" if card.hub_lora is None else f", or give its LoRA ({card.hub_lora}) with --lora"
        raise BadRequest(
            f"{path} holds {card.base!r} itself, not {card.name!r}: name the other's files{remedy}"
        )


def _transformers(place: Place) -> set[str]:
    """Hashes of a place's transformers."""
    return {f.sha256 for name, f in place.files.items() if name.startswith("transformer")}


def _completed(path: Path, given: Mapping[str, Path], like: str | None) -> WanParts:
    """A transformer with what goes with it; each file is seen to be the net that it was given as."""
    if path.is_dir() and not any(path.glob("*.safetensors")):
        pickles = pickles_in(path)
        below = sorted({p.parent.name for p in path.glob("*/*.safetensors")})
        found = f"safetensors in {listed(below, 3)}" if below else f"pickles ({listed(pickles, 3)})"
        raise WeightsError(
            f"{path} holds {found if below or pickles else 'no safetensors'} and no model_index.json: name a folder as "
            "diffusers saves it, or a transformer's own safetensors"
        )
    for role, part in {"transformer": path, **given}.items():
        _see_that_it_is(role, part)
    needed = ["text_encoder", "tokenizer", "vae"]
    if looks(path):
        needed += ["image_encoder"]
    paths = {"transformer": path, **given}
    for role, part in ({} if like is None else _lent(like)).items():
        if role in needed or (role == "image_processor" and "image_encoder" in needed):
            paths.setdefault(role, part)
    if missing := [role for role in needed if role not in paths]:
        said = f"{path} is a transformer alone, without {', '.join(missing)}"
        if path.is_dir() and (pickles := pickles_in(path)):
            said += f" ({listed(pickles, 3)} beside it are pickles, which are not read)"
        options = ", ".join(OPTIONS[role] for role in missing)
        raise WeightsError(f"{said}: give {options}, or --like NAME of a model that is here")
    if "image_encoder" in paths and paths["image_encoder"].is_dir():
        paths.setdefault("image_processor", paths["image_encoder"].with_name("image_processor"))
    return WanParts(name=str(path), paths=paths)


def _see_that_it_is(role: str, part: Path) -> None:
    """Raises WeightsError where a path is not the net that it was given as; it says what it is."""
    if role == "tokenizer":
        if not any((part / name).is_file() for name in ("tokenizer.json", "spiece.model")):
            raise WeightsError(f"--tokenizer {part} is no folder with a tokenizer.json or a spiece.model")
        return
    wanted = "transformer" if role == "transformer_2" else role
    places = tensors_of(part)
    found = net_of(places)
    if found == wanted:
        return
    asked = f"{NETS[wanted]}, which {OPTIONS[role]} is for" if role in OPTIONS else NETS[wanted]
    remedy = f": give it with {OPTIONS[found]}, after the transformer" if found in OPTIONS else ""
    raise WeightsError(f"{describe(part, places)}, not {asked}{remedy}")


def _lent(like: str) -> dict[str, Path]:
    """What a model, by its name or its folder, has for another."""
    if like in CARDS:
        place = place_of(like)
        paths = place.parts or {role: place.path / role for role in LENT}
    elif (folder := Path(like)).is_dir():
        paths = {role: folder / role for role in LENT}
    else:
        raise BadRequest(f"--like {like} is neither a model, see `filmwright models`, nor a folder")
    return {role: paths[role] for role in LENT if role in paths and paths[role].exists()}
