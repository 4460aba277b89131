"""How our clips are known again: a note of one line that travels in comments, and reel names of eight signs.

A note is what an editor shows as a comment and hands back untouched if it keeps comments at all. Where it does not,
media are known by file name or reel. Reel names are those of CMX3600, eight of A-Z and 0-9: short names stay, others
keep their beginning and get a hash, so that the same film always has the same reels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from filmwright.direction.timeline.edit import Event, Join

__all__ = ["NOTE", "note_of", "path_of", "read_note", "reel_names", "url_of", "with_note"]

NOTE = "FILMWRIGHT"
REEL_SIGNS = 8
MAX_NOTE = 2000
RESERVED = {"BL", "AX", "BLACK", "BARS"}  # an EDL means black, or any tape, by these


def note_of(event: Event) -> str:
    """What has to come back with an event, such as `FILMWRIGHT shot=sh010 take=2 digest=9f3a cut=6`."""
    words = [NOTE]
    if event.shot:
        words += [f"shot={quote(event.shot, safe='')}", f"take={event.take}"]
    if event.digest:
        words.append(f"digest={quote(event.digest, safe='')}")
    if event.join is not None:
        words.append(f"cut={event.join.before}")
    return " ".join(words)


def read_note(text: str) -> dict[str, Any] | None:
    """The fields of a note found anywhere in a comment, None if there is none; broken ones are left out."""
    found = re.search(rf"\b{NOTE}((?: [a-z]+=[^\s]*)*)", text[:MAX_NOTE])
    if found is None:
        return None
    pairs = dict(word.split("=", 1) for word in found[1].split())
    fields: dict[str, Any] = {key: unquote(pairs[key]) for key in ("shot", "digest") if key in pairs}
    for key in ("take", "cut"):
        if re.fullmatch(r"\d{1,9}", pairs.get(key, ""), re.ASCII):
            fields[key] = int(pairs[key])
    return fields


def with_note(event: Event, fields: Mapping[str, Any] | None) -> Event:
    """The event with what its note says; a cut point that the transition has outgrown goes back to its middle."""
    if fields is None:
        return event
    join = event.join
    if join is not None and 0 <= fields.get("cut", -1) <= join.frames:
        join = Join(kind=join.kind, frames=join.frames, before=fields["cut"], wipe=join.wipe)
    return replace(
        event,
        shot=fields.get("shot", event.shot),
        take=fields.get("take", event.take),
        digest=fields.get("digest", event.digest),
        join=join,
    )


def reel_names(files: Iterable[str]) -> dict[str, str]:
    """A reel for each file name; which it is depends on the set of names, not on their order."""
    names = sorted(set(files))
    reels: dict[str, str] = {}
    plain = {name: re.sub(r"[^A-Z0-9]", "", name.rsplit(".", 1)[0].upper()) for name in names}
    taken = list(plain.values())
    for name in names:
        short = plain[name]
        if 0 < len(short) <= REEL_SIGNS and taken.count(short) == 1 and short not in RESERVED:
            reels[name] = short
    used = set(reels.values())
    for name in names:
        salt = 0
        while name not in reels:
            value = hashlib.sha256(f"{salt}:{name}".encode("utf-8", "surrogatepass")).hexdigest().upper()
            reel = plain[name][:3] + value[: REEL_SIGNS - len(plain[name][:3])]
            if reel not in used:
                reels[name] = reel
                used.add(reel)
            salt += 1
    return reels


def url_of(path: str, host: str = "localhost") -> str:
    """A path as the URL that editors take; what is one already stays, and what is relative stays relative."""
    if "://" in path[:12]:
        return path
    return f"file://{host}{quote(path)}" if path.startswith("/") else quote(path)


def path_of(url: str) -> str:
    """The path that a URL of this machine means; another URL as it is. Only to be compared: it may be anything."""
    if "://" not in url[:12]:
        return unquote(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return unquote(parts.path) if parts.scheme == "file" and parts.netloc in ("", "localhost") else url
