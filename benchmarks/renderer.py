"""Our ray caster next to MuJoCo's own OpenGL renderer on the same scene, in one run, as frames a second.

Two scenes on a wooden floor, with shadow and one reflection: one ball, and three balls with three boxes; 33 frames, each
with its own poses and camera. Ours makes pictures only, or pictures with masks and depth; eager, and compiled where there
is a compiler. MuJoCo's is asked frame by frame for the same picture (shadow map, planar reflection), poses set and
pixels read back; without a GPU it needs a software OpenGL (EGL or OSMesa), and is left out, with the reason, where
none can be made. It draws truth in two further passes, which are not counted.

Then how far two renders of one scene lie apart: eager and compiled, which sum in another order; eager and the same in
64-bit floats, which bounds what any machine's rounding can do; where there is a GPU, CPU and GPU. Of 18 scenes: three
sets of bodies on six settings. Told are the largest difference of any channel of any pixel in 1/255, how many pixels
differ, and where those lie that differ by more than 1/255: beside an outline of the primitives, at another edge of the
picture (shadows, patterns, mirror images), or on even ground.

    python -m benchmarks.renderer [--rounds 5] [--device cpu] [--no-compile] [--pictures-only]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.common import Spread, interleaved, machine, ratio, save, table
from numpy.typing import NDArray

from filmwright.spec.vocabulary import SETTINGS
from filmwright.world.looks import look_for
from filmwright.world.render import Picture, Rendered, can_compile, render
from filmwright.world.scene import KINDS, CameraPose, Stage

SIZES = ((128, 128), (256, 160))
SCENES = {"1 ball": ("sphere",), "3 balls + 3 boxes": ("sphere", "box") * 3}
FRAMES = 33
HALF = 0.3  # metres: radius of a ball, half the side of a box
FOV = 0.7  # radians
MIXED = ("sphere", "box", "capsule", "cone")  # which turn about two axes
SIDE = 128  # pixels, of the pictures that are compared
EVEN = 8  # levels: where a picture's neighbours lie closer together there is no edge
BAR = 80  # frames a second at 128x128 on two cores, the second scene, compiled


def main() -> None:
    """Times and compares all that can run here, prints tables, writes benchmarks/results/renderer.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.renderer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-compile", action="store_true", help="time the eager path only")
    parser.add_argument("--no-mujoco", action="store_true", help="leave MuJoCo's renderer out")
    parser.add_argument("--pictures-only", action="store_true", help="compare pictures, time nothing")
    parser.add_argument("--dry", action="store_true", help="write no result")
    asked = parser.parse_args()
    told = machine()
    figures: dict[str, Any] = {"device": asked.device, "frames": FRAMES, "bar": BAR}
    if not asked.pictures_only:
        figures |= timings(asked)
    figures["pictures"] = compare(compiled=not asked.no_compile)
    if not asked.dry:
        name = "renderer-pictures" if asked.pictures_only else "renderer"
        print(f"\n{save(name, told, figures)}")


def timings(asked: argparse.Namespace) -> dict[str, Any]:
    """Times all that can run here, prints a table a scene and size."""
    figures: dict[str, Any] = {}
    backend, why = (None, "not asked for") if asked.no_mujoco else opengl()
    if backend is None:
        print(f"MuJoCo's renderer is left out: {why}")
    else:
        os.environ["MUJOCO_GL"] = backend
    figures["mujoco"] = backend or why
    sync = torch.cuda.synchronize if asked.device.startswith("cuda") else None
    compiled = not asked.no_compile and can_compile(asked.device)
    if compiled:
        stage, began = make_stage(SCENES["3 balls + 3 boxes"]), time.perf_counter()
        render(stage, *SIZES[0], device=asked.device, compiled=True)
        figures["first compiled render, seconds"] = round(time.perf_counter() - began, 2)
        print(
            f"first compiled render: {figures['first compiled render, seconds']} s (kernels made, or read from the cache)"
        )
    for name, kinds in SCENES.items():
        stage = make_stage(kinds)
        for width, height in SIZES:
            draw = partial(render, stage, width, height, device=asked.device)
            cases: dict[str, Callable[[], object]] = {}
            if compiled:
                cases |= {
                    "ours, compiled": partial(draw, compiled=True, truth=False),
                    "ours, compiled, with truth": partial(draw, compiled=True),
                }
            cases["ours, eager, with truth"] = partial(draw, compiled=False)
            if backend:
                cases[f"MuJoCo, {backend}"] = mujoco_case(stage, width, height)
            seconds = interleaved(cases, rounds=asked.rounds, warmup=2, sync=sync)
            figures[f"{name}, {width}x{height}"] = report(
                f"{name}, {width}x{height}", seconds, width * height
            )
    return figures


