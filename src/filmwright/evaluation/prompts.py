"""The held-out prompts: what to ask of a model, what each prompt says as data, and the truth that it describes.

Deterministic in `(part, seed, count)`: scripts whose combination of subject, colour, event and setting training never
sees, told from what happens in the simulated take. Every second prompt uses sentence shapes that training never uses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmwright.evaluation.reader import labels_of
from filmwright.media.files import write_atomic
from filmwright.spec.errors import BadRequest
from filmwright.spec.words import mentions
from filmwright.world.author import variant, write_script
from filmwright.world.captions import captions_for
from filmwright.world.physics import simulate
from filmwright.world.scene import Script, SubjectSpec, Take
from filmwright.world.splits import held_out

__all__ = [
    "PromptRecord",
    "Truth",
    "another_take",
    "free_fall_prompts",
    "held_out_prompts",
    "load_prompts",
    "render_truth",
    "save_prompts",
]

FIRST_SEED = 900_000_000  # far from the seeds of shards
SEEDS_A_SET = 1_000_000
FREE_FALL_SEED = 500_000  # of a set: where the free-fall prompts start
MAX_TRIES = 400  # scripts tried for each prompt before giving up


@dataclass(frozen=True, kw_only=True)
class PromptRecord:
    """A prompt; `atoms` is what it says, attribute -> the names that fulfil it (a pan without a side has two)."""

    index: int
    prompt: str
    paraphrased: bool
    atoms: dict[str, tuple[str, ...]]
    script: Script


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """A true clip of a prompt: frames uint8 [T,H,W,3], mask [T,H,W] of the main subject, and the take."""

    frames: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    take: Take


def held_out_prompts(
    count: int = 200,
    *,
    part: str,
    seed: int = 0,
    width: int = 256,
    height: int = 160,
    num_frames: int = 33,
    fps: int = 16,
) -> list[PromptRecord]:
    """`count` prompts of held-out combinations; sizes in pixels are those of the truth.

    Raises:
        BadRequest: an unknown part, a count below 1, or a part in which nothing is held out.
    """
    shape = {"width": width, "height": height, "num_frames": num_frames, "fps": fps}
    first = FIRST_SEED + seed * SEEDS_A_SET

    def scripts() -> Iterator[Script]:
        for n in range(MAX_TRIES * max(count, 1)):
            yield write_script(first + n, part, **shape)

    return _records(scripts(), count, seed)


def free_fall_prompts(
    count: int = 24,
    *,
    part: str,
    seed: int = 0,
    width: int = 256,
    height: int = 160,
    num_frames: int = 33,
    fps: int = 16,
) -> list[PromptRecord]:
    """`count` held-out prompts of drops before a camera that stands still: for the free-fall error.

    Raises:
        BadRequest: as `held_out_prompts`, or a part without drops.
    """
    shape = {"width": width, "height": height, "num_frames": num_frames, "fps": fps}
    first = FIRST_SEED + seed * SEEDS_A_SET + FREE_FALL_SEED

    def scripts() -> Iterator[Script]:
        for n in range(MAX_TRIES * max(count, 1)):
            script = write_script(first + n, part, **shape)
            if script.mood != "monochrome":
                yield variant(script, event="drop", camera="static")

    return _records(scripts(), count, seed)


def _records(scripts: Iterator[Script], count: int, seed: int) -> list[PromptRecord]:
    if count < 1:
        raise BadRequest(f"{count} prompts cannot be judged: ask for at least 1")
    records: list[PromptRecord] = []
    for script in scripts:
        if not held_out(script):
            continue
        paraphrased = len(records) % 2 == 1
        log = simulate(script).log
        (prompt,) = captions_for(script, log, count=1, seed=seed, paraphrase=paraphrased, complete=True)
        records.append(
            PromptRecord(
                index=len(records),
                prompt=prompt,
                paraphrased=paraphrased,
                atoms=atoms_of(script, prompt),
                script=script,
            )
        )
        if len(records) == count:
            return records
    raise BadRequest(
        f"only {len(records)} of {count} held-out prompts were found: ask for fewer, or for a larger part"
    )


def atoms_of(script: Script, prompt: str) -> dict[str, tuple[str, ...]]:
    """What a prompt that tells all attributes of `script` asks for; an open phrase ("the camera pans") accepts several.

    The colour of a black-and-white clip is no atom: nobody can see it.
    """
    atoms: dict[str, tuple[str, ...]] = {
        a: (name,) for a, name in labels_of(script).items() if name is not None
    }
    for mention in mentions(prompt):
        if mention.attribute == "camera" and script.camera in mention.names:
            atoms["camera"] = mention.names
    return atoms


def render_truth(script: Script, *, device: str = "cpu", compiled: bool | None = None) -> Truth:
    """Simulates and draws what a script says; `compiled` as in `world.render.render`."""
    from filmwright.world.render import render

    take = simulate(script)
    drawn = render(take.stage, script.width, script.height, device=device, compiled=compiled)
    mask = np.isin(drawn.ids, np.flatnonzero(take.subject == 0) + 1)
    return Truth(frames=drawn.frames, mask=mask, take=take)


def another_take(script: Script) -> Script:
    """The same words from another seed: as unlike the truth as a perfect model's clip may be."""
    return replace(script, seed=script.seed + SEEDS_A_SET // 2 + SEEDS_A_SET * 7)


def save_prompts(records: Sequence[PromptRecord], path: Path | str) -> None:
    """Writes prompts, atoms and scripts as JSON.

    Raises:
        MediaError: the file cannot be written.
    """
    write_atomic(Path(path), json.dumps([asdict(r) for r in records], indent=1, ensure_ascii=False) + "\n")


def load_prompts(path: Path | str) -> list[PromptRecord]:
    """Reads what `save_prompts` wrote.

    Raises:
        BadRequest: the file is missing or not a list of prompts.
    """
    try:
        items: list[dict[str, Any]] = json.loads(Path(path).read_text())
        return [_record(item) for item in items]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"cannot read prompts from {path}: {error}; make them anew") from error


def _record(item: dict[str, Any]) -> PromptRecord:
    script = dict(item["script"])
    script["subjects"] = tuple(SubjectSpec(**s) for s in script["subjects"])
    return PromptRecord(
        index=item["index"], prompt=item["prompt"], paraphrased=item["paraphrased"],
        atoms={k: tuple(v) for k, v in item["atoms"].items()}, script=Script(**script),
    )  # fmt: skip
