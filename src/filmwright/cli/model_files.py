"""`filmwright models add`, `pull` and `remove`: which files a model's weights are on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from filmwright.cli import options
from filmwright.cli.progress import Bar, time_left
from filmwright.spec.errors import BadRequest, Cancelled
from filmwright.spec.plan import say_bytes

if TYPE_CHECKING:
    import rich.progress

    from filmwright.weights.card import ModelCard
    from filmwright.weights.hub import HubFile, HubListing
    from filmwright.weights.places import Place

__all__ = ["add", "pull", "remove", "unpinned"]

LINE_EVERY = 10.0  # seconds, where there is no terminal to draw on


def add(
    path: Annotated[
        Path, typer.Argument(help="A folder as diffusers saves it, or a transformer's safetensors.")
    ],
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Which model it is, where that is not clear.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", metavar="NAME", help="A model, or a folder, that lends what a transformer alone lacks."
        ),
    ] = None,
    low: Annotated[
        Path | None, typer.Option("--low", metavar="FILE", help="The second expert, of the lower noise.")
    ] = None,
    text: Annotated[Path | None, typer.Option("--text", metavar="FILE", help="The text encoder.")] = None,
    vae: Annotated[Path | None, typer.Option("--vae", metavar="FILE", help="The VAE.")] = None,
    eye: Annotated[
        Path | None, typer.Option("--eye", metavar="FILE", help="CLIP, where pictures are looked at.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", metavar="DIR", help="The tokenizer's folder.")
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            "--lora",
            metavar="FILE[=WEIGHT][@high|low]",
            help="A LoRA that makes the model of its base's weights.",
        ),
    ] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Take nets of other widths and depths than published.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Tell where a model's weights lie; every file is checked, and hashed once.

    Models with the same nets, such as one and what was distilled from it, cannot be told apart: say which with --as.
    """
    from filmwright.weights.card import load_card
    from filmwright.weights.places import check_path, keep

    if name is not None and load_card(name).hub is None:
        raise BadRequest(f"{name!r} comes with the package: there is nothing to add")
    given = {
        "transformer_2": low, "text_encoder": text, "vae": vae, "image_encoder": eye, "tokenizer": tokenizer,
    }  # fmt: skip
    parts = {role: part for role, part in given.items() if part is not None}
    for part in (path, *parts.values()):
        check_path(part)

    from filmwright.engine.build_request import parse_lora
    from filmwright.weights.adding import added

    chosen, place = added(
        path,
        name=name,
        given=parts,
        like=like,
        loras=[parse_lora(written) for written in lora or ()],
        any_size=any_size,
        on_file=lambda done, total, file: typer.echo(f"hashing {done + 1}/{total} {file}", err=True),
    )
    keep(chosen, place)
    if as_json:
        told = {"name": chosen, "path": str(place.path), "files": len(place.files)}
        told |= {"loras": len(place.loras)} if place.loras else {}
        told |= {"parts": {role: str(part) for role, part in place.parts.items()}} if place.parts else {}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        with_loras = f" and {len(place.loras)} LoRA" if place.loras else ""
        typer.echo(
            f"{chosen}: {place.path}, {len(place.files)} weights files{with_loras}, {say_bytes(place.bytes)}"
        )


