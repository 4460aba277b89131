"""What a plan has traced is kept on disk: read back as it was traced, or traced anew, and never in a plan's way."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from filmwright.engine import wan_work
from filmwright.engine.build_request import build_request
from filmwright.engine.plan import plan_for
from filmwright.engine.wan_work import Work, wan_works
from filmwright.spec.home import home
from filmwright.spec.request import Request
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

MODEL = "wan2.1-t2v-1.3b"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (MODEL, {"num_frames": 5}),
    "int8": (MODEL, {"num_frames": 9, "quantize": "int8"}),
    "rollout": ("self-forcing-t2v-1.3b", {"num_frames": 21}),
    "pictured": ("wan2.1-i2v-14b-480p", {"num_frames": 5}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WanFolder]:
    pytest.importorskip("diffusers")
    place = tmp_path_factory.mktemp("wan")
    text, picture = (WanFolder(save(name, place / name)) for name in (MODEL, "wan2.1-i2v-14b-480p"))
    return {kind: picture if kind == "pictured" else text for kind in KINDS}


def request(kind: str, tmp_path: Path) -> Request:
    model, changes = KINDS[kind]
    if kind == "pictured":
        Image.new("RGB", (64, 64), "red").save(tmp_path / "first.png")
        changes = {**changes, "image": tmp_path / "first.png"}
    return build_request("a red ball", model=model, size=(64, 64), seed=1, **changes)


def works(folder: WanFolder, of: Request) -> dict[str, Work]:
    """As a new process finds them."""
    wan_works.cache_clear()
    return wan_works(folder, of)


def kept() -> list[Path]:
    """All that lies in the folder of works, finished or not."""
    return sorted((home() / "works").iterdir()) if (home() / "works").is_dir() else []


def refuse(*_: object) -> dict[str, Work]:
    raise AssertionError("it was traced again")


@pytest.mark.parametrize("kind", KINDS)
def test_works_are_read_back_as_they_were_traced(
    kind: str, folders: dict[str, WanFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = request(kind, tmp_path)
    traced = works(folders[kind], of)
    assert set(traced) == {"text", "denoise", "decode"} | ({"pictures"} if kind == "pictured" else set())
    assert all(work.bytes and work.products + work.convolutions for work in traced.values())
    assert len(kept()) == 1
    monkeypatch.setattr(wan_work, "_traced", refuse)
    assert works(folders[kind], of) == traced
    assert len(kept()) == 1


DAMAGE = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "no JSON": lambda _: "\x00\xff words",
    "a list": lambda _: "[1, 2]",
    "nothing in it": lambda _: "{}",
    "a part is missing": lambda text: json.dumps(
        {k: v for k, v in json.loads(text).items() if k != "decode"}
    ),
    "a number is missing": lambda text: text.replace('"products"', '"product"', 1),
    "half a work": lambda text: json.dumps({k: {"bytes": 1} for k in json.loads(text)}),
    "words for numbers": lambda text: json.dumps(
        {k: {**v, "bytes": "9"} for k, v in json.loads(text).items()}
    ),
    "less than nothing": lambda text: json.dumps(
        {k: {**v, "bytes": -9} for k, v in json.loads(text).items()}
    ),
    "no number": lambda text: json.dumps(
        {k: {**v, "products": float("nan")} for k, v in json.loads(text).items()}
    ),
}


def test_a_damaged_file_is_traced_anew_and_replaced(folders: dict[str, WanFolder], tmp_path: Path) -> None:
    of = request("plain", tmp_path)
    traced = works(folders["plain"], of)
    (path,) = kept()
    whole = path.read_text("utf-8")
    for name, damaged in DAMAGE.items():
        path.write_text(damaged(whole), "latin-1")
        assert works(folders["plain"], of) == traced, name
        assert path.read_text("utf-8") == whole, name
        assert kept() == [path], name


def test_a_file_of_another_version_is_not_used(
    folders: dict[str, WanFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = request("plain", tmp_path)
    traced = works(folders["plain"], of)
    (path,) = kept()
    wrong = {name: {"bytes": 1, "products": 1.0, "convolutions": 1.0} for name in traced}
    path.write_text(json.dumps(wrong))
    assert works(folders["plain"], of)["text"].bytes == 1, "the file is what is read"
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "1.0")
        assert works(folders["plain"], of) == traced
    sources = wan_work._sources()
    changed = [(name, size + (name == "wan_folder.py"), when) for name, size, when in sources]
    assert changed != sources
    with monkeypatch.context() as other:
        other.setattr(wan_work, "_sources", lambda: changed)
        assert works(folders["plain"], of) == traced
    assert len(kept()) == 3


def test_all_that_builds_and_traces_a_net_is_told_apart_by_version() -> None:
    names = {name for name, *_ in wan_work._sources()}
    assert names >= {
        "trace.py",
        "wan_work.py",
        "attention.py",
        "umt5.py",
        "wan_vae.py",
        "wan_text.py",
        "strips.py",
    }


def test_another_request_has_a_file_of_its_own_and_the_oldest_go(
    folders: dict[str, WanFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wan_work, "KEPT", 2)
    of = request("plain", tmp_path)
    for steps in (1, 2, 3):
        works(folders["plain"], of.model_copy(update={"steps": steps}))
    assert len(kept()) == 2
    monkeypatch.setattr(wan_work, "_traced", refuse)
    works(folders["plain"], of.model_copy(update={"steps": 3, "seed": 2, "prompt": "other words"}))


@pytest.mark.parametrize("fault", ["no folder", "read-only", "full"])
def test_a_home_that_takes_nothing_stops_no_plan(
    fault: str, folders: dict[str, WanFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = folders["plain"].parts.at("transformer").parent
    of = request("plain", tmp_path)
    wan_works.cache_clear()
    wanted = plan_for(of, weights=weights, budget=10**12).peak
    other = tmp_path / "home"
    monkeypatch.setenv("FILMWRIGHT_HOME", str(other))
    if fault == "no folder":
        other.write_text("a file")
    elif fault == "read-only":
        monkeypatch.setenv(
            "FILMWRIGHT_HOME", "/proc/self/home"
        )  # not even the superuser makes a folder there
    wan_works.cache_clear()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if fault == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        plan = plan_for(of, weights=weights, budget=10**12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert plan.peak == pytest.approx(wanted, rel=0.1)  # what tracing has left in this process counts
    assert not kept() if fault == "full" else not other.is_dir()
