"""Where Filmwright keeps what is its user's: the list of models, unfinished runs, the keys that files are signed with."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["home"]


def home() -> Path:
    """$FILMWRIGHT_HOME, else ~/.local/share/filmwright; it need not be there yet."""
    given = os.environ.get("FILMWRIGHT_HOME")
    return Path(given) if given else Path.home() / ".local" / "share" / "filmwright"
