from __future__ import annotations

import re
from dataclasses import replace

import pytest

from filmwright.spec.brief import parse_brief
from filmwright.spec.inflection import lemma
from filmwright.spec.vocabulary import ATTRIBUTES, COLOURS, EVENTS, SETTINGS, SUBJECTS
from filmwright.spec.words import event_of, mentions, split_words
from filmwright.world.author import ALLOWED, write_script
from filmwright.world.captions import brief_for, captions_for, likely_log
from filmwright.world.grammar import MAX_WORDS, PARAPHRASE_SHAPES, SHAPES
from filmwright.world.scene import Happening, Script, SubjectSpec
from filmwright.world.splits import HELD_OUT_VERSION, held_out, held_out_combination, split_of

BALL = SubjectSpec(kind="ball", colour="red", material="rubber", size="small")
CUBE = SubjectSpec(kind="cube", colour="blue", material="wood", size="large")


def script(**changes: object) -> Script:
    plain = Script(
        version=1, seed=7, part="whole", subjects=(BALL,), event="drop", direction="none", setting="wood",
        light="sunset", camera="push-in", lens="normal", mood="neutral", width=256, height=160, num_frames=33, fps=16,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


DROP = (
    Happening(seconds=0.1, what="falls", who=0, amount=1.2),
    Happening(seconds=0.6, what="lands", who=0),
    Happening(seconds=0.62, what="bounces", who=0, amount=0.5),
    Happening(seconds=1.1, what="bounces", who=0, amount=0.2),
    Happening(seconds=1.3, what="rolls", who=0, direction="right", amount=0.6),
    Happening(seconds=1.8, what="stops", who=0),
)
COLLIDE = (
    Happening(seconds=0.0, what="rolls", who=0, direction="right", amount=1.0),
    Happening(seconds=0.7, what="hits", who=0, whom=1),
    Happening(seconds=0.8, what="slides", who=1, direction="right", amount=0.4),
)


@pytest.fixture(scope="module")
def sampled() -> list[tuple[Script, tuple[Happening, ...], tuple[str, ...], tuple[str, ...]]]:
    """Scripts of the whole world with training captions and paraphrases."""
    found = []
    for seed in range(350):
        one = write_script(seed, "whole" if seed % 2 else "duo")
        log = likely_log(one)
        usual, other = (captions_for(one, log, count=4, seed=1, paraphrase=p) for p in (False, True))
        found.append((one, log, usual, other))
    return found


def lies(caption: str, one: Script, log: tuple[Happening, ...]) -> list[str]:
    """What a caption names that is not so."""
    truth = {
        "subject": {s.kind for s in one.subjects}, "colour": {s.colour for s in one.subjects},
        "material": {s.material for s in one.subjects}, "size": {s.size for s in one.subjects},
        "happening": {h.what for h in log} , "setting": {one.setting}, "light": {one.light}, "camera": {one.camera},
        "lens": {one.lens}, "mood": {one.mood},
        "direction": {h.direction for h in log} - {"none"},
    }  # fmt: skip
    return [f"{m.attribute} {m.phrase}" for m in mentions(caption) if not set(m.names) & truth[m.attribute]]


def test_captions_say_only_what_is_so(sampled) -> None:
    for one, log, usual, other in sampled:
        for caption in usual + other:
            assert lies(caption, one, log) == [], caption


def test_a_lie_would_be_seen() -> None:
    assert lies("a red ball drops at night", script(), DROP) == ["light at night"]
    assert lies("a red ball drops and a cube spins", script(), DROP) == ["subject cube", "happening spins"]


@pytest.mark.parametrize("paraphrase", [False, True])
def test_happenings_are_told_in_their_order(paraphrase: bool) -> None:
    order = ["falls", "lands", "bounces", "rolls", "stops"]
    longest = 0
    for caption in captions_for(script(), DROP, count=150, seed=3, paraphrase=paraphrase):
        told = [m.names[0] for m in mentions(caption) if m.attribute == "happening"]
        assert told == sorted(told, key=order.index), caption
        longest = max(longest, len(told))
    assert longest >= 4


def test_who_does_what_to_whom() -> None:
    two = script(subjects=(BALL, CUBE), event="collide", direction="right")
    captions = captions_for(two, COLLIDE, count=80, seed=0, complete=True)
    for caption in captions:
        named = [m for m in mentions(caption) if m.attribute in ("subject", "happening")]
        hit = next(i for i, m in enumerate(named) if m.names == ("hits",))
        assert named[hit + 1].names == ("cube",), caption
        assert "ball" in [m.names[0] for m in named[:hit]], caption
    assert any(re.search(r"(which|cube|box|block|crate) (slides|glides|skids|slips)", c) for c in captions)


def test_there_are_many_ways_to_say_it() -> None:
    captions = captions_for(script(), DROP, count=600, seed=11)
    assert len(set(captions)) >= 500
    lengths = sorted(len(split_words(c)) for c in captions)
    assert lengths[0] <= 4
    assert lengths[-1] >= 35
    for word in ("ball", "sphere", "orb", "globe", "drops", "falls", "plunges", "plummets"):
        assert any(word in c for c in captions), word


def test_the_same_seed_says_the_same() -> None:
    assert captions_for(script(), DROP, count=5, seed=2) == captions_for(script(), DROP, count=5, seed=2)
    assert captions_for(script(), DROP, count=5, seed=2) != captions_for(script(), DROP, count=5, seed=3)


def test_complete_captions_name_every_scored_attribute(sampled) -> None:
    for one, log, _, _ in sampled[:120]:
        for caption in captions_for(one, log, count=1, seed=5, paraphrase=True, complete=True):
            named = {m.attribute for m in mentions(caption)} | {"event"}
            assert set(ATTRIBUTES) <= named, caption
            told = [m.names[0] for m in mentions(caption) if m.attribute == "happening"]
            assert event_of(told, [s.kind for s in one.subjects]) == one.event, caption


def test_captions_fit_the_text_encoder(sampled) -> None:
    assert max(len(split_words(c)) for *_, usual, other in sampled for c in usual + other) <= MAX_WORDS


def skeleton(caption: str) -> str:
    """A caption with everything that it names replaced by the attribute's name."""
    text, at = "", 0
    for m in mentions(caption):
        text, at = f"{text}{caption[at : m.start]}<{m.attribute}>", m.end
    text = (text + caption[at:]).lower()
    # adjectives are features of what they stand before; their number does not make another shape
    return re.sub(r"(<(colour|size|material)> ?)+", "", text).rstrip(".")


def test_paraphrases_have_shapes_of_their_own(sampled) -> None:
    assert not {s.text for s in SHAPES} & {s.text for s in PARAPHRASE_SHAPES}
    usual = {skeleton(c) for _, _, captions, _ in sampled for c in captions}
    other = [skeleton(c) for _, _, _, captions in sampled for c in captions]
    assert len(usual) > 300
    assert sum(s in usual for s in other) == 0, [s for s in other if s in usual]


def test_paraphrases_use_only_words_of_training(sampled) -> None:
    usual = {lemma(w.text) for _, _, captions, _ in sampled for c in captions for w in split_words(c)}
    for seed in range(300):
        usual |= {
            lemma(w.text)
            for c in captions_for(write_script(seed), (), count=4, seed=8)
            for w in split_words(c)
        }
    other = {lemma(w.text) for _, _, _, captions in sampled for c in captions for w in split_words(c)}
    assert other <= usual, other - usual


def test_the_brief_of_a_clip() -> None:
    brief = brief_for(script(), DROP)
    assert brief.subject is not None
    assert {m.names[0] for m in mentions(brief.subject)} == {"small", "red", "rubber", "ball"}
    assert brief.setting == "on a wooden floor"
    assert brief.camera == "the camera pushes in"
    assert (brief.lens, brief.mood) == (None, None)
    for seed in range(60):
        one = write_script(seed)
        log = likely_log(one)
        brief = brief_for(one, log)
        assert lies(brief.render(), one, log) == [], brief
        assert parse_brief(brief.render()) == brief


def test_about_8_percent_of_combinations_are_held_out() -> None:
    kinds = [(s, c, e, g) for e in EVENTS for s in ALLOWED[e] for c in COLOURS for g in SETTINGS]
    share = sum(held_out_combination(*k) for k in kinds) / len(kinds)
    assert 0.07 < share < 0.09
    for subject in SUBJECTS:
        own = [k for k in kinds if k[0] == subject]
        assert sum(held_out_combination(*k) for k in own) < 0.2 * len(own)


def test_splits_do_not_move() -> None:
    assert HELD_OUT_VERSION == 1
    pinned = {
        ("ball", "drop", "wood"): ["yellow"],
        ("cube", "slide", "marble"): ["yellow", "white"],
        ("cylinder", "roll", "grass"): [],
        ("cone", "spin", "checker"): ["red", "orange", "black"],
    }
    for (subject, event, setting), expected in pinned.items():
        assert [c for c in COLOURS if held_out_combination(subject, c, event, setting)] == expected
    assert [s for s in range(150) if split_of(s) == "validation"] == [11, 45, 52, 77, 117, 137, 149]


def test_held_out_looks_at_the_combination_alone() -> None:
    one = script()
    assert held_out(one) == held_out(replace(one, seed=99, light="night", camera="static", mood="warm"))
    assert held_out(one) == held_out_combination("ball", "red", "drop", "wood")
