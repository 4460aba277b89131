"""Words of prompts for open models, as data: what can act, what acting is called, what no camera sees, lights, optics.

The lexicon of the closed world (`spec.lexicon`) says what the pocket model draws. Open models draw nearly everything,
so these lists need not hold every word: they hold those that the rules of `check.rules` look for. Phrases are in lower
case with hyphens as spaces, as `spec.words.split_words` leaves them.
"""

from __future__ import annotations

from filmwright.spec.verbs import LINKING, MOTIONS, STATES, TOUCHES, VERBS, word_set

__all__ = [
    "ABSTRACT", "BODIES", "COMPOUNDS", "CONFLICTS", "GROUPS", "IRREGULAR_PLURALS", "LINKING", "MANY", "MOTIONS",
    "MOVING_NOUNS", "NO_DOING", "NUMBERS", "OPENERS", "PREPOSITIONS", "RECIPROCAL", "SEQUENCE", "STATES", "SYMBOLS",
    "TAKES", "TOUCHES", "VAGUE", "VERBS",
    "word_set",
]  # fmt: skip


ABSTRACT = word_set(
    """
    abundance achievement adventure ambition anger anxiety art artistry beauty being belief belonging betrayal bliss
    boredom bravery chaos change childhood communication complexity concept confidence connection consciousness courage
    creation creativity curiosity darkness death democracy desire despair destiny determination diversity dream
    dreams efficiency ego elegance emotion emotions emptiness energy enlightenment equality essence eternity ethics
    everything evolution excellence excitement existence experience failure faith fantasy fate fear feeling feelings
    freedom friendship fun future gratitude greed grief growth guilt happiness harmony hate healing heartbreak hope
    humanity idea ideas identity imagination infinity innocence innovation insanity insight inspiration intelligence
    intimacy isolation jealousy journey joy justice knowledge leadership liberty life loneliness longing loss love
    loyalty luck luxury madness magic masterpiece meaning melancholy memories memory mind mindfulness modernity moment
    mortality mystery nature nightmare nostalgia nothingness opportunity optimism pain passion past patience peace
    perfection philosophy politics possibilities possibility potential power pride productivity progress purity purpose
    quality reality reason rebirth regret resilience respect revolution romance sadness science self sensation serenity
    silence society solitude sorrow soul spirit spirituality strategy strength stress struggle success suffering
    sustainability sweetness synergy technology tension thought thoughts time tragedy transcendence transformation trust
    truth uncertainty unity universe victory virtue vision vitality wealth wellness wisdom wonder youth
    """
)
"""Nouns that no camera sees."""

VAGUE = word_set("something anything everything nothing stuff things thing somehow whatever")

OPENERS = word_set(
    """
    shot shots view close up closeup footage video clip scene film movie photo photograph portrait image picture
    animation timelapse lapse render montage sequence story visualization representation depiction illustration
    meditation essay reflection
    """
)
"""What a prompt may open with before it says what is shown: "a cinematic shot of ..."."""

SYMBOLS: dict[str, str] = {
    "freedom": "a white bird flies out of an open cage",
    "liberty": "a white bird flies out of an open cage",
    "hope": "a green shoot pushes through cracked earth",
    "despair": "an old man sinks onto a bench in the rain",
    "love": "two weathered hands reach for each other on a wooden table",
    "friendship": "two girls with schoolbags run down a lane side by side",
    "loneliness": "a man in a grey coat walks alone along an empty platform",
    "solitude": "a man in a grey coat walks alone along an empty platform",
    "isolation": "a man in a grey coat walks alone along an empty platform",
    "time": "sand runs through an hourglass on a wooden shelf",
    "nostalgia": "an old woman leafs through a faded photo album",
    "memory": "an old woman leafs through a faded photo album",
    "memories": "an old woman leafs through a faded photo album",
    "childhood": "a boy in rubber boots jumps into a puddle",
    "eternity": "sand runs through an hourglass on a wooden shelf",
    "infinity": "a narrow road runs over endless dunes, a car shrinks towards the horizon",
    "possibilities": "a row of doors opens along a white corridor",
    "success": "a climber in a red jacket pulls herself onto a summit",
    "victory": "a climber in a red jacket pulls herself onto a summit",
    "innovation": "an engineer with goggles switches on a humming prototype in a workshop",
    "technology": "an engineer with goggles switches on a humming prototype in a workshop",
    "intelligence": "a robot hand picks up a chess piece and sets it down",
    "future": "a silver train glides over a bridge between glass towers",
    "peace": "a white dove lands on a mossy stone wall",
    "fear": "a boy with a torch backs away from a creaking door",
    "joy": "a girl in a yellow dress jumps over a garden sprinkler",
    "happiness": "a girl in a yellow dress jumps over a garden sprinkler",
    "sadness": "raindrops run down a window in front of a woman's face",
    "grief": "raindrops run down a window in front of a woman's face",
    "life": "a green shoot pushes through cracked earth",
    "growth": "a green shoot pushes through cracked earth",
    "power": "a stallion rears up in a dusty paddock",
    "strength": "a stallion rears up in a dusty paddock",
    "courage": "a firefighter walks into a smoke-filled hallway",
    "change": "a butterfly climbs out of its cocoon",
    "transformation": "a butterfly climbs out of its cocoon",
    "beauty": "a lotus flower opens on a still pond",
    "dream": "a girl in pyjamas floats out of her bedroom window",
    "dreams": "a girl in pyjamas floats out of her bedroom window",
    "chaos": "a gust of wind sweeps papers off a desk",
    "harmony": "a flock of starlings turns over a field",
    "magic": "a deck of cards rises from an open hand",
}
"""A picture that may stand for what no camera sees, offered as a rewrite."""