def report(title: str, seconds: dict[str, list[float]], pixels: int) -> dict[str, Any]:
    first = next(iter(seconds))
    rows = [["case", "frames a second", "million pixels a second", f"times the time of {first}"]]
    figures = {}
    for case, spent in seconds.items():
        rate, slower = Spread.of([FRAMES / s for s in spent]), ratio(seconds, case, first)
        figures[case] = {"frames a second": rate, f"times {first}": slower}
        rows.append([case, rate.text("", 1), f"{rate.median * pixels / 1e6:.2f}", slower.text("", 2)])
    table(f"{title}: median (quartiles)", rows)
    return figures


# ------------------------------------------------------------------------------------------------ the scene


def make_stage(kinds: tuple[str, ...]) -> Stage:
    """Bodies in a row that move and turn a little, before a camera that moves sideways."""
    count, t = len(kinds), np.linspace(0, 1, FRAMES)
    position = np.zeros((FRAMES, count, 3), np.float32)
    rotation = np.zeros((FRAMES, count, 3, 3), np.float32)
    for k in range(count):
        position[:, k, 0] = (k - (count - 1) / 2) * 0.72 + 0.1 * t
        position[:, k, 1] = 0.3 * (-1) ** k * (count > 1)
        position[:, k, 2] = HALF + 0.4 * np.abs(np.cos(3 * t + k)) * (kinds[k] == "sphere")
        rotation[:, k] = about_z(t + k)
    eye = np.stack([0.4 * t, 0 * t - 4.5, 0 * t + 1.6], -1)
    back = eye / np.linalg.norm(eye, axis=1, keepdims=True)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return Stage(
        look=look_for("wood", "noon", "neutral", np.random.default_rng(0)),
        camera=CameraPose(
            eye=eye.astype(np.float32),
            rotation=np.stack([right, np.cross(back, right), back], -1).astype(np.float32),
            fov=np.full(FRAMES, FOV, np.float32),
        ),
        seconds=(np.arange(FRAMES) / 16).astype(np.float32),
        kind=np.array([KINDS.index(k) for k in kinds]),  # type: ignore[arg-type]
        sizes=np.full((count, 3), HALF, np.float32),
        body=np.arange(1, count + 1),
        albedo=np.resize(
            np.array([(0.7, 0.05, 0.04), (0.05, 0.12, 0.6), (0.7, 0.5, 0.05)], np.float32), (count, 3)
        ),
        gloss=np.full(count, 0.1, np.float32),
        specular=np.full(count, 0.5, np.float32),
        stripes=np.ones(count, np.float32),
        position=position,
        rotation=rotation,
        visible=np.ones((FRAMES, count), np.bool_),
    )


