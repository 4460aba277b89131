"""The plan of a clip that is made chunk by chunk: its past counts, and it is what is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from filmwright.engine.build_request import build_request
from filmwright.engine.plan import plan_for
from reference_wan import save

MODEL = "self-forcing-t2v-1.3b"
LAYERS = 10
PAST = 2 * LAYERS * 12 * 12 * 128 * 2  # bytes of keys and values of a latent frame in bf16
DENOISE = """
import sys
from pathlib import Path
from filmwright.engine.build_request import build_request
from filmwright.engine.generate import _Run
from filmwright.engine.journal import Journal
from filmwright.engine.plan import plan_for
import torch
model = Path(sys.argv[1])
request = build_request("a ball", model="self-forcing-t2v-1.3b", size=(192, 192), num_frames=81, seed=1)
plan = plan_for(request, weights=model, budget=10**12)
run = _Run(request, None, None, "cpu", model, sign=False, private=False)
runner = run._load(None, 10**12, hold=False, lone=False)
with torch.inference_mode():
    run._denoise(runner, Journal(None, run._warn))
print(plan.phases[1].peak, run.clock.peaks["denoise"])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("wan") / "model"
    return save("wan2.1-t2v-1.3b", folder, dtype=torch.bfloat16, num_layers=LAYERS)


def test_a_rollout_takes_what_its_plan_says(model: Path) -> None:
    words = [sys.executable, "-c", DENOISE, str(model)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    planned, measured = map(int, done.stdout.split())
    assert planned == pytest.approx(measured, rel=0.1)


def test_memory_stops_growing_at_the_window_and_time_goes_on(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what this process has in use moves a little between two plans
    monkeypatch.setattr("filmwright.engine.plan.resident", lambda _: 500_000_000)

    def planned(frames: int) -> tuple[int, float]:
        request = build_request("a ball", model=MODEL, size=(192, 192), num_frames=frames, seed=1)
        denoise = plan_for(request, weights=model, budget=10**12).phases[1]
        return denoise.peak, denoise.seconds or 0.0

    (short, _), (window, some), (long, much) = (planned(frames) for frames in (9, 81, 321))
    latents = 2 * 16 * 24 * 24 * 4  # of noise and of what is clean, a latent frame in fp32
    scores = 256 * 2 * 12 * 12 * 2  # of as many queries of two heads, a latent frame in bf16
    assert window - short == pytest.approx((21 - 3) * (PAST + latents + scores), rel=0.02)
    assert long - window == pytest.approx((81 - 21) * latents, rel=0.01)
    assert 4 < much / some < 6  # four times as many chunks, which see more
