"""Options that say what a clip is and where it is made; several commands take them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "CAMERAS",
    "HELD",
    "HOW",
    "OUTPUT",
    "WHAT",
    "WHERE",
    "Aspect",
    "Attention",
    "Camera",
    "Compile",
    "Controls",
    "CudaGraphs",
    "Device",
    "DeviceInPanel",
    "Frames",
    "GuidanceDownTo",
    "GuidanceLow",
    "Image",
    "Json",
    "JsonInPanel",
    "LastImage",
    "Memory",
    "MergeLora",
    "Model",
    "ModelInPanel",
    "Prompt",
    "Quantize",
    "Seconds",
    "Shift",
    "Size",
    "Weights",
]

WHAT = "What to make"
HELD = "Controls"
HOW = "Model and speed"
WHERE = "Memory and machines"
OUTPUT = "Output"
"""Panels of --help."""
CAMERAS = "static, pan-left, pan-right, push-in, pull-back, orbit-left, orbit-right"
"""The moves of the pocket model, so that --help reads no card; a test holds them to it."""

Prompt = Annotated[str | None, typer.Argument(help="What the clip shows.", show_default=False)]
Size = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="Pixels, such as 256x160.", rich_help_panel=WHAT)
]
Aspect = Annotated[
    str | None,
    typer.Option("--aspect", metavar="W:H", help="Instead of a size, such as 16:9.", rich_help_panel=WHAT),
]
Seconds = Annotated[
    float | None,
    typer.Option("--seconds", help="Length; the model's own if not given.", rich_help_panel=WHAT),
]
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames",
        help="Length in frames instead of seconds: 4k+1; 6k+1 of mochi-1, 8k+1 of the LTX models.",
        rich_help_panel=WHAT,
    ),
]
Image = Annotated[
    Path | None,
    typer.Option("--image", metavar="PICTURE", help="The first frame.", rich_help_panel=HELD),
]
LastImage = Annotated[
    Path | None,
    typer.Option("--last-image", metavar="PICTURE", help="The last frame.", rich_help_panel=HELD),
]
Camera = Annotated[
    str | None,
    typer.Option(
        "--camera",
        metavar="MOVE",
        help=f"A camera move: {CAMERAS}; the one that the prompt names if not given.",
        rich_help_panel=HELD,
    ),
]
Controls = Annotated[
    Path | None,
    typer.Option(
        "--controls",
        metavar="FILE.json",
        help="Keyframes, camera path, motion brush, prefix.",
        rich_help_panel=HELD,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="DIR",
        help="A folder of weights, instead of the model's own.",
        rich_help_panel=HOW,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="8GB",
        help="What a run may come to use; what is free if not given.",
        rich_help_panel=WHERE,
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="MODE",
        help="Weights of eight bits: int8, int8-dynamic, fp8 or fp8-dynamic; none is exact.",
        rich_help_panel=HOW,
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Run the denoiser as compiled code.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
NoSound = Annotated[
    bool,
    typer.Option(
        "--no-sound", help="Leave out the sound that a model makes with the picture.", rich_help_panel=WHAT
    ),
]
Attention = Annotated[
    str | None,
    typer.Option(
        "--attention",
        metavar="NAME",
        help="What computes attention: auto, blocks, sdpa, flash2, flash3, flex or sage.",
        rich_help_panel=HOW,
    ),
]
GuidanceDownTo = Annotated[
    float | None,
    typer.Option(
        metavar="LEVEL",
        help="Guide down to this level, of 1 noise to 0 clean; 0 guides every step.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
GuidanceLow = Annotated[
    float | None,
    typer.Option(
        "--guidance-low",
        help="Guidance of the second expert of Wan 2.2 A14B, which has the low noise.",
        show_default="in the model's proportion",
        rich_help_panel=HOW,
    ),
]
Shift = Annotated[
    float | None,
    typer.Option(
        "--shift",
        help="Shift of the noise levels: more gives more of the steps to noisy ones.",
        show_default="the model's own",
        rich_help_panel=HOW,
    ),
]
CudaGraphs = Annotated[
    bool | None,
    typer.Option(
        "--cuda-graphs/--no-cuda-graphs",
        help="Record the denoiser's passes on a GPU and play them again.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
MergeLora = Annotated[
    bool | None,
    typer.Option(
        "--merge-lora/--no-merge-lora",
        help="Add LoRAs to the weights, so that a step takes no time for them.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
_model = partial(typer.Option, "--model", metavar="NAME", help="See `filmwright models`.")
_device = partial(
    typer.Option, "--device", metavar="DEVICE", help="cpu, cuda or cuda:0; a GPU where there is one."
)
_json = partial(typer.Option, "--json", help="Print the result as JSON.")

# those that short commands have too, which need no panels; then the same in panels
Model = Annotated[str | None, _model()]
Device = Annotated[str | None, _device()]
Json = Annotated[bool, _json()]
ModelInPanel = Annotated[str | None, _model(rich_help_panel=HOW)]
DeviceInPanel = Annotated[str | None, _device(rich_help_panel=WHERE)]
JsonInPanel = Annotated[bool, _json(rich_help_panel=OUTPUT)]
