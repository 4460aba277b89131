"""A prompt for an open model as a `Brief`: where the lexicon of the closed world ends, word lists go on.

The first clause is a sentence: who, what they do, where. What follows are fragments, each told by the words it holds.
No word is lost but "and", "while" and the like at a fragment's beginning.
"""

from __future__ import annotations

import re

from filmwright.direction.check import general
from filmwright.direction.check.reading import Reading
from filmwright.direction.check.target import Target
from filmwright.spec.brief import PARTS_OF_A_BRIEF, Brief, parse_brief

__all__ = ["brief_of"]

_PLACING = general.word_set(
    """
    in on at across along through down over under underneath inside near beside by beneath above outside around
    between among amid against behind atop throughout onto
    """
)
_WORN = general.word_set(
    """
    jacket coat dress suit hat cap shirt sweater raincoat uniform gown armor armour apron robe scarf jeans
    glasses helmet kimono cloak boots gloves tutu pyjamas overalls hoodie costume white black red blue green
    yellow
    """
)
_FRONT = frozenset(
    {"front", "back", "middle", "search", "pursuit", "circles", "place", "slow", "motion", "focus", "detail"}
)
_LENS = re.compile(
    r"\b(?:lens|\d{1,3}\s?mm|bokeh|depth of field|focus|f/\d|anamorphic|fisheye|telephoto|macro)\b|\bwide[- ]angle\b",
    re.I,
)
_CAMERA = re.compile(
    r"\b(?:camera|shots?|close-?\s?ups?|angle|view|drone|fpv|dolly|zoom|pan|tilt|orbit|tracking|handheld|hand-held|steadicam"
    r"|push-?in|pull-?back|aerial|overhead|eye-level|tripod|locked-off|gopro)\b",
    re.IGNORECASE,
)
_LIGHT = re.compile(
    r"\b(?:light|lighting|lights|lit|sun|sunlight|sunshine|glow|glowing|shadows?|candlelight|lamp|lantern|backlit|neon"
    r"|moonlight|daylight|rays|spotlights?|fluorescent|tungsten|overcast|hazy?|golden hour|blue hour|dawn|dusk|sunset"
    r"|sunrise|noon|midday|midnight|night|morning|evening|afternoon|sky|twilight|sunny|chiaroscuro|volumetric)\b",
    re.IGNORECASE,
)
_PLACES = re.compile(
    r"\b(?:room|street|forest|city|park|kitchen|workshop|attic|beach|desert|mountains?|hall|stage|studio|garden|field|market"
    r"|bar|cafe|office|station|harbou?r|river|lake|sea|ocean|valley|village|castle|church|library|hallway|alley|rooftop|bridge"
    r"|background|backdrop|interior|arena|stadium|gym|cave|jungle|canyon|meadow|skyline|snow|rain|mist|fog|underwater)\b",
    re.IGNORECASE,
)
_MOOD = re.compile(
    r"\b(?:mood|moody|style|cinematic|tones?|colou?rs|palette|dreamy|dreamlike|surreal|noir|vintage|retro|atmosphere|feeling"
    r"|film|grain|anime|animation|photorealistic|realistic|romantic|melancholic|dramatic|epic|detailed|4k|8k|quality|look)\b",
    re.IGNORECASE,
)
_LINKS = re.compile(r"^(?:(?:and|then|while|with|but)\s+)+(?=\S)", re.IGNORECASE)


def brief_of(reading: Reading, target: Target) -> Brief:
    """The prompt in parts: by the lexicon for a closed world, by general words for an open model."""
    if target.vocabulary is not None:
        return parse_brief(reading.prompt)
    parts: dict[str, list[str]] = {name: [] for name in PARTS_OF_A_BRIEF}
    said = acted = False
    for first, last in reading.clauses():
        part = (
            None
            if not acted and _is_sentence(reading, first, last)
            else _kind(reading, first, last, said=said)
        )
        if part is None:
            said = True
            for name, text in _sentence(reading, first, last):
                parts[name].append(text)
                acted = acted or name == "action"
        else:
            at = _lit(reading, first, last) if part == "light" else first
            parts["setting"].append(_text(reading, first, at))
            parts[part].append(_text(reading, at, last))
    return Brief(**{k: ", ".join(t for t in map(_unlinked, v) if t) or None for k, v in parts.items()})


def _text(reading: Reading, first: int, last: int) -> str:
    """The prompt from word `first` up to word `last`, that one not included; signs that `split_words` skips stay."""
    if first >= last:
        return ""
    start = reading.words[first].start
    while start and not (reading.prompt[start - 1].isspace() or reading.prompt[start - 1] in ",.;:!?"):
        start -= 1
    end = reading.words[last].start if last < len(reading.words) else len(reading.prompt)
    return reading.prompt[start:end].strip()


def _is_sentence(reading: Reading, first: int, last: int) -> bool:
    """Whether a clause says who does what; a shot's name before it ("close-up of a hand") belongs to it."""
    if any(first <= a.last < last for a in reading.actors):
        return True
    if first < reading.opens_at <= last:
        return True
    doing = any(first <= v.at < last for v in reading.verbs)
    return doing and not re.match(r"\s*(?:the\s+)?camera\b", _text(reading, first, last), re.IGNORECASE)


