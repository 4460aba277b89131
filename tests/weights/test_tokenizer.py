from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import filmwright.weights
from filmwright.models.text import TextConfig
from filmwright.spec.errors import WeightsError
from filmwright.spec.words import analyse
from filmwright.weights.tokenizer import (
    EOS,
    MAX_VOCABULARY,
    NULL,
    PAD,
    SPECIALS,
    UNK,
    Tokenizer,
    build_vocabulary,
)
from filmwright.world.author import write_script
from filmwright.world.captions import captions_for

SHIPPED = Path(filmwright.weights.__file__).parent / "pocket" / "vocabulary.json"
EXAMPLE = "a red ball drops onto a wooden floor and bounces, warm sunset light, the camera pushes in"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(SHIPPED)


@pytest.fixture(scope="module")
def captions() -> list[str]:
    """Captions of seeds that the vocabulary was not built from."""
    found: list[str] = []
    for seed in range(50_000, 50_500):
        script = write_script(seed, ("whole", "duo", "solo")[seed % 3])
        found += captions_for(script, (), count=3, seed=4)
        found += captions_for(script, (), count=1, seed=4, paraphrase=True, complete=True)
    return found


def test_every_caption_is_made_of_whole_trained_words(tokenizer: Tokenizer, captions: list[str]) -> None:
    last = len(SPECIALS) + len(tokenizer.words)
    for caption in captions:
        ids = tokenizer.encode(caption)
        assert ids[-1] == EOS
        assert all(len(SPECIALS) <= i < last for i in ids[:-1]), caption
        assert tokenizer.unknown(caption) == []
        assert tokenizer.encode(caption, skip_unknown=True) == ids


def test_captions_fit_the_text_encoder(tokenizer: Tokenizer, captions: list[str]) -> None:
    length = TextConfig().length
    lengths = [len(tokenizer.encode(c)) for c in captions]
    assert max(lengths) <= length
    assert float(np.median(lengths)) < 0.6 * length


def test_the_vocabulary_fits_the_text_encoder(tokenizer: Tokenizer) -> None:
    assert len(tokenizer) <= MAX_VOCABULARY == TextConfig().vocabulary
    assert tokenizer.tokens[:4] == SPECIALS
    assert (PAD, UNK, NULL, EOS) == (0, 1, 2, 3)
    assert len(tokenizer.reserved) > 0.3 * len(tokenizer.words)


def test_ids_do_not_move(tokenizer: Tokenizer) -> None:
    # trained weights hang on these numbers
    ids = [20, 313, 42, 133, 267, 20, 480, 154, 27, 59, 4, 460, 404, 221, 4, 413, 71, 306]
    ids += [198, 3]
    assert tokenizer.encode(EXAMPLE) == ids


def test_an_empty_prompt_is_the_null_caption(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("") == tokenizer.encode("  \n") == [NULL]
    assert tokenizer.encode("xylophone", skip_unknown=True) == [NULL]
    batch = tokenizer.encode_batch(["", "a red ball"], 6)
    assert batch.dtype == np.int64
    assert batch[0].tolist() == [NULL, PAD, PAD, PAD, PAD, PAD]
    assert batch[1, 3:].tolist() == [EOS, PAD, PAD]


def test_what_is_too_long_is_cut_and_still_ends(tokenizer: Tokenizer) -> None:
    row = tokenizer.encode_batch([EXAMPLE], 8)[0]
    assert row.tolist() == [*tokenizer.encode(EXAMPLE)[:7], EOS]


def test_case_hyphens_and_forms_make_no_difference(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("Push-In, WIDE-angle lens") == tokenizer.encode("push in, wide angle lens")
    assert tokenizer.encode("bird\u2019s eye view") == tokenizer.encode("bird's eye view")
    assert tokenizer.encode("the ball dropped") == tokenizer.encode("the ball drops")
    assert tokenizer.encode("three cylinders")[-2] == tokenizer.encode("cylinder")[0]
    assert tokenizer.encode("muted colors") == tokenizer.encode("muted colours")


def test_unseen_words_are_spelled(tokenizer: Tokenizer) -> None:
    first_piece = len(SPECIALS) + len(tokenizer.words) + len(tokenizer.reserved)
    for word in ("axolotl", "zebra", "quixotic", "sx", "i18n"):
        ids = tokenizer.encode(word)[:-1]
        assert ids
        assert UNK not in ids
        assert any(i >= first_piece for i in ids), word
    assert tokenizer.decode(tokenizer.encode("an axolotl, blinking")) == "an axolotl, blinking"
    assert UNK in tokenizer.encode("\u00e9")


def test_unknown_words_are_named(tokenizer: Tokenizer) -> None:
    assert tokenizer.unknown("a shiny dragon drops, a dragon at twilight") == ["shiny", "dragon"]
    assert "shiny" in tokenizer.reserved
    assert tokenizer.unknown(EXAMPLE) == []


def test_the_example_prompt_has_no_findings(tokenizer: Tokenizer) -> None:
    for part in ("solo", "duo", "whole"):
        assert analyse(EXAMPLE, tokenizer.prompt_vocabulary(part)).findings == ()
    assert all(w in tokenizer.trained for w in EXAMPLE.replace(",", "").split())


def test_a_synonym_that_captions_never_say_becomes_one_that_they_do(tokenizer: Tokenizer) -> None:
    assert "twilight" not in tokenizer.trained
    assert tokenizer.encode("a ball, twilight") == tokenizer.encode("a ball, sunset light")


def test_building_is_deterministic(captions: list[str]) -> None:
    one, two = (build_vocabulary(c, ["zebra", "shiny"]) for c in (captions, captions[::-1]))
    assert one.tokens == two.tokens
    assert {"zebra", "shiny"} <= set(one.reserved)
    assert not set(one.words) & set(one.reserved)


def test_saved_and_loaded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "sub" / "vocabulary.json")
    again = Tokenizer.load(tmp_path / "sub" / "vocabulary.json")
    assert again.tokens == tokenizer.tokens
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["vocabulary.json"]


def test_bad_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    good = {"format": 1, "words": ["a", "ball"], "reserved": [], "pieces": []}
    with pytest.raises(WeightsError, match="cannot be read"):
        Tokenizer.load(path)
    for text in ("{", "[]", json.dumps({"format": 1}), json.dumps(good | {"words": 3})):
        path.write_text(text)
        with pytest.raises(WeightsError, match="cannot be read"):
            Tokenizer.load(path)
    path.write_text(json.dumps(good | {"format": 2}))
    with pytest.raises(WeightsError, match="format 2"):
        Tokenizer.load(path)
    path.write_text(json.dumps(good | {"reserved": ["ball"]}))
    with pytest.raises(WeightsError, match="'ball' more than once"):
        Tokenizer.load(path)
    path.write_text(json.dumps(good | {"pieces": [f"p{i}" for i in range(MAX_VOCABULARY)]}))
    with pytest.raises(WeightsError, match="2048 at most"):
        Tokenizer.load(path)
