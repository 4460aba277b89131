"""Where Filmwright keeps what is its user's: models that were added, unfinished runs, signing keys."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["home"]


def home() -> Path:
    """$FILMWRIGHT_HOME, else ~/.local/share/filmwright; it need not be there yet."""
    given = os.environ.get("FILMWRIGHT_HOME")
    return Path(given) if given else Path.home() / ".local" / "share" / "filmwright"
