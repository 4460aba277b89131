"""Every word for every thing that a clip can show: the one lexicon, which captions speak and prompts are read with.

    LEXICON[attribute][name][role] -> phrases

`name` is a name of `spec.vocabulary` (or, for `happening`, of the event log). A name such as `pan-left|pan-right` holds the
phrases that leave open which of the two is meant. Roles say where in a sentence a phrase fits: `noun` after an article,
`adjective` before a noun, `verb` after its doer (base form, its first word is inflected), `when` and `where` as adverbials,
`shot` as a fragment of its own, `heard` only understood, never said. The first phrase of a role is the plainest.
"""

from __future__ import annotations

from functools import cache

__all__ = [
    "ADVERBS", "ARTICLES", "EVENT_OF", "LEXICON", "MOTIONS", "STOP_WORDS", "VERB_FORMS", "inflect", "lemma", "phrases",
]  # fmt: skip

Roles = dict[str, tuple[str, ...]]


def _nouns(*words: str) -> Roles:
    return {"noun": words}


def _adjectives(*words: str) -> Roles:
    return {"adjective": words}


LEXICON: dict[str, dict[str, Roles]] = {
    "subject": {
        "ball": _nouns("ball", "sphere", "orb", "globe"),
        "cube": _nouns("cube", "box", "block", "crate"),
        "cylinder": _nouns("cylinder", "drum", "barrel", "tube"),
        "cone": _nouns("cone", "pylon", "pointed cone"),
        "capsule": _nouns("capsule", "pill", "lozenge"),
        "bottle": _nouns("bottle", "flask", "wine bottle"),
        "glass": _nouns("drinking glass", "goblet", "wine glass", "chalice") | {"heard": ("glass",)},
        "car": _nouns("toy car", "car", "model car", "vehicle"),
        "boat": _nouns("boat", "ship", "sailboat", "sailing boat"),
        "lighthouse": _nouns("lighthouse", "beacon", "light tower"),
        "stack": _nouns("stack of cubes", "tower of blocks", "pile of boxes", "stack of blocks")
        | {"heard": ("stack", "pile", "tower")},
        "dominoes": _nouns("row of dominoes", "line of dominoes", "chain of dominoes") | {"heard": ("domino",)},
        "pendulum": _nouns("pendulum", "hanging weight", "weight on a string"),
    },
    "colour": {
        "red": _adjectives("red", "crimson", "scarlet", "ruby"),
        "orange": _adjectives("orange", "tangerine", "amber"),
        "yellow": _adjectives("yellow", "lemon", "canary yellow"),
        "green": _adjectives("green", "emerald", "leaf green"),
        "cyan": _adjectives("cyan", "turquoise", "teal", "aqua"),
        "blue": _adjectives("blue", "cobalt", "navy", "deep blue"),
        "purple": _adjectives("purple", "violet", "plum"),
        "pink": _adjectives("pink", "rose", "rosy"),
        "white": _adjectives("white", "ivory", "snow white"),
        "black": _adjectives("black", "jet black", "ebony"),
    },
    "material": {
        "rubber": _adjectives("rubber", "rubbery") | {"heard": ("made of rubber",)},
        "wood": _adjectives("wooden", "wood", "timber") | {"heard": ("made of wood",)},
        "metal": _adjectives("metal", "metallic", "steel", "iron") | {"heard": ("made of metal", "made of steel")},
        "glass": _adjectives("glass", "crystal") | {"heard": ("made of glass",)},
    },
    "size": {
        "small": _adjectives("small", "little", "tiny"),
        "medium": _adjectives("medium sized", "mid sized") | {"heard": ("medium",)},
        "large": _adjectives("large", "big", "huge"),
    },
    "happening": {
        "falls": {"verb": ("drop", "fall", "plunge", "plummet", "tumble down", "come down")},
        "lands": {"verb": ("land", "touch down", "arrive")},
        "bounces": {"verb": ("bounce", "rebound", "spring back up", "bounce back", "hop")},
        "rolls": {"verb": ("roll", "tumble along", "trundle", "roll along")},
        "slides": {"verb": ("slide", "glide", "skid", "slip")},
        "spins": {"verb": ("spin", "twirl", "whirl", "rotate", "spin around")},
        "hits": {
            "verb": ("hit", "strike", "crash into", "bump into", "knock into", "collide with", "run into"),
            "heard": ("collide", "crash", "bump", "knock"),
        },
        "topples": {"verb": ("topple", "fall over", "tip over", "keel over", "tumble over", "topple over"), "heard": ("collapse",)},
        "swings": {"verb": ("swing", "sway", "swing back and forth", "swing to and fro")},
        "shatters": {"verb": ("shatter", "break apart", "smash", "burst", "break into pieces", "fall to pieces"), "heard": ("break",)},
        "floats": {"verb": ("float", "bob", "drift", "bob up and down", "ride the waves")},
        "stops": {"verb": ("stop", "halt", "come to a stop", "come to rest")},
        "rests": {
            "verb": ("rest", "sit", "stand", "lie", "stand still", "sit still"),
            "heard": ("motionless", "at rest", "unmoving", "standing still", "lie still", "stay still", "nothing moves"),
        },
        "leaves": {"verb": ("leave the frame", "exit the frame", "go out of view", "leave the picture"), "heard": ("out of view",)},
    },
    "direction": {
        "left": {"where": ("to the left", "from right to left", "towards the left", "leftwards"), "heard": ("left", "leftward")},
        "right": {"where": ("to the right", "from left to right", "towards the right", "rightwards"), "heard": ("right", "rightward")},
    },
    "setting": {
        "wood": _nouns("wooden floor", "wood floor", "parquet floor", "hardwood floor", "floor of wooden planks")
        | {"heard": ("wooden boards", "floorboards", "parquet", "wooden planks", "planks", "wooden ground", "wooden table", "hardwood")},
        "marble": _nouns("marble floor", "polished marble floor", "smooth marble floor", "floor of marble", "stone floor")
        | {"heard": ("marble", "marble ground", "polished marble", "marble slab")},
        "checker": _nouns("checkered floor", "checkerboard floor", "chequered floor", "chessboard floor", "tiled floor")
        | {"heard": ("checkered ground", "checkered tiles", "black and white tiles", "checkerboard", "chessboard", "checkered", "chequered", "tiles", "black and white checkered floor")},
        "grass": _nouns("lawn", "grassy ground", "meadow", "grass field", "patch of grass")
        | {"heard": ("grass", "green grass", "green lawn", "grassy", "green meadow", "garden")},
        "sand": _nouns("sandy ground", "sandy beach", "beach", "sandy floor", "stretch of sand")
        | {"heard": ("sand", "sandy", "desert", "dune")},
        "sea": _nouns("sea", "ocean", "open sea", "open water", "wavy sea")
        | {"heard": ("water", "waves", "on the waves", "blue sea", "rolling waves", "rolling sea")},
    },
    "light": {
        "morning": {
            "when": ("in the morning", "at dawn", "at sunrise", "early in the morning"),
            "noun": ("morning light", "soft morning light", "early morning sun", "dawn light", "sunrise light"),
            "heard": ("morning", "dawn", "sunrise", "daybreak", "rising sun", "morning sun"),
        },
        "noon": {
            "when": ("at noon", "at midday", "under the midday sun", "under a high sun", "in bright daylight"),
            "noun": ("midday sun", "noon light", "bright daylight", "bright midday light", "clear daylight"),
            "heard": ("noon", "midday", "daylight", "high sun", "bright sunlight", "sunny", "sunny day", "clear sky", "blue sky", "sunshine"),
        },
        "sunset": {
            "when": ("at sunset", "at dusk", "in the evening", "as the sun sets", "at golden hour"),
            "noun": ("sunset light", "golden hour light", "evening light", "golden hour", "light of the setting sun", "dusk light"),
            "heard": ("warm sunset light", "warm evening light", "sunset", "dusk", "evening", "sundown", "low sun", "golden light", "twilight", "sunset sky"),
        },
        "overcast": {
            "when": ("on a cloudy day", "under an overcast sky", "on an overcast day", "under grey clouds", "under a cloudy sky"),
            "noun": ("overcast light", "grey daylight", "flat cloudy light", "soft overcast light", "cloudy sky"),
            "heard": ("overcast", "cloudy", "clouds", "gray daylight", "grey sky", "gray sky", "gray clouds", "grey day", "gray day", "diffuse light", "flat light"),
        },
        "night": {
            "when": ("at night", "by moonlight", "on a moonlit night", "after dark", "under the moon"),
            "noun": ("night light", "moonlight", "pale moonlight", "moonlit night", "blue night light"),
            "heard": ("night", "midnight", "moonlit", "night sky", "dark night", "moon", "night time", "nighttime", "in the dark"),
        },
    },
    "camera": {
        "static": {
            "verb": ("camera stay still", "camera hold still", "camera do not move", "camera stay fixed"),
            "shot": ("static shot", "static camera", "fixed camera", "locked off shot"),
            "heard": ("static", "still camera", "tripod", "stationary camera", "camera rest", "camera is still", "camera stand still"),
        },
        "pan-left": {
            "verb": ("pan left", "pan to the left", "camera turn left", "camera turn to the left"),
            "shot": ("pan left", "camera pan to the left", "left pan"),
            "heard": ("pan leftwards", "camera move left", "camera swing left", "camera look left"),
        },
        "pan-right": {
            "verb": ("pan right", "pan to the right", "camera turn right", "camera turn to the right"),
            "shot": ("pan right", "camera pan to the right", "right pan"),
            "heard": ("pan rightwards", "camera move right", "camera swing right", "camera look right"),
        },
        "pan-left|pan-right": {"verb": ("pan", "pan sideways"), "shot": ("panning shot",), "heard": ("camera turn",)},
        "tilt-up": {"verb": ("tilt up", "tilt upwards", "camera look up"), "shot": ("tilt up", "upward tilt"), "heard": ("camera move up", "camera pan up", "pan up")},
        "tilt-down": {"verb": ("tilt down", "tilt downwards", "camera look down"), "shot": ("tilt down", "downward tilt"), "heard": ("camera move down", "camera pan down", "pan down")},
        "tilt-up|tilt-down": {"heard": ("camera tilt", "tilt shot")},
        "push-in": {
            "verb": ("push in", "dolly in", "zoom in", "camera move closer", "camera come closer", "camera move in", "camera creep forward"),
            "shot": ("push in", "dolly in", "zoom in", "push in shot", "camera moving in"),
            "heard": ("push forward", "dolly forward", "camera approach", "camera get closer", "camera move forward", "camera move towards", "camera go closer", "zoom", "camera glide in", "camera draw closer", "camera draw near", "camera push"),
        },
        "pull-back": {
            "verb": ("pull back", "dolly out", "zoom out", "camera move away", "pull away", "camera back away", "camera draw back"),
            "shot": ("pull back", "dolly out", "zoom out", "pull back shot", "camera moving away"),
            "heard": ("pull out", "dolly back", "dolly away", "camera retreat", "camera move back", "camera go back", "camera move backwards", "camera move out"),
        },
        "orbit-left": {
            "verb": ("orbit to the left", "orbit left", "circle to the left", "camera arc to the left", "camera go around to the left"),
            "shot": ("orbit left", "orbit to the left", "left orbit"),
            "heard": ("circle left", "circle around to the left", "orbit around to the left", "camera arc left", "camera move around to the left", "arc left"),
        },
        "orbit-right": {
            "verb": ("orbit to the right", "orbit right", "circle to the right", "camera arc to the right", "camera go around to the right"),
            "shot": ("orbit right", "orbit to the right", "right orbit"),
            "heard": ("circle right", "circle around to the right", "orbit around to the right", "camera arc right", "camera move around to the right", "arc right"),
        },
        "orbit-left|orbit-right": {
            "verb": ("orbit", "circle around", "camera move around", "camera go around"),
            "shot": ("orbiting shot", "orbit shot"),
            "heard": ("orbit around", "circle", "camera arc", "arc shot", "camera rotate around", "revolve around", "camera spin around"),
        },
        "overhead": {
            "verb": ("camera look down from above", "camera watch from above"),
            "shot": ("overhead view", "overhead shot", "seen from above", "top down view", "bird's eye view"),
            "heard": ("from above", "overhead", "top down", "top view", "aerial view", "bird eye view", "camera is above", "from overhead"),
        },
        "tracking": {
            "verb": ("camera track along", "camera follow along", "camera travel sideways", "camera follow"),
            "shot": ("tracking shot", "tracking camera", "following shot"),
            "heard": ("camera track", "camera slide", "tracking", "camera truck", "camera glide along", "follow shot", "side tracking shot", "camera travel", "camera move along", "camera keep up"),
        },
        "handheld": {
            "verb": ("camera shake", "camera sway", "camera wobble"),
            "shot": ("handheld camera", "handheld shot", "shaky camera", "hand held camera"),
            "heard": ("handheld", "hand held", "shaky", "shaky shot", "wobbly camera", "camera is handheld", "camera tremble"),
        },
    },
    "lens": {
        "normal": {"shot": ("normal lens", "standard lens"), "heard": ("50mm lens", "50 mm lens")},
        "wide": {"shot": ("wide angle lens", "wide lens", "wide angle view"), "heard": ("wide angle", "wide shot", "wide view", "24mm lens", "fisheye")},
        "long": {"shot": ("telephoto lens", "long lens", "telephoto view"), "heard": ("telephoto", "tele lens", "85mm lens", "200mm lens", "long focal length")},
    },
    "mood": {
        "neutral": {"shot": ("natural colours", "neutral colours"), "heard": ("natural colors", "neutral colors", "neutral tones", "neutral mood")},
        "warm": {"shot": ("warm tones", "warm colours", "warm mood", "warm palette"), "heard": ("warm", "warm colors", "warm grade", "cosy", "cozy", "warm look")},
        "cold": {"shot": ("cold tones", "cool colours", "cold mood", "cold palette"), "heard": ("cold", "cool", "cold colours", "cold colors", "cool tones", "cool colors", "icy", "chilly", "cold grade", "cold look", "cool mood")},
        "vivid": {"shot": ("vivid colours", "saturated colours", "vibrant colours", "bold colours"), "heard": ("vivid", "vibrant", "saturated", "vivid colors", "saturated colors", "vibrant colors", "colourful", "colorful", "vivid mood", "bold colors")},
        "muted": {"shot": ("muted colours", "faded colours", "washed out colours", "muted tones"), "heard": ("muted", "faded", "washed out", "desaturated", "muted colors", "faded colors", "desaturated colours", "muted mood", "washed out colors", "pastel")},
        "monochrome": {"shot": ("black and white", "monochrome", "black and white film", "greyscale"), "heard": ("grayscale", "without colour", "without color", "no colour")},
    },
}  # fmt: skip

