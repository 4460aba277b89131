from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from filmwright.spec.brief import Brief, parse_brief
from filmwright.spec.english import is_english
from filmwright.spec.inflection import inflect, lemma
from filmwright.spec.lexicon import LEXICON, phrases
from filmwright.spec.things import things_of
from filmwright.spec.vocabulary import (
    CAMERAS,
    COLOURS,
    DIRECTIONS,
    LENSES,
    LIGHTS,
    MATERIALS,
    MOODS,
    PARTS,
    SETTINGS,
    SIZES,
    SUBJECTS,
)  # fmt: skip
from filmwright.spec.words import PromptVocabulary, analyse, in_known_words, mentions, split_words

EXAMPLE = "a red ball drops onto a wooden floor and bounces, warm sunset light, the camera pushes in"
WORDS = frozenset(
    w.text
    for names in LEXICON.values()
    for roles in names.values()
    for role, said in roles.items()
    if role != "heard"
    for phrase in said
    for w in split_words(phrase)
)
KNOWN = PromptVocabulary(words=WORDS)
SOLO = PromptVocabulary(words=WORDS, part=PARTS["solo"], part_name="solo")


def said(attribute: str, names: tuple[str, ...], *roles: str) -> st.SearchStrategy[str]:
    """Any phrase of the lexicon for any of the names."""
    return st.sampled_from([p for n in names for r in roles for p in phrases(attribute, n, r)])


