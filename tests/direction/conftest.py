"""A small film of the real pocket model, built once; each test has a copy of its store."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from filmwright.direction.build.builder import build
from filmwright.direction.film.opened import open_film

FILM = """title: Four shots
size: 128x128
steps: 1
guidance: 1.0
sequences:
  - id: one
    shots:
      - {id: k, still: true, prompt: a red ball rests on a wooden floor}
      - {id: a, frames: 9, keyframe: k, prompt: a red ball rolls on a wooden floor}
      - {id: b, frames: 9, continues: {shot: a, frames: 5}, prompt: a red ball rolls on a wooden floor}
      - {id: c, frames: 5, takes: [3, 4], take: 1, prompt: a blue cube spins on sand}
edit:
  - {shot: a}
  - {shot: b, trim: [0.3125, 0.5625]}
  - {shot: c, transition: {kind: dissolve, seconds: 0.125}}
"""


@pytest.fixture(scope="session")
def built_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """$FILMWRIGHT_HOME after FILM was built in it."""
    home = tmp_path_factory.mktemp("home")
    folder = tmp_path_factory.mktemp("film")
    (folder / "film.yaml").write_text(FILM)
    before = os.environ.get("FILMWRIGHT_HOME")
    os.environ["FILMWRIGHT_HOME"] = str(home)
    try:
        build(open_film(folder / "film.yaml"))
    finally:
        gc.collect()
        gc.freeze()  # a render collects garbage: what pytest and torch hold for ever need not be looked at each time
        if before is None:
            del os.environ["FILMWRIGHT_HOME"]
        else:
            os.environ["FILMWRIGHT_HOME"] = before
    return home


@pytest.fixture
def home(built_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, in use."""
    mine = tmp_path / "home"
    shutil.copytree(built_home, mine)
    monkeypatch.setenv("FILMWRIGHT_HOME", str(mine))
    return mine


@pytest.fixture
def film(home: Path, tmp_path: Path) -> Path:
    """The film's file, in a folder where it was built."""
    folder = tmp_path / "film"
    folder.mkdir()
    path = folder / "film.yaml"
    path.write_text(FILM)
    build(open_film(path))
    return path
