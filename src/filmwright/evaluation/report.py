"""The report: one HTML page that needs nothing else, and the same numbers as `report.json`."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filmwright.evaluation.judging import ROWS
from filmwright.evaluation.metrics import METRICS, TOLERANCE, Metric, Value
from filmwright.evaluation.reader import BAR
from filmwright.evaluation.suite import Results, Sample
from filmwright.media.files import write_atomic

__all__ = ["HONESTY", "to_json", "write_report"]

REPORT_VERSION = 1
THUMB_HEIGHT = 96

HONESTY = (
    "This report measures control and physics in a rendered world; it says nothing about photographic quality. "
    "No number here can be compared with a public benchmark."
)

STYLE = """
:root { --ink: #1e1e22; --soft: #6a6a72; --line: #dcdad4; --paper: #faf9f6;
  --good: #1a7f4b; --bad: #b3372f; --tint: #3459b5 }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e8e4; --soft: #a09fa6; --line: #3a3a40; --paper: #17171a;
  --good: #58c08a; --bad: #ee7a70; --tint: #8aa8f5 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1180px; padding: 2rem 1.2rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .5rem }
h3 { font-size: .95rem; margin: 1rem 0 .3rem }
p, li { max-width: 76ch; margin: .4rem 0 }
.soft, td small, tr.group td { color: var(--soft) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600; vertical-align: bottom; white-space: normal }
th:first-child, td:first-child { text-align: left }
tr.group td { font-weight: 600; padding-top: .9rem }
.us { font-weight: 600 }
.good { color: var(--good) }
.bad { color: var(--bad) }
.honest { border-left: 3px solid var(--tint); padding-left: .8rem }
pre { background: color-mix(in srgb, var(--ink) 6%, transparent); padding: .7rem; overflow-x: auto; font-size: .8rem }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 540px), 1fr)); gap: 1.1rem }
.clips img { width: 100%; display: block }
.clips figure { margin: 0 }
.clips figcaption { font-size: .82rem }
.matrices { display: flex; flex-wrap: wrap; gap: 1.6rem }
"""

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Filmwright evaluation</title><style>"""

SUBTITLE = """Attribute combinations that training never saw; every second prompt in sentence shapes that training
never used. Mean &#177; standard error."""

READING = """A frozen clip is steady for free: consistency is the distance from the truth's own value, times a gate that
closes when less than half of the truth's motion is there. &#8220;Another take&#8221; is what a perfect model could
reach; &#8220;through the VAE&#8221; is the ceiling of any model on this VAE. Distances count nothing beyond """

LIMITS = """
The reader, and the geometry, are wrong now and then: adherence carries their error; the truth's row shows it.
Adherence asks for what the words name, not for one certain clip; pixels are compared only through the VAE.
A colour in a black-and-white clip cannot be seen and is not asked for.
The subject is followed by the truth's colours in the same light; one of the wrong colour counts as lost.
Free fall is seen by the truth's camera: one that stands 5 % elsewhere shows as 5 % of g (see another take).
Optical flow and corners need texture; plain grounds at night are hardest.
One clip a prompt, one seed: differences within two standard errors are no differences.
"""


