"""English verbs: what things do, and which of it moves. The list is general: a model's own words may be far fewer.

A word that a model has not learnt is a verb all the same: "a cat runs" moves, whoever draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from filmwright.spec.inflection import inflect
from filmwright.spec.lexicon import STOP_WORDS

__all__ = [
    "LINKING", "MOSTLY_NOUNS", "MOTIONS", "STATES", "TOUCHES", "VERBS", "first_move", "is_plural", "verb_forms",
    "word_set",
]  # fmt: skip


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


TOUCHES = word_set(
    """
    hug embrace kiss fight wrestle grapple brawl tackle punch box battle duel clash tickle tangle spar scuffle cuddle
    entangle collide
    """
)
"""What bodies do to each other: limbs and bodies overlap, which models mix up as soon as there are more than two."""

STATES = word_set(
    """
    sit stand lie rest look wear hold hang lean stare gaze pose face watch wait sleep surround cover feature show depict
    contain overlook stay remain be have seem appear smile carry glow shine hide belong
    """
)
"""Verbs that a still picture could show just as well; the rest of `VERBS` is motion."""

VERBS = STATES | TOUCHES | word_set(
    """
    abandon accelerate adjust advance aim applaud approach argue arrive ascend assemble attack bake balance bark
    barrel bash bathe beat beckon begin bellow bend billow bite blaze blend blink bloom blow bob boil bounce bow
    brandish breathe brew bring brush bubble buckle build burn burrow burst call calve capture caress carve cascade
    cast catch celebrate change chant charge chase cheer chew chirp chisel chop churn circle clamber clap clasp
    clatter clean clench climb clink close clutch collapse collect comb come conduct continue cook cool cough crack
    crackle crash crawl creep croak cross crouch crumble crumple crunch cry curl cut dab dance dangle dart daub deal
    decorate deliver descend detach dial dig dip direct disappear disperse dissipate dissolve dive dodge dolly drag
    drape draw dribble drift drink drip drive drop duck eat eject embroider emerge enter erase erupt escape
    evaporate examine exhale exit expand explode explore eye fade fall fan fasten feed fetch fidget fill film fire
    fish fix fizz flap flare flash flatten flee flex flick flicker fling flip flirt float flop flow flutter fly fold
    follow freeze frolic frown fumble gallop gasp gather gesture give glance glide glimmer glitter glower gnaw go
    grab grasp graze greet grin grind grip groan grow growl grunt guide gulp gush guzzle hammer hand happen harvest
    haul head heave hike hiss hit hobble hoist honk hop hover huddle hum hunt hurl hurry hurtle ignite inflate
    inhale inspect iron jerk jiggle jog jostle juggle jump kick knead kneel knit knock land lash laugh launch leaf
    leap leave lick lift light limp linger listen load loom loosen lower lumber lunge lurch march massage meditate
    meet melt mend mince mix moan morph mount move mow munch mutter navigate nibble nod nudge nuzzle ooze open orbit
    order overtake pace pack paddle paint pan pant parachute park part pass patrol patter peck pedal peek peel
    perform pet photograph pick pilot pinch pirouette pivot plant play plod pluck plummet plunge point poke polish
    pop pounce pour practice practise prance pray preen prepare press prod prowl prune pry puff pull pulse pump purr
    pursue push put quarrel quiver race raft raise rappel rattle reach read rear recede recite reel rehearse release
    repair retreat retrieve revolve ride ring rinse rip ripple rise roam roar rock roll rotate row rub run rush
    rustle sail salute saunter scamper scan scatter scoop scoot scrape scratch scream screech scribble scrub sculpt
    scurry scuttle season seep serve set sever sew shake shape sharpen shatter shave shift shimmer shiver shoot
    shout shovel shuffle sift simmer sing sink sip sizzle skate skateboard ski skid skim skip skitter skulk slam
    slash slice slide slip slither slow slurp smash smear smell smoke smoulder snap snarl snatch sneak sniff snip
    snore snort snow soak soar sob spark sparkle speak speed spill spin spiral splash splinter split spout spray
    spread spring sprinkle sprint sprout squat squeeze squirm stab stack stagger stalk stamp start startle steal
    steer step stir stitch stomp stoop stop straighten stream stretch stride strike stroke stroll struggle strum
    strut study stuff stumble surf surge swallow swap swarm swat sway sweep swerve swim swing swipe swirl switch
    swoop take talk tap taste tear teeter tend test tether thaw thrash throw thrust thump thunder tick tighten tilt
    tip tiptoe topple toss totter touch tow trade train trample transform travel tread trek tremble trickle trim
    trot trudge trundle tuck tug tumble turn tussle twinkle twirl twist twitch type undulate unfasten unfold unfurl
    unload unlock unpack unroll untie unveil unwrap use vanish vault veer vibrate vomit waddle wade wag wail wake
    walk waltz wander warm wash wave weave weep weigh weld whip whirl whisk whisper whistle wield wiggle wilt wink
    wipe work wrap wriggle wring write yank yawn yell yelp zigzag zip zoom
    """
)  # fmt: skip
"""Base forms of what things do, known by their `-s`, `-ing` and base forms."""

LINKING = word_set("start begin continue try proceed keep")
"""Verbs that bring another one with them: "starts to dance" is one action."""

MOTIONS = VERBS - STATES
MOSTLY_NOUNS = word_set(
    """
    light look film park rock fire glass work paint open close cool warm clean iron hand eye pilot duck fish cook train
    orbit face
    """
)
"""Base forms that are another part of speech more often than not."""

_IRREGULAR_ING = {"lying": "lie", "tying": "tie", "dying": "die", "panning": "pan"}
_IRREGULAR_PLURALS = word_set("people children men women mice geese wolves sheep fish deer they we")
_MAY_ACT = word_set("it he she they we who which that then and two three four five")
_NOUNS = word_set("waves lights films stacks rocks papers drawing lighting painting building")
"""Forms of verbs that are mostly things in a prompt: they move only if something stands before them that does it."""


@cache
def verb_forms() -> dict[str, tuple[str, str]]:
    """Every form that a prompt in the present tense has of every verb: form -> base, and `base`, `s` or `ing`."""
    forms: dict[str, tuple[str, str]] = {}
    for base in sorted(VERBS):
        for form in ("base", "s", "ing"):
            forms.setdefault(inflect(base, form), (base, form))
        if base.endswith("y") and base[-2] not in "aeiou":  # carry -> carries
            forms[f"{base[:-1]}ies"] = (base, "s")
        if base.endswith("ie"):
            forms[f"{base[:-2]}ying"] = (base, "ing")
    forms |= {word: (base, "ing") for word, base in _IRREGULAR_ING.items()}
    forms |= {
        "has": ("have", "s"),
        "is": ("be", "s"),
        "are": ("be", "base"),
        "goes": ("go", "s"),
        "does": ("do", "s"),
    }
    return forms


def is_plural(word: str) -> bool:
    """Whether a lower-case word looks like more than one thing."""
    return word in _IRREGULAR_PLURALS or (
        len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s"))
    )


def first_move(words: Sequence[str], describing: frozenset[str] = frozenset()) -> int | None:
    """The place of the first of these lower-case words that says that something moves, None if none does; `describing`:
    words that stand before nouns.

    A word in -s or a base form needs a doer before it, "a cat runs", "two cats run"; what stands after an article, a
    preposition or an adjective is a thing: "the waves", "grey clouds".
    """
    forms = verb_forms()
    for i, word in enumerate(words):
        base, form = forms.get(word, ("", ""))
        if base not in MOTIONS or i == 0:
            continue
        before = words[i - 1]
        if before in describing or (before in STOP_WORDS and before not in _MAY_ACT):
            continue
        if form == "ing" and word not in _NOUNS:
            return i
        if form == "s" and word not in _NOUNS and not is_plural(before):
            return i
        if form == "base" and is_plural(before):
            return i
    return None
