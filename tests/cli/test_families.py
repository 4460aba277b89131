"""Every family that runs through diffusers, from a folder to a file on the command line, against its own pipeline."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from filmwright.cli.main import run
from filmwright.engine.build_request import build_request
from filmwright.engine.devices import fast_dtype
from filmwright.engine.diffusers_runner import diffusers_runner
from filmwright.engine.generate import generate_clip, generate_file
from filmwright.engine.runs import folder_of, unfinished
from filmwright.engine.sidecar import read_sidecar
from filmwright.media.video import probe
from filmwright.spec.events import Event, Progress, Started
from filmwright.weights.card import load_card
from filmwright.weights.hashes import hashes_of
from reference_families import MAKERS, save_family

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own, in the reference
FRAMES = {"mochi-1": 13, "svd": 14}
BOTH = ("ltx-video", "ltx-2")  # with a picture or without
PICTURED = ("hunyuanvideo-1.5-i2v-480p", "svd")
CASES = [(name, name in PICTURED) for name in MAKERS] + [(name, True) for name in BOTH]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a picture, a small model of each family, and a home that knows them."""
    folder = tmp_path_factory.mktemp("families")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILMWRIGHT_HOME", str(folder / "home"))
        pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "first.png")
        for name in MAKERS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                save_family(name, folder / name)
            assert run(["models", "add", str(folder / name), "--any-size"]) == 0
        yield folder


@pytest.fixture(autouse=True)
def at_home(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILMWRIGHT_HOME", str(shop / "home"))


def words_for(name: str, shop: Path, *, pictured: bool) -> list[str]:
    """A request on the command line: only what a card does not say."""
    words = [] if name == "svd" else ["a red ball rolls"]
    words += [
        "--model",
        name,
        "--size",
        "64x64",
        "--frames",
        str(FRAMES.get(name, 9)),
        "--steps",
        "2",
        "--seed",
        "7",
    ]
    return words + (["--image", str(shop / "first.png")] if pictured else [])


def theirs(name: str, folder: Path, picture: Image.Image | None, **more: Any) -> NDArray[np.uint8]:
    """Frames that diffusers' pipeline makes, see `their_output`."""
    frames = their_output(name, folder, picture, **more).frames[0]
    return (frames * np.float32(255)).round().astype(np.uint8)


def their_output(name: str, folder: Path, picture: Image.Image | None, **more: Any) -> Any:
    """What diffusers' pipeline makes by its own defaults, with nets in the types that Filmwright runs them in."""
    import diffusers

    dtype = fast_dtype("cpu")
    kind: Any = diffusers.DiffusionPipeline
    if picture is not None and name in BOTH:
        kind = {"ltx-video": diffusers.LTXImageToVideoPipeline, "ltx-2": diffusers.LTX2ImageToVideoPipeline}[
            name
        ]
    vae_dtype = dtype if name in BOTH else torch.float32
    pipe = kind.from_pretrained(str(folder), torch_dtype={"default": dtype, "vae": vae_dtype})
    decode = pipe.vae.decode
    pipe.vae.decode = lambda z, *args, **options: decode(z.to(vae_dtype), *args, **options)
    pipe.set_progress_bar_config(disable=True)
    call: dict[str, Any] = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(7)}
    call |= {} if name == "svd" else {"prompt": "a red ball rolls"}
    call |= {} if picture is None else {"image": picture}
    call |= {"negative_prompt": load_card(name).negative} if name in BOTH else {}
    call |= {"spatio_temporal_guidance_blocks": [29]} if name == "ltx-2" else {}
    if name == "hunyuanvideo-1.5-i2v-480p":
        pipe.video_processor.calculate_default_height_width = lambda **_: (64, 64)
    else:
        call |= {"height": 64, "width": 64}
    with torch.inference_mode():
        return pipe(**call, **more, num_frames=FRAMES.get(name, 9), output_type="np")


