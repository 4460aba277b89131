"""Every word for every thing that a clip can show: the one lexicon, which captions speak and prompts are read with.

    LEXICON[attribute][name][role] -> phrases

`name` is a name of `spec.vocabulary` (or, for `happening`, of the event log). A name such as `pan-left|pan-right`
holds the phrases that leave open which of the two is meant. Roles say where in a sentence a phrase fits: `noun` after
an article, `adjective` before a noun, `verb` after its doer (base form, its first word is inflected), `when` and
`where` as adverbials, `shot` as a fragment of its own, `heard` only understood, never said. The first phrase of a
role is the plainest.
"""

from __future__ import annotations

__all__ = ["ADVERBS", "ARTICLES", "EVENT_OF", "LEXICON", "STOP_WORDS", "phrases"]

Roles = dict[str, tuple[str, ...]]


LEXICON: dict[str, dict[str, Roles]] = {
    "subject": {
        "ball": {"noun": ("ball", "sphere", "orb", "globe")},
        "cube": {"noun": ("cube", "box", "block", "crate")},
        "cylinder": {"noun": ("cylinder", "drum", "barrel", "tube")},
        "cone": {"noun": ("cone", "pylon", "pointed cone")},
        "capsule": {"noun": ("capsule", "pill", "lozenge")},
        "bottle": {"noun": ("bottle", "flask", "wine bottle")},
        "glass": {"noun": ("drinking glass", "goblet", "wine glass", "chalice"), "heard": ("glass",)},
        "car": {"noun": ("toy car", "car", "model car", "vehicle")},
        "boat": {"noun": ("boat", "ship", "sailboat", "sailing boat")},
        "lighthouse": {"noun": ("lighthouse", "beacon", "light tower")},
        "stack": {
            "noun": ("stack of cubes", "tower of blocks", "pile of boxes", "stack of blocks"),
            "heard": ("stack", "pile", "tower"),
        },
        "dominoes": {
            "noun": ("row of dominoes", "line of dominoes", "chain of dominoes"),
            "heard": ("domino",),
        },
        "pendulum": {"noun": ("pendulum", "hanging weight", "weight on a string")},
    },
    "colour": {
        "red": {"adjective": ("red", "crimson", "scarlet", "ruby")},
        "orange": {"adjective": ("orange", "tangerine", "amber")},
        "yellow": {"adjective": ("yellow", "lemon", "canary yellow")},
        "green": {"adjective": ("green", "emerald", "leaf green")},
        "cyan": {"adjective": ("cyan", "turquoise", "teal", "aqua")},
        "blue": {"adjective": ("blue", "cobalt", "navy", "deep blue")},
        "purple": {"adjective": ("purple", "violet", "plum")},
        "pink": {"adjective": ("pink", "rose", "rosy")},
        "white": {"adjective": ("white", "ivory", "snow white")},
        "black": {"adjective": ("black", "jet black", "ebony")},
    },
    "material": {
        "rubber": {"adjective": ("rubber", "rubbery"), "heard": ("made of rubber",)},
        "wood": {"adjective": ("wooden", "wood", "timber"), "heard": ("made of wood",)},
        "metal": {
            "adjective": ("metal", "metallic", "steel", "iron"),
            "heard": ("made of metal", "made of steel"),
        },
        "glass": {"adjective": ("glass", "crystal"), "heard": ("made of glass",)},
    },
    "size": {
        "small": {"adjective": ("small", "little", "tiny")},
        "medium": {"adjective": ("medium sized", "mid sized"), "heard": ("medium",)},
        "large": {"adjective": ("large", "big", "huge")},
    },
    "happening": {
        "falls": {"verb": ("drop", "fall", "plunge", "plummet", "tumble down", "come down")},
        "lands": {"verb": ("land", "touch down")},
        "bounces": {"verb": ("bounce", "rebound", "spring back up", "bounce back", "hop")},
        "rolls": {"verb": ("roll", "tumble along", "trundle", "roll along")},
        "slides": {"verb": ("slide", "glide", "skid", "slip")},
        "spins": {"verb": ("spin", "twirl", "whirl", "rotate", "spin around")},
        "hits": {
            "verb": ("hit", "strike", "crash into", "bump into", "knock into", "collide with", "run into"),
            "heard": ("collide", "crash", "bump", "knock"),
        },
        "topples": {
            "verb": ("topple", "fall over", "tip over", "keel over", "tumble over", "topple over"),
            "heard": ("collapse",),
        },
        "swings": {"verb": ("swing", "sway", "swing back and forth", "swing to and fro")},
        "shatters": {
            "verb": ("shatter", "break apart", "smash", "burst", "break into pieces", "fall to pieces"),
            "heard": ("break",),
        },
        "floats": {"verb": ("float", "bob", "drift", "bob up and down", "ride the waves")},
        "stops": {"verb": ("stop", "halt", "come to a stop", "come to rest")},
        "rests": {
            "verb": ("rest", "sit", "stand", "lie", "stand still", "sit still"),
            "heard": ("motionless", "at rest", "unmoving", "standing still", "lie still", "stay still",
                "nothing moves"),
        },
        "leaves": {
            "verb": ("leave the frame", "exit the frame", "go out of view", "leave the picture"),
            "heard": ("out of view",),
        },
    },
    "direction": {
        "left": {
            "where": ("to the left", "from right to left", "towards the left", "leftwards"),
            "heard": ("left", "leftward"),
        },
        "right": {
            "where": ("to the right", "from left to right", "towards the right", "rightwards"),
            "heard": ("right", "rightward"),
        },
    },
    "setting": {
        "wood": {
            "noun": ("wooden floor", "wood floor", "parquet floor", "hardwood floor",
                "floor of wooden planks"),
            "heard": ("wooden boards", "floorboards", "parquet", "wooden planks", "planks", "wooden ground",
                "wooden table", "hardwood"),
        },
        "marble": {
            "noun": ("marble floor", "polished marble floor", "smooth marble floor", "floor of marble",
                "stone floor"),
            "heard": ("marble", "marble ground", "polished marble", "marble slab"),
        },
        "checker": {
            "noun": ("checkered floor", "checkerboard floor", "chequered floor", "chessboard floor",
                "tiled floor"),
            "heard": ("checkered ground", "checkered tiles", "black and white tiles", "checkerboard",
                "chessboard", "checkered", "chequered", "tiles", "black and white checkered floor"),
        },
        "grass": {
            "noun": ("lawn", "grassy ground", "meadow", "grass field", "patch of grass"),
            "heard": ("grass", "green grass", "green lawn", "grassy", "green meadow", "garden"),
        },
        "sand": {
            "noun": ("sandy ground", "sandy beach", "beach", "sandy floor", "stretch of sand"),
            "heard": ("sand", "sandy", "desert", "dune"),
        },
        "sea": {
            "noun": ("sea", "ocean", "open sea", "open water", "wavy sea"),
            "heard": ("water", "waves", "on the waves", "blue sea", "rolling waves", "rolling sea"),
        },
    },
    "light": {
        "morning": {
            "when": ("in the morning", "at dawn", "at sunrise", "early in the morning"),
            "noun": ("morning light", "soft morning light", "early morning sun", "dawn light",
                "sunrise light"),
            "heard": ("morning", "dawn", "sunrise", "daybreak", "rising sun", "morning sun"),
        },
        "noon": {
            "when": ("at noon", "at midday", "under the midday sun", "under a high sun",
                "in bright daylight"),
            "noun": ("midday sun", "noon light", "bright daylight", "bright midday light", "clear daylight"),
            "heard": ("noon", "midday", "daylight", "high sun", "bright sunlight", "sunny", "sunny day",
                "clear sky", "blue sky", "sunshine"),
        },
        "sunset": {
            "when": ("at sunset", "at dusk", "in the evening", "as the sun sets", "at golden hour"),
            "noun": ("sunset light", "golden hour light", "evening light", "golden hour",
                "light of the setting sun", "dusk light"),
            "heard": ("warm sunset light", "warm evening light", "sunset", "dusk", "evening", "sundown",
                "low sun", "golden light", "twilight", "sunset sky"),
        },
        "overcast": {
            "when": ("on a cloudy day", "under an overcast sky", "on an overcast day", "under grey clouds",
                "under a cloudy sky"),
            "noun": ("overcast light", "grey daylight", "flat cloudy light", "soft overcast light",
                "cloudy sky"),
            "heard": ("overcast", "cloudy", "clouds", "gray daylight", "grey sky", "gray sky",
                "gray clouds", "grey day", "gray day", "diffuse light", "flat light"),
        },
        "night": {
            "when": ("at night", "by moonlight", "on a moonlit night", "after dark", "under the moon"),
            "noun": ("night light", "moonlight", "pale moonlight", "moonlit night", "blue night light"),
            "heard": ("night", "midnight", "moonlit", "night sky", "dark night", "moon", "night time",
                "nighttime", "in the dark"),
        },
    },
    "camera": {
        "static": {
            "verb": ("camera stay still", "camera hold still", "camera stay fixed", "camera stay in place"),
            "shot": ("static shot", "static camera", "fixed camera", "locked off shot"),
            "heard": ("static", "still camera", "tripod", "stationary camera", "camera rest",
                "camera is still", "camera stand still", "camera do not move", "camera doesn't move",
                "camera never move"),
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
        "pan-left|pan-right": {
            "verb": ("pan", "pan sideways"),
            "shot": ("panning shot",),
            "heard": ("camera turn",),
        },
        "tilt-up": {
            "verb": ("tilt up", "tilt upwards", "camera look up"),
            "shot": ("tilt up", "upward tilt"),
            "heard": ("camera move up", "camera pan up", "pan up"),
        },
        "tilt-down": {
            "verb": ("tilt down", "tilt downwards", "camera look down"),
            "shot": ("tilt down", "downward tilt"),
            "heard": ("camera move down", "camera pan down", "pan down"),
        },
        "tilt-up|tilt-down": {"heard": ("camera tilt", "tilt shot")},
        "push-in": {
            "verb": ("push in", "dolly in", "zoom in", "camera move closer", "camera come closer",
                "camera move in", "camera creep forward"),
            "shot": ("push in", "dolly in", "zoom in", "push in shot", "camera moving in"),
            "heard": ("push forward", "dolly forward", "camera approach", "camera get closer",
                "camera move forward", "camera move towards", "camera go closer", "zoom", "camera glide in",
                "camera draw closer", "camera draw near", "camera push"),
        },
        "pull-back": {
            "verb": ("pull back", "dolly out", "zoom out", "camera move away", "pull away",
                "camera back away", "camera draw back"),
            "shot": ("pull back", "dolly out", "zoom out", "pull back shot", "camera moving away"),
            "heard": ("pull out", "dolly back", "dolly away", "camera retreat", "camera move back",
                "camera go back", "camera move backwards", "camera move out"),
        },
        "orbit-left": {
            "verb": ("orbit to the left", "orbit left", "circle to the left", "camera arc to the left",
                "camera go around to the left"),
            "shot": ("orbit left", "orbit to the left", "left orbit"),
            "heard": ("circle left", "circle around to the left", "orbit around to the left",
                "camera arc left", "camera move around to the left", "arc left"),
        },
        "orbit-right": {
            "verb": ("orbit to the right", "orbit right", "circle to the right", "camera arc to the right",
                "camera go around to the right"),
            "shot": ("orbit right", "orbit to the right", "right orbit"),
            "heard": ("circle right", "circle around to the right", "orbit around to the right",
                "camera arc right", "camera move around to the right", "arc right"),
        },
        "orbit-left|orbit-right": {
            "verb": ("orbit", "circle around", "camera move around", "camera go around"),
            "shot": ("orbiting shot", "orbit shot"),
            "heard": ("orbit around", "circle", "camera arc", "arc shot", "camera rotate around",
                "revolve around", "camera spin around"),
        },
        "overhead": {
            "verb": ("camera look down from above", "camera watch from above"),
            "shot": ("overhead view", "overhead shot", "seen from above", "top down view", "bird's eye view"),
            "heard": ("from above", "overhead", "top down", "top view", "aerial view", "bird eye view",
                "camera is above", "from overhead"),
        },
        "tracking": {
            "verb": ("camera track along", "camera follow along", "camera travel sideways", "camera follow"),
            "shot": ("tracking shot", "tracking camera", "following shot"),
            "heard": ("camera track", "camera slide", "tracking", "camera truck", "camera glide along",
                "follow shot", "side tracking shot", "camera travel", "camera move along", "camera keep up"),
        },
        "handheld": {
            "verb": ("camera shake", "camera sway", "camera wobble"),
            "shot": ("handheld camera", "handheld shot", "shaky camera", "hand held camera"),
            "heard": ("handheld", "hand held", "shaky", "shaky shot", "wobbly camera", "camera is handheld",
                "camera tremble"),
        },
    },
    "lens": {
        "normal": {"shot": ("normal lens", "standard lens"), "heard": ("50mm lens", "50 mm lens")},
        "wide": {
            "shot": ("wide angle lens", "wide lens", "wide angle view"),
            "heard": ("wide angle", "wide shot", "wide view", "24mm lens", "fisheye"),
        },
        "long": {
            "shot": ("telephoto lens", "long lens", "telephoto view"),
            "heard": ("telephoto", "tele lens", "85mm lens", "200mm lens", "long focal length"),
        },
    },
    "mood": {
        "neutral": {
            "shot": ("natural colours", "neutral colours"),
            "heard": ("natural colors", "neutral colors", "neutral tones", "neutral mood"),
        },
        "warm": {
            "shot": ("warm tones", "warm colours", "warm mood", "warm palette"),
            "heard": ("warm", "warm colors", "warm grade", "cosy", "cozy", "warm look"),
        },
        "cold": {
            "shot": ("cold tones", "cool colours", "cold mood", "cold palette"),
            "heard": ("cold", "cool", "cold colours", "cold colors", "cool tones", "cool colors", "icy",
                "chilly", "cold grade", "cold look", "cool mood"),
        },
        "vivid": {
            "shot": ("vivid colours", "saturated colours", "vibrant colours", "bold colours"),
            "heard": ("vivid", "vibrant", "saturated", "vivid colors", "saturated colors", "vibrant colors",
                "colourful", "colorful", "vivid mood", "bold colors"),
        },
        "muted": {
            "shot": ("muted colours", "faded colours", "washed out colours", "muted tones"),
            "heard": ("muted", "faded", "washed out", "desaturated", "muted colors", "faded colors",
                "desaturated colours", "muted mood", "washed out colors", "pastel"),
        },
        "monochrome": {
            "shot": ("black and white", "monochrome", "black and white film", "greyscale"),
            "heard": ("grayscale", "without colour", "without color", "no colour"),
        },
    },
}  # fmt: skip

EVENT_OF: tuple[tuple[str, str], ...] = (
    ("shatters", "shatter"), ("hits", "collide"), ("topples", "topple"), ("swings", "swing"), ("floats", "float"),
    ("falls", "drop"), ("bounces", "drop"), ("spins", "spin"), ("rolls", "roll"), ("slides", "slide"),
    ("lands", "drop"), ("rests", "rest"),
)  # fmt: skip
"""Happening to event: the first happening of this order that a clip holds names its event."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = frozenset({"a", "an", "the", "its", "s", "'s"})
ADVERBS = _words(
    """
    again briefly calmly gently heavily just lightly once quickly quietly rapidly simply slightly slowly
    smoothly softly soon steadily straight suddenly twice very
    """
)
STOP_WORDS = (
    ARTICLES
    | ADVERBS
    | _words(
        """
        about above across after against all along also am among and any are around as at be been before behind
        being below beneath beside between beyond both but by can could did do does down during each eight few
        first five for four from had has have having he her here his how i if in inside into is it it's last may
        me might more most must my near next nine no nor not of off on one only onto or other our out outside
        over own past same second seven shall she should six so some such ten than that their them then there
        these they this those three through to too toward towards two under until up upon us was we were what
        when where which while who whom whose why will with within without would you your
        """
    )
)
"""Words that carry no picture of their own; a prompt check does not complain about them."""


def phrases(attribute: str, name: str, role: str) -> tuple[str, ...]:
    """What one name is called in one role; empty where the role does not fit."""
    return LEXICON[attribute].get(name, {}).get(role, ())
