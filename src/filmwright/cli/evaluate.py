"""`filmwright evaluate`: the report on held-out prompts. The makers of clips meet the judges here and nowhere else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
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
    from filmwright.weights.card import ModelCard

    Frames = NDArray[np.uint8]

__all__ = ["evaluate"]

MAX_CLIPS = 10_000  # in a table; seeds of clips lie 100,000 apart
PROMPTS = "prompts.json"  # as the suite calls it


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
    from filmwright.cli.checks import check_folder, check_place, check_weights
    from filmwright.media.files import check_output_folder, making, write_atomic
    from filmwright.spec.extras import check_world

    card = check_bench(model, seed, steps, guidance)
    assert card.part is not None
    for option, asked in (("--vae-clips", vae_clips), ("--image-clips", image_clips), ("--falls", falls)):
        if not 0 <= asked <= MAX_CLIPS:
            raise BadRequest(f"{option} {asked} is out of range: it must be from 0 to {MAX_CLIPS}")
    if not 2 <= count <= MAX_CLIPS:
        raise BadRequest(f"{count} prompts are out of range: give --count 2 to {MAX_CLIPS}")
    check_weights(weights)
    check_folder("--reader", reader, "`filmwright train reader --out DIR` makes one")
    check_output_folder(out)
    check_world()
    check_place(device)

    from filmwright.evaluation import prompts, suite
    from filmwright.evaluation.report import write_report

    counts = Counts(prompts=count, vae=vae_clips, images=image_clips)
    bench = Bench(
        model=model, weights=weights, reader=reader, steps=steps, guidance=guidance, seed=seed, device=device
    )
    with TemporaryDirectory(prefix="filmwright-") as scratch, bench.beside(counts, scratch) as probed:
        makers = bench.makers(scratch)
        results = suite.evaluate(
            makers.from_words,
            bench.judge(),
            prompts.held_out_prompts(count, part=card.part, seed=seed),
            scratch,
            vae_round_trip=makers.round_trip,
            free_fall_records=prompts.free_fall_prompts(falls, part=card.part, seed=seed) if falls else (),
            seed=seed,
            device=device,
            on_clip=lambda done, total: typer.echo(f"{done}/{total} prompts", err=True),
        )
        results.vae, results.i2v = probed()
        asked_for = (Path(scratch) / PROMPTS).read_text(encoding="utf-8")
    results.settings = {
        "model": model,
        "weights": ", ".join(f"{net} {digest[:12]}" for net, digest in makers.backbone.hashes.items()),
        "steps": str(steps or card.steps),
        "guidance": str(guidance if guidance is not None else card.guidance),
        "sampler": card.sampler,
        "seed": str(seed),
    }
    results.commands = [shlex.join(["filmwright", *sys.argv[1:]])]
    with making(out):  # last of all: nothing lies there until the report does
        write_atomic(out / PROMPTS, asked_for)
        page = write_report(results, out)
    typer.echo(page.with_suffix(".json").read_text() if as_json else str(page))


def check_bench(model: str, seed: int, steps: int | None, guidance: float | None) -> ModelCard:
    """See that a model can be judged, and makes clips as asked, before anything is loaded; gives its card.

    Raises:
        BadRequest: it knows no truth, or cannot do it.
    """
    from filmwright.cli.checks import check_seed
    from filmwright.engine.build_request import build_request
    from filmwright.weights.card import load_card

    check_seed(seed)
    card = load_card(model)
    if card.part is None:
        raise BadRequest(
            f"model {model!r} was not trained on the simulated world: there is no truth to judge it by"
        )
    build_request("a ball", model=model, seed=seed, steps=steps, guidance=guidance)
    return card


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

    def makers(self, scratch: str) -> _Makers:
        """The makers of clips, loaded; first pictures lie in a folder below `scratch`."""
        from filmwright.engine.pocket import backbone_for

        backbone = backbone_for(self.model, self.device, self.weights)
        return _Makers(backbone, self, Path(scratch) / "pictures")

    def judge(self) -> Reader:
        """The reader, loaded."""
        from filmwright.evaluation.reader import Reader
        from filmwright.weights.files import shipped

        return Reader.load(self.reader or shipped("reader"), device=self.device)

    def probe(self, counts: Counts, scratch: str, threads: int | None = None) -> Probed:
        """PSNR and SSIM of the VAE, and image to video; in a process of its own, on so many threads."""
        import torch

        from filmwright.evaluation import probes, prompts
        from filmwright.weights.card import load_card

        if threads is not None:
            torch.set_num_threads(threads)
        part, makers = load_card(self.model).part, self.makers(scratch)
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
    def beside(self, counts: Counts, scratch: str) -> Iterator[Callable[[], Probed]]:
        """Within, the probes run on half of the cores in a process of their own, where there are cores for it."""
        import torch

        from filmwright.cli.beside import beside

        cores = torch.get_num_threads()
        if self.device != "cpu" or cores < 2 or not (counts.vae or counts.images):
            yield lambda: self.probe(counts, scratch)
            return
        torch.set_num_threads(cores - cores // 2)
        with beside(partial(self.probe, counts, scratch, cores // 2)) as probed:
            yield probed
        torch.set_num_threads(cores)


@dataclass(frozen=True, eq=False)
class _Makers:
    """The engine as the callables that the suite asks for."""

    backbone: Backbone
    bench: Bench
    pictures: Path

    def from_words(self, records: list[PromptRecord]) -> Iterator[Frames]:
        """One clip a prompt, seeds counting up."""
        for index, record in enumerate(records):
            yield self._make(record, index, None)

    def from_image(self, records: list[PromptRecord], images: list[Frames]) -> Iterator[Frames]:
        """One clip a prompt and first picture."""
        from PIL import Image

        self.pictures.mkdir(exist_ok=True)
        for index, (record, image) in enumerate(zip(records, images, strict=True)):
            path = self.pictures / f"{index}.png"
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
            model=self.bench.model,
            size=(script.width, script.height),
            num_frames=script.num_frames,
            fps=script.fps,
            seed=self.bench.seed * 100_000 + index,
            steps=self.bench.steps,
            guidance=self.bench.guidance,
            image=image,
        )
        return generate_clip(request, backbone=self.backbone, device=self.bench.device).frames
