from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import filmwright.evaluation.train_reader as train_reader_module
from filmwright.evaluation.prompts import Truth
from filmwright.evaluation.reader import Reader, heads_for, labels_of, score_attribute, small_frames
from filmwright.evaluation.reader_net import ReaderConfig, ReaderNet, closeups
from filmwright.evaluation.train_reader import augment, finding_loss, mirrored, train_reader
from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.vocabulary import ATTRIBUTES
from filmwright.world.author import variant, write_script


def test_the_net_is_small_and_reads_every_attribute_of_the_whole_world():
    net = ReaderNet(ReaderConfig(heads=heads_for("whole")))
    assert sum(p.numel() for p in net.parameters()) <= 1_500_000
    out, boxes, cells = net(torch.rand(2, 17, 80, 128, 3), torch.rand(2, 9, 48, 48, 3))
    assert boxes.shape == (2, 9, 4)
    assert cells.shape == (2, 9, 20 * 32)
    assert set(out) == set(ATTRIBUTES)
    assert {k: v.shape for k, v in out.items()} == {k: (2, len(n)) for k, n in heads_for("whole").items()}


def test_the_net_sees_the_order_of_frames():
    torch.manual_seed(0)
    net = ReaderNet(ReaderConfig(heads=heads_for("solo"))).eval()
    clip = torch.rand(1, 17, 80, 128, 3)
    close = torch.rand(1, 9, 48, 48, 3)
    there, back = net(clip, close)[0], net(clip.flip(1), close.flip(1))[0]
    assert not torch.allclose(there["camera"], back["camera"], atol=1e-3)


def test_a_black_and_white_clip_has_no_colour_to_read():
    script = write_script(5, "solo")
    grey, plain = variant(script, mood="monochrome"), variant(script, mood="neutral")
    assert labels_of(grey)["colour"] is None
    assert labels_of(plain)["colour"] == script.subjects[0].colour
    assert labels_of(asdict(plain)) == labels_of(plain)


def test_names_swap_sides_in_a_mirror():
    assert [mirrored(n) for n in ("pan-left", "orbit-right", "push-in", "ball")] == [
        "pan-right", "orbit-left", "push-in", "ball",
    ]  # fmt: skip


def test_augmentation_flips_what_it_is_told_to_and_little_else():
    rng = np.random.default_rng(0)
    x = torch.linspace(0.1, 0.9, 128)[None, None, None, :, None].expand(8, 5, 80, 128, 3).contiguous()
    flip = torch.tensor([True, False] * 4)
    y = augment(x, flip, rng)
    rising = y[..., 100, :].mean((1, 2, 3)) > y[..., 20, :].mean((1, 2, 3))
    assert rising.tolist() == (~flip).tolist()
    assert y.min() >= 0
    assert y.max() <= 1
    assert (y[1::2] - x[1::2]).abs().mean() < 0.08


def test_small_frames_of_any_size_and_length():
    config = ReaderConfig(heads=heads_for("solo"))
    for shape in ((33, 160, 256, 3), (17, 64, 96, 3), (2, 320, 320, 3)):
        assert small_frames(np.zeros(shape, np.uint8), config).shape == (17, 80, 128, 3)
    for bad in (
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((4, 8, 8), np.uint8),
        np.zeros((4, 8, 8, 3), np.float32),
    ):
        with pytest.raises(BadRequest, match="a clip is uint8"):
            small_frames(bad, config)


def test_closeups_show_the_subject_at_any_edge():
    config = ReaderConfig(heads=heads_for("solo"))
    frames = np.zeros((9, 160, 256, 3), np.uint8)
    boxes = np.zeros((9, 4), np.float32)
    for i in range(9):
        x, y = 30 * i, 18 * i  # from corner to corner
        frames[i, y : y + 16, x : x + 16] = 255
        boxes[i] = (x + 8) / 256, (y + 8) / 160, 16 / 256, 16 / 160
    close = closeups(frames, boxes, config)
    assert close.shape == (9, 48, 48, 3)
    assert (close.mean((1, 2, 3)) > 100).all()


