from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filmwright.engine.build_request import build_request
from filmwright.engine.sidecar import (
    Sidecar,
    differences,
    make_sidecar,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from filmwright.spec.errors import BadRequest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    request = build_request("a red ball rolls", seed=5, camera="push-in", guidance=2.5)
    sidecar = make_sidecar(
        request, weights={"vae": "ab" * 32}, timings={"denoise": 1.23456}, warnings=["no motion"]
    )
    target = sidecar_path(tmp_path / "film.mp4")
    write_sidecar(target, sidecar)
    return target


def test_it_comes_back_whole(path: Path) -> None:
    sidecar = read_sidecar(path)
    assert path.name == "film.json"
    assert sidecar.request == build_request("a red ball rolls", seed=5, camera="push-in", guidance=2.5)
    assert sidecar.request_digest == sidecar.request.digest()
    assert sidecar.weights == {"vae": "ab" * 32}
    assert sidecar.timings == {"denoise": 1.2346}
    assert sidecar.warnings == ("no motion",)
    assert {"python", "torch", "numpy", "av"} <= set(sidecar.versions)
    assert Sidecar.model_validate_json(sidecar.text()) == sidecar


def edited(path: Path, change: dict[str, Any], inside: str | None = None) -> str:
    content = json.loads(path.read_text())
    (content[inside] if inside else content).update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(BadRequest) as caught:
        read_sidecar(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("change", [{"seed": 6}, {"prompt": "a blue ball"}, {"controls": []}, {"width": 192}])
def test_an_edited_request_is_noticed(path: Path, change: dict[str, Any]) -> None:
    assert "edited by hand" in edited(path, change, "request")


@pytest.mark.parametrize("change", [{"seed": "x"}, {"steps": 0}, {"unknown": 1}, {"prompt": None}])
def test_a_request_of_another_form_is_refused(path: Path, change: dict[str, Any]) -> None:
    message = edited(path, change, "request")
    assert next(iter(change)) in message


def test_a_newer_version_says_both_versions(path: Path) -> None:
    message = edited(path, {"sidecar_version": 2, "filmwright": "9.0", "more": []})
    for words in ("version 2", "filmwright 9.0", "newer than the 1", "update"):
        assert words in message


@pytest.mark.parametrize(
    "change",
    [
        {"frames_digest": "0" * 64},
        {"weights": {}},
        {"timings": {"denoise": 0.1}},
        {"filmwright": "0.0.1"},
        {"digest": "0"},
    ],
)
def test_an_edit_anywhere_is_noticed(path: Path, change: dict[str, Any]) -> None:
    assert "edited by hand" in edited(path, change)


def test_a_sidecar_from_before_there_was_a_digest_is_read(path: Path) -> None:
    content = json.loads(path.read_text())
    assert content.pop("digest")
    path.write_text(json.dumps(content | {"frames_digest": "0" * 64}))
    assert read_sidecar(path).frames_digest == "0" * 64


def test_a_changed_sidecar_is_sealed_anew(path: Path) -> None:
    write_sidecar(path, read_sidecar(path).model_copy(update={"frames_digest": "ab"}))
    assert read_sidecar(path).frames_digest == "ab"


def test_unknown_fields_of_a_newer_filmwright_are_no_edit(path: Path) -> None:
    message = edited(path, {"filmwright": "9.0", "more": 1})
    for words in ("newer version, filmwright 9.0", "update"):
        assert words in message
    assert "edited" not in message


@pytest.mark.parametrize("filmwright", ["0.0.9", "x", None])
def test_unknown_fields_of_any_other_are(path: Path, filmwright: str | None) -> None:
    assert "edited by hand" in edited(path, {"filmwright": filmwright, "more": 1})


def test_what_made_two_clips_otherwise_is_named(path: Path) -> None:
    made = read_sidecar(path)
    assert differences(made, made) == []
    versions = made.versions | {"torch": "1.0", "device": "cpu, AVX2"}
    earlier = made.model_copy(
        update={"versions": versions, "weights": {"vae": "cd" * 32}, "filmwright": "0.0.9"}
    )
    assert differences(earlier, made) == [
        f"filmwright {made.filmwright} was 0.0.9",
        f"torch {made.versions['torch']} was 1.0",
        "the weights of vae are others",
    ]


def test_a_newer_request_says_so(path: Path) -> None:
    assert "request version 2" in edited(path, {"version": 2, "more": 1}, "request")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no Filmwright sidecar"),
        (b'{"a": 1}', "no Filmwright sidecar"),
        (b'{"sidecar_version": 1}', "edited by hand or damaged"),
        (b'{"sidecar_version": 1, "request": null}', "edited by hand or damaged"),
    ],
)
def test_what_is_no_sidecar(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(BadRequest, match=said):
        read_sidecar(tmp_path / "x.json")


def test_a_missing_sidecar_and_a_folder(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "x.json"):
        with pytest.raises(BadRequest, match="cannot read sidecar"):
            read_sidecar(wrong)