BODIES = word_set(
    """
    accountant acrobat acrobats actor actress admiral alien android angel apprentice archaeologist archer assassin
    astronaut astronomer athlete aunt baby baker ballerina bandit barber barista barmaid bartender beekeeper beggar
    biker bishop blacksmith bodyguard bouncer boxer boy bride brother bullfighter businessman businesswoman busker
    butcher captain carpenter cellist cheerleader chef chemist child climber clown coach cobbler colonel comedian
    commander commuter commuters composer conductor cook couple courier cowboy cowgirl crowd customer cyborg cyclist
    dancer daughter dentist deputy detective diver doctor driver drummer duchess duke dwarf electrician elf emperor
    empress engineer explorer fairy family farmer father fencer ferryman fiddler firefighter fisherman florist
    friend gambler gangster gardener geisha gentleman ghost girl gladiator glassblower goalkeeper goblin goddess
    grandfather grandmother groom guard guest guitarist gymnast hacker harpist heroine hiker hitchhiker hostess
    housekeeper humanoid hunter husband inventor janitor jester jockey journalist judge juggler keeper kid king
    knight lady landlady lawyer librarian lifeguard locksmith lover lumberjack magician magistrate maid mailman man
    mariner matador mayor mechanic merchant mermaid messenger milkman miner monk monster mother mourner musician
    neighbor neighbour nephew niece ninja nomad novelist nun nurse officer outlaw painter passenger peasant
    pedestrian people person philosopher photographer pianist pilot pirate player plumber poet policeman policewoman
    porter postman potter preacher president priest prince princess prisoner professor pup puppeteer queen rebel
    referee reporter ringmaster robot rower runner sailor samurai schoolboy schoolgirl scientist sculptor seamstress
    secretary senator sentry servant shepherd sheriff shopkeeper singer sister skateboarder skater skier skydiver
    smuggler sniper snowboarder soldier sorcerer stranger student stuntman surfer surgeon swimmer swordsman tailor
    teacher teenager thief toddler tourist trapper traveler traveller troll trumpeter twin typist uncle usher vendor
    veteran viking villager violinist waiter waitress walker warrior watchmaker weaver welder widow widower wife
    witch wizard woman woodcutter worker wrestler writer zombie
    alligator ant antelope ape bat bear beaver bee beetle bird bison bull bunny butterfly camel cat caterpillar cheetah
    chick chicken chimpanzee cow crab crane crocodile crow deer dinosaur dog dolphin donkey dove dragon dragonfly duck
    eagle elephant falcon ferret fish flamingo fly fox frog giraffe goat goldfish goose gorilla hamster hare hawk
    hedgehog hen heron hippo horse hummingbird husky jaguar jellyfish kangaroo kitten koala ladybug lamb leopard lion
    lizard lobster mammoth monkey moose moth mouse octopus orca ostrich otter owl ox panda panther parrot peacock
    pelican penguin pig pigeon pony puppy rabbit raccoon ram rat raven reindeer retriever rhino rooster salmon seagull
    seal shark sheep sloth snail snake sparrow spider squirrel stallion stork swan tiger turtle tortoise unicorn wasp
    whale wolf yak zebra corgi phoenix
    bicycle bike bus canoe car ferry helicopter jeep kayak limousine locomotive motorbike motorcycle plane sailboat ship
    spaceship submarine tank taxi tractor train tram truck van yacht balloon rocket
    """
)
"""People, animals and vehicles: what can be the subject of a shot and act."""