MOVES = said("camera", CAMERAS, "verb").map(lambda p: "the camera " + inflect(p.removeprefix("camera "), "s"))
VERBS = said("happening", ("falls", "bounces", "rolls", "slides", "spins", "topples", "swings"), "verb").map(
    lambda p: inflect(p, "s")
)
BRIEFS = st.builds(
    Brief,
    subject=st.tuples(
        said("size", SIZES, "adjective"), said("colour", COLOURS, "adjective"), said("subject", SUBJECTS, "noun")
    ).map(lambda t: "a " + " ".join(t)),
    action=st.lists(VERBS, min_size=1, max_size=3).map(" and then ".join)
    | st.lists(VERBS, min_size=2, max_size=2).map(", then ".join),
    setting=st.none() | said("setting", SETTINGS, "noun").map(lambda p: f"on the {p}"),
    light=st.none() | said("light", LIGHTS, "noun", "when"),
    camera=st.none() | MOVES | said("camera", CAMERAS, "shot"),
    lens=st.none() | said("lens", LENSES, "shot"),
    mood=st.none() | said("mood", MOODS, "shot"),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(BRIEFS)
def test_a_rendered_brief_parses_back(brief: Brief) -> None:
    assert parse_brief(brief.render()) == brief


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abcdeghilnorst ,.'-", max_size=80))
def test_parsing_any_text_loses_no_letter(text: str) -> None:
    kept = "".join(c for c in parse_brief(text).render() if c.isalnum())
    assert sorted(kept) == sorted(c for c in text if c.isalnum()) or any(
        w in text for w in ("and", "as", "onto")
    )


def test_the_parts_of_a_prompt() -> None:
    brief = parse_brief(EXAMPLE)
    assert brief == Brief(
        subject="a red ball",
        action="drops and bounces",
        setting="on a wooden floor",
        light="warm sunset light",
        camera="the camera pushes in",
    )
    assert (
        brief.render()
        == "a red ball drops and bounces on a wooden floor, warm sunset light, the camera pushes in"
    )


def test_what_the_lexicon_does_not_know_is_kept() -> None:
    brief = parse_brief(
        "a dragon rolls across the sand and hits a green cube while the camera pans left, oil painting"
    )
    assert brief.subject == "a dragon"
    assert brief.action == "rolls and hits a green cube"
    assert brief.setting == "across the sand"
    assert brief.camera == "the camera pans left"
    assert brief.mood == "oil painting"


def test_verbs_and_places_that_the_lexicon_does_not_know() -> None:
    for prompt, parts in {
        "a cat runs": {"subject": "a cat", "action": "runs"},
        "a dog runs on a beach": {"subject": "a dog", "action": "runs", "setting": "on a beach"},
        "a lone man, walks through rain": {"subject": "a lone man", "action": "walks through rain"},
        "a lone lighthouse keeper walks": {"subject": "a lone lighthouse keeper", "action": "walks"},
        "two lovers kiss, waltz and part": {"subject": "two lovers", "action": "kiss, waltz and part"},
        "a glass of water falls": {"subject": "a glass of water", "action": "falls"},
        "a ball on a table in moonlight at noon": {
            "subject": "a ball",
            "setting": "on a table",
            "light": "in moonlight at noon",
        },
        "a ball rolls from dawn to dusk": {
            "subject": "a ball",
            "action": "rolls",
            "light": "from dawn to dusk",
        },
        "!!!": {},
    }.items():
        assert parse_brief(prompt).model_dump(exclude_none=True) == parts


def test_order_of_a_brief_and_what_it_refuses() -> None:
    assert Brief(mood="warm tones", subject="a ball", light="dusk").render() == "a ball, dusk, warm tones"
    assert Brief().render() == ""
    assert parse_brief("") == Brief()
    with pytest.raises(ValidationError):
        Brief(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Brief().subject = "a ball"


def test_the_lexicon_has_a_word_for_every_name_of_the_vocabulary() -> None:
    for attribute, names in (
        ("subject", SUBJECTS), ("colour", COLOURS), ("material", MATERIALS), ("size", SIZES), ("setting", SETTINGS),
        ("light", LIGHTS), ("camera", CAMERAS), ("lens", LENSES), ("mood", MOODS), ("direction", DIRECTIONS[1:]),
    ):  # fmt: skip
        listed = {n for key in LEXICON[attribute] for n in key.split("|")}
        assert listed == set(names), attribute
        assert all(
            any(phrases(attribute, n, r) for r in ("noun", "adjective", "shot", "when", "where"))
            for n in names
        )


@pytest.mark.parametrize("attribute", list(LEXICON))
def test_every_phrase_is_read_as_what_it_means(attribute: str) -> None:
    for name, roles in LEXICON[attribute].items():
        for role, said_so in roles.items():
            for phrase in said_so:
                for form in ("s", "ing", "ed") if role == "verb" else ("base",):
                    text = phrase
                    if role == "verb":
                        text = inflect(phrase.removeprefix("camera "), form)
                        text = f"the camera {text}" if attribute == "camera" else f"a thing {text}"
                    found = [m for m in mentions(text) if m.attribute == attribute]
                    names = [m.names for m in found] if phrase != "glass" else [("glass",)]
                    assert set(names) == {tuple(name.split("|"))}, (text, found)


@pytest.mark.parametrize(
    ("prompt", "attribute", "names"),
    [
        (EXAMPLE, "event", ("drop",)),
        (EXAMPLE, "light", ("sunset",)),
        (EXAMPLE, "camera", ("push-in",)),
        ("the camera slowly circles around a blue cone to the left", "camera", ("orbit-left",)),
        ("a glass ball beside a glass", "material", ("glass",)),
        ("a glass ball beside a glass", "subject", ("ball", "glass")),
        ("a stack of small red cubes topples", "subject", ("stack",)),
        ("black-and-white tiles at night", "setting", ("checker",)),
        ("a ball, black and white", "mood", ("monochrome",)),
        ("a ball, black and white", "colour", ()),
        ("Bird\u2019s-eye view of a boat", "camera", ("overhead",)),
        ("a ball rolls and hits a row of dominoes, which topples", "event", ("topple",)),
        ("a red ball hits a blue cube, which topples", "event", ("collide",)),
        ("two balls collided at golden hour", "event", ("collide",)),
        ("orange cube under an orange light", "colour", ("orange",)),
        ("the camera doesn't move", "camera", ("static",)),
    ],
)
def test_what_a_prompt_says(prompt: str, attribute: str, names: tuple[str, ...]) -> None:
    assert analyse(prompt, KNOWN).attributes.get(attribute, ()) == names


def test_a_good_prompt_has_no_findings() -> None:
    for prompt in (
        EXAMPLE,
        "A small cyan box slides to the right.",
        "a cone at noon, the camera zooms in",
        "2 balls roll",
    ):
        report = analyse(prompt, KNOWN)
        assert (report.findings, report.unknown) == ((), ()), prompt
    assert analyse(EXAMPLE, SOLO).findings == ()
    assert analyse(EXAMPLE, KNOWN).happenings == ("falls", "bounces")


def test_unknown_words_are_named_with_the_nearest_known() -> None:
    report = analyse("a crimsen dragon boucnes", KNOWN)
    assert report.codes[0] == "unknown-words"
    assert report.unknown == ("crimsen", "dragon", "boucnes")
    assert (report.near["crimsen"].slips, report.near["crimsen"].sure) == (("crimson",), True)
    assert report.near["dragon"].slips == ()
    assert "'crimsen' (did you mean 'crimson'" in report.findings[0].message
    assert "3 words" in report.findings[0].message


def test_a_prompt_without_motion() -> None:
    assert analyse("a red ball on a wooden floor", KNOWN).codes == ("no-motion",)
    assert analyse("a red ball rests on a wooden floor", KNOWN).codes == ()
    assert analyse("a red ball, panning shot", KNOWN).codes == ()
    assert "no-motion" in analyse("", KNOWN).codes


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a bottle falls", {"bottle"}),
        ("a ball floats on the sea", {"sea", "floats"}),
        ("a glass ball drops", {"glass"}),
        ("a ball drops, tracking shot", {"tracking shot"}),
        ("a ball drops, telephoto lens, vivid colours", {"telephoto lens", "vivid colours"}),
        ("a red ball rolls past a blue ball", {"red ball", "blue ball"}),
    ],
)
def test_what_the_weights_have_not_seen(prompt: str, words: set[str]) -> None:
    findings = [f for f in analyse(prompt, SOLO).findings if f.code == "outside-training"]
    assert {w for f in findings for w in f.words} == words
    assert all("'solo'" in f.message for f in findings)
    assert analyse(prompt, KNOWN).findings == ()


