"""`filmwright evaluate`: the report on held-out prompts. The makers of clips meet the judges here and nowhere else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.spec.errors import BadRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from filmwright.evaluation.prompts import PromptRecord
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
    from filmwright.weights.card import load_card

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

    from filmwright.engine.pocket import backbone_for
    from filmwright.evaluation import probes, prompts, suite
    from filmwright.evaluation.reader import Reader
    from filmwright.evaluation.report import write_report
    from filmwright.weights.files import shipped

    judge = Reader.load(reader or shipped("reader"), device=device)
    backbone = backbone_for(model, device, weights)
    makers = _Makers(backbone, model, steps, guidance, seed, device)
    records = prompts.held_out_prompts(count, part=card.part, seed=seed)
    results = suite.evaluate(
        makers.from_words,
        judge,
        records,
        out,
        vae_round_trip=makers.round_trip,
        free_fall_records=prompts.free_fall_prompts(falls, part=card.part, seed=seed) if falls else (),
        seed=seed,
        device=device,
        on_clip=lambda done, total: typer.echo(f"{done}/{total} prompts", err=True),
    )
    if vae_clips:
        others = prompts.held_out_prompts(vae_clips, part=card.part, seed=seed + 1)
        results.vae = probes.evaluate_vae(
            makers.round_trip, (prompts.render_truth(r.script).frames for r in others)
        )
    if image_clips:
        results.i2v = probes.evaluate_i2v(makers.from_image, judge, records[:image_clips], device=device)
    results.settings = {
        "model": model,
        "weights": ", ".join(f"{net} {digest[:12]}" for net, digest in backbone.hashes.items()),
        "steps": str(steps or card.steps),
        "guidance": str(guidance if guidance is not None else card.guidance),
        "sampler": card.sampler,
        "seed": str(seed),
    }
    results.commands = [shlex.join(["filmwright", *sys.argv[1:]])]
    page = write_report(results, out)
    typer.echo(page.with_suffix(".json").read_text() if as_json else str(page))


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
