from __future__ import annotations

import numpy as np
import pytest

from filmwright.evaluation.probes import gravity_error
from filmwright.evaluation.tracking import GRAVITY, ColourModel, Track, free_fall, jumps


def falling(gravity: float, fps: int = 16) -> np.ndarray:
    t = np.arange(33) / fps
    z = 1.5 - 0.5 * gravity * t**2
    bounce = np.argmax(z < 0.2)
    z[bounce:] = 0.2 + np.abs(np.sin(np.arange(33 - bounce))) * 0.3
    return z


@pytest.mark.parametrize("share", [1.0, 0.64, 1.3])
def test_gravity_is_fitted_to_the_first_fall(share):
    fit = free_fall(falling(GRAVITY * share), 16)
    assert fit is not None
    assert fit.gravity == pytest.approx(GRAVITY * share, rel=0.01)
    assert fit.error == pytest.approx(abs(share - 1), abs=0.01)


def test_what_does_not_fall_has_no_gravity():
    assert free_fall(np.full(33, 0.5), 16) is None
    assert free_fall(np.full(33, np.nan), 16) is None
    assert free_fall(np.linspace(0.5, 1.5, 33), 16) is None


def test_a_true_drop_falls_as_fast_as_the_world_says(draw):
    truth = draw(camera="static", event="drop", subject="ball", colour="red", setting="wood", light="noon")
    colours = ColourModel.from_truth(truth.frames, truth.mask)
    error = gravity_error(truth.frames, colours, truth, 16)
    assert error is not None
    assert error < 0.08
    assert gravity_error(np.repeat(truth.frames[:1], 33, 0), colours, truth, 16) is None


def test_the_subject_is_followed_and_a_lost_one_is_seen(draw):
    truth = draw(
        camera="static",
        event="roll",
        subject="ball",
        colour="red",
        setting="wood",
        light="noon",
        direction="left",
    )
    colours = ColourModel.from_truth(truth.frames, truth.mask)
    track = colours.track(truth.frames)
    seen = [t for t in range(33) if truth.mask[t].sum() > 40]
    true = np.array(
        [[np.nonzero(truth.mask[t])[1].mean(), np.nonzero(truth.mask[t])[0].mean()] for t in seen]
    )
    assert np.linalg.norm(track.centre[seen] - true, axis=1).mean() < 2.0
    assert track.path > 40
    gone = truth.frames.copy()
    gone[10:14] = np.median(truth.frames, axis=0).astype(np.uint8)
    assert colours.track(gone).lost >= track.lost + 3 / 33


def path(centre: np.ndarray) -> Track:
    n = len(centre)
    return Track(centre=centre, box=np.zeros((n, 4)), area=np.ones(n))


def test_a_teleport_is_a_jump_and_a_bounce_is_none():
    t = np.arange(33.0)
    fall = np.stack(
        [np.full(33, 100.0), 30 + np.abs(12 * ((t % 12) - 6))], axis=1
    )  # speed turns round at once
    assert jumps(path(fall), 160) == 0.0
    teleport = np.stack([20 + 2 * t, np.full(33, 80.0)], axis=1)
    assert jumps(path(teleport), 160) == 0.0
    teleport[16:] += [40, 0]
    assert jumps(path(teleport), 160) > 0.0