@pytest.mark.parametrize(("name", "pictured"), CASES)
def test_from_a_folder_to_a_file_as_the_pipeline_itself(
    name: str, pictured: bool, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, again = tmp_path / "clip.mp4", tmp_path / "again.mp4"
    assert run(["generate", *words_for(name, shop, pictured=pictured), "-o", str(clip), "--json"]) == 0, (
        capsys.readouterr()
    )
    told = json.loads(clip.with_suffix(".json").read_text())
    assert probe(clip).codec == "h264"
    assert set(told["timings"]) == set(told["memory"]) == {"load", "encode", "denoise", "decode"}
    assert all(
        f"{part}/" in " ".join(told["weights"])
        for part in ("vae", "unet" if name == "svd" else "transformer")
    )
    assert hashes_of(name) == told["weights"]
    assert run(["generate", "--from", str(clip.with_suffix(".json")), "-o", str(again), "--json"]) == 0
    assert json.loads(again.with_suffix(".json").read_text())["frames_digest"] == told["frames_digest"]

    request = build_request(
        None if name == "svd" else "a red ball rolls", model=name, size=(64, 64), num_frames=FRAMES.get(name, 9),
        steps=2, seed=7, image=shop / "first.png" if pictured else None,
    )  # fmt: skip
    ours = generate_clip(request)
    assert ours.sidecar is not None
    assert json.loads(ours.sidecar)["frames_digest"] == told["frames_digest"]
    wanted = theirs(name, shop / name, Image.open(shop / "first.png") if pictured else None)
    assert ours.frames.std() > 10
    difference = np.abs(ours.frames.astype(int) - wanted.astype(int)).max()
    assert difference <= (
        2 if name in BOTH else 0
    )  # LTX's VAE runs in bf16, in which theirs rounds once more


def test_a_lora_is_part_of_what_a_clip_is_made_from(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style, other = tmp_path / "style.safetensors", tmp_path / "other.safetensors"
    stem = "diffusion_model.transformer_blocks.0.attn1.to_q"
    pair = {f"{stem}.lora_A.weight": torch.randn(4, 16), f"{stem}.lora_B.weight": torch.randn(16, 4)}
    save_file(pair, style)
    save_file(
        pair | {"diffusion_model.transformer_blocks.9.attn1.to_q.lora_A.weight": torch.ones(4, 16)}, other
    )

    def made(name: str, *more: str) -> dict[str, Any]:
        clip = tmp_path / f"{name}.mp4"
        assert run(["generate", *more, "-o", str(clip)]) == 0, capsys.readouterr()
        return dict(json.loads(clip.with_suffix(".json").read_text()))

    words = words_for("ltx-video", shop, pictured=False)
    plain, styled = made("plain", *words), made("styled", *words, "--lora", f"{style}=2")
    again = made("again", "--from", str(tmp_path / "styled.json"))
    assert plain["frames_digest"] != styled["frames_digest"] == again["frames_digest"]
    assert [(Path(x["path"]).name, x["weight"]) for x in styled["request"]["loras"]] == [
        ("style.safetensors", 2)
    ]
    capsys.readouterr()
    assert run(["generate", *words, "--lora", str(other), "-o", str(tmp_path / "no.mp4")]) == 2
    told = capsys.readouterr().err
    assert "1 of 3 keys match no layer: diffusion_model.transformer_blocks.9.attn1.to_q" in told
    assert not (tmp_path / "no.mp4").exists()


def heard(clip: Path) -> tuple[str, int, float, NDArray[np.float32]]:
    """Codec, rate, seconds and samples [2, n] of a file's sound."""
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        told = stream.codec_context.name, stream.rate, float(stream.duration * stream.time_base)
        return *told, np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)


@pytest.mark.parametrize("pictured", [pytest.param(False, marks=pytest.mark.slow), True])
def test_sound_is_made_with_the_picture(
    pictured: bool, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_for("ltx-2", shop, pictured=pictured)

    def made(out: str, *more: str) -> tuple[Path, dict[str, Any]]:
        clip = tmp_path / out
        assert run(["generate", *more, "-o", str(clip), "--json"]) == 0, capsys.readouterr()
        return clip, json.loads(clip.with_suffix(".json").read_text())

    clip, told = made("clip.mp4", *words)
    codec, rate, seconds, samples = heard(clip)
    assert (codec, rate) == ("aac", 24_000)
    frame = 1024 / rate
    assert abs(seconds - 9 / 24) <= frame
    assert abs(samples.shape[1] / rate - 9 / 24) <= frame
    assert {k: told["sound"][k] for k in ("rate", "channels", "samples")} == {
        "rate": 24_000, "channels": 2, "samples": 9_000,
    }  # fmt: skip

    _, again = made("again.mp4", "--from", str(clip.with_suffix(".json")))
    assert again["sound"] == told["sound"]
    silent, mute = made("mute.mp4", *words, "--no-sound")
    with av.open(str(silent)) as container:
        assert not container.streams.audio
    assert mute["sound"] is None
    assert mute["frames_digest"] == told["frames_digest"]
    assert mute["request_digest"] != told["request_digest"]

    picture = shop / "first.png" if pictured else None
    request = build_request(
        "a red ball rolls", model="ltx-2", size=(64, 64), num_frames=9, steps=2, seed=7, image=picture
    )
    ours = generate_clip(request)
    assert ours.sound is not None
    assert json.loads(ours.sidecar or "")["sound"] == told["sound"]
    wanted = their_output("ltx-2", shop / "ltx-2", picture and Image.open(picture)).audio[0].float().numpy()
    assert wanted.std() > 0.001
    count = wanted.shape[1]
    assert 9_000 - 1_200 < count < 9_000  # the pipeline's is a little shorter than the picture
    assert np.array_equal(ours.sound.samples[:, :count], wanted)
    assert not ours.sound.samples[:, count:].any()
    # in the file it is what it was, and when it was: AAC may change a sample, not the shape of the whole
    near = [np.corrcoef(samples[0, at : at + 7_000], ours.sound.samples[0, :7_000])[0, 1] for at in (0, 1024)]
    assert max(near) == near[0]
    assert heard(ours.save(tmp_path / "saved.mp4"))[:3] == (codec, rate, seconds)


def test_a_film_knows_their_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shot = "{id: a, frames: 9, prompt: a red ball rolls}"
    (tmp_path / "film.yaml").write_text(
        f"title: A ball\nmodel: ltx-video\nsize: 64x64\nsteps: 2\nsequences:\n  - {{id: one, shots: [{shot}]}}\n"
    )
    assert run(["film", "status", "film.yaml", "--json"]) == 0, capsys.readouterr()
    take = json.loads(capsys.readouterr().out)["results"][0]
    assert (take["name"], take["state"]) == ("a#1", "missing")
    assert take["key"]


@pytest.mark.parametrize("pictured", [False, True])
def test_a_vae_that_takes_a_level(pictured: bool, shop: Path) -> None:
    folder = shop / "later"
    if not folder.exists():
        save_family("ltx-video", folder, vae={"timestep_conditioning": True})
    request = build_request(
        "a red ball rolls", model="ltx-video", size=(64, 64), num_frames=9, steps=2, seed=7,
        image=shop / "first.png" if pictured else None,
    )  # fmt: skip
    ours = generate_clip(request, weights=folder).frames
    picture = Image.open(shop / "first.png") if pictured else None
    wanted = theirs("ltx-video", folder, picture, decode_timestep=0.05, decode_noise_scale=0.025)
    assert np.abs(ours.astype(int) - wanted.astype(int)).max() <= 1
    other = theirs("ltx-video", folder, picture)
    assert np.abs(ours.astype(int) - other.astype(int)).max() > 1


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "svd"])
def test_words_are_read(name: str, shop: Path) -> None:
    picture = shop / "first.png" if name in PICTURED else None
    runner = diffusers_runner(name)

    def read(prompt: str) -> Any:
        request = build_request(
            prompt, model=name, size=(64, 64), num_frames=FRAMES.get(name, 9), image=picture, seed=0
        )
        return runner.prepare(request)["prompt_embeds"]

    with torch.inference_mode():
        assert torch.equal(read("a red ball"), read("a red ball"))
        assert not torch.equal(read("a red ball"), read("a blue cube"))