MOTIONS = tuple(name for name in LEXICON["happening"] if name != "rests")

EVENT_OF: tuple[tuple[str, str], ...] = (
    ("shatters", "shatter"), ("hits", "collide"), ("topples", "topple"), ("swings", "swing"), ("floats", "float"),
    ("falls", "drop"), ("bounces", "drop"), ("spins", "spin"), ("rolls", "roll"), ("slides", "slide"), ("lands", "drop"),
    ("rests", "rest"),
)  # fmt: skip
"""Happening to event: the first happening of this order that a clip holds names its event."""

ARTICLES = frozenset({"a", "an", "the", "its", "s", "'s"})
ADVERBS = frozenset(
    "slowly gently smoothly steadily quickly softly calmly quietly suddenly soon once twice again just very slightly "
    "rapidly lightly simply briefly heavily straight".split()
)
STOP_WORDS = (
    ARTICLES
    | ADVERBS
    | frozenset(
        "i we you it he she they them this that these those there here his her their our your my me us is are was were be been "
        "being am do does did has have had having will would can could may might must shall should not no nor so than too and or "
        "but if then while when as at by for from in into of off on onto out over to up down under upon with within without about "
        "above across after against along among around before behind below beneath beside between beyond during inside near next "
        "outside past through toward towards until what which who whom whose where why how all any both each few more most other "
        "some such only own same until also one two three four five six seven eight nine ten first second last it's".split()
    )
)
"""Words that carry no picture of their own; a prompt check does not complain about them."""

