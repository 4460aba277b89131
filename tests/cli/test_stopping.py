"""Ctrl-C and a polite kill, at any moment: one line, exit code 130, nothing half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from filmwright.cli.beside import beside
from filmwright.cli.main import run
from filmwright.data.shards import Shards, write_shards
from filmwright.spec.errors import BadRequest, FilmwrightError

SAID = "error: cancelled; nothing half written is left\n"
BOTH = [signal.SIGINT, signal.SIGTERM]

LOADING = """
import os, signal, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "filmwright.cli.main":
            os.kill(os.getpid(), int(sys.argv.pop(1)))

sys.meta_path.insert(0, Stop())
from filmwright.cli.entry import main
main()
"""

ENDING = """
import atexit, os, signal, sys
kind = int(sys.argv.pop(1))
atexit.register(lambda: os.kill(os.getpid(), kind))
from filmwright.cli.entry import main
main()
"""

SWALLOWED = """
import os, signal
import typer
from filmwright.cli import entry, main
app = typer.Typer(add_completion=False)

@app.command()
def wait() -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise ValueError("as code in C makes of it") from None

main.app = app
entry.main()
"""

COMPUTED = """
import os, signal
import typer
from filmwright.cli import entry, main
app = typer.Typer(add_completion=False)

@app.command()
def wait() -> None:
    exec("import os, signal; os.kill(os.getpid(), signal.SIGINT)")

main.app = app
entry.main()
"""


def child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("kind", BOTH)
def test_while_the_command_is_loaded(kind: signal.Signals) -> None:
    done = child(LOADING, str(int(kind)), "models")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", SAID)
    done = child(LOADING, str(int(kind)), "models", "--json")
    assert (done.returncode, done.stderr) == (130, "")
    assert json.loads(done.stdout)["error"]["code"] == "cancelled"


@pytest.mark.parametrize("kind", BOTH)
def test_when_all_is_done_a_signal_changes_nothing(kind: signal.Signals) -> None:
    done = child(ENDING, str(int(kind)), "models")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pocket")


@pytest.mark.parametrize("code", [SWALLOWED, COMPUTED])
def test_a_stop_that_code_in_between_makes_something_else_of(code: str) -> None:
    done = child(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", SAID)


def test_a_background_job_goes_on_ignoring_ctrl_c() -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    done = child(ignoring + LOADING, str(int(signal.SIGINT)), "models")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_console_script_is_the_entry() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert 'filmwright = "filmwright.cli.entry:main"' in project.read_text()
    light = "import sys; import filmwright.cli.entry; assert not {'typer', 'filmwright.cli.main'} & set(sys.modules)"
    assert child(light).stderr == ""


def two() -> int:
    return 2


def refuse() -> int:
    raise BadRequest("no such thing")


def die() -> int:
    os._exit(9)


def wait() -> int:
    Path("began").touch()
    time.sleep(60)
    return 0


def test_work_beside() -> None:
    with beside(two) as result:
        assert result() == 2
    with beside(refuse) as refused, pytest.raises(BadRequest, match="no such thing"):
        refused()
    with beside(die) as dead, pytest.raises(FilmwrightError, match="died with code 9"):
        dead()


def test_work_beside_ends_with_its_block(capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with beside(wait):
        while not Path("began").exists():
            time.sleep(0.02)
    assert time.monotonic() - began < 50
    assert capfd.readouterr().err == ""


SHAPE = {"width": 32, "height": 32, "num_frames": 5}


def write(
    out: Path, *, count: int = 4, workers: int = 1, on_progress: Callable[[int, int], None] | None = None
) -> int:
    return write_shards(
        out, count=count, seed=1, part="solo", clips_per_shard=1, workers=workers, compiled=False,
        on_progress=on_progress, **SHAPE,
    )  # fmt: skip


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_that_are_stopped_go_on(workers: int, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    with pytest.raises(KeyboardInterrupt):
        write(out, workers=workers, on_progress=stop)
    assert list(out.glob("clips-*.jsonl"))
    assert not list(out.glob(".*"))
    assert write(out) == 4
    found = Shards(out)
    assert [found.frames(i).shape for i in range(4)] == [(5, 32, 32, 3)] * 4
    assert found.frames(3).std() > 0


def test_shards_that_are_stopped_at_once_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filmwright.world import points

    monkeypatch.setattr(points, "follow", stop)  # in the midst of a shard
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a" / "b", count=1)
    assert not list(tmp_path.iterdir())


def test_an_evaluation_that_is_stopped_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from filmwright.evaluation import suite
    from filmwright.evaluation.prompts import save_prompts

    def begun(*arguments: object, **_: object) -> None:
        save_prompts([], Path(str(arguments[3])) / "prompts.json")  # the first that it writes
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "evaluate", begun)
    assert run(["evaluate", "--out", "report", "--count", "2"]) == 130
    assert capsys.readouterr().err == SAID
    assert not list(tmp_path.iterdir())
