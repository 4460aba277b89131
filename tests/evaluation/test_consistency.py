from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from filmwright.evaluation.consistency import motion_gate, steadiness
from filmwright.evaluation.metrics import PERFECT_PSNR, psnr, ssim


@pytest.fixture(scope="module")
def rolling(draw):
    return draw(
        camera="static", event="roll", subject="ball", setting="checker", light="noon", direction="left"
    ).frames


def test_a_frozen_clip_looks_steadier_than_the_truth_and_is_gated(rolling):
    truth, frozen = steadiness(rolling), steadiness(np.repeat(rolling[:1], len(rolling), 0))
    assert frozen.warp < truth.warp  # this is why no one-sided number is reported
    assert frozen.structure > truth.structure
    assert frozen.motion == pytest.approx(0.0, abs=1e-3)
    assert motion_gate(frozen.motion, truth.motion) == pytest.approx(0.0, abs=1e-3)
    assert motion_gate(truth.motion, truth.motion) == 1.0
    assert motion_gate(0.25 * truth.motion, truth.motion) == pytest.approx(0.5)
    assert motion_gate(0.0, 0.0) == 1.0  # a truth that stands still cannot ask for motion


def test_flicker_of_four_percent_is_caught(rolling):
    gain = np.where(np.arange(len(rolling)) % 2, 1.04, 0.96)[:, None, None, None]
    flickering = (rolling * gain).clip(0, 255).astype(np.uint8)
    assert steadiness(flickering).flicker > steadiness(rolling).flicker + 0.01


def test_new_texture_in_every_frame_is_caught(rolling):
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 60, (len(rolling), 20, 32, 1))
    boiling = np.stack(
        [f + cv2.resize(n[..., 0], (256, 160))[..., None] for f, n in zip(rolling, coarse, strict=True)]
    )
    worse, truth = steadiness(boiling.clip(0, 255).astype(np.uint8)), steadiness(rolling)
    assert worse.structure < truth.structure - 0.15
    assert worse.warp > truth.warp + 0.01


def test_psnr_and_ssim_are_those_of_scikit_image(rolling):
    rng = np.random.default_rng(1)
    noisy = (rolling[:2] + rng.normal(0, 12, rolling[:2].shape)).clip(0, 255).astype(np.uint8)
    assert psnr(noisy, rolling[:2]) == pytest.approx(peak_signal_noise_ratio(rolling[:2], noisy), abs=1e-3)
    theirs = [
        structural_similarity(
            a,
            b,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        for a, b in zip(rolling[:2], noisy, strict=True)
    ]
    assert ssim(noisy, rolling[:2]) == pytest.approx(np.mean(theirs), abs=2e-3)
    assert psnr(rolling, rolling) == PERFECT_PSNR
    assert ssim(rolling[:2], rolling[:2]) == pytest.approx(1.0)
