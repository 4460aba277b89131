"""What a shot of a film file says beside its words, and what is said of its words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from filmwright.cli.main import run
from filmwright.direction.film.new import schema_text
from filmwright.direction.film.opened import OpenFilm, open_film
from filmwright.direction.film.prompts import prompt_findings
from filmwright.spec.request import CameraPath, Keyframe, MotionBrush

HEAD = """title: A film
size: 128x128
sequences:
  - id: one
    shots:
"""


def opened(folder: Path, text: str) -> OpenFilm:
    path = folder / "film.yaml"
    path.write_text(text)
    return open_film(path)


def test_controls_of_a_shot_are_of_the_schema_and_of_the_film_s_folder(tmp_path: Path) -> None:
    """Times in seconds become frames, files are found beside the film, and an editor's schema knows all of it."""
    for name in ("first.png", "later.png"):
        Image.new("RGB", (128, 128), "red").save(tmp_path / name)
    film = opened(
        tmp_path,
        HEAD + "      - id: a\n        prompt: a red ball\n        frames: 33\n        controls:\n"
        "          camera: {move: push-in, easing: in-out}\n"
        "          keyframes: [{at: 0, image: first.png}, {at: 1s, image: later.png}]\n"
        "          brush: {strokes: [{polygon: [[0.1, 0.1], [0.3, 0.1], [0.2, 0.4]], trajectory: [[0.2, 0.2], [0.7, 0.2]]}]}\n"
        "      - {id: b, prompt: a red ball, keyframe: k, controls: {keyframes: [{at: 1s, image: later.png}]}}\n"
        "      - {id: k, still: true, prompt: a red ball}\n",
    )
    controls = film.selected()["a"].request.controls
    places = [(c.at, Path(c.image.path).name) for c in controls if isinstance(c, Keyframe)]
    assert places == [(0, "first.png"), (16, "later.png")]
    (camera,) = (c for c in controls if isinstance(c, CameraPath))
    assert (camera.move, camera.easing) == ("push-in", "in-out")
    assert [stroke.trajectory for c in controls if isinstance(c, MotionBrush) for stroke in c.strokes] == [
        ((0, 0.2, 0.2), (32, 0.7, 0.2))
    ]
    (b,) = (draft for draft in film.drafts if draft.shot == "b")
    assert [c.at for c in b.request.controls if isinstance(c, Keyframe)] == [
        16
    ]  # the still's comes with its frame
    parts = json.loads(schema_text())["$defs"]
    assert parts["Shot"]["properties"]["controls"]["anyOf"][0] == {"$ref": "#/$defs/Controls"}
    assert parts["Controls-WrittenPose"]["required"] == ["at", "eye"]


def test_prompts_are_checked_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    film = opened(
        tmp_path,
        HEAD + "      - id: a\n        brief:\n          subject: a red ball\n          action: rests\n"
        "          light: noon light and moonlight\n"
        "      - {id: b, still: true, prompt: a red ball on sand}\n"
        "      - {id: c, camera: push-in, prompt: a red ball on sand}\n"
        "      - {id: d, prompt: a red ball on sand}\n"
        "      - id: e\n        prompt: >\n          a red ball rolls\n          at noon by moonlight\n",
    )
    found = [(item.shot, item.line, item.column, item.finding.code) for item in prompt_findings(film)]
    assert ("a", 10, 33, "contradictory-light") in found
    assert ("e", 17, 22, "contradictory-light") in found
    assert [item for item in found if item[0] in "bcd"] == [
        ("d", 13, 25, "no-motion")
    ]  # a frame need not move
    done = subprocess.run(
        [sys.executable, "-m", "filmwright.cli", "film", "check", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{path}:13:25: warning: shot d: no-motion: " in done.stderr
    assert done.stdout.rstrip().endswith(f"no mistakes, {len(found)} warnings")
    assert run(["film", "check", str(path), "--strict"]) == 2
