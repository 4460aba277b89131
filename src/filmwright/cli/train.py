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

from filmwright.cli import train_options as options
from filmwright.cli.checks import check_clips, check_file, check_folder, check_latents, check_place
from filmwright.cli.train_options import check_cooldown, check_run, check_size, live_world, part_of_world
from filmwright.spec.errors import BadRequest

__all__ = ["train_app"]

REST_OF_MATRIX = 0.5  # AdamW's rate as a share of Muon's

train_app = typer.Typer(no_args_is_help=True, help="Train the models; a killed run goes on with --resume.")


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
    data: Annotated[
        Path,
        typer.Option("--data", help="Shards, or world:solo, world:duo, world:whole: simulated as it goes."),
    ],
    out: options.Out,
    size: options.Size = "lite",
    max_minutes: options.Minutes = 60.0,
    max_steps: options.Steps = None,
    resume: options.Resume = False,
    batch: options.Batch = 16,
    lr: options.Rate = 2e-3,
    cooldown: options.Cooldown = 0.3,
    checkpoint_minutes: options.CheckpointMinutes = options.CHECKPOINT_MINUTES,
    sample_minutes: options.SampleMinutes = options.SAMPLE_MINUTES,
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
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    compiled: options.Compile = None,
    shard: options.Shard = False,
    workers: options.Workers = 1,
    as_json: options.Json = False,
) -> None:
    """Train the VAE on true clips; writes OUT/vae.safetensors."""
    check_run(
        out,
        batch=batch,
        threads=threads,
        device=device,
        seed=seed,
        max_steps=max_steps,
        max_minutes=max_minutes,
        lr=lr,
        checkpoint_minutes=checkpoint_minutes,
        sample_minutes=sample_minutes,
    )
    check_cooldown(cooldown)
    check_size(size)
    if not 0 <= latent_noise <= 1:
        raise BadRequest(f"--latent-noise {latent_noise:g} is out of range: from 0 to 1")
    part = part_of_world(data, workers)
    if part is None:
        check_clips("--data", data)
    check_file("--init", init)
    check_clips("--held-out", held_out)
    check_place(device)

    from filmwright.media.files import making
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
        checkpoint_minutes=checkpoint_minutes,
        sample_minutes=sample_minutes,
        seed=seed,
        device=device,
        threads=threads,
        shard=shard,
        compile=compiled,
    )
    task = VAETraining(
        data=data if part is None else live_world(part, config, workers),
        held_out=held_out,
        size=size,
        init=init,
        decoder_only=decoder_only,
        latent_noise=latent_noise,
    )
    with making(out):
        figures = train(task, config)
    say_figures(figures, as_json=as_json)


