"""Words of English, and names, that are one letter away from a word of the lexicon: they are no slip of the pen.

"coat" is not "boat" and "jumps" are not "bumps". Those are words of the lists of SCOWL (sizes 10 to 50, see NOTICE)
that are one edit away from the lexicon or from the captions of the pocket model; forms that the endings below make of
others are left out. A word that is near to nothing need not stand here.
"""

from __future__ import annotations

from filmwright.spec.verbs import word_set

__all__ = ["MEANT", "WORN", "is_english"]

_WORDS = word_set(
    """
    aback abode abound acing acme adrift afield afloat afro aground aide ailed ailing alight aline alone alter
    alum always amid among amway andy angel angie angled angler angles anglo animations ankle apter aquas arch
    ares aright arks arming arms aron arose arts ashed aster atone atop aver awhile awing awry baal bach backer
    backgrounds backings backus bacon bade bail baird baked bald bale bali balk balling ballsy balm band bandy
    banging bangle bank banned banning bans bard barge barked barred barren bars bashed bask batch bats bawl
    beached beak beck beech been beep belch bell bench bender bent best bets betting bibs bide bight bile bill
    bind birds biro bits blacked blacking blacks bland blank bleach bleak blight blip bloat blob blobbed
    blobbing bloc bloch blocked blued bluer blues blur boar boas boast bobbin bobble bode bogs bola bole boll
    bolt bomb bond bone bong bony boob book boom boon boos boot bopped bopping bops bores bose boss bottled
    bouncer bouncy bounded bounding bout bower boxed boxer boyd boys brake bran brash brass brassy brat breach
    bread bred brest bride brig brock broken broker brooke brow buck bull bumble bummed bumming bumper bumpy
    bums buns burnt burp burs bursa burt bush bust byrd cabs cads cage cain cake camber camel cameo cameras
    camp cams canard candy cane canned canning cans cant cape caps capsuled cara carbs card care carl carly
    carp carr carrel cart cary case cash cater cats cave caws cell cent chains chair chan char chat chatter
    cheeping cheeps chen chile chin chip chit chopped chose chows chrystal circe circlet clack clan clanks
    clashed class clay clears cleat cleave cleft cline clio clipped clipping clips clit clock clod clone clop
    closed closet cloud clouts clove clover clue coal coat cobble cobs cocked code coed coil coke cola colds
    cole collie collude colors colour cols colt coma comer comet comings como compositions comte conk cons
    cooing cooked coon coop coos coot cope copped copping cops cord core corning cosy cote couch could cove
    cowards cower cowing cowl cracked crane crape crass crated crater crave craws craze creak create creeds
    creeks creels creepy crepes crest crete crimsons crone crop cropped cropping crow crush crystals cuba cubed
    cubs cues cull cunning curate cure curs cute czar dafter dale dallied dallies dally dame damn dandy dank
    dare darn darrel dashed davy dawns daylights days deacon deaf dearly deaves deed deem deeps deer deft dell
    demon dens dent depp derailed desk detained dice dies dill dillies dilly dimple dine dipped dirk disk
    docked doff doilies doily doing dolby doll dollie dome done donn doom dork dose douched douches douching
    dour dove dover downs downy drabs draft dram drawings drawl drawn dray drifter drinkings dripped droll
    drolly droop dropper droppings dropsy dross drown drub drug duality dull dully dump dunk dunning duns duse
    dusky dust each earl earle ears eater eave edit eels eight elide ember emeralds emit emotion equality erode
    evenings ever ewing excited exciting exiled exiling exist eyed eyre faced fail faked fallow fame fanned
    fared farm fated fawn faxed fazed feat feel felling fellow fells felt fender fens fest fetal fiat fiend
    file filmy fine fink fired firm firth fits fitting fixer flab flack flag flak flame flan flank flats flatt
    flaw flax flay flight flipped flit floater flock flood flour flout flue fobbed fobbing fobs foes follies
    follower followings folly food fool fops for form formal fort forte forty four fourth foxed foxes frack
    framed framer frames fran frat freak fred frey fright frog fromm froth full fumbled gale gall game ganging
    garble gashed gassy gees geld gender gent gentle gentry gets getting giblet gide gilded gilding giles gill
    gilt gird glade glads gland glassed glassy glean glens glider gloat glob gloss glove glue glum goat gobbed
    gobbing gobble gobs gods goff goings gold gollies golly gone gong good gook goon gores gorey goring gout
    gown grads grams grange grassed grate gravelling gravels gray greed greek greene greens greer greg grew
    greys gross guided gull gunning guns gushed haas hack haft hags hailing hake hale half hall halo hals
    halter halved halving hams handed handhelds handy hangings hank hans hard hark harm harp hart hash hasp
    hasted hasting hatch hated hater hating hats hatted hatter hatting haws hays heal heed heel heep heft
    height hell helm help hens herd here hies highs hill hilt hims hind hinging hint hipped hipping hips
    hobbled hobs hocked hods hoes hoff hogs holden holdings holes holing hollies hollow holly holt home hone
    hong hood hook hoop hope hopi hopper hording hose hours hove hows huger hugh hugo hull humble hume hump
    huns hurst hush husk huts hying icon ides ills info iran irate irony jack jade jailing jame jangle jars
    jeep jell jest jets jetting jill jilt jobbed jobbing jobs jointed jollied jollies jolly jones jose jounce
    jove jumble jumped kale keen keep kens kent kidded kidding kids kiel kill kilt kinematic kink kith kits
    kline knack knight knocker know kong kook krystal lace lack lacy lade lads lady laid lain lame lana lanced
    lancing lander landings lane lang lank lansing lard larger larges largo lark lars lashed lass latch later
    laud laws laying lays lazy leach lead leafy leah leak lear leas lease leaved leaven leavings lees lefty
    legs lei leif lemons lemony lena lend lender leno lent leon leos less lest lets letting lice licked lids
    lied lief lien lieu life like lilt limber lime lina lind lined linen liner lines link lint lips lire list
    lite littler live livid loaf loaves lobbed lobbing lobe lobs lock locke locker locket locus lode loft loll
    lome lone longs loomed loon loop loosed loosing loot lopped lopping lops lose loser lotion lout love lover
    lowly lubber lube lucked lull lump lung lush mable mace mack madge mads maid mailing make male mall malt
    mandy mane mangle manned manning mans marbled mare marge mark marple mars mash match mate maude maze mclean
    meade meal medal mediums meld mellow mender mental metallica metals meted mice middy midway might mild mile
    mill mind mine minima mink mixed moat mobbed mobbing mobs mocked modal mode models modem mold mole moll
    molly mono monochromes moods moody mooed moog mooing mooning moonlights moons moor moos moot mope mopped
    mopping mops more morn mornings moron moses mote motel motions mottle mourning mover movies mowed mower
    mull mumble mumps mused mush musk mute muter nagy nailing name narcs nark nary naturals nave neal nearly
    nell neon nest nets netting neural neutrals nicer niche nick niece nigh nights nike nile nine nipped
    nipping nips nits nixed node noes nome nonce none nook norma norman north nose nosy notion noun nuder null
    nuns nylon oars oats obit oder offs oiled oink olden olen omen ones oops opel oran oranges orate orcs ores
    otto ouch ounce oust outed outs oven overcasts overheads overhear overheard overheat overs overt owen owing
    oxen packed pads page pain painted palace paled paler pales palettes paley pall palm pals pane pang pansy
    panted paps parch pare pars patched patches patching patchy pate path pats paulette pave pawn paws pays
    peace peach peal peale pearly peas peeled peep pele penned penning pens pent pest petal photon photos
    pictured pictures piece pierces pies pike piled pilled pilling pimple pine ping pinks pinned pinning pins
    pint pinto pipe pipped pipping pips pisces pitch pith pits pitting placer plaice plan plane plank planned
    planning plate plies plight plow plug plugged plugging plumb plume plump plums plunger plunked plunking
    plunks plus plush plying pocked pointer pole polisher poll polly ponce pone pool popped posh posy potion
    pouch pounced pout power poxes pranks prate prey pride printed prom prop propped propping prose prosy prow
    pugh puller pullet pulley pulp pulsed pumped punk punned punning puns purl purpler purples pusher pushy
    puss pwns pyle qualify rack rafter raiding railing rain rand randy rang range rank rant rash rate ravelling
    ravels raves reader real redder redo redound reds reed reeled reid rend renders rent renter reset resound
    retailed rewound rhode rice ridding rider ridge rids rife rift rile rill rime rink ripe ripped rite roan
    rob robbed robber robbery robbing robe rocked rodeo rods roes roil role roller rollins rome rood rook room
    rope rory rosa roses rosie ross rote rotted rotting round rouse rout rove rover rowe rower rowling roxy
    rubbed rubbers rube rubier rude rudy rued rues rugby rugs ruin rumble rump rums rune rung runt ruse rushed
    rusk rust ruts ryan sack sade said sailings sake sale salt same sample sana sanded sanding sane sang sank
    sans sapling sars sash sate saturate saves sawing saying says scar scat scattered scenes scent scold scone
    scot scow seal seam sean sear seat secs sects seed seek seer sees sega seized sell semen send sender sent
    sere seth settings settling seven sewn sexting shack shade shady shaka shaken shaker shale shall shalt
    shame shandy shane shard share shari shark sharpe sharps shea sheen shies shill shim shin shinning shipped
    shipping shirt shit shitting shock shod shoe shone shoo shop shopped shopping shore shorts shots shown
    showy shrike shun shut shutter sics side sigh sight sill silt simile simpler simplex simply sims sine
    sinning sins sipped sired siring sirs site sittings situ size sizer skied skies skill skin skinning skipped
    skit skye slack slake slap slapped slapping slashed slat slaw slay sled slew slider slight slim slime sling
    slipper slit slitting slob sloe slog slop slopped slopping slot slue slum slung smack smalls smattering
    smooch smooths snack snailing snake snaky snide snipped snit snob snot snowy sobbed socked sofa softy
    soiling sold solid some song soon soot sooth sopped sopping sops sort sots sour sower sowing sown sows
    spain spake span spanned spanning sparing spas spat spatter spay spies spine spinx spiny spit spitting
    spook sporing sport spot sprig springy sprung spud spunk spur spurn spying staci stacy stael staging stags
    staid stake stale stall stan standards standings stank stark starlet stars stash stating stats staving
    stayed steed steele steels steely steep stepped stick stile stilt stine sting stock stoke stole stomped
    stoned stoner stones stony stool stooped stopper store stove stow stowe strand straying strays stretchy
    strife striker strikings stringing stringy stripe strive strong strop stropped stropping strung stuck
    studios stumbled stun stung styled styles styli subset suing suit sump sunder sung sunk sunning sunrises
    suns sunsets sven swab swag swam swan swash swatch swatter swig swigging swill swine swirled syringing tack
    tailed tailing tale tall tame tamera tangerines tanned tanning tans tapped tars teach teak teals team teas
    teat tedium teen telephotos tell tender tens tent terns tested thad thai than thant thar tharp thea thee
    them theme these they thigh thin thorough though three thus tiber tics tide tidy tied ties tight tilde tile
    till timbers timbre timed timer tina tine ting tinny tins tint tipper tipple tipsy tired titled titling
    tits tittle toby toes toiled tokes told toll tome tone toner tong tonnes tons tonto tony took tool topped
    topping tops torch tory totes touchings touchy tough tour tout toward towed towel town toys trace traci
    tracker tract tracy tran trash traveling travellings trey trick trike trip tripped tripping troll trough
    troy truck tuba tubed tuber tubs tull tumbler tune tuns turds turfing turfs turing turks turquoises tush
    tusk tuxes twill twine twinging twirler udder umber umped umping umps unset unto urey urn vale vanned
    vanning vans veal veep veld vent vesicle vest vets vetting vice videos vied vies views vile vine violent
    violets vireo vouch vying wack waded wader wafer wager wages waite waiter waives wale wall walt walter wand
    wane wangle want warble ward ware warn warp wars wart wary washer wasted waster watcher watery waved waver
    waxes waxy ways weal weft weighty well welt wend wens wept west wets wetting whale wham whats wheat when
    where whet whiled whiles whiling whine whir whirr whit whiten whiter whole whopping whorl widen wider width
    wife wight wilde wile will wilted wimple wince wind wined wines wing wino wins wire wise wish witch wits
    witt wive wobbly woes wong wont wooded woodmen woods woody wooed woof wool woolen woos wooten word worm
    worth wove wrack wreak wrest wright yale yearly yeas yellows yens yest yield yipped yipping yips yodel yong
    your zeal zens zest zipped zits zone zoos
    """
)