class Died(Exception):
    pass


@pytest.mark.parametrize("name", ["hunyuanvideo-1.5-480p", pytest.param("ltx-2", marks=pytest.mark.slow)])
def test_a_run_that_dies_goes_on(
    name: str, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = build_request("a red ball", model=name, size=(64, 64), num_frames=9, steps=3, seed=2)
    whole = generate_file(request, tmp_path / "whole.mp4").frames_digest

    def resumed(clip: Path) -> str:
        assert run(["resume", str(clip), "--json"]) == 0, capsys.readouterr()
        return str(json.loads(clip.with_suffix(".json").read_text())["frames_digest"])

    def begun(clip: Path, dies: Any) -> Path:
        def tell(event: Event) -> None:
            if dies(event):
                raise Died

        with pytest.raises(Died):
            generate_file(request, clip, on_event=tell)
        assert not clip.exists()
        return clip

    if name == "ltx-2":
        clip = begun(tmp_path / "decode.mp4", lambda e: isinstance(e, Started) and e.stage == "decode")
        assert [one.said for one in unfinished()] == ["denoised, not decoded"]
        assert set(load_file(folder_of(request, clip) / "latents.safetensors")) == {"x", "sound"}
        assert resumed(clip) == whole
        sounds = [read_sidecar(path.with_suffix(".json")).sound for path in (clip, tmp_path / "whole.mp4")]
        assert sounds[0] is not None
        assert sounds[0] == sounds[1]

    def in_denoising(event: Event) -> bool:
        return isinstance(event, Progress) and event.stage == "denoise" and event.done == 2

    clip = begun(tmp_path / "denoise.mp4", in_denoising)
    calls = {"hunyuanvideo-1.5-480p": 4, "ltx-2": 6}[name]  # two steps of two, of three
    assert [one.said for one in unfinished()] == [f"{calls} answers of the denoiser are kept"]
    assert resumed(clip) == whole
    if name == "hunyuanvideo-1.5-480p":
        clip = begun(tmp_path / "changed.mp4", in_denoising)
        kept = folder_of(request, clip)
        answer = kept / "velocity-0000.safetensors"
        save_file({"x": -load_file(answer)["x"]}, answer)
        assert resumed(clip) != whole, "the kept answers are what it goes on from"
    assert not unfinished()


def test_what_a_model_cannot_do_is_refused_before_anything_is_loaded(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = str(shop / "first.png"), tmp_path / "no.mp4"
    lora = tmp_path / "style.safetensors"
    lora.write_bytes(b"x")

    def said(model: str, *words: str) -> str:
        assert run(["generate", "--model", model, "-o", str(out), *words]) == 2
        return capsys.readouterr().err

    told = said("mochi-1", "x", "--image", picture)
    assert "takes no keyframe: it takes words alone" in told
    assert "ltx-video" in told
    assert "hunyuanvideo-1.5-480p" not in told
    assert "takes no camera" in said("hunyuanvideo", "x", "--camera", "push-in")
    assert "takes no LoRA: all models but pocket and svd do" in said(
        "svd", "--image", picture, "--lora", str(lora)
    )
    assert "takes no --cache: the models of the Wan family do" in said("ltx-video", "x", "--cache", "0.1")
    assert "the Wan family in several" in said("ltx-video", "x", "--gpus", "2")
    assert "there is euler" in said("mochi-1", "x", "--sampler", "unipc")
    assert "takes no negative prompt" in said("hunyuanvideo", "x", "--negative", "blur")
    assert "makes no sound: leave --no-sound out" in said("ltx-video", "x", "--no-sound")
    assert "takes no words, only a picture" in said("svd", "x", "--image", picture)
    assert "needs a first picture" in said("svd")
    assert "first picture or none" in said("ltx-video", "x", "--last-image", picture)
    assert "must be 8k+1, the nearest is 9 or 17" in said("ltx-video", "x", "--frames", "12")
    assert "must be 6k+1, the nearest is 7 or 13" in said("mochi-1", "x", "--frames", "9")
    assert "makes 25 and no other" in said("svd-xt", "--image", picture, "--frames", "14")
    assert "takes 2 to 200" in said("mochi-1", "x", "--steps", "1")
    assert "not on this machine" in said("svd-xt", "--image", picture)
    assert "is the budget" in said("svd", "--image", picture, "--memory", "50MB", "--size", "64x64")
    assert not out.exists()


def test_folders_are_known_by_exact_rules(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        assert run(["models", "add", *words]) == 2
        return capsys.readouterr().err

    def edited(name: str, file: str, **changes: Any) -> str:
        folder = tmp_path / f"{name}-{file.replace('/', '-')}"
        shutil.copytree(shop / name, folder)
        told = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(told | changes))
        return str(folder)

    small = said(str(shop / "ltx-video"))
    assert "LTXPipeline of no known variant" in small
    assert "num_layers 1" in small
    unknown = said(edited("mochi-1", "model_index.json", _class_name="CogVideoXPipeline"))
    assert "is a CogVideoXPipeline" in unknown
    assert "transformer MochiTransformer3DModel" in unknown
    assert "MochiPipeline" in unknown
    assert "may be svd" in said(str(shop / "svd"), "--any-size", "--as", "svd-xt")
    assert "distilled" in said(
        edited("hunyuanvideo-1.5-480p", "guider/guider_config.json", guidance_scale=1.0), "--any-size"
    )
    other = edited("hunyuanvideo-1.5-480p", "transformer/config.json", target_size=960)
    assert run(["models", "add", other, "--any-size", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "hunyuanvideo-1.5-720p"
    pickled = tmp_path / "pickled"
    shutil.copytree(shop / "ltx-video", pickled)
    weights = pickled / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.bin"))
    assert "only diffusion_pytorch_model.bin, which could run code" in said(str(pickled), "--any-size")


def test_what_a_folder_lacks_or_brings_is_said_when_it_is_loaded(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(folder: Path) -> str:
        words = words_for("ltx-video", shop, pictured=False)
        assert run(["generate", *words, "--weights", str(folder), "-o", str(tmp_path / "no.mp4")]) == 2
        return capsys.readouterr().err

    torn, strange = tmp_path / "torn", tmp_path / "strange"
    for folder in (torn, strange):
        shutil.copytree(shop / "ltx-video", folder)
    weights = torn / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["proj_in.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    assert "lacks proj_in.weight" in said(torn)
    index = json.loads((strange / "model_index.json").read_text())
    (strange / "model_index.json").write_text(json.dumps(index | {"text_encoder": ["os", "system"]}))
    assert "is a system, which no family of Filmwright's has" in said(strange)
    assert "is a MochiPipeline, which is not 'ltx-video'" in said(shop / "mochi-1")
    mute = tmp_path / "mute"
    shutil.copytree(shop / "ltx-2", mute)
    index = json.loads((mute / "model_index.json").read_text())
    (mute / "model_index.json").write_text(json.dumps(index | {"vocoder": [None, None]}))
    words = words_for("ltx-2", shop, pictured=False)
    assert run(["generate", *words, "--weights", str(mute), "-o", str(tmp_path / "no.mp4")]) == 2
    assert "it has no vocoder" in capsys.readouterr().err
    assert not (tmp_path / "no.mp4").exists()
