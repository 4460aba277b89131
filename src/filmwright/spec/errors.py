"""The whole exception tree. Each class carries a stable `code` that CLI, API and Studio share."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "BadFilm",
    "BadRequest",
    "Cancelled",
    "CredentialsError",
    "DoesNotFit",
    "FilmwrightError",
    "HubError",
    "MediaError",
    "NotThisModel",
    "RefineError",
    "TimelineError",
    "WeightsError",
    "listed",
]


class FilmwrightError(Exception):
    """Anything that Filmwright tells its user; the message is one line: what, the numbers, the remedy."""

    code = "error"
    exit_code = 2


class BadRequest(FilmwrightError, ValueError):
    """The request asks for something that cannot be done; nothing has been started."""

    code = "bad_request"


class BadFilm(BadRequest):
    """A film file with mistakes: all of them, each as "film.yaml:12:5: what; remedy"."""

    code = "bad_film"

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class NotThisModel(BadRequest):
    """The model cannot do what the request asks, and another one may: `engine.other_models` says which."""


class DoesNotFit(BadRequest):
    """The request needs more memory than the machine, or the stated budget, has."""

    code = "does_not_fit"


class MediaError(FilmwrightError):
    """A picture, video or folder that cannot be read or written."""

    code = "media"


class RefineError(FilmwrightError):
    """A chat endpoint that was asked to rewrite a prompt cannot be reached, or answers what is no brief."""

    code = "refine"
    exit_code = 3


class TimelineError(FilmwrightError):
    """A timeline or an editor's file that cannot be read or written; names the line where there is one."""

    code = "timeline"


class WeightsError(FilmwrightError):
    """A weights file that is missing, truncated, of another format, or fails its hash."""

    code = "weights"


class HubError(FilmwrightError):
    """The hub of models cannot be reached, or does not give what was asked for; the command itself may be right."""

    code = "hub"
    exit_code = 3


class CredentialsError(FilmwrightError):
    """The keys that files are signed with are unsafe, damaged or cannot be made; or a file cannot be signed."""

    code = "credentials"


class Cancelled(FilmwrightError):
    """The user stopped the run; nothing half written is left, and what it has reached is kept."""

    code = "cancelled"
    exit_code = 130


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names for a message, in order, and how many more there are."""
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