IRREGULAR_PLURALS: dict[str, str] = {
    "men": "man", "women": "woman", "children": "child", "wolves": "wolf", "mice": "mouse", "geese": "goose",
    "oxen": "ox", "policemen": "policeman", "firemen": "fireman", "businessmen": "businessman", "elves": "elf",
    "ladies": "lady", "babies": "baby", "puppies": "puppy", "families": "family", "fairies": "fairy",
        "ponies": "pony",
    "butterflies": "butterfly", "flies": "fly", "buses": "bus", "witches": "witch", "foxes": "fox",
    "fishermen": "fisherman", "taxis": "taxi", "heroes": "hero",
}  # fmt: skip  # and "people", "sheep", "fish", "deer" are their own

NUMBERS: dict[str, int] = {
    "two": 2, "both": 2, "couple": 2, "pair": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "twenty": 20, "hundred": 100,
}  # fmt: skip
MANY = word_set(
    """
    several many dozens hundreds thousands group crowd team pack gang horde army mob swarm family everyone everybody
    troupe bunch herd numerous multiple classmates
    """
)
"""Words that say that there are more than two, without a number."""

RECIPROCAL = ("each other", "one another", "arm in arm", "hand in hand")

NO_DOING = word_set(
    """
    morning evening ceiling building king ring wing string spring thing something anything nothing everything painting
    clothing lighting wedding stunning striking interesting amazing breathtaking charming living setting sterling being
    drawing viking awning railing siding flooring paneling clearing outstanding fascinating captivating inspiring
    imposing towering promising missing depressing relaxing boring loving caring daring cunning sling bling duckling
    sibling dumpling herring pudding stocking earring dressing bedding meaning feeling calming soothing enchanting
    mesmerizing mesmerising thrilling surprising astonishing neighbouring neighboring existing remaining including
    regarding concerning according during surrounding outlying adjoining matching contrasting winning ending opening
    beginning heading offspring evening gaming smiling wearing containing featuring showing depicting appearing facing
    belonging ageing aging aspiring hardworking loathing longing understanding showcasing capturing creating adding
    enhancing making giving drawing conveying
    """
)
"""Words in -ing that say what something is like, or are things; every other one says that something is done."""

MOVING_NOUNS = word_set(
    """
    fireworks explosion explosions splash splashes rotation race dance chase flight parade traffic eruption avalanche
    tornado snowfall rainfall downpour stampede timelapse waterfall swirl swirls launch takeoff landing fight battle
    duel
    """
)
"""Names of things that are motion."""

COMPOUNDS = frozenset(
    """
    swimming pool|running shoes|walking stick|washing machine|sewing machine|rolling pin|frying pan|parking lot|parking
    garage|sailing boat|fishing boat|fishing village|shopping mall|living room|dining room|dining table|drinking
    glass|rocking chair|boxing ring|boxing gloves|landing strip|writing desk|reading glasses|cutting board|operating
    room|hiking boots|skating rink|opening scene|rolling hills|towering cliffs|winding road|winding river|standing
    lamp|sleeping bag|cooking pot|rising action|burning man|training room|waiting room|hanging lamp|moving
    truck|closing credits|racing car|setting sun|ironing board|charging station|spinning wheel|following shot|tracking
    shot|panning shot
    """.replace("\n", " ").split("|")
)
"""Names of things that look like somebody doing something."""
COMPOUNDS = frozenset(" ".join(c.split()) for c in COMPOUNDS)

PREPOSITIONS = word_set(
    """
    about above across after against along amid among around at atop before behind below beneath beside between beyond
    by down during for from in inside into like near of off on onto opposite out outside over past through throughout to
    toward towards under underneath until up upon via with within without
    """
)

SEQUENCE = word_set("then next afterwards finally later after before until once")
"""Words that put one thing after another in time."""

