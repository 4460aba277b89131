"""The hub of Hugging Face, asked for one model: its files at a commit, their sizes and hashes, and their bytes.

Only safetensors, JSON, text and tokenizer files are asked for, and of these what the model's card or its
model_index.json names. The library `huggingface_hub` lists and authorises. $HF_ENDPOINT names another hub, $HF_TOKEN
opens what is not open to all, $HF_HUB_OFFLINE forbids it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from filmwright.spec.errors import BadRequest, HubError

if TYPE_CHECKING:
    from filmwright.weights.card import ModelCard

__all__ = [
    "Dropped",
    "HubFile",
    "HubListing",
    "is_inside",
    "list_files",
    "saying_why",
    "stream_file",
    "unreachable",
]

ENDPOINT = "https://huggingface.co"
KINDS = (".safetensors", ".json", ".txt", ".model")
OTHER_PRECISION = re.compile(r"\.(fp16|bf16|fp8|non_ema)[.-]")  # x.fp16.safetensors beside x.safetensors
TIMEOUT = 30.0  # seconds without a byte
AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, 500, 502, 503, 504)  # worth another try


class Dropped(Exception):
    """The hub stopped answering in the middle, or asks to come again; the message says how."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a repository: its path there, its size, and its hash as the hub tells it."""

    name: str
    size: int
    sha256: str | None  # of a file in LFS
    blob: str | None  # git's SHA-1


@dataclass(frozen=True, kw_only=True)
class HubListing:
    """What a pull fetches: a model's files in its repository at one commit."""

    model: str
    hub: str
    revision: str
    files: tuple[HubFile, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files)


def list_files(card: ModelCard, revision: str | None, folder: Path) -> HubListing:
    """The files of a model at a commit, or where main stands now; `folder` is where they are to go, for messages.

    Raises:
        BadRequest: the model is not on the hub.
        HubError: the hub cannot be reached, or does not give them.
    """
    if card.hub is None:
        raise BadRequest(f"{card.name!r} comes with the package: there is nothing to pull")
    library = _library()
    with saying_why(card.hub, card.name, folder):
        api = library.HfApi(endpoint=_endpoint(), library_name="filmwright")
        info = api.model_info(card.hub, revision=revision or "main", files_metadata=True, timeout=TIMEOUT)
    if not info.sha or (revision and info.sha != revision):
        raise HubError(f"the hub {_endpoint()} has no {card.hub} at {revision or 'main'}: it gave {info.sha}")
    found = [_file(sibling, card.hub) for sibling in info.siblings or ()]
    names = {file.name for file in found}
    patterns = card.hub_files
    if patterns is None:
        if "model_index.json" not in names:
            raise BadRequest(
                f"{card.hub} publishes single files, not a whole model: download the one that you want, then: "
                f"filmwright models add FILE --as {card.name} --like MODEL"
            )
        patterns = ("model_index.json", *_components(card, info.sha, folder))
    files = tuple(file for file in found if _is_wanted(file.name, patterns))
    if not any(file.name.endswith(".safetensors") for file in files):
        raise HubError(
            f"{card.hub} at {info.sha[:12]} has no safetensors for {card.name!r}: nothing else is taken"
        )
    return HubListing(model=card.name, hub=card.hub, revision=info.sha, files=files)


