"""A Wan folder as diffusers saves it: loaded, it makes the same frames of the same words; what is broken is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from filmwright.engine.wan import Expert, denoise_wan
from filmwright.engine.wan_runner import WanRunner
from filmwright.spec.errors import WeightsError
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from filmwright.weights.wan_text import clean

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

PROMPT, NEGATIVE = "a red  ball &amp; a cube", "blur"


def words(text: str) -> list[tuple[str, float]]:
    return [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *((f"\u2581{w}", -1.0) for w in text.split())]


@pytest.fixture(scope="module")
def pipeline() -> object:
    torch.manual_seed(0)
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram(words("a red ball & cube blur"), unk_id=2))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    text = transformers.UMT5EncoderModel(
        transformers.UMT5Config(vocab_size=16, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    )
    net = diffusers.WanTransformer3DModel(
        num_attention_heads=1, text_dim=12, ffn_dim=64, num_layers=2, cross_attn_norm=True
    )
    return diffusers.WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text.eval(),
        transformer=net.eval(),
        vae=diffusers.AutoencoderKLWan(base_dim=4).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
    )


@pytest.fixture
def folder(pipeline: diffusers.WanPipeline, tmp_path: Path) -> Path:
    pipeline.save_pretrained(tmp_path / "wan", max_shard_size="200KB")
    return tmp_path / "wan"


def test_the_same_words_give_the_same_frames(pipeline: diffusers.WanPipeline, folder: Path) -> None:
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 1
    nets = WanFolder(folder, dtype=torch.float32)
    net, vae = nets.transformer(), nets.vae()
    noise = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    pipeline.set_progress_bar_config(disable=True)
    wanted: Tensor = pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        height=32,
        width=32,
        num_frames=5,
        num_inference_steps=3,
        guidance_scale=4.0,
        latents=noise,
        output_type="pt",
        return_dict=False,
    )[0]
    pipeline.scheduler.set_timesteps(3)
    said = nets.text.load()([PROMPT, NEGATIVE])
    assert not said[0, 10:].any()
    latents = denoise_wan(
        [Expert(net=lambda: net, guidance=4.0)],
        said[:1],
        said[1:],
        noise,
        [float(s) for s in pipeline.scheduler.sigmas],
        sampler="euler",
    )
    with torch.inference_mode():
        frames = vae.decode(latents).transpose(1, 2) / 2 + 0.5
    torch.testing.assert_close(frames, wanted, atol=1e-4, rtol=1e-4)


def test_what_must_be_precise_stays_in_fp32(folder: Path) -> None:
    net = WanFolder(folder, dtype=torch.bfloat16).transformer()
    kept = {k for k, p in net.named_parameters() if p.dtype == torch.float32}
    assert {
        "head.modulation",
        "blocks.0.modulation",
        "time_embedding.0.weight",
        "blocks.1.norm3.bias",
    } <= kept
    assert not any("attn" in k or "ffn" in k for k in kept)


def test_a_broken_folder_is_said_to_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no whole model"):
        WanFolder(tmp_path)
    shard = sorted((folder / "transformer").glob("*.safetensors"))[-1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(WeightsError, match="truncated"):
        WanFolder(folder)
    shard.write_bytes(whole)
    index = next((folder / "transformer").glob("*.index.json"))
    told = json.loads(index.read_text())
    names = {k: f for k, f in told["weight_map"].items() if f != shard.name}
    index.write_text(json.dumps(told | {"weight_map": names}))
    with pytest.raises(WeightsError, match=r"is missing|it has no"):
        WanFolder(folder)
    index.write_text(json.dumps(told | {"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(WeightsError, match="outside of its folder"):
        WanFolder(folder)


def test_sizes_are_those_of_the_nets_and_nothing_is_loaded_for_them(folder: Path) -> None:
    nets = WanFolder(folder, dtype=torch.bfloat16, vae_dtype=torch.float32)

    def size(net: torch.nn.Module) -> int:
        return sum(p.numel() * p.element_size() for p in net.parameters())

    told = nets.sizes()
    assert told["transformer"] == size(nets.transformer())
    assert told["encoder"] + told["decoder"] == size(nets.vae())
    half = [p for p in nets.vae("decoder").parameters() if not p.is_meta]
    assert told["decoder"] == sum(p.nbytes for p in half) < size(nets.vae())
    assert told["block"] == size(nets.transformer().blocks[1])
    assert told["text"] == pytest.approx(size(nets.text.load().encoder))
    assert told["text_block"] == size(nets.text.load().encoder.block[0])
    assert "eye" not in told


def words_of(files: WanFolder, nets: str, prompts: list[str]) -> Tensor:
    card = load_card("wan2.1-t2v-1.3b")
    return WanRunner(card, files, {}, Strategy(nets=nets))._words(prompts)


def test_words_are_told_alike_whether_the_encoder_is_held_or_streamed(folder: Path) -> None:
    prompts = [PROMPT, NEGATIVE]
    coarse = WanFolder(folder, dtype=torch.bfloat16)
    assert torch.equal(*(words_of(coarse, nets, prompts) for nets in ("held", "streamed")))
    files = WanFolder(folder, dtype=torch.float32)
    held, streamed = (words_of(files, nets, prompts) for nets in ("held", "streamed"))
    assert torch.equal(held, streamed)
    theirs = transformers.UMT5EncoderModel.from_pretrained(folder / "text_encoder")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    tokens = tokenizer(clean(PROMPT), padding="max_length", max_length=512, return_tensors="pt")
    with torch.inference_mode():
        wanted = theirs(tokens.input_ids, tokens.attention_mask).last_hidden_state
    kept = tokens.attention_mask[0].bool()
    torch.testing.assert_close(held[0][kept], wanted[0][kept])
    assert not held[0][~kept].any()


def test_prompts_are_cleaned() -> None:
    assert clean("  a &amp;amp; b\n\tc ") == "a & b c"