def _kind(reading: Reading, first: int, last: int, *, said: bool) -> str | None:
    """The part that a fragment belongs to; None: it is the sentence."""
    text = _text(reading, first, last)
    if re.search(r"\bcamera\b", text, re.IGNORECASE):
        return "camera"
    if said and any(first <= v.at < last and v.base in general.MOTIONS for v in reading.verbs):
        return "action"
    for part, pattern in (
        ("lens", _LENS),
        ("camera", _CAMERA),
        ("light", _LIGHT),
        ("mood", _MOOD),
        ("setting", _PLACES),
    ):
        if pattern.search(text):
            return part
    if reading.words[first].text in _PLACING:
        return "setting"
    return "mood" if said else None


def _sentence(reading: Reading, first: int, last: int) -> list[tuple[str, str]]:
    """Who, what they do, where, in which light: (part, text) in order."""
    opened = max(first, reading.opens_at) if reading.opens_at < last else first
    pieces = [("camera", _text(reading, first, opened - 1))] if opened > first else []
    verb = next((v.at for v in reading.verbs if opened <= v.at < last), None)
    begin = verb if verb is not None else opened
    light = next((i for i in range(begin + 1, last) if _is_light(reading, i, last)), last)
    place = next((i for i in range(begin + 1, light) if _is_place(reading, i, light)), light)
    if verb is not None and verb > opened + 1 and reading.words[verb - 1].text.endswith("ly"):
        begin = verb = verb - 1  # "slowly turns"
    elif verb is not None and verb > opened + 1 and reading.words[verb - 1].text in ("that", "who", "which"):
        begin = verb = verb - 1
    if verb is not None and verb > opened:
        lit = next((i for i in range(opened + 1, verb) if _is_light(reading, i, verb)), verb)
        placed = next((i for i in range(opened + 1, lit) if lit < verb and _is_place(reading, i, lit)), lit)
        pieces.append((_who(reading, opened, placed), _text(reading, opened, placed)))
        pieces.append(("setting", _text(reading, placed, lit)))
        pieces.append(("light", _text(reading, lit, verb)))
        if pieces[-3][0] == "camera":  # "drone shot orbiting a castle"
            pieces[-3] = ("camera", f"{pieces[-3][1]} {_text(reading, verb, verb + 1)}")
            pieces.append(("subject", _text(reading, verb + 1, place)))
            begin = place
    pieces.append(("action" if verb is not None else "subject", _text(reading, begin, place)))
    on = next((i for i in range(place + 1, light) if _goes_on(reading, i)), light)
    pieces.append(("setting", _text(reading, place, on)))
    if on < light and place > begin:  # "rolls along the counter and stops": one action in two places
        name, text = pieces[-2]
        pieces[-2] = (name, f"{text} {_text(reading, on, light)}")
    pieces.append(("light", _text(reading, light, last)))
    return [(part, text) for part, text in pieces if text]


def _goes_on(reading: Reading, i: int) -> bool:
    """Whether the action goes on here, after the place: "and stops", "while rain runs"."""
    if reading.words[i].text not in ("and", "while", "as", "then"):
        return False
    return any(i < v.at <= i + 4 for v in reading.verbs)


def _who(reading: Reading, first: int, last: int) -> str:
    """The part that stands before a verb: mostly the subject, or a shot that is called by its name alone."""
    acts = any(first <= a.last < last for a in reading.actors)
    return (
        "camera"
        if not acts and last > first and reading.words[last - 1].text in ("shot", "view")
        else "subject"
    )


def _lit(reading: Reading, first: int, last: int) -> int:
    """Where the light begins in a fragment that names a place and its light: "a sunlit kitchen at midnight"."""
    at = next((i for i in range(first + 1, last) if _is_light(reading, i, last)), first)
    return at if _PLACES.search(_text(reading, first, at)) else first


def _is_light(reading: Reading, i: int, last: int) -> bool:
    """Whether "at dawn", "in moonlight at noon", "from dawn to dusk" begins here and nothing else follows."""
    texts = [w.text for w in reading.words]
    if texts[i] not in general.PREPOSITIONS:
        return False
    end = next((j for j in range(i + 1, last) if texts[j] in general.PREPOSITIONS), last)
    if end < last and not _is_light(reading, end, last):
        return False
    rest = texts[i + 1 : end]
    return len(rest) <= 5 and bool(_LIGHT.search(" ".join(rest))) and not _PLACES.search(" ".join(rest))


def _is_place(reading: Reading, i: int, last: int) -> bool:
    if reading.words[i].text not in _PLACING:
        return False
    rest = [w.text for w in reading.words[i + 1 : min(i + 6, last)]]
    return bool(rest) and not (set(rest) & _WORN) and rest[0] not in _FRONT


def _unlinked(text: str) -> str:
    return _LINKS.sub("", text)
