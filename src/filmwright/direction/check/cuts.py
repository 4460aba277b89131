"""Small repairs of a prompt's text: a phrase cut out with its comma, what is left tidied."""

from __future__ import annotations

import re

from filmwright.spec.verbs import verb_forms

__all__ = ["added", "cut", "put", "tidy"]

_LEFT_OVER = re.compile(
    r"^(?:and|or|but|with|at|in|on|under|by|during|in the|at the|under a|under the|on an?|a|an|the)$", re.I
)


def tidy(text: str) -> str:
    """Single spaces, no comma after a comma or at either end, a capital where the prompt had one."""
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.;:!?])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;:]+\s*([.!?])", r"\1", text)
    text = re.sub(r"([.!?])(?:\s*[,.;])+", r"\1", text)
    text = re.sub(r"(?:,\s*|\s+)(?:and|or|but)\s*(?=[,.;]|$)", "", text)
    return text.strip(" ,;:")


def cut(prompt: str, start: int, end: int) -> str:
    """The prompt without these characters; a clause that has nothing else to say goes with them."""
    left = max((m.end() for m in re.finditer(r"[,.;:!?](?=\s)", prompt[:start])), default=0)
    after = re.search(r"[,.;:!?](?=\s|$)", prompt[end:])
    right = end + after.start() if after else len(prompt)
    before, behind = prompt[left:start].strip(), prompt[end:right].strip()
    if (not before or _LEFT_OVER.match(before)) and (not behind or behind.lower() in _TAILS):
        start, end = left, right
    else:
        lead = re.search(
            r"(?:\b(?:and|with|at|in|on|under|by|during)\s+)?(?:\b(?:an?|the)\s+)?$", prompt[left:start], re.I
        )
        if lead and (not behind or _GOES_ON.match(behind) or _is_done(behind)):
            start = left + lead.start()
    return _capital(tidy(prompt[:start] + " " + prompt[end:]), prompt)


_TAILS = {
    "shot",
    "view",
    "light",
    "lens",
    "footage",
    "colours",
    "colors",
    "lighting",
    "on the water",
    "angle",
}


_GOES_ON = re.compile(r"(?:and|while|as|then|or|but|on|in|at|over|across|under|with|to|from)\b", re.I)


def _is_done(text: str) -> bool:
    """Whether a text begins with what somebody does, so that what stood before was said of no noun of it."""
    return verb_forms().get(text.split(maxsplit=1)[0].lower().strip(",.;"), ("", ""))[1] in ("s", "ing")


def put(prompt: str, start: int, end: int, text: str) -> str:
    """The prompt with these characters replaced."""
    return _capital(tidy(f"{prompt[:start]}{text}{prompt[end:]}"), prompt)


def added(prompt: str, clause: str) -> str:
    """The prompt with one more clause at its end."""
    stripped = prompt.rstrip()
    if stripped.endswith((".", "!", "?")):
        return f"{stripped} {clause[:1].upper()}{clause[1:]}{stripped[-1]}"
    return f"{stripped.rstrip(',;: ')}, {clause}"


def _capital(text: str, like: str) -> str:
    return text[:1].upper() + text[1:] if like[:1].isupper() else text
