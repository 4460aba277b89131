"""Several processes of one clip that fail, crash, are killed or cancelled: the cause is said once, with its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from filmwright.engine.workers import TEAM, WorkerDied, _cause, report
from filmwright.spec.errors import Cancelled, DoesNotFit, FilmwrightError
from reference_wan import save

MODEL = "wan2.1-t2v-1.3b"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    return save(MODEL, tmp_path_factory.mktemp("wan") / "model")


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def started(model: Path) -> Iterator[Start]:
    """Starts commands that make a clip with two processes, and sees that none outlives its test."""
    with ExitStack() as stack:

        def start(*more: str) -> subprocess.Popen[str]:
            shot = ["generate", "a red ball", "--model", MODEL, "--weights", str(model), "--size", "64x64"]
            shot += ["--device", "cpu", "--gpus", "2", *more]
            command = subprocess.Popen(
                [sys.executable, "-m", "filmwright.cli", *shot],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(command)
            stack.callback(command.terminate)
            return command

        yield start


def children(of: int) -> dict[str, int]:
    """Rank -> process of those that a command has started."""
    found = {}
    for child in Path(f"/proc/{of}/task/{of}/children").read_text().split():
        words = Path(f"/proc/{child}/environ").read_text().split("\0")
        ranks = [word.removeprefix("RANK=") for word in words if word.startswith("RANK=")]
        found |= dict.fromkeys(ranks, int(child))
    return found


def at_its_plan(command: subprocess.Popen[str]) -> dict[str, int]:
    """The processes of a command whose first one has spoken."""
    assert command.stderr is not None
    assert command.stderr.readline().startswith("plan: ")
    return children(command.pid)


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_all_processes_find_is_said_once_with_its_exit_code(started: Start, tmp_path: Path) -> None:
    down, up = torch.randn(2, 100), torch.randn(128, 2)
    stem = "diffusion_model.blocks.0.self_attn.q.lora"
    save_file({f"{stem}_down.weight": down, f"{stem}_up.weight": up}, tmp_path / "w.safetensors")
    command = started("--steps", "2", "--frames", "5", "--lora", "w.safetensors")
    out, err = command.communicate(timeout=300)
    assert command.returncode == 2, err
    assert out == ""
    plan, line = err.splitlines()
    assert plan.startswith("plan: ")
    assert line.startswith("error: LoRA w.safetensors does not fit this model: blocks.0.self_attn.q")


def test_a_run_that_is_cancelled_says_so_in_one_line_and_leaves_no_process(started: Start) -> None:
    command = started("--steps", "200", "--frames", "81", "--json")
    while len(team := children(command.pid)) < 2:
        assert command.poll() is None
        time.sleep(0.1)
    time.sleep(1)
    for process in (*team.values(), command.pid):  # as a terminal does, which tells all of them
        os.kill(process, signal.SIGINT)
    out, err = command.communicate(timeout=300)
    assert command.returncode == 130, err
    assert err == ""
    told = json.loads(out)["error"]
    assert told["code"] == "cancelled"
    assert told["message"].startswith("cancelled; nothing half written is left")
    assert all(map(gone, team.values()))


def test_one_that_waits_for_the_others_is_stopped_at_once(tmp_path: Path) -> None:
    words = "from filmwright.engine.parallel import join; print('joins', flush=True); join('cpu')"
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", TEAM: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", words], env=environment, stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        time.sleep(0.5)
        assert waiting.poll() is None
        waiting.send_signal(signal.SIGINT)
        try:
            assert waiting.wait(timeout=60) == -signal.SIGINT
        finally:
            waiting.kill()


def test_a_process_that_is_killed_ends_the_others_and_is_named(started: Start) -> None:
    command = started("--steps", "200", "--frames", "81")
    team = at_its_plan(command)
    os.kill(team["1"], signal.SIGKILL)
    out, err = command.communicate(timeout=300)
    assert command.returncode == 1, err
    assert out == ""
    assert "error: process 2 of 2 was killed by SIGKILL: there may be too little memory" in err
    assert "Traceback" not in err
    assert gone(team["0"])


def reported(folder: Path, monkeypatch: pytest.MonkeyPatch, errors: list[BaseException]) -> BaseException:
    """What comes of processes that end with these errors, the last of them first."""
    monkeypatch.setenv(TEAM, str(folder))
    codes = []
    for rank, error in reversed(list(enumerate(errors))):
        monkeypatch.setenv("RANK", str(rank))
        codes.insert(0, report(error))
        time.sleep(0.02)
    return _cause(folder, codes, len(errors) - 1)


def test_the_cause_is_told_and_not_what_followed_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = RuntimeError("Connection closed by peer")
    cause = reported(tmp_path, monkeypatch, [lost, DoesNotFit("9 GB are needed")])
    assert isinstance(cause, FilmwrightError)
    assert (str(cause), cause.code, cause.exit_code) == ("9 GB are needed", "does_not_fit", 2)
    cause = reported(tmp_path, monkeypatch, [lost, ZeroDivisionError("a bug")])
    assert isinstance(cause, WorkerDied)
    assert "ZeroDivisionError: a bug" in str(cause)
    assert "process 2 of 2 crashed" in str(cause)
    assert "Connection" not in str(cause)
    cause = reported(tmp_path, monkeypatch, [Cancelled("cancelled; go on"), KeyboardInterrupt()])
    assert isinstance(cause, Cancelled)
