"""`filmwright.generate` from Python: every wrong word is a BadRequest in one line, and a run that died goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import filmwright
from dying import die_at_step
from filmwright.engine.api import Options
from filmwright.engine.build_request import build_request
from filmwright.engine.options import KINDS
from filmwright.spec.events import Event, Warned

WRONG = [
    {"prompt": 123},
    {"seed": "abc"},
    {"seed": True},
    {"size": 256},
    {"size": ("256", "160")},
    {"size": (256, 160, 3)},
    {"aspect": 1.6},
    {"seconds": "2"},
    {"num_frames": 9.0},
    {"fps": [16]},
    {"steps": "12"},
    {"guidance": "3"},
    {"camera": 5},
    {"camera": ""},
    {"image": 123},
    {"last_image": b"a.png"},
    {"controls": [5]},
    {"controls": "controls.json"},
    {"controls": 5},
    {"loras": "style.safetensors"},
    {"cache": []},
    {"compile": "yes"},
    {"base": {}},
    {"path": 5},
    {"weights": 5},
    {"weights": "nowhere"},
    {"memory": 1.5},
    {"memory": 1000},
    {"on_event": "print"},
    {"device": 5},
]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_a_wrong_kind_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(filmwright.BadRequest) as caught:
        filmwright.generate(**{"prompt": "a red ball", **options})
    said = str(caught.value)
    assert "\n" not in said
    assert next(iter(options)) in said or options == {"memory": 1000}


def test_none_of_them_loads_torch() -> None:
    code = f"""
import sys, filmwright
for options in {WRONG!r}:
    try:
        filmwright.generate(**{{"prompt": "a red ball", **options}})
    except filmwright.BadRequest:
        continue
    raise SystemExit(str(options))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_numbers_of_numpy_are_numbers() -> None:
    request = build_request("a ball", seed=np.int64(3), guidance=np.float32(2.5), size=[256, 160])  # type: ignore[arg-type]
    assert (request.seed, request.guidance, request.width) == (3, 2.5, 256)


def test_controls_may_come_one_by_one() -> None:
    camera = filmwright.CameraPath(move="push-in")
    assert build_request("a ball", controls=(c for c in [camera])).controls == (camera,)


def test_what_a_request_takes_is_typed_and_checked() -> None:
    assert set(get_type_hints(Options)) == set(KINDS) - {"prompt"}
    taken = get_type_hints(build_request)
    assert set(KINDS) == set(taken) - {"return"}


def test_a_run_that_died_goes_on_without_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    die_at_step(1, "a red ball rolls", path, seed=77, size="128x128", num_frames=5, steps=2)
    events: list[Event] = []
    clip = filmwright.generate(
        "a red ball rolls", path=path, size="128x128", num_frames=5, steps=2, on_event=events.append
    )
    assert clip.request is not None
    assert clip.request.seed == 77
    assert [e.code for e in events if isinstance(e, Warned)] == ["goes-on"]


def test_what_is_no_sidecar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.json").write_text("{}")
    with pytest.raises(filmwright.MediaError, match="no Filmwright sidecar"):
        filmwright.generate("a red ball rolls", path=tmp_path / "film.mp4")