def test_finding_is_better_nearer_and_ignores_what_is_not_there():
    true = torch.tensor([[[0.5, 0.5, 0.1, 0.1], [torch.nan] * 4]])
    cells = torch.zeros(1, 2, 20 * 32)
    near, far = torch.full((1, 2, 4), 0.4), torch.full((1, 2, 4), 0.9)
    assert finding_loss(near, cells, true, 20, 32) < finding_loss(far, cells, true, 20, 32)
    assert finding_loss(near, cells, true[:, 1:].expand(1, 2, 4), 20, 32) == 0


def test_an_attribute_below_the_bar_is_not_scored():
    names = ("red", "blue")
    assert score_attribute(names, [("red", "red")] * 98 + [("blue", "red")] * 2).scored
    worse = score_attribute(names, [("red", "red")] * 97 + [("blue", "red")] * 3)
    assert not worse.scored
    assert worse.accuracy == pytest.approx(0.97)
    assert worse.confusion == ((97, 0), (3, 0))
    assert not score_attribute(names, []).scored


def test_it_learns_true_clips_by_heart_at_any_size(reader: Reader, truths: list[Truth]):
    right = [
        reading[a][0] == name
        for t, reading in zip(truths, reader.read_many(t.frames for t in truths), strict=True)
        for a, name in labels_of(t.take.script).items()
        if name is not None
    ]
    assert np.mean(right) >= 0.9
    half = np.stack([cv2.resize(f, (192, 120), interpolation=cv2.INTER_AREA) for f in truths[0].frames])
    whole, small = reader.read(truths[0].frames), reader.read(half)
    assert sum(whole[a][0] == small[a][0] for a in ATTRIBUTES) >= 5
    assert all(0 < p <= 1 for _, p in whole.values())


def test_the_card_says_part_accuracy_and_hash(reader_folder: Path, reader: Reader):
    card = json.loads((reader_folder / "reader.json").read_text())
    assert card["part"] == reader.part == "solo"
    assert set(card["attributes"]) == set(ATTRIBUTES)
    assert all(s.n > 0 for s in reader.scores.values())
    assert not list(reader_folder.glob(".*")), "cache and unfinished files are gone"


def test_a_changed_truncated_or_missing_reader_is_refused(reader_folder: Path, tmp_path: Path):
    broken = shutil.copytree(reader_folder, tmp_path / "r")
    weights = broken / "reader.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="SHA-256"):
        Reader.load(broken)
    with pytest.raises(WeightsError, match="train one"):
        Reader.load(tmp_path / "nowhere")


class Killed(Exception):
    """Stands for a process that dies."""


def test_a_killed_training_goes_on_as_if_nothing_had_been(
    truths: list[Truth], source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(train_reader_module, "SAVE_SECONDS", -1.0)
    clips, test = source(truths[:3], "train"), source(truths[:1], "held_out")

    def die(_: dict[str, float]) -> None:
        raise Killed

    options = {"max_minutes": 60.0, "max_steps": 3, "batch": 3, "seed": 2}
    with pytest.raises(Killed):
        train_reader(clips, test, tmp_path / "a", on_progress=die, **options)
    assert not (tmp_path / "a" / "reader.json").exists()
    train_reader(clips, test, tmp_path / "a", resume=True, **options)
    train_reader(clips, test, tmp_path / "b", **options)
    a, b = (Reader.load(tmp_path / name).net.state_dict() for name in "ab")
    assert all(torch.equal(a[k], b[k]) for k in a)
    (tmp_path / "a" / "reader-checkpoint.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="cannot be resumed"):
        train_reader(clips, test, tmp_path / "a", resume=True, **options)


def test_training_without_clips_or_time_is_refused(truths: list[Truth], source, tmp_path: Path):
    with pytest.raises(BadRequest, match="training and held-out clips"):
        train_reader(source(truths, "train"), None, tmp_path)
    with pytest.raises(BadRequest, match="minutes"):
        train_reader(source(truths, "train"), None, tmp_path, max_minutes=0)