_IRREGULAR: dict[str, tuple[str, str, str]] = {
    "fall": ("falls", "falling", "fell"), "come": ("comes", "coming", "came"), "spring": ("springs", "springing", "sprang"),
    "slide": ("slides", "sliding", "slid"), "spin": ("spins", "spinning", "spun"), "hit": ("hits", "hitting", "hit"),
    "strike": ("strikes", "striking", "struck"), "run": ("runs", "running", "ran"), "swing": ("swings", "swinging", "swung"),
    "break": ("breaks", "breaking", "broke"), "burst": ("bursts", "bursting", "burst"), "ride": ("rides", "riding", "rode"),
    "sit": ("sits", "sitting", "sat"), "stand": ("stands", "standing", "stood"), "lie": ("lies", "lying", "lay"),
    "leave": ("leaves", "leaving", "leaves"), "go": ("goes", "going", "went"), "do": ("does", "doing", "did"),
    "hold": ("holds", "holding", "held"), "creep": ("creeps", "creeping", "crept"), "draw": ("draws", "drawing", "drew"),
    "is": ("is", "being", "was"), "set": ("sets", "setting", "set"), "get": ("gets", "getting", "got"),
    "keep": ("keeps", "keeping", "kept"), "shake": ("shakes", "shaking", "shook"), "travel": ("travels", "travelling", "travelled"),
    "dolly": ("dollies", "dollying", "dollied"),
}  # fmt: skip
_VOWELS = "aeiou"


