"""Where models lie that do not come with the package: a list that `filmwright models add` and `pull` write.

The list is `models.json` in $FILMWRIGHT_HOME, else in ~/.local/share/filmwright. It keeps the SHA-256 of every weights
file with its size and time of change, so that tens of gigabytes are hashed once and a changed file is noticed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.home import home
from filmwright.weights.card import ModelCard, load_card
from filmwright.weights.whole import sha256_of

__all__ = [
    "PICKLES",
    "Place",
    "PlacedLora",
    "WeightsFile",
    "check_path",
    "forget",
    "hashed",
    "hashed_file",
    "keep",
    "over_its_base",
    "pickles_in",
    "place_of",
    "places",
    "weights_in",
]

LIST = "models.json"
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")

OnFile = Callable[[int, int, str], None]
"""(files done, files in all, the next one's name)."""


class WeightsFile(BaseModel):
    """One file as it was when it was hashed; `changed` is its time of change in nanoseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int
    changed: int

    def is_as_it_was(self, path: Path) -> bool:
        """Whether a file has the size and the time of change that this one had."""
        try:
            state = path.stat()
        except OSError:
            return False
        return (state.st_size, state.st_mtime_ns) == (self.size, self.changed)


class PlacedLora(BaseModel):
    """A LoRA file that makes a model of another one's weights; as `spec.request.LoraRef`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    weight: float
    expert: Literal["both", "high", "low"]
    file: WeightsFile

    def check(self) -> None:
        """See that the file is as it was.

        Raises:
            WeightsError: it is gone or changed.
        """
        if not self.file.is_as_it_was(self.path):
            what = "has changed" if self.path.exists() else "is gone"
            raise WeightsError(f"{self.path} {what} since the model was added: add it again")


class Place(BaseModel):
    """A model's weights: in one folder, or, with `parts`, each net on its own.

    Files go by their path within the folder; those of parts by role and name, such as `vae/wan_2.1_vae.safetensors`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path  # the folder; of parts, the first transformer
    files: dict[str, WeightsFile]
    parts: dict[str, Path] = {}  # role -> file or folder
    revision: str | None = None  # the hub's commit that was pulled
    pulled: bool = False  # whether `filmwright models pull` put the files there
    loras: tuple[PlacedLora, ...] = ()  # that belong to the model

    @property
    def roots(self) -> list[Path]:
        """What must be there."""
        return list(self.parts.values()) or [self.path]

    @property
    def bytes(self) -> int:
        """Of all weights files together."""
        return sum(file.size for file in self.files.values())

    def check(self) -> dict[str, str]:
        """File -> SHA-256, if all are as they were.

        Raises:
            WeightsError: a file is gone, new or changed.
        """
        now = weights_in(self.path, self.parts)
        for name in sorted(self.files.keys() | now.keys()):
            what = "is gone" if name not in now else "is new" if name not in self.files else None
            if what is None and not self.files[name].is_as_it_was(now[name]):
                what = "has changed"
            if what is not None:
                path = now.get(name, self.path / name if not self.parts else Path(name))
                raise WeightsError(f"{path} {what} since the model was added: add it again")
        for lora in self.loras:
            lora.check()
        found = {name: file.sha256 for name, file in self.files.items()}
        return found | {f"lora {lora.path.name} {lora.expert}": lora.file.sha256 for lora in self.loras}


def places() -> dict[str, Place]:
    """All models that were added, by name.

    Raises:
        WeightsError: the list is damaged.
    """
    path = home() / LIST
    if not path.exists():
        return {}
    try:
        return {
            name: Place.model_validate(item) for name, item in json.loads(path.read_text("utf-8")).items()
        }
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise WeightsError(
            f"the list of models {path} is damaged: mend or remove it, and add the models again"
        ) from error


def place_of(name: str) -> Place:
    """Where the model called `name` lies.

    Raises:
        WeightsError: it was not added on this machine, or its folder is gone.
    """
    found = places().get(name)
    if found is None and (card := load_card(name)).hub_lora is not None:
        raise WeightsError(f"the weights of {name!r} are not on this machine: {over_its_base(card)}")
    if found is None:
        raise WeightsError(
            f"the weights of {name!r} are not on this machine: filmwright models pull {name}, or, with files of "
            f"your own, filmwright models add FOLDER --as {name}"
        )
    if gone := next((path for path in found.roots if not path.exists()), None):
        raise WeightsError(f"{gone}, where {name!r} was, is gone: filmwright models add FOLDER --as {name}")
    return found


def over_its_base(card: ModelCard) -> str:
    """What to do to have a model that is published as LoRA files over another one: sentences for a message.

    Raises:
        WeightsError: the list is damaged.
    """
    base = places().get(card.base or "")
    folder = home() / "models" / f"{card.base}" if base is None else base.path
    pull = f"filmwright models pull {card.base}, " if base is None else ""
    like = f" --like {card.base}" if base is not None and base.parts else ""
    loras = "--lora FILE" if card.boundary is None else "--lora FILE=1@high --lora FILE=1@low"
    each = "its LoRA file" if card.boundary is None else "the LoRA files of both experts"
    return (
        f"it is made of {card.base!r} by {each} of {card.hub_lora}: {pull}download {each}, and: filmwright models add "
        f"{folder} --as {card.name}{like} {loras}"
    )


def keep(name: str, place: Place) -> None:
    """Puts a model on the list, in place of an earlier one of its name.

    Raises:
        WeightsError: the list is damaged or cannot be written.
    """
    _write({**places(), name: place})


def forget(name: str) -> Place:
    """Takes a model off the list; its files stay.

    Raises:
        WeightsError: it is not on it, or the list is damaged or cannot be written.
    """
    entries = places()
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none is"
        raise WeightsError(f"{name!r} is not on this machine's list of models: {known}")
    gone = entries.pop(name)
    _write(entries)
    return gone


def _write(entries: Mapping[str, Place]) -> None:
    path = home() / LIST
    aside = path.with_name(f".{LIST}.{os.getpid()}")
    text = json.dumps(
        {k: v.model_dump(mode="json", exclude_defaults=True) for k, v in entries.items()}, indent=1
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text + "\n", "utf-8")
        aside.replace(path)
    except OSError as error:
        raise WeightsError(
            f"the list of models {path} cannot be written ({error.strerror or error}): free some space, or set "
            "FILMWRIGHT_HOME to another folder"
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def check_path(path: Path) -> None:
    """See that a path may hold weights.

    Raises:
        BadRequest: there is nothing, or it is neither a folder nor safetensors, such as GGUF.
        WeightsError: it is a pickle.
    """
    if path.is_dir():
        return
    if not path.exists():
        raise BadRequest(f"{path} does not exist: name a model's folder, or a safetensors file")
    if path.suffix in PICKLES:
        raise WeightsError(
            f"{path} is a pickle ({path.suffix}), which may run any code when it is loaded: take the same weights as "
            "safetensors"
        )
    if path.suffix == ".gguf":
        raise BadRequest(f"{path} is GGUF, which is not supported: take the same weights as safetensors")
    if path.suffix != ".safetensors":
        raise BadRequest(f"{path} is no safetensors file: name one, or a folder")


def pickles_in(folder: Path) -> list[str]:
    """The names of the pickles in a folder."""
    return sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)


def weights_in(folder: Path, parts: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """The safetensors of a folder, or of parts, by the names that a `Place` gives them."""
    if not parts:
        return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*.safetensors"))}
    found: dict[str, Path] = {}
    for role, root in sorted(parts.items()):
        if root.is_dir():
            found |= {f"{role}/{name}": path for name, path in weights_in(root).items()}
        elif root.is_file() and root.suffix == ".safetensors":
            found[f"{role}/{root.name}"] = root
    return found


def hashed(folder: Path, on_file: OnFile | None = None, parts: Mapping[str, Path] | None = None) -> Place:
    """A folder, or parts of which `folder` is the first, with the hashes of the safetensors.

    What is on the list already, and has not changed, is not hashed again.

    Raises:
        WeightsError: there are none, or one cannot be read.
    """
    roots = {role: path.resolve() for role, path in (parts or {}).items()}
    folder = folder.resolve()
    paths = weights_in(folder, roots)
    if not paths:
        raise WeightsError(f"{folder} holds no safetensors: name the folder of a downloaded model")
    known = {
        path: place.files[name]
        for place in places().values()
        for name, path in weights_in(place.path, place.parts).items()
        if name in place.files and place.files[name].is_as_it_was(path)
    }
    files = {}
    for done, (name, path) in enumerate(paths.items()):
        if path in known:
            files[name] = known[path]
            continue
        if on_file:
            on_file(done, len(paths), path.name)
        files[name] = hashed_file(path)
    return Place(path=folder, files=files, parts=roots)


def hashed_file(path: Path) -> WeightsFile:
    """A file with its hash.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        state = path.stat()
        return WeightsFile(sha256=sha256_of(path), size=state.st_size, changed=state.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
