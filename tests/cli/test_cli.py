from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from PIL import Image

from filmwright.cli import main
from filmwright.cli.film_drawing import FilmDrawing
from filmwright.cli.generate import output_paths
from filmwright.cli.main import app, run
from filmwright.cli.progress import Drawing, time_left
from filmwright.direction.build.events import BuildProgress, Counted
from filmwright.engine.build_request import build_request
from filmwright.engine.sidecar import make_sidecar, write_sidecar
from filmwright.spec.errors import WeightsError
from filmwright.spec.events import Finished, Progress, Started, Warned
from filmwright.version import VERSION

TRACE = """
import sys
from filmwright.cli.main import run
code = run(sys.argv[1:])
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "mujoco", "cv2", "skimage", "numpy", "av"})
print(code, *heavy, file=sys.stderr)
"""


def traced(*arguments: str) -> tuple[str, list[str], int, list[str]]:
    """Run in a fresh process: stdout, stderr lines, exit code, and the heavy modules that were imported."""
    done = subprocess.run(
        [sys.executable, "-c", TRACE, *arguments], capture_output=True, text=True, check=True
    )
    *lines, last = done.stderr.splitlines()
    code, *heavy = last.split()
    return done.stdout, lines, int(code), heavy


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["generate", "--help"],
        ["train", "denoiser", "--help"],
        ["world", "--help"],
        ["models"],
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    out, err, code, heavy = traced(*arguments)
    assert (code, err, heavy) == (0, [], [])
    assert out


BAD = [
    (["generate"], "no prompt"),
    (["generate", ""], "prompt is empty"),
    (["generate", "x", "--size", "250x160"], "256x160"),
    (["generate", "x", "--frames", "30"], "29 or 33"),
    (["generate", "x", "--steps", "many"], "--steps"),
    (["generate", "x", "--count", "0"], "0 clips"),
    (["generate", "x", "--camera", "zoom"], "zoom"),
    (["generate", "x", "-o", "nowhere/a.mp4"], "nowhere"),
    (["generate", "x", "-o", "a.gif"], ".mp4"),
    (["generate", "x", "--image", "nowhere.png"], "nowhere.png"),
    (["generate", "--from", "nowhere.json"], "nowhere.json"),
    (["generate", "x", "--weights", "nowhere"], "train pack"),
    (["generate", "x", "--device", "gpu"], "cpu, cuda or cuda:0"),
    (["evaluate", "--out", "r", "--device", "gpu"], "cpu, cuda or cuda:0"),
    (["evaluate", "--out", "r", "--count", "1"], "--count 2"),
    (["evaluate", "--out", "r", "--reader", "nowhere"], "train reader"),
    (["evaluate", "--out", "r", "--model", "wan2.1-t2v-14b"], "no truth"),
    (["models", "show", "nonsense"], "unknown model"),
    (["generate", "x", "--cache", "0.1"], "takes no --cache"),
    (["generate", "x", "--model", "wan2.1-t2v-1.3b", "--cache", "2"], "--cache 2 is out of range"),
    (["generate", "x", "--memory", "much"], "no amount of memory"),
    (["generate", "x", "--memory", "100MB"], "allow --memory"),
    (["plan", "x", "--size", "250x160"], "256x160"),
    (["plan", "x", "--memory", "-1GB"], "no amount of memory"),
    (["plan", "--from", "nowhere.json"], "nowhere.json"),
    (["resume"], "no run is unfinished"),
    (["resume", "a.mp4"], "no unfinished run makes a.mp4"),
    (["generate", "x", "y"], "y"),
    (["generate", "x", "--nonsense"], "--nonsense"),
    (["nonsense"], "nonsense"),
    (["train", "vae"], "--data"),
    (["train", "vae", "--data", "nowhere", "--out", "run"], "nowhere"),
    (["train", "vae", "--data", ".", "--out", "run", "--size", "huge"], "lite, full, tiny"),
    (["train", "vae", "--data", ".", "--out", "run", "--batch", "0"], "--batch 0"),
    (["train", "vae", "--data", ".", "--out", "run", "--cooldown", "2"], "--cooldown 2"),
    (["train", "vae", "--data", ".", "--out", "run", "--device", "tpu"], "tpu"),
    (
        ["train", "vae", "--data", ".", "--out", "run", "--latent-noise", "-0.1"],
        "--latent-noise -0.1 is out of range: from 0 to 1",
    ),
    (
        ["train", "vae", "--data", ".", "--out", "run", "--latent-noise", "1.01"],
        "--latent-noise 1.01 is out of range",
    ),
    (
        ["train", "vae", "--data", ".", "--out", "run", "--latent-noise", "nan"],
        "--latent-noise nan is out of range",
    ),
    (
        ["train", "vae", "--data", ".", "--out", "run", "--latent-noise", "inf"],
        "--latent-noise inf is out of range",
    ),
    (["train", "vae", "--data", ".", "--out", "run", "--latent-noise", "0.3:0.1"], "--latent-noise"),
    (["train", "vae", "--data", ".", "--out", "run", "--latent-noise", "1..0"], "--latent-noise"),
    (["train", "vae", "--data", ".", "--out", "run", "--latent-noise", "much"], "--latent-noise"),
    (["train", "denoiser", "--data", "nowhere", "--out", "run"], "nowhere"),
    (["world", "shards", "--out", "x", "--part", "half"], "solo, duo, whole"),
    (["world", "shards", "--out", "x", "--count", "-1"], "-1 clips"),
    (["world", "shards", "--out", "x", "--frames", "32"], "29 and 33"),
]

