"""Where models lie that do not come with the package: a list that `filmwright models add` writes.

The list is `models.json` in $FILMWRIGHT_HOME, else in ~/.local/share/filmwright. It keeps the SHA-256 of every weights
file with its size and time of change, so that tens of gigabytes are hashed once and a changed file is noticed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from filmwright.spec.errors import WeightsError
from filmwright.spec.home import home

__all__ = ["Place", "WeightsFile", "hashed", "home", "keep", "place_of", "places"]

LIST = "models.json"

OnFile = Callable[[int, int, str], None]
"""(files done, files in all, the next one's name)."""


class WeightsFile(BaseModel):
    """One file as it was when it was hashed; `changed` is its time of change in nanoseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int
    changed: int


class Place(BaseModel):
    """A model's folder, and its weights files by their path within it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    files: dict[str, WeightsFile]

    def check(self) -> dict[str, str]:
        """File -> SHA-256, if all are as they were.

        Raises:
            WeightsError: a file is gone, new or changed.
        """
        now = {str(p.relative_to(self.path)): p for p in sorted(self.path.rglob("*.safetensors"))}
        for name in sorted(self.files.keys() | now.keys()):
            what = "is gone" if name not in now else "is new" if name not in self.files else None
            if what is None:
                state = now[name].stat()
                if (state.st_size, state.st_mtime_ns) != (self.files[name].size, self.files[name].changed):
                    what = "has changed"
            if what is not None:
                raise WeightsError(f"{self.path / name} {what} since the model was added: add it again")
        return {name: file.sha256 for name, file in self.files.items()}


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
    if found is None:
        raise WeightsError(
            f"the weights of {name!r} are not on this machine: filmwright models add FOLDER --as {name}"
        )
    if not found.path.is_dir():
        raise WeightsError(
            f"{found.path}, where {name!r} was, is gone: filmwright models add FOLDER --as {name}"
        )
    return found


def keep(name: str, place: Place) -> None:
    """Puts a model on the list, in place of an earlier one of its name."""
    path = home() / LIST
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = {**places(), name: place}
    aside = path.with_name(f".{LIST}.{os.getpid()}")
    aside.write_text(
        json.dumps({k: v.model_dump(mode="json") for k, v in entries.items()}, indent=1) + "\n", "utf-8"
    )
    aside.replace(path)


def hashed(folder: Path, on_file: OnFile | None = None) -> Place:
    """A folder with the hashes of its safetensors.

    Raises:
        WeightsError: it holds none, or one cannot be read.
    """
    from filmwright.weights.files import sha256_of

    paths = sorted(folder.rglob("*.safetensors"))
    if not paths:
        raise WeightsError(f"{folder} holds no safetensors: name the folder of a downloaded model")
    files = {}
    for done, path in enumerate(paths):
        if on_file:
            on_file(done, len(paths), path.name)
        try:
            state = path.stat()
            files[str(path.relative_to(folder))] = WeightsFile(
                sha256=sha256_of(path), size=state.st_size, changed=state.st_mtime_ns
            )
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    return Place(path=folder.resolve(), files=files)