def stream_file(hub: str, revision: str, name: str, start: int = 0) -> Iterator[bytes]:
    """The bytes of a file from `start` on; a hub that knows no ranges sends all, and the first are passed over.

    Raises:
        Dropped: the connection broke, or the hub asks to come again. What has come is good.
        huggingface_hub.errors.HfHubHTTPError: the hub refuses.
    """
    import httpx2

    library = _library()
    url = library.hf_hub_url(hub, name, revision=revision, endpoint=_endpoint())
    headers = {**library.utils.build_hf_headers(library_name="filmwright"), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with library.utils.get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
            if response.status_code in AGAIN:
                raise Dropped(f"the hub answers {response.status_code}")
            library.utils.hf_raise_for_status(response)
            over = start if response.status_code != HTTPStatus.PARTIAL_CONTENT else 0
            for chunk in response.iter_bytes():
                if len(chunk) > over:
                    yield chunk[over:]
                over = max(over - len(chunk), 0)
    except httpx2.RequestError as error:
        raise Dropped(_reason(error)) from error


@contextmanager
def saying_why(hub: str, model: str, folder: Path) -> Iterator[None]:
    """Turns what the library raises into one line with its remedy.

    Raises:
        HubError: the hub refuses, or cannot be reached.
    """
    import httpx2
    from huggingface_hub import errors

    by_hand = _by_hand(hub, model, folder)
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise HubError(f"HF_HUB_OFFLINE is set, so the hub is not asked: unset it, or {by_hand}") from error
    except httpx2.RequestError as error:
        raise unreachable(hub, model, folder, _reason(error)) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if isinstance(error, errors.GatedRepoError) or status in (401, 403):
            raise HubError(
                f"{hub} is not open to all ({status}): accept its licence at {_endpoint()}/{hub}, make a token there, "
                "and set HF_TOKEN to it"
            ) from error
        if status == HTTPStatus.NOT_FOUND:
            raise HubError(
                f"the hub {_endpoint()} has no such file or commit of {hub} (404); or {by_hand}"
            ) from error
        raise HubError(
            f"the hub {_endpoint()} answers {status} for {hub}: try again later, or {by_hand}"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise HubError(f"{_endpoint()} does not answer as a hub does ({error}): see HF_ENDPOINT") from error


def unreachable(hub: str, model: str, folder: Path, reason: str) -> HubError:
    """What to say, and do, when the hub does not answer."""
    return HubError(f"the hub {_endpoint()} cannot be reached ({reason}): {_by_hand(hub, model, folder)}")


def _by_hand(hub: str, model: str, folder: Path) -> str:
    return f"put the files of {hub} into {folder}, then: filmwright models add {folder} --as {model}"


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT


def _library() -> Any:
    """The library of the hub, which declares half of what it documents to type checkers."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError as error:
        raise HubError("pulling needs huggingface_hub: pip install 'filmwright[open]'") from error
    except ValueError as error:  # it takes HF_ENDPOINT apart when it is imported
        raise HubError(f"HF_ENDPOINT {_endpoint()} is no address of a hub: {error}") from error
    library: Any = huggingface_hub
    library.utils.logging.set_verbosity_error()  # what goes wrong is told by our errors
    return library


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _file(sibling: Any, hub: str) -> HubFile:
    if not is_inside(sibling.rfilename):
        raise HubError(
            f"{hub} lists {sibling.rfilename!r}, which lies outside of its folder: nothing is taken"
        )
    lfs = sibling.lfs
    size = lfs.size if lfs else sibling.size
    if size is None or not (lfs or sibling.blob_id):
        raise HubError(f"the hub tells no size or hash of {sibling.rfilename} in {hub}: nothing is taken")
    return HubFile(
        name=sibling.rfilename, size=size, sha256=lfs.sha256 if lfs else None, blob=sibling.blob_id
    )


def is_inside(name: str) -> bool:
    """Whether a file of this name lies within the folder that it is put into."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and not {"..", "~"} & {*path.parts}
        and not {"\\", "\0"} & {*name}
    )


def _components(card: ModelCard, revision: str, folder: Path) -> list[str]:
    """What a repository's model_index.json names, as patterns of its files."""
    assert card.hub is not None
    with saying_why(card.hub, card.name, folder):
        try:
            index = json.loads(b"".join(stream_file(card.hub, revision, "model_index.json")))
        except Dropped as error:
            raise unreachable(card.hub, card.name, folder, str(error)) from error
        return [f"{name}/*" for name, kind in index.items() if isinstance(kind, list) and any(kind)]


def _is_wanted(name: str, patterns: tuple[str, ...]) -> bool:
    if not name.endswith(KINDS):
        return False
    if name in patterns:
        return True
    plain = not OTHER_PRECISION.search(PurePosixPath(name).name)
    return plain and any(fnmatchcase(name, pattern) for pattern in patterns)
