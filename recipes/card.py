"""The scores of the model card, from a report and a denoiser's log, written between the card's two marks.

usage: python recipes/card.py report/report.json runs/denoiser/log.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CARD = Path("docs/model-card.md")
BEGIN, END = "<!-- scores: written by recipes/card.py -->\n", "<!-- end of scores -->\n"
BARS = {
    "subject": 85,
    "colour": 95,
    "event": 75,
    "setting": 90,
    "light": 90,
    "camera": 85,
    "camera_geometry": 85,
}
NAMES = {"subject": "shape", "camera_geometry": "camera, by geometry", "all": "all of these together"}
COLUMNS = ("generated", "truth", "vae", "shuffled")


def main(report: Path, log: Path) -> None:
    """Replaces what stands between the marks."""
    r = json.loads(report.read_text())
    told = CARD.read_text()
    head, _, rest = told.partition(BEGIN)
    _, _, tail = rest.partition(END)
    CARD.write_text(head + BEGIN + "\n".join(scores(r, log)) + "\n" + END + tail)


def scores(r: dict[str, Any], log: Path) -> list[str]:
    """The section's lines."""
    settings = r["settings"]
    lines = [
        f"Made by `{r['commands'][0]}` ({r['rows']['generated']['adherence.all']['n']} held-out prompts: combinations "
        f"never trained on, every second one in sentence shapes never trained on; {settings['steps']} steps of UniPC, guidance "
        f"{settings['guidance']}; weights {settings['weights']}):",
        "",
        "| adherence | generated | truth | truth through the VAE | shuffled prompts | chance | bar |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (*BARS, "all"):
        cells = [percent(r["rows"][row].get(f"adherence.{name}")) for row in COLUMNS]
        if not cells[0]:
            continue
        chance = f"{100 * r['chance'][name]:.0f} %" if name in r["chance"] else ""
        bar = f"{BARS[name]} %" if name in BARS else ""
        lines.append(f"| {NAMES.get(name, name)} | " + " | ".join([*cells, chance, bar]) + " |")
    read = r["reader"]["attributes"]
    own = ", ".join(f"{a} {100 * s['accuracy']:.1f} %" for a, s in read.items())
    lines += ["", f"The reader's own accuracy on held-out true clips: {own}."]
    if unscored := [a for a, s in read.items() if not s["scored"]]:
        lines[-1] += f" Under 98 % it does not score: {', '.join(unscored)} is not in the table."
    seen, unseen = r["by_phrasing"].values()
    shapes = [
        f"{NAMES.get(a, a)} {100 * seen[k]['mean']:.0f} / {100 * unseen[k]['mean']:.0f} %"
        for a in BARS
        if (k := f"adherence.{a}") in seen and seen[k] and a != "camera_geometry"
    ]
    lines += ["", f"Training's against unseen sentence shapes: {'; '.join(shapes)}.", ""]
    i2v, fall = r["image_to_video"], r["free_fall"]
    steady = {
        row: r["rows"][row]["consistency.score"]
        for row in r["rows"]
        if r["rows"][row].get("consistency.score")
    }
    last = [json.loads(line) for line in log.read_text().splitlines() if "held-out/mean" in line][-1]
    lines += [
        "| what | value | bar | how |",
        "| --- | --- | --- | --- |",
        f"| VAE on {r['vae']['psnr']['n']} held-out clips | PSNR {spread(r['vae']['psnr'], 2)} dB, SSIM "
        f"{spread(r['vae']['ssim'], 3)} | 33, 0.95 | the same command |",
        f"| image to video, first frame against the image ({i2v['generated']['first_frame_psnr']['n']} prompts) | "
        f"{spread(i2v['generated']['first_frame_psnr'], 1)} dB | 30 | the same |",
        f"| image to video, camera direction right | {percent(i2v['generated']['camera'])} (truth "
        f"{percent(i2v['truth']['camera'])}) | 85 % | the same |",
        f"| consistency, gated by motion (0 to 1) | {spread(steady['generated'], 2)}; truth, another take "
        f"{spread(steady['another_take'], 2)}; frozen {spread(steady['frozen'], 2)}; noise {spread(steady['noise'], 2)} | | the same |",
        f"| free fall, error of the fitted acceleration | {spread(fall['generated']['error'], 2)} "
        f"({percent(fall['generated']['seen'])} seen); truth {spread(fall['truth']['error'], 2)}; through the VAE "
        f"{spread(fall['vae']['error'], 2)} | | the same |",
        f"| denoiser, velocity error on 32 validation clips, mean of t = 0.1 ... 0.9 | {last['held-out/mean']:.3f} | | "
        "`filmwright train denoiser`, last line of `log.jsonl` |",
    ]
    return lines


def percent(value: dict[str, Any] | None) -> str:
    """A share such as "92 ± 2 %", or nothing where nothing was scored."""
    return "" if not value else f"{100 * value['mean']:.0f} ± {100 * value['standard_error']:.0f} %"


def spread(value: dict[str, Any], digits: int) -> str:
    """A value such as "33.3 ± 0.6"."""
    return f"{value['mean']:.{digits}f} ± {value['standard_error']:.{digits}f}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
