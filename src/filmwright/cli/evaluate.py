"""`filmwright evaluate`: the report on held-out prompts. The makers of clips meet the judges here and nowhere else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.spec.errors import BadRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from filmwright.evaluation.metrics import Value
    from filmwright.evaluation.prompts import PromptRecord
    from filmwright.evaluation.reader import Reader
    from filmwright.weights.backbone import Backbone

    Frames = NDArray[np.uint8]

__all__ = ["evaluate"]


def evaluate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the report, made if need be.")],
    count: Annotated[int, typer.Option("--count", help="Held-out prompts.")] = 200,
    vae_clips: Annotated[int, typer.Option("--vae-clips", help="True clips for PSNR and SSIM.")] = 256,
    image_clips: Annotated[int, typer.Option("--image-clips", help="Prompts for image-to-video.")] = 48,
    falls: Annotated[int, typer.Option("--falls", help="Prompts for free fall.")] = 24,
    seed: Annotated[int, typer.Option("--seed", help="Of the prompts and of the noise.")] = 0,
    model: Annotated[str, typer.Option("--model", help="See `filmwright models`.")] = "pocket",
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="A folder from `filmwright train pack`, instead of the model's."),
    ] = None,
    reader: Annotated[
        Path | None,
        typer.Option(
            "--reader", help="A folder from `filmwright train reader`; the shipped one if not given."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option("--guidance", help="1 is no guidance.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:0.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of its path.")] = False,
) -> None:
    """Judge a model on held-out prompts, beside truth, VAE round trip, frozen clip, noise and shuffled prompts."""
    from filmwright.engine.build_request import check_device
    from filmwright.weights.card import load_card

    check_device(device)
    card = load_card(model)
    if card.part is None:
        raise BadRequest(
            f"model {model!r} was not trained on the simulated world: there is no truth to judge it by"
        )
    if count < 2 or min(vae_clips, image_clips, falls) < 0:
        raise BadRequest(
            f"{count} prompts are too few, or a count is negative: give --count 2 or more, others 0 or more"
        )
    if out.exists() and not out.is_dir():
        raise BadRequest(f"--out {out} is a file: name a folder")

    if reader is not None and not reader.is_dir():
        raise BadRequest(f"--reader {reader} is not a folder: `filmwright train reader --out DIR` makes one")

    from filmwright.evaluation import prompts, suite
    from filmwright.evaluation.report import write_report

    counts = Counts(prompts=count, vae=vae_clips, images=image_clips)
    bench = Bench(
        model=model, weights=weights, reader=reader, steps=steps, guidance=guidance, seed=seed, device=device
    )
    with bench.beside(counts) as probed:
        makers = bench.makers()
        results = suite.evaluate(
            makers.from_words,
            bench.judge(),
            prompts.held_out_prompts(count, part=card.part, seed=seed),
            out,
            vae_round_trip=makers.round_trip,
            free_fall_records=prompts.free_fall_prompts(falls, part=card.part, seed=seed) if falls else (),
            seed=seed,
            device=device,
            on_clip=lambda done, total: typer.echo(f"{done}/{total} prompts", err=True),
        )
        results.vae, results.i2v = probed()
    results.settings = {
        "model": model,
        "weights": ", ".join(f"{net} {digest[:12]}" for net, digest in makers.backbone.hashes.items()),
        "steps": str(steps or card.steps),
        "guidance": str(guidance if guidance is not None else card.guidance),
        "sampler": card.sampler,
        "seed": str(seed),
    }
    results.commands = [shlex.join(["filmwright", *sys.argv[1:]])]
    page = write_report(results, out)
    typer.echo(page.with_suffix(".json").read_text() if as_json else str(page))


Probed = tuple["dict[str, Value]", "dict[str, dict[str, Value]]"]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many clips a part of the bench takes."""

    prompts: int
    vae: int
    images: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Which model is judged by which reader, and how its clips are made."""

    model: str
    weights: Path | None
    reader: Path | None
    steps: int | None
    guidance: float | None
    seed: int
    device: str

    def makers(self) -> _Makers:
        """The makers of clips, loaded."""
        from filmwright.engine.pocket import backbone_for

        backbone = backbone_for(self.model, self.device, self.weights)
        return _Makers(backbone, self.model, self.steps, self.guidance, self.seed, self.device)

    def judge(self) -> Reader:
        """The reader, loaded."""
        from filmwright.evaluation.reader import Reader
        from filmwright.weights.files import shipped

        return Reader.load(self.reader or shipped("reader"), device=self.device)

    def probe(self, counts: Counts) -> Probed:
        """PSNR and SSIM of the VAE, and image to video."""
        from filmwright.evaluation import probes, prompts
        from filmwright.weights.card import load_card

        part, makers = load_card(self.model).part, self.makers()
        assert part is not None
        vae: dict[str, Value] = {}
        i2v: dict[str, dict[str, Value]] = {}
        if counts.vae:
            others = prompts.held_out_prompts(counts.vae, part=part, seed=self.seed + 1)
            vae = probes.evaluate_vae(
                makers.round_trip, (prompts.render_truth(r.script).frames for r in others)
            )
        if counts.images:
            records = prompts.held_out_prompts(counts.prompts, part=part, seed=self.seed)[: counts.images]
            i2v = probes.evaluate_i2v(makers.from_image, self.judge(), records, device=self.device)
        return vae, i2v

    @contextmanager
    def beside(self, counts: Counts) -> Iterator[Callable[[], Probed]]:
        """Within, the probes run on half of the cores in a process of their own, where there are cores for it."""
        import torch

        cores = torch.get_num_threads()
        if self.device != "cpu" or cores < 2 or not (counts.vae or counts.images):
            yield lambda: self.probe(counts)
            return
        torch.set_num_threads(cores - cores // 2)
        with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (cores // 2,)) as pool:
            yield pool.submit(self.probe, counts).result
        torch.set_num_threads(cores)


class _Makers:
    """The engine as the callables that the suite asks for."""

    def __init__(
        self,
        backbone: Backbone,
        model: str,
        steps: int | None,
        guidance: float | None,
        seed: int,
        device: str,
    ) -> None:
        self.backbone, self.model, self.steps, self.guidance = backbone, model, steps, guidance
        self.seed, self.device = seed, device

    def from_words(self, records: list[PromptRecord]) -> Iterator[Frames]:
        """One clip a prompt, seeds counting up."""
        for index, record in enumerate(records):
            yield self._make(record, index, None)

    def from_image(self, records: list[PromptRecord], images: list[Frames]) -> Iterator[Frames]:
        """One clip a prompt and first picture."""
        import tempfile

        from PIL import Image

        with tempfile.TemporaryDirectory() as folder:
            for index, (record, image) in enumerate(zip(records, images, strict=True)):
                path = Path(folder) / f"{index}.png"
                Image.fromarray(image).save(path)
                yield self._make(record, index, path)

    def round_trip(self, frames: Frames) -> Frames:
        """A clip through the VAE and back."""
        import numpy as np
        import torch

        from filmwright.engine.pocket import decode

        with torch.inference_mode():
            x = torch.tensor(frames, device=self.backbone.device).permute(3, 0, 1, 2)[None]
            latents = self.backbone.vae.encode(x.to(self.backbone.dtype) / 127.5 - 1)
            return np.concatenate(list(decode(latents, self.backbone)))

    def _make(self, record: PromptRecord, index: int, image: Path | None) -> Frames:
        from filmwright.engine.build_request import build_request
        from filmwright.engine.generate import generate_clip

        script = record.script
        request = build_request(
            record.prompt,
            model=self.model,
            size=(script.width, script.height),
            num_frames=script.num_frames,
            fps=script.fps,
            seed=self.seed * 100_000 + index,
            steps=self.steps,
            guidance=self.guidance,
            image=image,
        )
        return generate_clip(request, backbone=self.backbone, device=self.device).frames
