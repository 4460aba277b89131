"""Models pulled over real HTTP from a hub on this machine: whole, resumed, refused; what was pulled makes a clip."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from filmwright.cli import model_files
from filmwright.cli.main import run
from filmwright.spec.errors import HubError
from filmwright.weights import pulling
from filmwright.weights.card import load_card
from filmwright.weights.places import place_of
from hub_server import HubServer
from reference_wan import save

pytest.importorskip("diffusers")
MODEL = "wan2.1-t2v-1.3b"
CARD = load_card(MODEL)
VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random Wan as its repository has it: with a picture, a pickle and half precision beside."""
    folder = save(MODEL, tmp_path_factory.mktemp("published") / "wan")
    (folder / "README.md").write_text("words")
    (folder / "vae" / "old.bin").write_bytes(b"pickle")
    (folder / "assets").mkdir()
    (folder / "assets" / "list.json").write_text("{}")
    shutil.copy(folder / VAE, folder / "vae" / "diffusion_pytorch_model.fp16.safetensors")
    return folder


@pytest.fixture
def hub(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    assert CARD.hub is not None
    assert CARD.revision is not None
    monkeypatch.setattr(pulling, "WAITS", (0.0, 0.0))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer(published, CARD.hub, CARD.revision) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def home() -> Path:
    return pulling.default_folder(MODEL)


def said(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """The one line of an error."""
    capsys.readouterr()
    assert run(["models", *arguments]) == code
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def nothing_is_kept() -> bool:
    return not pulling.places() and not list(home().rglob("*.safetensors"))


def test_a_pull_takes_what_the_model_is_and_the_model_makes_a_clip(
    hub: HubServer,
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(["models", "pull", MODEL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(home())
    assert told["revision"] == CARD.revision
    weights = {str(p.relative_to(home())): p for p in home().rglob("*.safetensors")}
    assert set(weights) == {
        "text_encoder/model.safetensors", "transformer/diffusion_pytorch_model.safetensors", VAE,
    }  # fmt: skip
    beside = {str(p.relative_to(home())) for p in home().rglob("*") if p.is_file()} - set(weights)
    assert {"model_index.json", "tokenizer/tokenizer.json", "transformer/config.json"} < beside
    assert all(name.endswith((".json", ".txt", ".model")) for name in beside)
    assert not (home() / "assets").exists()
    hashes = place_of(MODEL).check()
    assert hashes == {k: hashlib.sha256((published / k).read_bytes()).hexdigest() for k in weights}

    assert run(["models", "show", MODEL, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["path"] == str(home())
    assert shown["place"] == {"parts": {}, "revision": CARD.revision, "pulled": True}
    assert (shown["licence"], shown["revision"], shown["bytes"]) == (
        "Apache-2.0",
        CARD.revision,
        28_907_198_668,
    )
    assert run(["models"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{MODEL} "))
    assert row.split()[1:4] == ["here", "28.9", "GB"]

    asked = len(hub.asked)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens, and nobody is asked
    assert run(["models", "pull", MODEL]) == 0
    assert "was here already" in capsys.readouterr().out
    assert len(hub.asked) == asked
    clip = tmp_path / "clip.mp4"
    words = [
        "generate",
        "a red ball",
        "--model",
        MODEL,
        "--size",
        "64x64",
        "--frames",
        "5",
        "--steps",
        "1",
        "--seed",
        "1",
    ]
    assert run([*words, "-o", str(clip), "--json"]) == 0
    assert json.loads(clip.with_suffix(".json").read_text())["weights"] == hashes


def test_a_broken_connection_is_taken_up_where_it_broke(hub: HubServer, published: Path) -> None:
    size = (published / VAE).stat().st_size
    hub.cut = {VAE: [1000, 5000]}
    assert run(["models", "pull", MODEL, "--json"]) == 0
    ranges = [wanted for name, wanted in hub.fetched() if name == VAE]
    assert ranges == [None, "bytes=1000-", "bytes=6000-"]
    assert (home() / VAE).read_bytes() == (published / VAE).read_bytes()
    assert size > 6000


def test_a_pull_that_died_goes_on(
    hub: HubServer, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.cut = {VAE: [4000, 0, 0, 0]}  # and then nothing more comes
    line = said(capsys, 3, "pull", MODEL)
    assert "cannot be reached" in line
    assert f"models add {home()} --as {MODEL}" in line
    assert not pulling.places(), "what is not whole is not on the list"
    assert (home() / f"{VAE}.part").read_bytes() == (published / VAE).read_bytes()[:4000]
    hub.asked.clear()
    assert run(["models", "pull", MODEL]) == 0
    assert "of it here already" in capsys.readouterr().err
    again = hub.fetched()
    assert (VAE, "bytes=4000-") in again
    assert [name for name, _ in again if name.endswith(".safetensors")] == [VAE], (
        "what was whole is not fetched again"
    )
    assert place_of(MODEL).check()[VAE] == hashlib.sha256((published / VAE).read_bytes()).hexdigest()
    assert not list(home().rglob("*.part"))


def test_a_pull_that_is_told_to_stop_keeps_what_has_come(hub: HubServer, published: Path) -> None:
    hub.holding = {VAE}
    child = subprocess.Popen(
        [sys.executable, "-m", "filmwright.cli", "models", "pull", MODEL], stderr=subprocess.PIPE, text=True
    )
    part, half = home() / f"{VAE}.part", (published / VAE).stat().st_size // 2
    try:
        for _ in range(600):
            if part.exists() and part.stat().st_size > half // 2:
                break
            time.sleep(0.05)
        child.terminate()
        _, error = child.communicate(timeout=30)
    finally:
        child.kill()
        hub.held.set()
    assert child.returncode == 130
    assert f"goes on with: filmwright models pull {MODEL}" in error.splitlines()[-1]
    kept = part.read_bytes()
    assert kept == (published / VAE).read_bytes()[: len(kept)]
    hub.holding = set()
    assert run(["models", "pull", MODEL, "--json"]) == 0
    assert (VAE, f"bytes={len(kept)}-") in hub.fetched()
    assert (home() / VAE).read_bytes() == (published / VAE).read_bytes()


def test_two_pulls_into_one_folder_are_one_too_many(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    home().mkdir(parents=True)
    lock = os.open(home(), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert "another pull writes to" in said(capsys, 2, "pull", MODEL)
    finally:
        os.close(lock)
    assert run(["models", "pull", MODEL, "--json"]) == 0


def test_where_no_terminal_is_progress_is_lines(
    hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "LINE_EVERY", 0.0)
    assert run(["models", "pull", MODEL]) == 0
    first, *lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"pulling {CARD.hub} at commit 0fad780a534b: \d+ files, 2 MB", first)
    assert all(re.match(r"\d+ (MB|KB|bytes) of 2 MB, \d+ (MB|KB)/s, ", line) for line in lines)
    assert lines[-1].startswith("2 MB of 2 MB")
    assert lines[-1].endswith(VAE)


def test_a_hub_that_knows_no_ranges_does_no_harm(hub: HubServer, published: Path) -> None:
    hub.cut, hub.knows_ranges = {VAE: [3000]}, False
    assert run(["models", "pull", MODEL, "--json"]) == 0
    assert (home() / VAE).read_bytes() == (published / VAE).read_bytes()


@pytest.mark.parametrize("name", [VAE, "vae/config.json"])
def test_a_file_with_another_hash_is_refused(
    name: str, hub: HubServer, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.altered = {name}
    assert "damaged on the way" in said(capsys, 2, "pull", MODEL)
    assert not pulling.places()
    assert not (home() / name).exists()
    hub.altered = set()
    assert run(["models", "pull", MODEL, "--json"]) == 0
    assert (home() / name).read_bytes() == (published / name).read_bytes()


def test_a_part_of_something_else_is_found_out(
    hub: HubServer, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = home() / f"{VAE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 500)
    assert "damaged on the way" in said(capsys, 2, "pull", MODEL)
    assert run(["models", "pull", MODEL, "--json"]) == 0
    assert (home() / VAE).read_bytes() == (published / VAE).read_bytes()


def test_refusals_are_one_line_each(
    hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.refused = (401, "GatedRepo")
    line = said(capsys, 3, "pull", MODEL)
    assert "accept its licence" in line
    assert "HF_TOKEN" in line
    hub.refused = (403, "")
    assert "accept its licence" in said(capsys, 3, "pull", MODEL)
    hub.refused = (404, "RepoNotFound")
    assert "404" in said(capsys, 3, "pull", MODEL)
    hub.refused = (500, "")
    assert "500" in said(capsys, 3, "pull", MODEL)
    hub.refused, hub.claimed = None, {VAE: 10**15}
    assert "1000000" in said(capsys, 2, "pull", MODEL)
    assert not home().exists(), "too small a disk is told before anything is written"
    hub.claimed, hub.listed = {}, ["../../evil.json"]
    assert "outside of its folder" in said(capsys, 3, "pull", MODEL)
    hub.listed = []
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    line = said(capsys, 3, "pull", MODEL, "--to", str(tmp_path / "there"))
    assert "cannot be reached" in line
    assert f"into {tmp_path / 'there'}" in line
    assert "comes with the package" in said(capsys, 2, "pull", "pocket")
    assert "did you mean" in said(capsys, 2, "pull", "wan2.1-t2v")
    assert nothing_is_kept()


def test_a_token_opens_and_goes_to_the_hub_alone(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert run(["models", "pull", MODEL, "--json"]) == 0
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_disk_that_fills_up_is_said_and_the_pull_goes_on(
    hub: HubServer, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = (published / VAE).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, hard))
    try:
        line = said(capsys, 2, "pull", MODEL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "is full: free some space" in line
    assert not pulling.places()
    assert run(["models", "pull", MODEL, "--json"]) == 0
    assert (home() / VAE).read_bytes() == (published / VAE).read_bytes()


def test_files_of_others_are_left_alone(
    hub: HubServer, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    (folder / "vae").mkdir(parents=True)
    (folder / "vae" / "config.json").write_text("{}")
    assert "is not what" in said(capsys, 2, "pull", MODEL, "--to", str(folder))
    assert (folder / "vae" / "config.json").read_text() == "{}"
    shutil.copy(published / "vae" / "config.json", folder / "vae" / "config.json")
    assert run(["models", "pull", MODEL, "--to", str(folder), "--json"]) == 0
    assert "vae/config.json" not in [name for name, _ in hub.fetched()], "it was the same"
    capsys.readouterr()
    assert run(["models", "pull", MODEL]) == 0
    assert f"was here already: {folder}" in capsys.readouterr().out, "where it was pulled before"
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.safetensors").write_bytes(b"")
    assert "holds other weights (x.safetensors)" in said(capsys, 2, "pull", MODEL, "--to", str(other))
    assert "without --delete" in said(capsys, 2, "remove", MODEL, "--delete")
    assert run(["models", "remove", MODEL]) == 0
    assert (folder / VAE).exists()


def test_what_was_pulled_is_deleted_when_asked_and_no_more(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "pull", MODEL, "--json"]) == 0
    notes = home() / "vae" / "notes.md"
    notes.write_text("mine")
    capsys.readouterr()
    assert run(["models", "remove", MODEL, "--delete"]) == 0
    assert f"of {home()}" in capsys.readouterr().err
    assert [p for p in home().rglob("*") if p.is_file()] == [notes]
    assert "not on this machine's list" in said(capsys, 2, "remove", MODEL)


def test_a_record_that_points_elsewhere_deletes_nothing(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "pull", MODEL, "--json"]) == 0
    mine = home().parent / "mine.txt"
    mine.write_text("kept")
    record = home() / ".pull.json"
    told = json.loads(record.read_text())
    told["files"]["../mine.txt"] = next(iter(told["files"].values()))
    record.write_text(json.dumps(told))
    assert "was not pulled into Filmwright's own folder" in said(capsys, 2, "remove", MODEL, "--delete")
    assert run(["models", "pull", MODEL, "--json"]) == 0
    assert run(["models", "remove", MODEL, "--delete"]) == 0
    assert mine.read_text() == "kept"
    assert not home().exists()


def test_a_model_without_a_pin_stays_at_the_commit_of_its_first_pull(hub: HubServer, tmp_path: Path) -> None:
    card = CARD.model_copy(update={"revision": None})
    first = hub.commit
    hub.cut = {VAE: [100, 0, 0, 0]}
    with pytest.raises(HubError):
        pulling.pull(pulling.list_pull(card, tmp_path / "x"), tmp_path / "x")
    hub.commit = "b" * 40  # main has moved on
    with pytest.raises(HubError):  # and the server of this test has the old one no more
        pulling.list_pull(card, tmp_path / "x")
    assert hub.asked[-1][0].endswith(first), "it is asked for what was begun"
    assert pulling.list_pull(card, tmp_path / "y").revision == "b" * 40
    hub.commit = first
    place = pulling.pull(pulling.list_pull(card, tmp_path / "x"), tmp_path / "x")
    assert place.revision == first
    assert pulling.list_pull(card, tmp_path / "elsewhere").revision == first


def test_what_is_not_a_whole_model_is_not_pulled(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.folder = tmp_path / "loose"
    hub.folder.mkdir()
    (hub.folder / "one.safetensors").write_bytes(b"x")
    assert "publishes single files" in said(capsys, 2, "pull", MODEL)
    (hub.folder / "model_index.json").write_text(
        '{"vae": ["diffusers", "AutoencoderKLWan"], "eye": [null, null]}'
    )
    assert "has no safetensors" in said(capsys, 3, "pull", MODEL)
    (hub.folder / "model_index.json").write_text("not JSON")
    assert "does not answer as a hub does" in said(capsys, 3, "pull", MODEL)
    assert nothing_is_kept()