@train_app.command("latents")
def train_latents(
    data: options.Data,
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
    size: options.Size = "lite",
    batch: Annotated[int, typer.Option("--batch", help="Clips at once.")] = 4,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Encode shards once, so that the denoiser trains on latents."""
    check_run(out, batch=batch, threads=threads, device=device)
    check_size(size)
    check_clips("--data", data)
    check_file("--vae", vae)
    check_file("--vocabulary", vocabulary)
    check_place(device)

    import torch

    from filmwright.data.shards import Shards
    from filmwright.media.files import making
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
    with making(out):
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
        Path,
        typer.Option(
            "--data",
            "--latents",
            help="Latents, or world:solo, world:duo, world:whole: simulated as it goes.",
        ),
    ],
    out: options.Out,
    vae: Annotated[
        Path | None,
        typer.Option("--vae", help="A vae.safetensors: encodes clips of world:PART, decodes sample sheets."),
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="Latents to measure on; clips of --data if not given.")
    ] = None,
    size: options.Size = "lite",
    max_minutes: options.Minutes = 60.0,
    max_steps: options.Steps = None,
    resume: options.Resume = False,
    batch: options.Batch = 16,
    lr: options.Rate = 2e-3,
    cooldown: options.Cooldown = 0.3,
    checkpoint_minutes: options.CheckpointMinutes = options.CHECKPOINT_MINUTES,
    sample_minutes: options.SampleMinutes = options.SAMPLE_MINUTES,
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Folder with text.safetensors and denoiser.safetensors to go on from."),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    compiled: options.Compile = None,
    shard: options.Shard = False,
    workers: options.Workers = 1,
    as_json: options.Json = False,
) -> None:
    """Train the denoiser and its text encoder; writes OUT/denoiser.safetensors and OUT/text.safetensors."""
    check_run(
        out,
        batch=batch,
        threads=threads,
        device=device,
        seed=seed,
        max_steps=max_steps,
        max_minutes=max_minutes,
        lr=lr,
        checkpoint_minutes=checkpoint_minutes,
        sample_minutes=sample_minutes,
    )
    check_cooldown(cooldown)
    check_size(size)
    part = part_of_world(latents, workers)
    if part is None:
        check_latents("--data", latents)
    elif vae is None:
        raise BadRequest(f"--data {latents} has no latents: give the --vae that encodes its clips")
    check_latents("--held-out", held_out)
    check_file("--vae", vae)
    check_folder("--init", init, "it must hold text.safetensors and denoiser.safetensors")
    check_place(device)

    from filmwright.media.files import making
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
        checkpoint_minutes=checkpoint_minutes,
        sample_minutes=sample_minutes,
        seed=seed,
        device=device,
        threads=threads,
        shard=shard,
        compile=compiled,
    )
    source = latents if part is None else live_world(part, config, workers)
    task = DenoiserTraining(latents=source, held_out=held_out, size=size, init=init, vae=vae)
    with making(out):
        figures = train(task, config)
    say_figures(figures, as_json=as_json)


@train_app.command("reader")
def train_reader(
    data: options.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for reader.safetensors and reader.json.")],
    held_out: Annotated[
        Path | None,
        typer.Option(
            "--held-out", help="Shards that it is measured on; other splits of --data if not given."
        ),
    ] = None,
    init: Annotated[Path | None, typer.Option("--init", help="A reader.safetensors to go on from.")] = None,
    max_minutes: options.Minutes = 8.0,
    max_steps: options.Steps = None,
    resume: options.Resume = False,
    batch: options.Batch = 32,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Train the reader that grades clips, and measure it on clips it has not seen."""
    check_run(
        out,
        batch=batch,
        threads=threads,
        device=device,
        seed=seed,
        max_steps=max_steps,
        max_minutes=max_minutes,
    )
    check_clips("--data", data)
    check_clips("--held-out", held_out)
    check_file("--init", init)
    check_place(device)

    import torch

    from filmwright.data.shards import Shards
    from filmwright.evaluation.train_reader import train_reader as train
    from filmwright.media.files import making

    if threads:
        torch.set_num_threads(threads)
    with making(out):
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
    size: options.Size = "lite",
) -> None:
    """Gather trained nets into one folder of weights with their hashes."""
    from filmwright.media.files import check_output_folder

    check_size(size)
    nets = {"vae": vae, "denoiser": run / "denoiser.safetensors", "text": run / "text.safetensors"}
    for file in nets.values():
        check_file("--vae" if file == vae else "--run", file)
    check_file("--vocabulary", vocabulary)
    check_output_folder(out)

    from filmwright.weights.backbone import save_backbone
    from filmwright.weights.tokenizer import Tokenizer

    save_backbone(out, size, nets, Tokenizer.load(vocabulary or pocket_folder() / "vocabulary.json"))
    typer.echo(f"{out}: {sum(path.stat().st_size for path in out.iterdir()) / 1e6:.1f} MB")


def pocket_folder() -> Path:
    """Where the weights that ship with the package lie."""
    import filmwright.weights

    return Path(filmwright.weights.__path__[0]) / "pocket"
