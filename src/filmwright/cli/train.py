"""`filmwright train`: the VAE, the denoiser with its text encoder, and the reader that grades them."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from filmwright.spec.errors import BadRequest

__all__ = ["train_app"]

REST_OF_MATRIX = 0.5  # AdamW's rate as a share of Muon's
MAKE_SHARDS = "make one with `filmwright world shards --out DIR`"
MAKE_LATENTS = "make one with `filmwright train latents --out DIR`"
SIZES = ("lite", "full", "tiny")  # models.catalog.SIZES, which would load torch; a test holds them equal

train_app = typer.Typer(no_args_is_help=True, help="Train the models; a killed run goes on with --resume.")

Data = Annotated[Path, typer.Option("--data", help="Shards, from `filmwright world shards`.")]
Out = Annotated[
    Path, typer.Option("--out", help="The run's folder: checkpoints, sample sheets, logs, weights.")
]
Size = Annotated[str, typer.Option("--size", help="lite, full or tiny.")]
Minutes = Annotated[float, typer.Option("--max-minutes", help="How long this run may take.")]
Steps = Annotated[int | None, typer.Option("--max-steps", help="Stop after so many steps at the latest.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
Batch = Annotated[int, typer.Option("--batch", help="Samples a step, over all processes.")]
Rate = Annotated[float, typer.Option("--lr", help="Muon's learning rate; AdamW's is half of it.")]
Cooldown = Annotated[
    float,
    typer.Option(
        "--cooldown", help="Share of the run at whose end the rate falls; 0 for a slice of a longer one."
    ),
]
Seed = Annotated[int, typer.Option("--seed")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:0.")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads; all if not given.")]
Compile = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="torch.compile; where it pays if not given.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the held-out figures as JSON.")]


def check_run(minutes: float, batch: int, lr: float, threads: int | None, device: str) -> None:
    """Refuse what no run can do, before torch is loaded.

    Raises:
        BadRequest: minutes, batch, rate or threads that are not positive, or an unknown kind of device.
    """
    for name, value in (("--max-minutes", minutes), ("--batch", batch), ("--lr", lr), ("--threads", threads)):
        if value is not None and not value > 0:
            raise BadRequest(f"{name} {value:g} is out of range: it must be more than 0")
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise BadRequest(f"unknown device {device!r}: cpu, cuda or cuda:0")


def check_cooldown(share: float) -> None:
    """Refuse what is no share.

    Raises:
        BadRequest: below 0 or above 1.
    """
    if not 0 <= share <= 1:
        raise BadRequest(f"--cooldown {share:g} is out of range: it is a share, from 0 to 1")


def check_size(size: str) -> None:
    """Refuse a size that the catalogue does not have, before torch is loaded.

    Raises:
        BadRequest: there is no such size.
    """
    if size not in SIZES:
        raise BadRequest(f"unknown size {size!r}: the sizes are {', '.join(SIZES)}")


def check_folder(option: str, folder: Path, remedy: str) -> None:
    """Refuse a folder that is not there.

    Raises:
        BadRequest: it is missing or no folder.
    """
    if not folder.is_dir():
        raise BadRequest(f"{option} {folder} is not a folder: {remedy}")


def check_file(option: str, file: Path | None) -> None:
    """Refuse a file that is not there.

    Raises:
        BadRequest: it is missing or no file.
    """
    if file is not None and not file.is_file():
        raise BadRequest(f"{option} {file} is not a file: check the path")


def log_to_stderr() -> None:
    """Show the library's log on stderr, one line a record, as it comes."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )


