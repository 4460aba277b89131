"""Content credentials of a film's deliverables: signed last, in the store, with the shots that are in them.

A film places each shot that it shows as a component, and the clip's own credentials, with its prompt, are nested
whole; the clip of a shot with post is signed as made from the one that was rendered. A picture names only the shots
that it shows, sound only the files that it was mixed from. A signature is other bytes each time, so no key is made from
a file that was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filmwright.direction.film.opened import OpenFilm
from filmwright.direction.film.outputs import Output
from filmwright.spec.cut import Cut, Source
from filmwright.spec.post import PostStage

if TYPE_CHECKING:
    from filmwright.provenance.manifest import Manifest

__all__ = ["Seal", "post_seal", "seal_of", "shown", "titled"]


@dataclass(frozen=True, kw_only=True)
class Seal:
    """Whether a film's deliverables are signed, and whether they keep words, models, seeds and shots to themselves."""

    sign: bool = True
    private: bool = False

    def signs(self, output: Output) -> bool:
        """Whether this deliverable is signed: OpenEXR cannot hold credentials."""
        from filmwright.provenance.signing import can_hold, can_sign

        return self.sign and can_sign() and can_hold(Path(f"film{output.suffix}"))

    def decides(self, cut: Cut, output: Output) -> dict[str, Any] | None:
        """All that a deliverable's credentials say, for a key; None where it is not signed."""
        if not self.signs(output):
            return None
        shots = self._named(cut, output)
        said: dict[str, Any] = {"private": self.private, "shots": [source.digest for source in shots]}
        if post := {source.shot: source.post for source in shots if source.post}:
            said["post"] = post
        return said

    def reads(self, cut: Cut, output: Output) -> tuple[Path, ...]:
        """The clips that the credentials of a deliverable nest."""
        shots = self._named(cut, output) if self.signs(output) else ()
        return tuple(source.clip for source in shots if source.clip is not None)

    def _named(self, cut: Cut, output: Output) -> tuple[Source, ...]:
        return () if self.private or output.kind == "sound" else _sources(cut)

    def comment(self, output: Output) -> str | None:
        """What is written into a file that will be signed."""
        from filmwright.provenance.signing import MARK

        return MARK if self.signs(output) else None

    def mark(self, picture: Path) -> str | None:
        """What is written into a sheet of the film that will be signed."""
        from filmwright.provenance.signing import MARK, can_hold, can_sign

        return MARK if self.sign and can_sign() and can_hold(picture) else None

    def put_on_sheet(self, title: str, sources: Sequence[Source], made: Path) -> None:
        """Signs a picture of these takes, which will be called `title`.

        Raises:
            CredentialsError: the keys are unsafe, or it cannot be signed.
        """
        if self.mark(made) is not None:
            from filmwright.provenance.signing import sign_file

            sign_file(made, self._manifest(title, sources, ()))

    def put_on(self, made: Path, cut: Cut, output: Output, frame: int | None = None) -> tuple[str, ...]:
        """Signs what was made of a cut: a file or a folder of pictures; `frame` is a poster's, of the cut.

        Gives the names of the files that went into it and were not as their own credentials say.

        Raises:
            CredentialsError: the keys are unsafe, or it cannot be signed.
        """
        if not self.signs(output):
            return ()
        from filmwright.provenance.authority import open_authority
        from filmwright.provenance.signing import SharedManifest, sign_file

        title = output.path.name
        if output.kind == "pictures":
            authority = open_authority()
            shots: tuple[Source, ...] | None = None
            broken: dict[str, None] = {}
            for number, path in enumerate(sorted(made.iterdir())):
                now = shown(cut, _record_frame(number, cut, output.fps))
                if now != shots:
                    shots, shared = (
                        now,
                        SharedManifest(self._manifest(title, now, ()), authority=authority),
                    )
                broken |= dict.fromkeys(shared.sign(path).broken)
            return tuple(broken)
        sources = () if output.kind == "sound" else _sources(cut) if frame is None else shown(cut, frame)
        sounds = dict.fromkeys(sound.path for sound in cut.sounds) if output.kind != "poster" else ()
        return sign_file(made, self._manifest(title, sources, sounds)).broken

    def _manifest(self, title: str, sources: Iterable[Source], sounds: Iterable[Path]) -> Manifest:
        from filmwright.provenance.manifest import Ingredient, film_manifest

        sources, sounds = tuple(sources), tuple(sounds)
        kind = "" if sources else "composite"
        parts = [
            Ingredient(path=source.clip, relationship="componentOf", title=titled(source))
            for source in sources
            if source.clip is not None
        ] + [Ingredient(path=path, relationship="componentOf") for path in sounds]
        return film_manifest(title, () if self.private else parts, all_generated=not sounds, source=kind)


def seal_of(film: OpenFilm, *, sign: bool = True, private: bool = False) -> Seal:
    """How a film's deliverables are signed: privately if either the film or the caller says so."""
    return Seal(sign=sign, private=private or film.film.private)


def post_seal(stage: PostStage, parent: Path, title: str) -> Callable[[Path], None] | None:
    """What signs the clip that a stage of post makes of `parent`, which is called `title` there; None without means.

    It raises DamagedBlob if the parent is not as its own credentials say.
    """
    from filmwright.direction.build.node import DamagedBlob
    from filmwright.provenance.manifest import derived_manifest, post_changes
    from filmwright.provenance.signing import can_sign, sign_file

    if not can_sign():
        return None
    manifest = derived_manifest("clip.mp4", parent, changes=post_changes([stage]), parent_title=title)

    def seal(path: Path) -> None:
        if sign_file(path, manifest).broken:
            raise DamagedBlob(parent)

    return seal


def titled(source: Source) -> str:
    """What a take is called in credentials."""
    return f"{source.shot}, take {source.take}"


def shown(cut: Cut, frame: int) -> tuple[Source, ...]:
    """The takes that a record frame shows: one, or in a transition two or more."""
    return tuple(
        dict.fromkeys(event.source for event in cut.events if event.record_start <= frame < event.record_end)
    )


def _sources(cut: Cut) -> tuple[Source, ...]:
    """The takes of a cut, each once, in the order in which they are first shown."""
    return tuple(dict.fromkeys(event.source for event in cut.events))


def _record_frame(index: int, cut: Cut, fps: Fraction) -> int:
    """The record frame that a delivered frame `index` (from 0) shows."""
    return min(index * cut.fps // fps, cut.num_frames - 1)
