"""A small folder of shards, drawn rather than simulated (a coloured square that moves over a gradient); a VAE of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from filmwright.data.shards import Shards
from filmwright.models.catalog import SIZES
from filmwright.models.vae import VAE
from filmwright.training.latents import encode_shards
from filmwright.training.vae import VAETraining, train_vae
from filmwright.weights.files import read_weights, shipped
from filmwright.weights.tokenizer import Tokenizer
from filmwright.world.cameras import camera_path
from training_runs import config

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220), "white": (240, 240, 240)}
T, H, W, P = 9, 64, 96, 4


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    frames, boxes, lines = [], [], []
    for i in range(24):
        colour = list(COLOURS)[i % 4]
        clip = (
            np.linspace(40, 120, W)
            .astype(np.uint8)[None, None, :, None]
            .repeat(T, 0)
            .repeat(H, 1)
            .repeat(3, 3)
        )
        y, x, speed = rng.integers(0, H - 20), rng.integers(0, 30), rng.integers(0, 5)
        box = np.zeros((T, 4), np.float32)
        for t in range(T):
            left = x + speed * t
            clip[t, y : y + 20, left : left + 20] = COLOURS[colour]
            box[t] = left / W, y / H, (left + 20) / W, (y + 20) / H
        frames.append(clip)
        boxes.append(box)
        record = {
            "seed": i,
            "split": "validation" if i >= 20 else "train",
            "script": {
                "subjects": [{"kind": "cube", "colour": colour, "material": "wood", "size": "medium"}],
                "event": "slide",
                "direction": "right",
                "setting": "wood",
                "light": "noon",
                "camera": "static",
                "mood": "neutral",
            },
            "captions": [f"a {colour} cube slides", f"the {colour} cube"] * 4,
            "log": [],
        }
        lines.append(json.dumps(record))
    camera = camera_path("static", T)
    n = len(frames)
    np.save(folder / "frames-00000.npy", np.stack(frames))
    np.savez(
        folder / "truth-00000.npz",
        boxes=np.stack(boxes),
        tracks=rng.uniform(0, H, (n, P, T, 2)).astype(np.float32),
        seen=np.ones((n, P, T), bool),
        eye=np.stack([camera.eye] * n),
        rotation=np.stack([camera.rotation] * n),
        fov=np.stack([camera.fov] * n),
    )
    (folder / "clips-00000.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def vae_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vae")
    train_vae(VAETraining(data=shards, size="tiny", crop=32), config(out, 60))
    return out


@pytest.fixture(scope="session")
def latents(shards: Path, vae_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("latents")
    vae = VAE(SIZES["tiny"].vae)
    vae.load_state_dict(read_weights(vae_run / "vae.safetensors"))
    tokenizer = Tokenizer.load(shipped() / "vocabulary.json")
    assert encode_shards(Shards(shards), vae, tokenizer, out, length=48) == 24
    return out
