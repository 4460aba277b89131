"""Which settings of generation the reader likes best, on held-out prompts that the report does not use.

usage: python recipes/settings.py [COUNT] [--weights DIR] STEPS:GUIDANCE[:camera] ...
Each setting is a number of steps and a guidance; `camera` leaves the camera out of the pass without the prompt. With 48
prompts a difference of 7 points is noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from filmwright.engine import pocket
from filmwright.engine.build_request import build_request
from filmwright.engine.generate import generate_clip
from filmwright.evaluation.prompts import held_out_prompts
from filmwright.evaluation.reader import Reader
from filmwright.weights.files import shipped

SEED = 5
ATTRIBUTES = ("subject", "colour", "event", "setting", "light", "camera")


def main() -> None:
    """Prints a line a setting: the share of prompts that hold, an attribute."""
    parser = argparse.ArgumentParser(prog="python recipes/settings.py")
    parser.add_argument("count", type=int)
    parser.add_argument("settings", nargs="+")
    parser.add_argument("--weights", type=Path)
    asked = parser.parse_args()
    records = held_out_prompts(asked.count, part="solo", seed=SEED)
    backbone = pocket.backbone_for("pocket", "cpu", asked.weights)
    reader = Reader.load(shipped("reader"))
    print(f"{'setting':<16}" + "".join(f"{a:>9}" for a in ATTRIBUTES))
    for setting in asked.settings:
        steps, guidance, *rest = setting.split(":")
        pocket.GUIDED_CAMERA = "camera" in rest
        clips = [
            generate_clip(
                build_request(r.prompt, seed=SEED * 1000 + i, steps=int(steps), guidance=float(guidance)),
                backbone=backbone,
            ).frames
            for i, r in enumerate(records)
        ]
        readings = reader.read_many(clips)
        shares = []
        for attribute in ATTRIBUTES:
            held = [
                float(reading[attribute][0] in record.atoms[attribute])
                for reading, record in zip(readings, records, strict=True)
                if attribute in record.atoms
            ]
            shares.append(sum(held) / max(len(held), 1))
        print(f"{setting:<16}" + "".join(f"{100 * s:8.0f}%" for s in shares), flush=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
