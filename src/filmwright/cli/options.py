"""Options that say what a clip is and where it is made; several commands take them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Aspect",
    "Attention",
    "Camera",
    "Compile",
    "Controls",
    "CudaGraphs",
    "Device",
    "Frames",
    "GuidanceDownTo",
    "Image",
    "Json",
    "LastImage",
    "Memory",
    "Model",
    "Prompt",
    "Quantize",
    "Seconds",
    "Size",
    "Weights",
]

Prompt = Annotated[str | None, typer.Argument(help="What the clip shows.", show_default=False)]
Size = Annotated[str | None, typer.Option("--size", metavar="WxH", help="Pixels, such as 256x160.")]
Aspect = Annotated[
    str | None, typer.Option("--aspect", metavar="W:H", help="Instead of a size, such as 16:9.")
]
Seconds = Annotated[float | None, typer.Option("--seconds", help="Length; the model's own if not given.")]
Frames = Annotated[int | None, typer.Option("--frames", help="Length in frames, 4k+1, instead of seconds.")]
Image = Annotated[Path | None, typer.Option("--image", metavar="PICTURE", help="The first frame.")]
LastImage = Annotated[Path | None, typer.Option("--last-image", metavar="PICTURE", help="The last frame.")]
Camera = Annotated[
    str | None, typer.Option("--camera", metavar="MOVE", help="A camera move, such as push-in.")
]
Controls = Annotated[
    Path | None,
    typer.Option("--controls", metavar="FILE.json", help="Keyframes, camera path, motion brush, prefix."),
]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="See `filmwright models`.")]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", metavar="DIR", help="A folder of weights, instead of the model's own."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="DEVICE", help="cpu, cuda or cuda:0; a GPU where there is one."),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="8GB", help="What a run may come to use; what is free if not given."),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="MODE",
        help="Weights of eight bits: int8, int8-dynamic, fp8 or fp8-dynamic; none is exact.",
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Run the denoiser as compiled code.", show_default=False),
]
NoSound = Annotated[
    bool, typer.Option("--no-sound", help="Leave out the sound that a model makes with the picture.")
]
Attention = Annotated[
    str | None,
    typer.Option(
        "--attention",
        metavar="NAME",
        help="What computes attention: auto, blocks, sdpa, flash2, flash3, flex or sage.",
    ),
]
GuidanceDownTo = Annotated[
    float | None,
    typer.Option(
        metavar="LEVEL",
        help="Guide down to this level, of 1 noise to 0 clean; 0 guides every step.",
        show_default=False,
    ),
]
CudaGraphs = Annotated[
    bool | None,
    typer.Option(
        "--cuda-graphs/--no-cuda-graphs",
        help="Record the denoiser's passes on a GPU and play them again.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
