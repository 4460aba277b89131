"""A run that dies goes on where it was, to the bit; and what is kept never stands in a run's way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dying import die_at_step
from filmwright.diffusion.samplers import SAMPLERS
from filmwright.diffusion.schedules import timesteps
from filmwright.engine.build_request import build_request
from filmwright.engine.generate import generate_clip
from filmwright.engine.journal import Journal, Latents, journal_of
from filmwright.engine.runs import RunRecord, folder_of, pick_run, unfinished
from filmwright.spec.errors import BadRequest
from filmwright.spec.events import Event, Progress, Warned
from filmwright.version import VERSION

PROMPT = "a red ball rolls to the left on a wooden floor"


class Died(Exception):
    """Stands for the power going off."""


def denoiser(dies_at: int | None = None) -> tuple[list[int], object]:
    calls: list[int] = []

    def denoise(x: Tensor, levels: Tensor) -> Tensor:
        if len(calls) == dies_at:
            raise Died
        calls.append(len(calls))
        return torch.sin(3 * x) + levels[:, None, :, None, None]

    return calls, denoise


def record(tmp_path: Path, **changes: object) -> RunRecord:
    plain = {
        "filmwright": VERSION,
        "request": build_request(PROMPT, seed=3),
        "path": tmp_path / "film.mp4",
        "device": "cpu",
        "weights_folder": None,
        "weights": {"denoiser": "aa"},
    }
    return RunRecord.model_validate(plain | changes)


@contextmanager
def working(of: RunRecord, said: list[str] | None = None) -> Iterator[Journal]:
    with journal_of(of, lambda code, _: (said if said is not None else []).append(code)) as journal:
        yield journal


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_that_died_goes_on_to_the_same_bits(sampler: str, tmp_path: Path) -> None:
    noise = torch.randn(1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    times = timesteps(9, shift=3.0)
    _, whole = denoiser()
    wanted = SAMPLERS[sampler](whole, noise, times)
    _, dying = denoiser(dies_at=5)
    with pytest.raises(Died), working(record(tmp_path)) as journal:
        SAMPLERS[sampler](journal.through(dying), noise, times)
    calls, again = denoiser()
    with working(record(tmp_path)) as journal:
        assert journal.kept == 5
        assert torch.equal(SAMPLERS[sampler](journal.through(again), noise, times), wanted)
    assert len(calls) == 4
    assert not folder_of(record(tmp_path).request, tmp_path / "film.mp4").exists()


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    noise = torch.randn(1, 4, 3, 2, 2)
    times = timesteps(6)
    _, dying = denoiser(dies_at=4)
    with pytest.raises(Died), working(record(tmp_path)) as journal:
        SAMPLERS["unipc"](journal.through(dying), noise, times)
    (folder_of(record(tmp_path).request, tmp_path / "film.mp4") / "velocity-0002.safetensors").write_bytes(
        b"half"
    )
    calls, again = denoiser()
    with working(record(tmp_path)) as journal:
        found = SAMPLERS["unipc"](journal.through(again), noise, times)
    assert torch.equal(found, SAMPLERS["unipc"](denoiser()[1], noise, times))
    assert len(calls) == 4


@pytest.mark.parametrize("change", [{"weights": {"denoiser": "bb"}}, {"filmwright": "0.0.0"}])
def test_other_weights_begin_anew_and_say_so(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(Died), working(record(tmp_path)) as journal:
        SAMPLERS["euler"](journal.through(denoiser(dies_at=2)[1]), torch.zeros(1, 4, 1, 2, 2), timesteps(4))
    said: list[str] = []
    with working(record(tmp_path, **change), said) as journal:
        assert journal.kept == 0
    assert said == ["begun-anew"]


def test_two_processes_do_not_make_one_clip(tmp_path: Path) -> None:
    with working(record(tmp_path)):
        assert [run.running for run in unfinished()] == [True]
        with pytest.raises(BadRequest, match="another process is making"), working(record(tmp_path)):
            pass
        with pytest.raises(BadRequest, match="nothing to resume"):
            pick_run(tmp_path / "film.mp4")


def test_a_full_disk_ends_the_keeping_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("filmwright.engine.journal.save_file", full)
    said: list[str] = []
    x = torch.randn(1, 4, 1, 2, 2)
    with working(record(tmp_path), said) as journal:
        found = SAMPLERS["euler"](journal.through(denoiser()[1]), x, timesteps(4))
    assert torch.equal(found, SAMPLERS["euler"](denoiser()[1], x, timesteps(4)))
    assert said == ["no-journal"]


def test_a_disk_full_at_the_record_ends_the_keeping_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("filmwright.engine.journal._begin", full)
    monkeypatch.chdir(tmp_path)
    answer = (
        tmp_path / "velocity-0000.safetensors"
    )  # a file of that name where the run was started is not the run's
    answer.write_bytes(b"mine")
    said: list[str] = []
    with working(record(tmp_path), said) as journal:
        SAMPLERS["euler"](journal.through(denoiser()[1]), torch.zeros(1, 4, 1, 2, 2), timesteps(4))
        journal.keep_latents(Latents(picture=torch.zeros(1)))
    assert said == ["no-journal"]
    assert answer.read_bytes() == b"mine"


def test_nothing_is_left_of_a_run_that_reached_nothing(tmp_path: Path) -> None:
    with pytest.raises(Died), working(record(tmp_path)):
        raise Died
    assert unfinished() == []


def test_a_failed_decode_is_resumed_without_denoising(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = build_request(PROMPT, seed=3, steps=3, size="128x128", num_frames=5)
    path = tmp_path / "film.mp4"
    with monkeypatch.context() as broken:
        broken.setattr("filmwright.engine.pocket.PocketRunner.decode", _no_memory)
        with pytest.raises(MemoryError):
            generate_clip(request, path=path)
    assert not path.exists()
    assert pick_run(None).denoised
    events: list[Event] = []
    clip = generate_clip(request, path=path, on_event=events.append)
    assert not [e for e in events if isinstance(e, Progress) and e.stage == "denoise"]
    assert not [e for e in events if isinstance(e, Warned)]
    assert (clip.frames == generate_clip(request).frames).all()
    assert unfinished() == []


def _no_memory(*_: object) -> None:
    raise MemoryError


def test_a_killed_run_is_listed_and_resumed_to_the_same_frames(tmp_path: Path) -> None:
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "filmwright.cli", *arguments]

    whole = command("generate", PROMPT, "-o", "whole.mp4", "--seed", "4", "--steps", "12", "--json")
    subprocess.run(whole, check=True, capture_output=True, cwd=tmp_path)
    die_at_step(5, PROMPT, tmp_path / "film.mp4", seed=4, steps=12)
    listed = subprocess.run(
        command("resume", "--list", "--json"), check=True, capture_output=True, cwd=tmp_path
    )
    (run,) = json.loads(listed.stdout)["runs"]
    assert run["path"] == str(tmp_path / "film.mp4")
    assert run["steps_done"] == 5
    assert not run["running"]
    subprocess.run(command("resume", "film.mp4"), check=True, capture_output=True, cwd=tmp_path)
    digests = [
        json.loads((tmp_path / name).read_text())["frames_digest"] for name in ("whole.json", "film.json")
    ]
    assert digests[0] == digests[1]
    again = subprocess.run(command("resume"), check=False, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.strip() == "error: no run is unfinished: there is nothing to resume"
