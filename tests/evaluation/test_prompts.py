from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from filmwright.evaluation.prompts import (
    PromptRecord,
    another_take,
    atoms_of,
    free_fall_prompts,
    held_out_prompts,
    load_prompts,
    save_prompts,
)
from filmwright.spec.errors import BadRequest
from filmwright.spec.vocabulary import ATTRIBUTES, PARTS
from filmwright.world.author import variant, write_script
from filmwright.world.splits import held_out


def test_prompts_are_held_out_complete_and_the_same_every_time(records: list[PromptRecord]):
    assert records == held_out_prompts(4, part="solo", seed=3)
    assert records != held_out_prompts(4, part="solo", seed=4)
    assert len({r.prompt for r in records}) == 4
    for r in records:
        assert held_out(r.script)
        assert r.paraphrased == (r.index % 2 == 1)
        colourless = {"colour"} if r.script.mood == "monochrome" else set()
        assert set(r.atoms) == set(ATTRIBUTES) - colourless
        assert r.script.subjects[0].kind in r.atoms["subject"]


def test_a_pan_without_a_side_may_go_either_way():
    script = variant(write_script(3, "solo"), camera="pan-left", mood="neutral")
    assert atoms_of(script, "a red ball rests on grass at noon, the camera pans left")["camera"] == (
        "pan-left",
    )
    assert set(atoms_of(script, "a red ball rests on grass at noon, the camera pans")["camera"]) == {
        "pan-left",
        "pan-right",
    }


def test_prompts_survive_a_file(records: list[PromptRecord], tmp_path: Path):
    save_prompts(records, tmp_path / "p.json")
    assert load_prompts(tmp_path / "p.json") == records
    (tmp_path / "p.json").write_text("[{}]")
    with pytest.raises(BadRequest, match="make them anew"):
        load_prompts(tmp_path / "p.json")


def test_free_fall_prompts_drop_something_before_a_still_camera():
    for r in free_fall_prompts(4, part="solo", seed=1):
        assert (r.script.event, r.script.camera) == ("drop", "static")
        assert r.script.mood != "monochrome"
        assert held_out(r.script)


def test_another_take_says_the_same_words(records: list[PromptRecord]):
    other = another_take(records[0].script)
    assert other.seed != records[0].script.seed
    assert replace(other, seed=records[0].script.seed) == records[0].script


def test_impossible_counts_are_refused():
    with pytest.raises(BadRequest, match="at least 1"):
        held_out_prompts(0, part="solo")
    assert "solo" in PARTS