def pull(
    name: Annotated[str, typer.Argument(help="A model, see `filmwright models`.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where; as before, or $FILMWRIGHT_HOME/models/NAME."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Download a model's weights from the hub; a pull that was stopped goes on where it stopped."""
    from filmwright.weights.card import load_card
    from filmwright.weights.places import over_its_base, places
    from filmwright.weights.pulling import already_pulled, bytes_there, default_folder, list_pull
    from filmwright.weights.pulling import pull as fetch

    card = load_card(name)
    if card.hub_lora is not None:
        raise BadRequest(f"{name!r} is not pulled as a whole: {over_its_base(card)}")
    if to is not None and to.exists() and not to.is_dir():
        raise BadRequest(f"--to {to} is not a folder")
    before = places().get(name)
    folder = to or (before.path if before and before.pulled else default_folder(name))
    place, fetched = already_pulled(card, folder), 0
    if place is None:
        listing = list_pull(card, folder)
        there = bytes_there(listing, folder)
        fetched = listing.bytes - there
        if not as_json:
            typer.echo(_what(listing, there, pinned=card.revision is not None), err=True)
        with _Pulling(listing, there, quiet=as_json) as drawing:
            try:
                place = fetch(listing, folder, drawing)
            except KeyboardInterrupt:
                again = f"filmwright models pull {name}" + (f" --to {to}" if to else "")
                raise Cancelled(f"cancelled; what has come is kept, and goes on with: {again}") from None
    if as_json:
        told = {"name": name, "path": str(place.path), "revision": place.revision, "files": len(place.files)}
        typer.echo(json.dumps({**told, "bytes": place.bytes, "fetched": fetched}, ensure_ascii=False))
    else:
        said = "is here" if fetched else "was here already"
        typer.echo(f"{name} {said}: {place.path}, {len(place.files)} weights files, {say_bytes(place.bytes)}")


def _what(listing: HubListing, there: int, *, pinned: bool) -> str:
    commit = f"commit {listing.revision[:12]}"
    if not pinned:
        commit = f"commit {listing.revision} of main as it is now, for no commit is pinned"
    kept = f", {say_bytes(there)} of it here already" if there else ""
    return f"pulling {listing.hub} at {commit}: {len(listing.files)} files, {say_bytes(listing.bytes)}{kept}"


def unpinned(card: ModelCard) -> str:
    """What is taken of a model whose card names no commit."""
    if card.hub_lora is not None:
        return "no commit, nor which LoRA files: those that you choose there, hashed when they are added"
    return "no commit: main as it is when first pulled, and there it stays; another machine may find another"


class _Pulling(Bar):
    """An `OnBytes` that draws a bar where stderr is a terminal, and says a line now and then where it is not."""

    def __init__(self, listing: HubListing, there: int, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self.listing, self.there = listing, there
        self.began, self.said, self.file = time.monotonic(), 0.0, ""

    def __enter__(self) -> Self:
        self._start("starting", self.listing.bytes, self.there)
        return self

    def __call__(self, file: HubFile, done: int) -> None:
        """`done` bytes of all are there, the last of `file`."""
        now = time.monotonic()
        if file.name != self.file:
            self.file = file.name
            self._update(description=file.name[-40:])
        self._update(completed=done)
        if self._bar is None and now - self.said >= LINE_EVERY and now - self.began >= LINE_EVERY:
            self.said = now
            self._say(self.line(done, now))

    def line(self, done: int, now: float) -> str:
        """How far it is, how fast, and how long it will take."""
        rate = max(done - self.there, 0) / max(now - self.began, 1e-6)
        left = time_left((self.listing.bytes - done) / rate if rate else None)
        parts = [
            f"{say_bytes(done)} of {say_bytes(self.listing.bytes)}",
            f"{say_bytes(rate)}/s",
            left,
            self.file,
        ]
        return ", ".join(part for part in parts if part)

    def _columns(self) -> Iterable[rich.progress.ProgressColumn]:
        from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

        return DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()


def remove(
    name: Annotated[str, typer.Argument(help="A model that was added or pulled.")],
    delete: Annotated[
        bool,
        typer.Option(
            "--delete", help="Delete its files too, if `pull` put them into Filmwright's own folder."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Forget where a model's weights lie; its files stay unless --delete is given."""
    from filmwright.weights.card import load_card
    from filmwright.weights.places import forget, places
    from filmwright.weights.pulling import delete_pulled, pulled_names

    load_card(name)
    place = places().get(name)
    names: list[str] = []
    if delete and place is not None:
        names = pulled_names(place)
        if not names:
            raise BadRequest(
                f"{place.path} was not pulled into Filmwright's own folder: remove {name!r} without --delete, and "
                "delete its files by hand"
            )
        lent = [other for other, item in places().items() if other != name and _borrows(item, place.path)]
        if lent:
            raise BadRequest(f"{', '.join(lent)} uses files of {name!r}: remove it first")
        count = sum((place.path / file).stat().st_size for file in names)
        typer.echo(f"deleting {len(names)} files, {say_bytes(count)}, of {place.path}", err=True)
    gone = forget(name)
    if delete:
        delete_pulled(gone)
    if as_json:
        typer.echo(json.dumps({"name": name, "path": str(gone.path), "deleted": len(names)}))
    else:
        typer.echo(
            f"{name} is forgotten; " + ("its files are deleted" if delete else f"{gone.path} stays as it is")
        )


def _borrows(place: Place, folder: Path) -> bool:
    used = (*place.roots, *(lora.path for lora in place.loras))
    return any(path.is_relative_to(folder) for path in used)