TAKES: tuple[str, ...] = (
    "time lapse", "timelapse", "hyperlapse", "transition", "transitions", "transitioning", "turns into",
        "turning into",
    "turns to", "turning to", "fades into", "fading into", "fades to", "gives way to", "giving way to", "changes to",
    "changing to", "changes from", "changing from", "becomes", "becoming", "day to night", "night to day", "then",
    "until", "begins", "starts", "starting", "beginning", "ends", "ending", "to reveal", "revealing", "reveals",
    "cuts to", "cut to", "racks", "shifts to", "shifting to", "switches to", "passes into", "dissolves into",
    "moves from",
)  # fmt: skip
"""Phrases that say that a prompt passes from one state to another: then two states are no contradiction."""


GROUPS: dict[str, tuple[str, ...]] = {
    # light
    "midday": ("noon", "midday", "high noon", "midday sun", "noon light", "at noon", "high sun"),
    "daylight": ("daylight", "bright daylight", "broad daylight", "daytime", "clear daylight"),
    "sunny": ("sunny", "sunny day", "sunshine", "bright sunshine", "bright sunlight", "clear blue sky", "blue sky",
        "clear sky", "direct sunlight", "harsh direct sunlight", "hard sunlight", "harsh sunlight",
        "harsh sunshine", "bright sun",
        "blazing sun", "scorching sun", "glaring sun",
        "brilliant sunshine", "sun drenched", "sunlit", "sun soaked"),
    "afternoon": ("afternoon", "mid afternoon", "afternoon sun", "late afternoon"),
    "morning": ("dawn", "sunrise", "morning", "early morning", "daybreak", "rising sun", "morning light",
    "morning sun"), "sunset": ("sunset", "sundown", "golden hour", "setting sun", "sunset light", "sunset colours",
        "evening sun", "low sun", "sun sets"),
    "dusk": ("dusk", "twilight", "blue hour", "evening", "evening light", "nightfall"),
    "night": ("night", "midnight", "nighttime", "night time", "night sky", "starry sky", "starry night",
        "starry night sky", "after dark", "dead of night", "stars overhead", "stars above",
        "under the stars", "starlight", "starlit", "milky way", "star filled sky"),
    "moonlight": ("moonlight", "moonlit", "full moon", "pale moonlight", "moonlit night", "under the moon",
        "moonbeams", "moonbeam"),
    "darkness": ("in the dark", "in darkness", "in total darkness", "in complete darkness", "pitch black",
        "pitch dark"),
    "overcast": ("overcast", "overcast sky", "cloudy", "cloudy sky", "cloudy day", "overcast day", "grey sky",
        "gray sky", "grey daylight", "overcast light", "grey clouds", "heavy clouds"),
    "hard light": ("hard light", "harsh light", "hard shadows", "harsh shadows"),
    "soft light": ("soft light", "soft diffused light", "diffused light", "diffuse light", "flat light",
        "shadowless"),
    "high key": ("high key", "high key lighting"),
    "low key": ("low key", "low key lighting", "pitch black", "pitch dark"),
    "black and white": ("black and white", "monochrome", "greyscale", "grayscale"),
    "vivid colours": ("vivid colours", "vivid colors", "vibrant colours", "vibrant colors", "saturated colours",
        "saturated colors", "colourful", "colorful", "vibrant", "vivid", "vibrant saturated colours",
        "vibrant saturated colors", "technicolor"),
    # optics
    "close-up": ("close up", "closeup", "extreme close up", "extreme closeup", "macro", "macro shot", "macro lens",
        "tight shot", "detail shot", "close up shot", "tight close up"),
    "wide shot": ("wide shot", "extreme wide shot", "establishing shot", "aerial", "aerial shot", "aerial view",
        "drone shot", "drone view", "drone footage", "aerial drone view", "aerial drone shot", "panorama",
        "panoramic view", "long shot", "extreme long shot", "full body shot", "full shot", "satellite view",
        "vista", "wide vista", "sweeping vista", "sweeping wide vista",
        "wide aerial shot", "wide establishing shot", "aerial tracking shot"),
    "wide-angle lens": ("wide angle", "wide angle lens", "ultra wide", "ultra wide lens", "ultra wide angle",
        "ultra wide angle lens", "fisheye", "fisheye lens", "fish eye", "wide lens", "wide angle shot"),
    "telephoto lens": ("telephoto", "telephoto lens", "long lens", "tele lens", "telephoto shot", "super telephoto"),
    "static camera": ("static shot", "static camera", "locked off", "locked off on a tripod",
        "locked off shot", "locked off tripod shot",
        "tripod", "tripod shot", "on a tripod",
        "on tripod", "fixed camera", "stationary camera", "still camera", "static wide shot",
        "camera stays still", "camera holds still", "camera is still", "camera does not move",
        "camera doesn't move", "camera never moves",
        "camera stays fixed", "camera perfectly still", "on sticks"),
    "moving camera": ("tracking shot", "fast tracking shot", "aerial tracking shot", "following shot", "dolly shot",
        "dolly in", "dolly out", "dolly zoom", "crane shot", "steadicam", "handheld", "handheld camera",
        "handheld shot", "hand held", "whip pan", "panning shot", "slow pan", "pan left", "pan right",
        "orbiting shot",
        "slow orbit", "orbit shot", "camera orbits", "camera orbiting", "camera circles", "camera circling",
        "camera follows",
        "camera following", "camera glides", "camera gliding", "camera flies", "camera flying", "camera moves",
        "camera moving", "camera pans", "camera panning", "camera tilts", "camera rotates", "camera rises",
        "camera descends", "camera sweeps", "camera spins", "camera shakes", "camera travels", "camera dollies",
        "camera arcs", "tracking camera", "arc shot", "camera tracks", "camera slowly orbits", "drone shot orbiting",
        "drone shot circling", "shot orbiting", "shot circling", "drone orbiting", "drone circling"),
    "camera towards": ("push in", "pushes in", "camera pushes in", "slow push in", "zoom in", "zooms in",
        "slow zoom in", "camera zooms in", "dolly in", "slow dolly in", "camera moves closer", "camera pushes",
        "crash zoom"),
    "camera away": ("pull back", "pulls back", "camera pulls back", "zoom out", "zooms out", "slow zoom out",
        "camera zooms out", "dolly out", "camera moves away", "pull out", "pulls out"),
    "from above": ("overhead", "overhead view", "overhead shot", "top down", "top down view", "top down shot",
        "bird's eye view", "from above", "top view"),
    "from below": ("low angle", "low angle shot", "worm's eye view", "from below", "low camera view"),
    "eye level": ("eye level", "eye level shot"),
    "high angle": ("high angle", "high angle shot"),
    "shallow focus": ("shallow depth of field", "shallow focus", "bokeh", "blurred background",
        "out of focus background"),
    "deep focus": ("deep focus", "everything in focus", "everything sharp", "everything is sharp",
        "deep depth of field", "sharp from front to back"),
    "slow motion": ("slow motion", "slow mo", "slomo", "high speed camera"),
    "time-lapse": ("time lapse", "timelapse", "hyperlapse", "fast motion", "sped up"),
    "flying camera": ("drone shot", "drone footage", "fpv", "flyover", "flythrough", "fly through", "fpv drone",
        "aerial drone shot", "drone shot orbiting", "drone shot circling", "drone orbiting", "drone circling"),
    "tripod": ("locked off on a tripod", "tripod", "on a tripod", "tripod shot", "locked off tripod shot", "on tripod"),
}  # fmt: skip