def process() -> tuple[int, int]:
    """Which of how many processes this is, as torchrun says."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def say_figures(figures: Mapping[str, object], *, as_json: bool) -> None:
    """Print the last held-out figures, once when torchrun started several of us."""
    if process()[0] > 0:
        return
    if as_json:
        typer.echo(json.dumps(dict(figures)))
        return
    for name, value in figures.items():
        typer.echo(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


@train_app.command("vae")
def train_vae(
    data: Data,
    out: Out,
    size: Size = "lite",
    max_minutes: Minutes = 60.0,
    max_steps: Steps = None,
    resume: Resume = False,
    batch: Batch = 16,
    lr: Rate = 2e-3,
    cooldown: Cooldown = 0.3,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="Shards to measure on; clips of --data if not given.")
    ] = None,
    init: Annotated[Path | None, typer.Option("--init", help="A vae.safetensors to go on from.")] = None,
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="Keep the latents, so that the denoiser stays valid.")
    ] = False,
    latent_noise: Annotated[
        float,
        typer.Option("--latent-noise", help="Most noise on the latents that the decoder learns to forgive."),
    ] = 0.2,
    seed: Seed = 0,
    device: Device = "cpu",
    threads: Threads = None,
    compiled: Compile = None,
    as_json: Json = False,
) -> None:
    """Train the VAE on true clips; writes OUT/vae.safetensors."""
    check_run(max_minutes, batch, lr, threads, device)
    check_cooldown(cooldown)
    check_size(size)
    if not 0 <= latent_noise <= 1:
        raise BadRequest(f"--latent-noise {latent_noise:g} is out of range: from 0 to 1")
    check_folder("--data", data, MAKE_SHARDS)
    check_file("--init", init)
    if held_out is not None:
        check_folder("--held-out", held_out, MAKE_SHARDS)

    from filmwright.training.loop import LoopConfig
    from filmwright.training.vae import VAETraining
    from filmwright.training.vae import train_vae as train

    log_to_stderr()
    config = LoopConfig(
        out=out,
        max_minutes=max_minutes,
        max_steps=max_steps,
        resume=resume,
        batch=batch,
        lr_matrix=lr,
        lr_rest=lr * REST_OF_MATRIX,
        cooldown=cooldown,
        seed=seed,
        device=device,
        threads=threads,
        compile=compiled,
    )
    figures = train(
        VAETraining(
            data=data,
            held_out=held_out,
            size=size,
            init=init,
            decoder_only=decoder_only,
            latent_noise=latent_noise,
        ),
        config,
    )
    say_figures(figures, as_json=as_json)


@train_app.command("latents")
def train_latents(
    data: Data,
    vae: Annotated[Path, typer.Option("--vae", help="The vae.safetensors that encodes.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the latents; what is there already is kept.")
    ],
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary", help="vocabulary.json of the captions; the pocket model's if not given."
        ),
    ] = None,
    size: Size = "lite",
    batch: Annotated[int, typer.Option("--batch", help="Clips at once.")] = 4,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Encode shards once, so that the denoiser trains on latents."""
    check_run(1, batch, 1, threads, device)
    check_size(size)
    check_folder("--data", data, MAKE_SHARDS)
    check_file("--vae", vae)
    check_file("--vocabulary", vocabulary)

    import torch

    from filmwright.data.shards import Shards
    from filmwright.models.catalog import size as sizes_of
    from filmwright.models.vae import VAE
    from filmwright.training.latents import encode_shards
    from filmwright.weights.files import load_net
    from filmwright.weights.tokenizer import Tokenizer

    log_to_stderr()
    if threads:
        torch.set_num_threads(threads)
    sizes = sizes_of(size)
    net = VAE(sizes.vae)
    load_net(net, vae)
    tokenizer = Tokenizer.load(vocabulary or pocket_folder() / "vocabulary.json")
    done = encode_shards(
        Shards(data),
        net,
        tokenizer,
        out,
        length=sizes.text.length,
        device=device,
        batch=batch,
        process=process(),
    )
    typer.echo(f"{out}: {done} clips")