NOISE = [case for case in BAD if "--latent-noise" in case[0]]


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"), [BAD[2], BAD[4], BAD[9], BAD[13], BAD[16], BAD[20], *NOISE[:1]]
)
def test_bad_input_never_loads_torch(arguments: list[str], said: str) -> None:
    _, err, code, heavy = traced(*arguments)
    assert code == 2
    assert said in err[0]
    assert heavy == []


def test_a_truncated_image_is_found_without_torch(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
    _, err, code, heavy = traced("generate", "x", "--image", str(tmp_path / "a.png"))
    assert (code, heavy) == (2, [])
    assert "truncated" in err[0]


def test_json_errors_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (
        (["generate", "x", "--size", "9x9"], "bad_request"),
        (["generate", "--wat"], "usage"),
    ):
        assert run([*arguments, "--json"]) == 2
        out, err = capsys.readouterr()
        assert err == ""
        error = json.loads(out)["error"]
        assert error["code"] == code
        assert error["message"]


def test_every_command_group_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            name = command.name or getattr(command.callback, "__name__", "")
            assert run([str(group.name), name, "--help"]) == 0
            shown = capsys.readouterr().out
            assert (
                any(option in shown for option in ("--json", "--out") if name != "schema") or name == "schema"
            )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"filmwright {VERSION}\n"


def test_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    names = [card["name"] for card in json.loads(capsys.readouterr().out)["models"]]
    assert names[0] == "pocket"
    assert "wan2.2-ti2v-5b" in names


def test_sizes_are_those_of_the_catalogue() -> None:
    from filmwright.cli.train_options import SIZES
    from filmwright.models.catalog import SIZES as CATALOGUE

    assert set(SIZES) == set(CATALOGUE)


def test_several_clips_are_numbered() -> None:
    assert output_paths(Path("d/film.mp4"), 1) == [Path("d/film.mp4")]
    assert [p.name for p in output_paths(Path("film.mp4"), 11)][::10] == ["film-01.mp4", "film-11.mp4"]


def test_an_edited_sidecar_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sidecar = make_sidecar(build_request("a ball", seed=1), weights={}, timings={})
    write_sidecar(tmp_path / "film.json", sidecar)
    text = (tmp_path / "film.json").read_text()
    (tmp_path / "film.json").write_text(text.replace('"seed": 1', '"seed": 2'))
    assert run(["generate", "--from", "film.json"]) == 2
    assert "edited by hand" in capsys.readouterr().err


def test_warnings_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Any] = [
        Started(stage="denoise", total=2),
        Warned(code="unknown_words", message="the model does not know: zeppelin"),
        Warned(code="unknown_words", message="the model does not know: zeppelin"),
        Progress(stage="denoise", done=1, total=2, seconds_left=3.0),
        Finished(stage="denoise", seconds=1.0),
    ]
    for quiet in (False, True):
        with Drawing(quiet=quiet) as drawing:
            for event in events:
                drawing(event)
        assert len(drawing.warnings) == 1
        assert capsys.readouterr().err.count("zeppelin") == (0 if quiet else 1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_is_drawn_on_and_left_clean(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with Drawing(title="take 2, ", quiet=quiet) as drawing:
        drawing(Started(stage="denoise", total=7))
        drawing(Progress(stage="denoise", done=3, total=7, seconds_left=65.0))
        drawing(Warned(code="unknown_words", message="the model does not know: zeppelin"))
    drawn = screen.getvalue()
    for said in ("take 2, denoising", "3/7", "1:05 left", "warning: the model does not know: zeppelin\n"):
        assert (said in drawn) is not quiet
    assert drawn.endswith("\x1b[2K") is not quiet, "the bar is wiped"
    with FilmDrawing(quiet=quiet) as building:
        building(Counted(to_make=2, kept=1))
        building(BuildProgress(name="a#1", stage="denoise", share=0.5, seconds_left=65.0))
    built = screen.getvalue().removeprefix(drawn)
    for said in ("2 to make, 1 kept\n", "a#1: denoising", "50%", "1:05 left"):
        assert (said in built) is not quiet


def test_time_left() -> None:
    assert [time_left(s) for s in (None, 0.2, 65, 600)] == ["", "0:00 left", "1:05 left", "10:00 left"]


def test_errors_of_the_library_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = typer.Typer(add_completion=False)

    @broken.command()
    def fail(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        raise WeightsError("weights file x is truncated:\n reinstall the package")

    monkeypatch.setattr(main, "app", broken)
    line = "weights file x is truncated: reinstall the package"
    assert run([]) == 2
    assert capsys.readouterr().err == f"error: {line}\n"
    assert run(["--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"error": {"code": "weights", "message": line}}


WAIT = """
import time
import typer
from filmwright.cli import main
app = typer.Typer(add_completion=False)

@app.command()
def wait() -> None:
    typer.echo("ready", err=True)
    time.sleep(30)

main.app = app
main.main()
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_one_line_and_130(kind: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WAIT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    assert child.stderr.readline() == "ready\n"
    time.sleep(0.1)
    os.kill(child.pid, kind)
    out, err = child.communicate(timeout=10)
    assert child.returncode == 130
    assert out == ""
    assert err.strip() == "error: cancelled; nothing half written is left"


def test_a_closed_pipe_is_silent() -> None:
    command = f'"{sys.executable}" -m filmwright.cli models | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_the_package_is_light_and_has_what_it_names() -> None:
    light = "import sys, filmwright; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    names = "; missing = [n for n in filmwright.__all__ if not hasattr(filmwright, n)]; assert not missing, missing"
    still = "; assert 'torch' not in sys.modules"  # generate loads it when it is called
    subprocess.run([sys.executable, "-c", light + names + still], check=True)


def test_generate_refuses_before_torch() -> None:
    code = (
        "import sys, filmwright\n"
        "try:\n    filmwright.generate('a ball', size='250x160')\n"
        "except filmwright.BadRequest as error:\n    print(error, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "256x160" in done.stdout
    assert done.stdout.strip().endswith("False")
