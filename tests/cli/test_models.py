"""`filmwright models show` and `pick`: what a user must know of a model before it is asked for anything."""

from __future__ import annotations

import json

import pytest

from filmwright.cli.main import run
from filmwright.cli.models import licence


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """What `show` says, by the word that a line begins with."""
    assert run(["models", "show", name]) == 0
    found: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines()[1:]:
        found.setdefault(line[2:12].strip(), []).append(line[12:])
    return found


def test_show_says_the_defaults_and_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown("wan2.2-t2v-a14b", capsys)
    assert found["licence"] == ["Apache-2.0: Any use, also commercial, with the notice kept."]
    assert found["shift"] == ["12"]
    assert found["boundary"] == ["0.875: the second expert has the noise levels below it"]
    assert found["length"] == ["81 frames at 16 fps, 5.06 s, by default; 1 to 81, 0.06 to 5.06 s"]
    assert found["steps"] == ["40; guidance 4, 3 of the second expert"]
    assert found["negative"][0].startswith("色调艳丽")
    assert "pinned" not in found


def test_show_says_what_is_not_pinned(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown("fastwan2.1-t2v-1.3b", capsys)
    assert found["length"][0].startswith("61 frames at 16 fps, 3.81 s, by default; 1 to 81")
    assert found["shift"] == ["8: distilled, takes no other"]
    assert found["pinned"][0].startswith("no commit: main as it is when first pulled")
    assert found["hub"] == ["FastVideo/FastWan2.1-T2V-1.3B-Diffusers, size not known before a pull"]
    assert shown("lightx2v-t2v-14b", capsys)["pinned"][0].startswith("no commit, nor which LoRA files")
    assert "no others" in shown("wan2.2-ti2v-5b", capsys)["sizes"][0]


def test_pick_says_under_which_licence(capsys: pytest.CaptureFixture[str]) -> None:
    long = ["models", "pick", "--seconds", "15", "--device", "cpu", "--memory", "900GB"]
    assert licence("self-forcing-t2v-1.3b")["non_commercial"]
    assert run(long) == 0
    first, *refused = capsys.readouterr().out.splitlines()
    assert first.startswith("self-forcing-t2v-1.3b")
    assert "CC-BY-NC-SA-4.0, non-commercial" in first
    assert "would" not in " ".join(refused), "each is asked by itself"
    small = ["models", "pick", "--size", "256x160", "--camera", "push-in", "--device", "cpu", "--json"]
    assert run(small) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["licence"], row["non_commercial"]) for row in told["models"]] == [
        ("pocket", "Apache-2.0", False)
    ]
    assert "1280x704, 704x1280 and no other" in told["refused"]["wan2.2-ti2v-5b"]