@train_app.command("denoiser")
def train_denoiser(
    latents: Annotated[
        Path, typer.Option("--data", "--latents", help="Latents, from `filmwright train latents`.")
    ],
    out: Out,
    vae: Annotated[
        Path | None,
        typer.Option("--vae", help="A vae.safetensors that decodes the sample sheets; none without it."),
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="Latents to measure on; clips of --data if not given.")
    ] = None,
    size: Size = "lite",
    max_minutes: Minutes = 60.0,
    max_steps: Steps = None,
    resume: Resume = False,
    batch: Batch = 16,
    lr: Rate = 2e-3,
    cooldown: Cooldown = 0.3,
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Folder with text.safetensors and denoiser.safetensors to go on from."),
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    threads: Threads = None,
    compiled: Compile = None,
    as_json: Json = False,
) -> None:
    """Train the denoiser and its text encoder; writes OUT/denoiser.safetensors and OUT/text.safetensors."""
    check_run(max_minutes, batch, lr, threads, device)
    check_cooldown(cooldown)
    check_size(size)
    check_folder("--data", latents, MAKE_LATENTS)
    if held_out is not None:
        check_folder("--held-out", held_out, MAKE_LATENTS)
    check_file("--vae", vae)
    if init is not None:
        check_folder("--init", init, "it must hold text.safetensors and denoiser.safetensors")

    from filmwright.training.denoiser import DenoiserTraining
    from filmwright.training.denoiser import train_denoiser as train
    from filmwright.training.loop import LoopConfig

    log_to_stderr()
    config = LoopConfig(
        out=out,
        max_minutes=max_minutes,
        max_steps=max_steps,
        resume=resume,
        batch=batch,
        lr_matrix=lr,
        lr_rest=lr * REST_OF_MATRIX,
        cooldown=cooldown,
        seed=seed,
        device=device,
        threads=threads,
        compile=compiled,
    )
    figures = train(
        DenoiserTraining(latents=latents, held_out=held_out, size=size, init=init, vae=vae), config
    )
    say_figures(figures, as_json=as_json)


@train_app.command("reader")
def train_reader(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for reader.safetensors and reader.json.")],
    held_out: Annotated[
        Path | None,
        typer.Option(
            "--held-out", help="Shards that it is measured on; other splits of --data if not given."
        ),
    ] = None,
    init: Annotated[Path | None, typer.Option("--init", help="A reader.safetensors to go on from.")] = None,
    max_minutes: Minutes = 8.0,
    max_steps: Steps = None,
    resume: Resume = False,
    batch: Batch = 32,
    seed: Seed = 0,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train the reader that grades clips, and measure it on clips it has not seen."""
    check_run(max_minutes, batch, 1, threads, device)
    check_folder("--data", data, MAKE_SHARDS)
    if held_out is not None:
        check_folder("--held-out", held_out, MAKE_SHARDS)
    check_file("--init", init)

    import torch

    from filmwright.data.shards import Shards
    from filmwright.evaluation.train_reader import train_reader as train

    if threads:
        torch.set_num_threads(threads)
    scores = train(
        Shards(data),
        Shards(held_out) if held_out is not None else None,
        out,
        max_minutes=max_minutes,
        max_steps=max_steps,
        batch=batch,
        seed=seed,
        device=device,
        resume=resume,
        init=init,
        on_progress=say_progress,
    )
    say_figures({name: score.accuracy for name, score in scores.items()}, as_json=as_json)


def say_progress(note: Mapping[str, float]) -> None:
    """One line on stderr about how a training goes."""
    typer.echo("  ".join(f"{name} {value:.4g}" for name, value in note.items()), err=True)


@train_app.command("pack")
def pack(
    vae: Annotated[Path, typer.Option("--vae", help="The trained vae.safetensors.")],
    run: Annotated[
        Path, typer.Option("--run", help="The denoiser's run: denoiser.safetensors and text.safetensors.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the whole set, with its manifest.")],
    vocabulary: Annotated[
        Path | None,
        typer.Option("--vocabulary", help="vocabulary.json trained with; the pocket model's if not given."),
    ] = None,
    size: Size = "lite",
) -> None:
    """Gather trained nets into one folder of weights with their hashes."""
    check_size(size)
    nets = {"vae": vae, "denoiser": run / "denoiser.safetensors", "text": run / "text.safetensors"}
    for file in nets.values():
        check_file("--vae" if file == vae else "--run", file)
    check_file("--vocabulary", vocabulary)

    from filmwright.weights.backbone import save_backbone
    from filmwright.weights.tokenizer import Tokenizer

    save_backbone(out, size, nets, Tokenizer.load(vocabulary or pocket_folder() / "vocabulary.json"))
    typer.echo(f"{out}: {sum(path.stat().st_size for path in out.iterdir()) / 1e6:.1f} MB")


def pocket_folder() -> Path:
    """Where the weights that ship with the package lie."""
    import filmwright.weights

    return Path(filmwright.weights.__path__[0]) / "pocket"