@cache
def inflect(phrase: str, form: str) -> str:
    """A verb phrase with its first word inflected; `form` is `base`, `s` (drops), `ing` (dropping) or `ed` (dropped)."""
    verb, _, rest = phrase.partition(" ")
    if form == "base":
        return phrase
    if verb in _IRREGULAR:
        word = _IRREGULAR[verb][("s", "ing", "ed").index(form)]
    elif form == "s":
        word = verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z")) else "s")
    else:
        closed = (
            len(verb) > 2
            and verb[-1] not in _VOWELS + "wxy"
            and verb[-2] in _VOWELS
            and verb[-3] not in _VOWELS
            and sum(a in _VOWELS and b not in _VOWELS for a, b in zip(verb, verb[1:], strict=False)) == 1
        )
        stem = verb[:-1] if verb.endswith("e") else verb + verb[-1] if closed else verb
        word = stem + form
    return f"{word} {rest}" if rest else word


def phrases(attribute: str, name: str, role: str) -> tuple[str, ...]:
    """What one name is called in one role; empty where the role does not fit."""
    return LEXICON[attribute].get(name, {}).get(role, ())


def _verbs() -> frozenset[str]:
    found = {"move", "turn", "look", "track", "follow", "travel", "approach", "retreat", "revolve", "lie", "set"}
    for attribute in ("happening", "camera"):
        for roles in LEXICON[attribute].values():
            for phrase in roles.get("verb", ()):
                found.add(phrase.removeprefix("camera ").split()[0])
    found |= {"collide", "crash", "bump", "knock", "collapse", "break", "slide", "glide", "truck", "tremble", "approach"}
    return frozenset(found)


VERB_FORMS: dict[str, str] = {
    inflect(verb, form): verb for verb in sorted(_verbs() - {"do"}) for form in ("ed", "ing", "s", "base")
} | {"don't": "do", "does": "do", "doesn't": "do", "laying": "lie", "traveling": "travel", "traveled": "travel"}
"""Every form of every verb of the lexicon, to its base."""

_PLURALS = {
    "boxes": "box", "glasses": "glass", "wineglasses": "glass", "dominoes": "domino", "dominos": "domino", "grasses": "grass",
    "beaches": "beach", "torches": "torch", "lenses": "lens", "waters": "water", "colors": "colour", "color": "colour", "gray": "grey",
    "panning": "pan", "clouds": "cloud", "coloured": "colour", "colored": "colour", "centre": "center",
}  # fmt: skip


@cache
def lemma(word: str) -> str:
    """The form under which the lexicon looks a lower-case word up: `dropping` -> `drop`, `balls` -> `ball`."""
    if word in VERB_FORMS:
        return VERB_FORMS[word]
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "ns")):
        return word[:-1]
    return word