@pytest.mark.parametrize(
    ("prompt", "number"),
    [
        ("two red balls roll", 2),
        ("red balls roll", 2),
        ("3 small boxes and a cone roll", 4),
        ("a red ball rolls past a second, blue ball", 2),
        ("one red ball rolls", 1),
        ("a row of five dominoes topples", 1),
    ],
)
def test_things_are_counted(prompt: str, number: int) -> None:
    assert sum(things_of(prompt, mentions(prompt)).values()) == number
    many = [f for f in analyse(prompt, SOLO).findings if "things" in f.message]
    assert [f.message.split()[0] for f in many] == ([str(number)] if number > 1 else [])


def test_what_stands_beside_the_prompt_is_read_too() -> None:
    report = analyse("a red ball rolls", KNOWN, negative="blurry zebra, red")
    (found,) = report.findings
    assert (found.code, found.words) == ("unknown-words", ("blurry", "zebra"))
    assert found.message.startswith("in the negative prompt, 2 words")
    assert report.unknown == ()
    panned = "a red ball rolls, the camera pans left"
    (found,) = analyse(panned, KNOWN, camera="push-in").findings
    assert (found.code, found.words) == ("contradictory-optics", ("camera pans left",))
    assert "--camera push-in" in found.message
    for prompt, camera in (
        (panned, "pan-left"),
        (panned, None),
        (panned, "handheld"),
        ("a ball rolls", "push-in"),
    ):
        assert analyse(prompt, KNOWN, camera=camera).findings == ()


def test_a_known_word_is_never_listed_as_english_that_is_not_known() -> None:
    assert not is_english("crimsen")
    assert is_english("coat")
    assert not {w for w in WORDS if is_english(w) and len(w) > 3} & {"red", "ball", "cube", "slides", "rolls"}


def test_one_thing_named_twice_is_one_thing() -> None:
    assert analyse("a red ball drops. The ball bounces, then the red ball rolls", SOLO).findings == ()


def test_other_words_for_known_things_are_put_in_known_ones() -> None:
    words = WORDS - {"twilight"}
    assert in_known_words("a ball drops at twilight, the camera draws near", words).startswith(
        "a ball drops at sunset light"
    )
    assert in_known_words(EXAMPLE, WORDS | {"onto", "warm", "and", "the", "in", "a"}) == EXAMPLE


def test_word_forms() -> None:
    forms = {
        "drop": "dropping",
        "slide": "sliding",
        "spin": "spinning",
        "topple": "toppling",
        "rebound": "rebounding",
    }
    forms |= {
        "roll": "rolling",
        "skid": "skidding",
        "dolly": "dollying",
        "crash into": "crashing into",
        "stop": "stopping",
    }
    for base, form in forms.items():
        assert inflect(base, "ing") == form
        assert lemma(form.split()[0]) == base.split()[0]
    assert inflect("crash into", "s") == "crashes into"
    assert [lemma(w) for w in ("boxes", "balls", "fell", "dominoes", "glass", "across")] == [
        "box",
        "ball",
        "fall",
        "domino",
        "glass",
        "across",
    ]
