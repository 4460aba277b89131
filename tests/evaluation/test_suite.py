"""The bench tests itself: truth wins, what is broken loses where it should."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from filmwright.evaluation.judging import paired
from filmwright.evaluation.probes import evaluate_free_fall, evaluate_i2v, evaluate_vae
from filmwright.evaluation.prompts import PromptRecord, Truth, free_fall_prompts, render_truth
from filmwright.evaluation.reader import AttributeScore, Reader
from filmwright.evaluation.report import HONESTY, write_report
from filmwright.evaluation.suite import Results, derangement, evaluate
from filmwright.spec.errors import BadRequest


def blurred(clip: np.ndarray) -> np.ndarray:
    """A stand-in for what a VAE loses."""
    return np.stack([cv2.GaussianBlur(f, (0, 0), 1.0) for f in clip])


@pytest.fixture(scope="module")
def trusting(reader: Reader) -> Reader:
    """The reader with every attribute scored: it knows these clips."""
    scores = {
        a: AttributeScore(names=s.names, accuracy=1.0, standard_error=0.0, n=s.n, confusion=s.confusion)
        for a, s in reader.scores.items()
    }
    return Reader(reader.net, reader.part, scores)


@pytest.fixture(scope="module")
def results(trusting: Reader, records: list[PromptRecord], truth_of, tmp_path_factory) -> Results:
    return evaluate(
        lambda asked: (blurred(truth_of(r).frames) for r in asked),
        trusting,
        records,
        tmp_path_factory.mktemp("report"),
        vae_round_trip=blurred,
        retake=False,
        samples=2,
        truth_of=truth_of,
    )


def mean(results: Results, row: str, metric: str) -> float:
    return next(r for r in results.rows if r.name == row).values[metric].mean


def test_truth_scores_best_on_every_metric(results: Results):
    for metric in ("adherence.share", "consistency.score"):
        best = mean(results, "truth", metric)
        for row in results.rows:
            assert row.values[metric].mean <= best + 1e-9, (row.name, metric)
    assert mean(results, "truth", "consistency.score") == 1.0
    assert mean(results, "truth", "adherence.share") >= 0.9
    assert mean(results, "truth", "pixels.psnr") == 60.0
    for metric in ("consistency.warp", "consistency.flicker", "consistency.structure", "consistency.motion"):
        assert mean(results, "truth", metric) == 0.0


def test_a_frozen_clip_gains_nothing_from_being_steady(results: Results, records, truth_of):
    assert mean(results, "frozen", "consistency.gate") < 0.35  # 1 only where the truth itself stands still
    assert (
        mean(results, "frozen", "consistency.score") < mean(results, "generated", "consistency.score") - 0.3
    )


def test_noise_reads_as_chance_and_shuffled_prompts_drop(results: Results):
    assert mean(results, "noise", "adherence.share") < 0.5
    assert mean(results, "noise", "consistency.score") < 0.3
    assert mean(results, "shuffled", "adherence.share") < mean(results, "generated", "adherence.share") - 0.3
    assert mean(results, "shuffled", "adherence.all") == 0.0
    assert set(results.chance) >= {"subject", "event", "camera"}
    assert all(0.0 <= c < 0.9 for c in results.chance.values())


def test_the_round_trip_is_a_ceiling_that_generated_clips_share_here(results: Results):
    for metric in ("adherence.share", "consistency.score", "subject.lost"):
        assert mean(results, "vae", metric) == pytest.approx(mean(results, "generated", metric))
    assert 20 < mean(results, "vae", "pixels.psnr") < 59
    assert "pixels.psnr" not in next(r for r in results.rows if r.name == "generated").values


def test_the_report_stands_alone_and_states_its_limits(results: Results, tmp_path: Path):
    results.commands = ["filmwright evaluate --prompts 6 <&>"]
    page = write_report(results, tmp_path / "out")
    html = page.read_text()
    assert HONESTY.split(";")[0] in html
    assert "filmwright evaluate --prompts 6 &lt;&amp;&gt;" in html
    assert html.count("data:image/jpeg;base64,") == 2
    assert "http://" not in html
    assert "https://" not in html
    numbers = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(numbers["rows"]) == {"generated", "truth", "vae", "frozen", "noise", "shuffled"}
    assert numbers["rows"]["truth"]["consistency.score"]["n"] == 4
    assert {m["name"] for m in numbers["metrics"]} >= set(numbers["rows"]["generated"])


def test_an_unscored_attribute_is_left_out_and_said(reader: Reader, records, truth_of, tmp_path: Path):
    scores = dict(reader.scores)
    for a, accuracy in (("colour", 0.5), ("camera", 0.9)):
        scores[a] = AttributeScore(
            names=scores[a].names, accuracy=accuracy, standard_error=0.1, n=9, confusion=()
        )
    doubtful = Reader(reader.net, reader.part, scores)
    found = evaluate(
        lambda asked: [truth_of(r).frames for r in asked],
        doubtful,
        records[:2],
        tmp_path,
        retake=False,
        truth_of=truth_of,
    )
    values = next(r for r in found.rows if r.name == "generated").values
    assert "adherence.colour" not in values
    assert "adherence.camera" not in values
    assert "adherence.camera_geometry" in values
    assert "colour, camera" in write_report(found, tmp_path).read_text()


def test_wrong_numbers_and_kinds_of_clips_are_refused(trusting: Reader, records, tmp_path: Path):
    clip = np.zeros((3, 8, 8, 3), np.uint8)
    assert [r.index for r, _ in paired(records[:2], [clip, clip])] == [0, 1]
    with pytest.raises(BadRequest, match="1 clips came for 2"):
        list(paired(records[:2], [clip]))
    with pytest.raises(BadRequest, match="more than 2"):
        list(paired(records[:2], [clip, clip, clip]))
    with pytest.raises(BadRequest, match="uint8"):
        list(paired(records[:2], [clip.astype(np.float32), clip]))
    with pytest.raises(BadRequest, match="at least two"):
        evaluate(lambda _: [clip], trusting, records[:1], tmp_path)


def test_gravity_is_judged_beside_its_floor_and_a_frozen_clip_does_not_fall():
    records = free_fall_prompts(2, part="solo", seed=1)
    drawn: dict[int, Truth] = {}

    def draw(record: PromptRecord) -> Truth:
        if record.script.seed not in drawn:
            drawn[record.script.seed] = render_truth(record.script, compiled=False)
        return drawn[record.script.seed]

    found = evaluate_free_fall(lambda asked: [draw(r).frames for r in asked], records, truth_of=draw)
    assert found["truth"]["error"].mean < 0.15
    assert found["truth"]["seen"].mean == 1.0
    assert found["frozen"]["error"].mean == 1.0
    assert found["noise"]["seen"].mean == 0.0
    assert set(found) == {"generated", "truth", "another_take", "frozen", "noise"}


def test_a_vae_is_judged_by_what_comes_back(truths: list[Truth]):
    found = evaluate_vae(blurred, (t.frames[:5] for t in truths[:3]))
    assert found["psnr"].n == found["ssim"].n == 3
    assert 20 < found["psnr"].mean < 60
    assert 0.5 < found["ssim"].mean < 1.0
    with pytest.raises(BadRequest, match="shapes"):
        evaluate_vae(lambda c: c[:, ::2], (t.frames for t in truths))
    with pytest.raises(BadRequest, match="no clips"):
        evaluate_vae(blurred, [])


def test_from_an_image_the_first_frame_and_the_camera_count(trusting: Reader, records, truth_of):
    def generate(asked, images):
        for r, image in zip(asked, images, strict=True):
            assert np.array_equal(image, truth_of(r).frames[0])
            yield truth_of(r).frames

    found = evaluate_i2v(generate, trusting, records[:3], truth_of=truth_of)
    assert found["generated"]["first_frame_psnr"].mean == 60.0
    assert found["generated"]["camera"].mean == found["truth"]["camera"].mean
    assert found["frozen"]["consistency.score"].mean < found["truth"]["consistency.score"].mean


def test_nobody_keeps_his_own_prompt():
    for n in (2, 3, 7, 50):
        order = derangement(n, np.random.default_rng(n))
        assert sorted(order) == list(range(n))
        assert all(i != j for i, j in enumerate(order))