def about_z(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations [T,3,3]."""
    c, s, o = np.cos(angle), np.sin(angle), 0 * angle
    return np.stack([c, -s, o, s, c, o, o, o, o + 1], -1).reshape(-1, 3, 3)


# ------------------------------------------------------------------------------------------------ equal pictures


@dataclass(frozen=True, kw_only=True)
class Apart:
    """How far pictures lie apart: the largest difference in levels, pixels that differ, and by more than one level."""

    pixels: int = 0
    largest: int = 0
    differ: int = 0
    over: int = 0
    outlines: int = 0  # of those over one level: beside an outline of the primitives
    edges: int = 0  # at another edge of the picture
    even: int = 0  # elsewhere
    masks: int = 0  # pixels whose centre sees another primitive

    def __add__(self, other: Apart) -> Apart:
        total = {name: value + getattr(other, name) for name, value in vars(self).items()}
        return Apart(**(total | {"largest": max(self.largest, other.largest)}))


def compare(*, compiled: bool) -> dict[str, Any]:
    """Renders every scene in all ways that can run here, prints a table a pair of ways."""
    ways: dict[str, Callable[[Stage], Rendered]] = {}
    if compiled and can_compile("cpu"):
        ways["compiled"] = partial(render, width=SIDE, height=SIDE, compiled=True)
    ways["64 bits"] = render_in_64_bits
    if torch.cuda.is_available():
        ways["GPU"] = partial(render, width=SIDE, height=SIDE, device="cuda", compiled=False)
        if compiled and can_compile("cuda"):
            ways["GPU, compiled"] = partial(render, width=SIDE, height=SIDE, device="cuda", compiled=True)
    found = {way: Apart() for way in ways}
    scenes: dict[str, dict[str, int]] = {way: {} for way in ways}
    for kinds in (*SCENES.values(), MIXED):
        for setting in SETTINGS:
            stage = varied(kinds, setting)
            plain = render(stage, SIDE, SIDE, compiled=False)
            for way, draw in ways.items():
                here = apart(plain, draw(stage))
                found[way] += here
                scenes[way][f"{'+'.join(kinds)} on {setting}"] = here.largest
    rows = [["CPU, eager, 32 bits against", "largest, 1/255", "differ", "over 1/255", "where", "masks"]]
    for way, total in found.items():
        rows.append(
            [
                way,
                str(total.largest),
                f"{total.differ / total.pixels:.2e}",
                f"{total.over} ({total.over / total.pixels:.1e})",
                f"outlines {total.outlines}, other edges {total.edges}, even {total.even}",
                f"{total.masks} differ",
            ]
        )
    pixels = next(iter(found.values())).pixels
    table(f"the same pictures: {len(next(iter(scenes.values())))} scenes, {pixels:,} pixels", rows)
    return {way: {**vars(found[way]), "largest by scene": scenes[way]} for way in ways}


def varied(kinds: tuple[str, ...], setting: str) -> Stage:
    """`make_stage` on another ground; of mixed bodies cones taper, and all turn about two axes."""
    stage = make_stage(kinds)
    look = look_for(setting, "noon", "neutral", np.random.default_rng(0))
    if kinds != MIXED:
        return replace(stage, look=look)
    about_x = stage.rotation[..., [2, 0, 1], :][..., [2, 0, 1]]
    sizes = stage.sizes.copy()
    sizes[kinds.index("cone")] = (HALF, HALF / 6, HALF)
    return replace(stage, look=look, sizes=sizes, rotation=stage.rotation @ about_x)


def render_in_64_bits(stage: Stage) -> Rendered:
    """The stage as `render` draws it eagerly, from the same numbers, with all arithmetic in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        picture = Picture(stage, SIDE, SIDE, torch.device("cpu"), False)
        for owner, names in (
            (picture, ("size", "grade")),
            (picture.caster, ("look", "pixel", "texture", "waves", "sun", "table", "camera")),
        ):
            for name in names:
                setattr(owner, name, getattr(owner, name).double())
        with torch.no_grad():
            parts = zip(*picture.chunks(True), strict=True)
            frames, ids, primitive, depth = (torch.cat(part).numpy() for part in parts)
    finally:
        torch.set_default_dtype(torch.float32)
    return Rendered(frames=frames, ids=ids, primitive=primitive, depth=depth)


def apart(one: Rendered, other: Rendered) -> Apart:
    """What differs between two renders of one stage."""
    change = np.abs(one.frames.astype(np.int16) - other.frames).max(-1)  # T H W
    over = change > 1
    outline = span(one.primitive[..., None]) > 0
    edge = span(one.frames) > EVEN
    return Apart(
        pixels=change.size,
        largest=int(change.max()),
        differ=int((change > 0).sum()),
        over=int(over.sum()),
        outlines=int((over & outline).sum()),
        edges=int((over & edge & ~outline).sum()),
        even=int((over & ~edge & ~outline).sum()),
        masks=int((one.primitive != other.primitive).sum()),
    )


def span(pictures: NDArray[Any]) -> NDArray[np.int16]:
    """Largest less smallest of each pixel and its eight neighbours, any channel: [T,H,W,C] -> [T,H,W]."""
    height, width = pictures.shape[1:3]
    wide = np.pad(pictures.astype(np.int16), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    near = [wide[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    spread: NDArray[np.int16] = (np.maximum.reduce(near) - np.minimum.reduce(near)).max(-1)
    return spread


# ------------------------------------------------------------------------------------------------ MuJoCo


def opengl() -> tuple[str | None, str]:
    """A way for MuJoCo to draw off screen here, or None and why not; tried in child processes, which may crash."""
    program = (
        "import mujoco; m = mujoco.MjModel.from_xml_string('<mujoco/>'); r = mujoco.Renderer(m, 32, 32);"
        "d = mujoco.MjData(m); mujoco.mj_forward(m, d); r.update_scene(d); assert r.render().shape == (32, 32, 3)"
    )
    reasons = []
    for backend in ("egl", "osmesa"):
        try:
            tried = subprocess.run(
                [sys.executable, "-c", program], env=os.environ | {"MUJOCO_GL": backend}, capture_output=True,
                text=True, timeout=120, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            reasons.append(f"{backend}: no answer in 120 s")
            continue
        if tried.returncode == 0:
            return backend, ""
        lines = [line for line in tried.stderr.splitlines() if "Error" in line] or [
            f"exit code {tried.returncode}"
        ]
        reasons.append(f"{backend}: {lines[0].strip()}")
    return None, "; ".join(reasons)


def mujoco_case(stage: Stage, width: int, height: int) -> Callable[[], object]:
    """All frames of the stage by MuJoCo's renderer."""
    import mujoco

    sun = " ".join(f"{-v:.4f}" for v in stage.look.sun)
    bodies = "".join(
        f'<body mocap="true"><geom type="{KINDS[k]}" size="{HALF} {HALF} {HALF}" '
        f'rgba="{c[0]:.3f} {c[1]:.3f} {c[2]:.3f} 1"/></body>'
        for k, c in zip(stage.kind, stage.albedo, strict=True)
    )
    model = mujoco.MjModel.from_xml_string(f"""
      <mujoco>
        <visual><global offwidth="{width}" offheight="{height}"/><quality shadowsize="1024" offsamples="0"/></visual>
        <asset>
          <texture name="sky" type="skybox" builtin="gradient" rgb1=".5 .7 .9" rgb2=".1 .2 .6" width="64" height="384"/>
          <texture name="wood" type="2d" builtin="checker" rgb1=".5 .3 .15" rgb2=".35 .2 .1" width="256" height="256"/>
          <material name="floor" texture="wood" texrepeat="8 8" reflectance="0.2"/>
        </asset>
        <worldbody>
          <light directional="true" dir="{sun}" pos="0 0 4" castshadow="true"/>
          <geom type="plane" size="20 20 1" material="floor"/>
          <body mocap="true"><camera name="eye" fovy="{np.degrees(FOV):.3f}"/></body>{bodies}
        </worldbody>
      </mujoco>""")
    data = mujoco.MjData(model)
    renderer = mujoco.Renderer(model, height, width)
    turns = np.concatenate([stage.camera.rotation[:, None], stage.rotation], 1).astype(np.float64)
    places = np.concatenate([stage.camera.eye[:, None], stage.position], 1)
    quaternions = np.zeros((*turns.shape[:2], 4))
    for t in range(FRAMES):
        for k in range(turns.shape[1]):
            mujoco.mju_mat2Quat(quaternions[t, k], turns[t, k].reshape(-1))

    def run() -> list[NDArray[np.uint8]]:
        frames = []
        for t in range(FRAMES):
            data.mocap_pos[:], data.mocap_quat[:] = places[t], quaternions[t]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            renderer.update_scene(data, "eye")
            frames.append(renderer.render())
        return frames

    return run


if __name__ == "__main__":
    main()