MEANT: dict[str, str] = {
    "balloon": "ball", "bubble": "ball", "football": "ball", "basketball": "ball", "circle": "ball", "bead": "ball",
    "square": "cube", "dice": "cube", "die": "cube", "brick": "cube", "cuboid": "cube", "package": "cube",
    "can": "cylinder", "pipe": "cylinder", "disc": "cylinder", "disk": "cylinder", "coin": "cylinder",
    "pyramid": "cone", "triangle": "cone", "truck": "car", "bus": "car", "van": "car", "yacht": "boat",
    "jar": "bottle", "cup": "glass", "mug": "glass", "vase": "glass",
    "jump": "bounces", "leap": "bounces", "descend": "drops", "sink": "drops", "turn": "spins", "revolve": "spins",
    "flow": "slides", "crawl": "slides",
    "gold": "yellow", "golden": "yellow", "lime": "green", "brown": "orange", "magenta": "pink", "lilac": "purple",
    "silver": "metal", "brass": "metal", "bronze": "metal", "copper": "metal", "plastic": "rubber", "oak": "wooden",
    "table": "wooden floor", "counter": "wooden floor", "desk": "wooden floor", "carpet": "lawn", "field": "lawn",
    "ice": "marble floor", "pavement": "marble floor", "snow": "sandy beach", "lake": "sea", "river": "sea",
}  # fmt: skip
"""What comes nearest, for words that people use of this world and it has not: base form -> a phrase of the lexicon."""

WORN = word_set(
    """
    apron armor armour boots cap cloak coat costume dress glasses gloves gown hat helmet hoodie hurry jacket jeans
    moment raincoat robe rush scarf shirt style suit sweater uniform
    """
)
"""What somebody, or something, is in without being there."""


def is_english(word: str) -> bool:
    """Whether a lower-case word is a near neighbour of the lexicon's words and right as it stands, in any form."""
    if word in _WORDS or word in MEANT:
        return True
    for ending, bases in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and any(f"{stem}{base}" in _WORDS for base in bases):
            return True
    return False


_ENDINGS = (("s", ("",)), ("es", ("",)), ("ed", ("", "e")), ("ing", ("", "e")), ("ly", ("",)))
