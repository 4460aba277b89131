"""What runs of small models of each family were predicted to need and what they took, as a line of JSON each.

    python tests/measure_families.py FOLDER ltx-video:held ltx-video:staged ltx-video:held:int8 ...

Each family runs in a child of one warm process, so that none is measured with what another has left.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from filmwright.engine.build_request import build_request
from filmwright.engine.generate import generate_file
from filmwright.engine.memory import give_back, keep_exact
from filmwright.engine.plan import plan_for
from filmwright.spec.events import Planned
from filmwright.weights.card import load_card
from reference_families import save_family

__all__: list[str] = []

WIDE = {"num_attention_heads": 8, "num_layers": 6}
SIZES = {  # name, or name and strategy -> sizes of the denoiser and of the VAE, width, height, frames
    "hunyuanvideo": (WIDE | {"attention_head_dim": 64, "num_single_layers": 6, "rope_axes_dim": (16, 24, 24)},
                     {"block_out_channels": (32, 32, 64, 64)}, 128, 96, 17),
    "hunyuanvideo-1.5-480p": ({"num_attention_heads": 6, "num_layers": 8, "attention_head_dim": 64, "rope_axes_dim": (16, 24, 24)}, {}, 128, 96, 9),
    "hunyuanvideo-1.5-i2v-480p": ({"num_attention_heads": 6, "num_layers": 8, "attention_head_dim": 64, "rope_axes_dim": (16, 24, 24)}, {}, 128, 96, 9),
    "mochi-1": (WIDE | {"attention_head_dim": 64, "num_layers": 8, "pooled_projection_dim": 128}, {}, 96, 64, 13),
    "ltx-video": (WIDE | {"attention_head_dim": 64, "cross_attention_dim": 512, "num_layers": 10}, {"decoder_block_out_channels": (64, 64, 64, 64)}, 320, 256, 49),
    "ltx-2": (WIDE | {"attention_head_dim": 64, "cross_attention_dim": 512}, {"decoder_block_out_channels": (64, 128, 256)}, 320, 256, 33),
    # of a net larger than its work, since streaming helps where weights are the most
    "ltx-2:streamed": (WIDE | {"attention_head_dim": 64, "cross_attention_dim": 512, "num_layers": 16}, {}, 64, 64, 9),
    # of a clip long enough that its frames, decoded at once, are the most
    "ltx-video:tiles": ({}, {"decoder_block_out_channels": (64, 64, 64, 64)}, 192, 160, 97),
    "svd": ({"block_out_channels": (128, 256), "num_attention_heads": (4, 8)}, {}, 192, 128, 14),
}  # fmt: skip


def measure(name: str, folder: Path, picture: Path, strategy: str, mode: str) -> dict[str, object]:
    transformer, vae, width, height, frames = SIZES.get(f"{name}:{strategy}") or SIZES[name]
    card = load_card(name)
    model = save_family(name, folder, transformer=transformer, vae=vae)
    request = build_request(
        "a red ball rolls" if card.takes_words else None,
        model=name, size=(width, height), num_frames=frames, steps=2, seed=1,
        image=picture if card.pictures == "first" else None, quantize=mode,
    )  # fmt: skip
    give_back()
    budget = None
    if strategy != "held":
        keep_exact()
    order = ("held", "staged", "streamed")
    plan = plan_for(request, weights=model, budget=10**11)
    while not (
        plan.strategy.tiles
        if strategy == "tiles"
        else order.index(plan.strategy.nets) >= order.index(strategy)
    ):
        budget = int(plan.peak * 1.05) - 1_000_000  # just too little for what needs more
        plan = plan_for(request, weights=model, budget=budget)
    plans = []
    sidecar = generate_file(
        request, folder / "clip.mp4", weights=model, memory=budget or 10**11,
        on_event=lambda e: plans.append(e.plan) if isinstance(e, Planned) else None,
    )  # fmt: skip
    said = {phase.name: phase.peak for phase in plans[0].phases}
    return {
        "name": name,
        "strategy": "tiles" if plans[0].strategy.tiles else plans[0].strategy.nets,
        "budget": budget,
        "said": said,
        "took": sidecar.memory,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ["FILMWRIGHT_HOME"] = str(folder / "home")
    picture = folder / "first.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)).save(picture)
    warnings.simplefilter("ignore")
    save_family("ltx-video", folder / "warm")
    plan_for(
        build_request("a", model="ltx-video", size=(64, 64), num_frames=9),
        weights=folder / "warm",
        budget=10**11,
    )
    import filmwright.engine.plan as plan_module

    for what in sys.argv[2:]:
        name, strategy, mode = [*what.split(":"), "none"][:3]
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            if status:
                sys.exit(f"{what} failed")
        else:
            plan_module._base_of_families.cache_clear()
            sys.stdout.write(json.dumps(measure(name, folder / what, picture, strategy, mode)) + "\n")
            sys.stdout.flush()
            os._exit(0)


if __name__ == "__main__":
    main()