def write_report(results: Results, out_dir: Path | str) -> Path:
    """Writes `report.html` and `report.json` into `out_dir`, each whole or not at all; gives the page's path.

    Raises:
        MediaError: the files cannot be written.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "report.json", json.dumps(to_json(results), indent=1, ensure_ascii=False) + "\n")
    page = folder / "report.html"
    write_atomic(page, _page(results))
    return page


def to_json(results: Results) -> dict[str, Any]:
    """All numbers of a report, without pictures."""

    def plain(table: dict[str, dict[str, Value]]) -> dict[str, Any]:
        return {row: {k: asdict(v) for k, v in values.items()} for row, values in table.items()}

    return {
        "version": REPORT_VERSION,
        "about": HONESTY,
        "prompts": results.prompts,
        "metrics": [
            {
                "name": m.name,
                "label": m.label,
                "unit": m.unit,
                "higher_is_better": m.higher_is_better,
                "floor": m.floor,
            }
            for m in METRICS
        ],
        "rows": {r.name: {k: asdict(v) for k, v in r.values.items()} for r in results.rows},
        "chance": results.chance,
        "by_phrasing": plain(results.by_phrasing),
        "free_fall": plain(results.free_fall),
        "vae": {k: asdict(v) for k, v in results.vae.items()},
        "image_to_video": plain(results.i2v),
        "confusion": results.confusion,
        "reader": {
            "part": results.reader_part,
            "bar": BAR,
            "attributes": {
                a: {"accuracy": s.accuracy, "standard_error": s.standard_error, "n": s.n, "scored": s.scored}
                for a, s in results.reader_scores.items()
            },
        },
        "samples": [
            {
                "prompt": s.prompt,
                "paraphrased": s.paraphrased,
                "verdicts": {k: list(v) for k, v in s.verdicts.items()},
            }
            for s in results.samples
        ],
        "settings": results.settings,
        "commands": results.commands,
    }


def _page(results: Results) -> str:
    unscored = [a for a, s in results.reader_scores.items() if not s.scored]
    tolerances = ", ".join(f"{k} {v:g}" for k, v in TOLERANCE.items())
    parts = [
        f"{HEAD}{STYLE}</style></head><body>",
        f"<h1>Evaluation on {results.prompts} held-out prompts</h1>",
        f"<p class='soft'>Part of the world: {_e(results.reader_part)}. {SUBTITLE}</p>",
        f"<p class='honest'>{_e(HONESTY)}</p>",
        "<h2>Scores</h2>",
        _scores(results),
        f"<p class='soft'>{READING}{tolerances}.</p>",
    ]
    if results.by_phrasing:
        parts += [
            "<h2>By phrasing</h2>",
            _small_table(results.by_phrasing, [m for m in METRICS if m.group == "adherence"]),
        ]
    if results.free_fall:
        parts += [
            "<h2>Free fall</h2>",
            "<p class='soft'>Relative error of g before a still camera; a clip without a fall counts as 1.</p>",
        ]
        parts.append(_free_table({ROWS[k]: v for k, v in results.free_fall.items()}))
    if results.vae:
        parts += ["<h2>VAE on true clips</h2>", _free_table({"round trip": results.vae})]
    if results.i2v:
        parts += ["<h2>From an image</h2>", _free_table({ROWS[k]: v for k, v in results.i2v.items()})]
    parts += ["<h2>The reader</h2>", _reader(results)]
    if unscored:
        parts.append(
            f"<p>Not scored by the reader, because it reads less than {BAR:.0%} of held-out truth right: "
            f"<b>{_e(', '.join(unscored))}</b>. Their rows are empty, and &#8220;all together&#8221; leaves them out"
            f"{'; the camera is judged by geometry' if 'camera' in unscored else ''}.</p>"
        )
    parts += [
        "<h2>What was asked, what was read</h2>",
        _matrices(results),
        "<h2>Clips</h2>",
        _samples(results.samples),
    ]
    parts += ["<h2>Limits</h2>", _limits()]
    if results.settings:
        rows = "".join(f"<tr><td>{_e(k)}</td><td>{_e(v)}</td></tr>" for k, v in results.settings.items())
        parts += ["<h2>Settings</h2>", f"<div class='wide'><table>{rows}</table></div>"]
    if results.commands:
        parts += ["<h2>Made by</h2>", f"<pre>{_e(chr(10).join(results.commands))}</pre>"]
    return "\n".join([*parts, "</body></html>\n"])


def _scores(results: Results) -> str:
    """Metrics down, rows of clips across."""
    head = "".join(f"<th{_us(r.name)}>{_e(r.label)}</th>" for r in results.rows)
    lines = [f"<tr><th>metric</th><th>perfect</th>{head}<th>chance</th></tr>"]
    group = ""
    for metric in METRICS:
        cells = [(r.name, r.values.get(metric.name)) for r in results.rows]
        if not any(v for _, v in cells):
            continue
        if metric.group != group:
            group = metric.group
            lines.append(f"<tr class='group'><td colspan='{len(results.rows) + 3}'>{_e(group)}</td></tr>")
        row = "".join(f"<td{_us(name)}>{_value(v, metric)}</td>" for name, v in cells)
        chance = results.chance.get(metric.name.removeprefix("adherence."))
        last = "" if chance is None else f"{100 * chance:.1f}"
        first = f"<td>{_e(metric.label)} {_arrow(metric)}</td><td>{_number(metric.floor, metric.unit)}</td>"
        lines.append(f"<tr>{first}{row}<td>{last}</td></tr>")
    return f"<div class='wide'><table>{''.join(lines)}</table></div>"


def _small_table(table: dict[str, dict[str, Value]], metrics: Iterable[Metric]) -> str:
    known = [m for m in metrics if any(m.name in v for v in table.values())]
    head = "".join(f"<th>{_e(m.label)}</th>" for m in known)
    rows = "".join(
        f"<tr><td>{_e(name)}</td>{''.join(f'<td>{_value(values.get(m.name), m)}</td>' for m in known)}</tr>"
        for name, values in table.items()
    )
    return f"<div class='wide'><table><tr><th></th>{head}</tr>{rows}</table></div>"


UNITS = {"error": "%", "seen": "%", "psnr": "dB", "ssim": "", "first_frame_psnr": "dB"}
LABELS = {
    "error": "error of g",
    "seen": "clips with a fall",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "first_frame_psnr": "first-frame PSNR",
    "camera": "camera direction",
    "adherence.all": "all together",
    "consistency.score": "consistency, gated",
}


def _free_table(table: dict[str, dict[str, Value]]) -> str:
    names = list(dict.fromkeys(k for values in table.values() for k in values))
    head = "".join(f"<th>{_e(LABELS.get(n, n))}</th>" for n in names)
    rows = ""
    for label, values in table.items():
        cells = "".join(f"<td>{_cell(values.get(n), UNITS.get(n, '%'))}</td>" for n in names)
        rows += f"<tr><td>{_e(label)}</td>{cells}</tr>"
    return f"<div class='wide'><table><tr><th></th>{head}</tr>{rows}</table></div>"


def _reader(results: Results) -> str:
    rows = ""
    for attribute, score in results.reader_scores.items():
        right = _cell(Value(mean=score.accuracy, standard_error=score.standard_error, n=score.n), "%")
        verdict = "<td class='good'>yes</td>" if score.scored else "<td class='bad'>no</td>"
        rows += f"<tr><td>{_e(attribute)}</td><td>{right}</td><td>{score.n}</td>{verdict}</tr>"
    head = "<tr><th>attribute</th><th>right on held-out truth, %</th><th>clips</th><th>scored</th></tr>"
    return f"<div class='wide'><table>{head}{rows}</table></div>"


def _matrices(results: Results) -> str:
    found = []
    for attribute, table in results.confusion.items():
        names = sorted({*table, *(n for row in table.values() for n in row)})
        head = "".join(f"<th>{_e(n)}</th>" for n in names)
        rows = ""
        for asked in sorted(table):
            total = sum(table[asked].values())
            cells = ""
            for n in names:
                count = table[asked].get(n, 0)
                shade = round(70 * math.sqrt(count / total)) if count else 0
                colour = "var(--good)" if n == asked else "var(--bad)"
                style = (
                    f" style='background:color-mix(in srgb,{colour} {shade}%,transparent)'" if count else ""
                )
                cells += f"<td{style}>{count or ''}</td>"
            rows += f"<tr><td>{_e(asked)}</td>{cells}</tr>"
        table_html = f"<table><tr><th>asked \\ read</th>{head}</tr>{rows}</table>"
        found.append(f"<div class='wide'><h3>{_e(attribute)}</h3>{table_html}</div>")
    return f"<div class='matrices'>{''.join(found)}</div>"


def _samples(samples: Sequence[Sample]) -> str:
    figures = []
    for s in samples:
        marks = " ".join(
            f"<span class='good'>&#10003; {_e(a)}</span>"
            if ok
            else f"<span class='bad'>&#10007; {_e(a)} (read {_e(read)})</span>"
            for a, (ok, read) in s.verdicts.items()
        )
        note = " <span class='soft'>(unseen sentence shape)</span>" if s.paraphrased else ""
        image = f"<img alt='{_e(s.prompt)}' src='{_strip(s.frames)}'>"
        figures.append(f"<figure>{image}<figcaption>{_e(s.prompt)}{note}<br>{marks}</figcaption></figure>")
    return f"<div class='clips'>{''.join(figures)}</div>"


def _limits() -> str:
    return "<ul>" + "".join(f"<li>{_e(line)}</li>" for line in LIMITS.strip().splitlines()) + "</ul>"


def _strip(frames: NDArray[np.uint8]) -> str:
    """Frames [n,H,W,3] side by side as a data URL."""
    height = THUMB_HEIGHT
    width = round(frames.shape[2] * height / frames.shape[1])
    page = Image.new("RGB", ((width + 2) * len(frames) - 2, height), (128, 128, 128))
    for i, frame in enumerate(frames):
        page.paste(
            Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS), (i * (width + 2), 0)
        )
    buffer = io.BytesIO()
    page.save(buffer, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _value(value: Value | None, metric: Metric) -> str:
    return _cell(value, metric.unit)


def _cell(value: Value | None, unit: str) -> str:
    if value is None:
        return "&#8211;"
    return f"{_number(value.mean, unit)} <small>&#177;{_number(value.standard_error, unit)}</small>"


def _number(x: float, unit: str) -> str:
    """Shares as percent, decibels with one digit, everything else with three."""
    if unit == "%":
        return f"{100 * x:.1f}"
    return f"{x:.1f}" if unit == "dB" else f"{x:.3f}"


def _arrow(metric: Metric) -> str:
    unit = f"{metric.unit}, " if metric.unit else ""
    return f"<small class='soft'>{unit}{'higher' if metric.higher_is_better else 'lower'} is better</small>"


def _us(name: str) -> str:
    return " class='us'" if name == "generated" else ""


def _e(text: str) -> str:
    return html.escape(text, quote=True)