_NO_SUN = ("night", "moonlight")
CONFLICTS: dict[str, tuple[tuple[str, str], ...]] = {
    "contradictory-light": (
        *(("midday", other) for other in ("morning", "sunset", "dusk", *_NO_SUN)),
        *((lit, "darkness") for lit in ("midday", "daylight", "sunny", "high key")),
        *(("daylight", other) for other in _NO_SUN), *(("sunny", other) for other in (*_NO_SUN, "overcast")),
        *(("afternoon", other) for other in ("morning", *_NO_SUN)),
        *(("morning", other) for other in ("sunset", "dusk", "night")), ("sunset", "night"),
        ("hard light", "soft light"), ("high key", "low key"), ("black and white", "vivid colours"),
    ),
    "contradictory-optics": (
        ("close-up", "wide shot"), ("close-up", "wide-angle lens"), ("wide-angle lens", "telephoto lens"),
        ("static camera", "moving camera"), ("static camera", "camera towards"), ("static camera", "camera away"),
        ("tripod", "flying camera"),
        ("camera towards", "camera away"), ("from above", "from below"), ("from above", "eye level"),
        ("from below", "eye level"), ("high angle", "from below"), ("shallow focus", "deep focus"),
        ("slow motion", "time-lapse"),
    ),
}  # fmt: skip
"""Groups that cannot both be had in one shot, by the code of the finding."""
