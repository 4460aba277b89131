"""The filters of post, by numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from filmwright.media.post.chain import applied
from filmwright.spec.cut import Grade
from filmwright.spec.errors import MediaError
from filmwright.spec.post import (
    Deflicker,
    Denoise,
    GradeStage,
    PostShape,
    PostStage,
    Resize,
    Retime,
    Stabilise,
    retimed_count,
)

Frames = NDArray[np.uint8]
FPS = Fraction(16)


def run(stages: Sequence[PostStage], frames: Frames, fps: Fraction = FPS, chunk: int = 7) -> Frames:
    """Frames through stages, given in chunks of `chunk`."""
    chunks = (frames[start : start + chunk] for start in range(0, len(frames), chunk))
    return np.concatenate(list(applied(stages, chunks, fps)))


def texture(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """A picture [H,W,3] with detail of several sizes and no period."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((6, 60), (16, 40), (40, 30), (150, 30)):
        coarse = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + total * 0.7, 20, 235).astype(np.float32)


def psnr(a: Frames, b: Frames) -> float:
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 10 * float(np.log10(255**2 / error))


# ------------------------------------------------------------------------------------------------ stabilise


def shaken(pan: float, num_frames: int = 40) -> Frames:
    """A camera that pans `pan` pixels a frame over a wall and shakes: 2 pixels, 0.4 degrees, 0.4 percent of zoom."""
    rng = np.random.default_rng(3)
    wall = texture(400, 600)
    frames = []
    for t in range(num_frames):
        x, y = rng.normal(0, 2, 2)
        turn, zoom = np.radians(rng.normal(0, 0.4)), 1 + rng.normal(0, 0.004)
        by = zoom * np.exp(1j * turn)
        add = complex(220 + pan * t + x, 200 + y) - by * complex(95.5, 63.5)
        matrix = np.array([[by.real, -by.imag, add.real], [by.imag, by.real, add.imag]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(wall, matrix, (192, 128), flags=flags))
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


def shifts(frames: Frames) -> NDArray[np.float64]:
    """How the middle of the picture moves from frame to frame, [T-1,2], by phase correlation."""
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)[16:-16, 24:-24].astype(np.float32) for f in frames]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    return np.array([cv2.phaseCorrelate(a, b, window)[0] for a, b in pairwise(grey)])


@pytest.mark.parametrize("pan", [0.0, 1.5])
def test_shake_goes_and_a_pan_stays(pan: float) -> None:
    frames = shaken(pan)
    steady = run([Stabilise(crop=0.12)], frames)
    before, after = shifts(frames), shifts(steady)
    wanted = np.array([-pan * (1 / 0.88), 0])  # the enlargement moves it faster
    rms_before = np.sqrt(np.mean((before - [-pan, 0]) ** 2))
    rms_after = np.sqrt(np.mean((after - wanted) ** 2))
    assert steady.shape == frames.shape
    assert rms_before > 2
    assert rms_after < rms_before / 8
    assert np.allclose(after.mean(axis=0), wanted, atol=0.15)


def test_what_is_given_up_is_what_was_said() -> None:
    still = np.repeat(shaken(0.0, 1), 5, axis=0)
    seen = run([Stabilise(crop=0.1)], still)[2]
    sides = cv2.resize(
        cv2.getRectSubPix(still[0], (192, 128), (95.5, 63.5)), (192, 128), interpolation=cv2.INTER_CUBIC
    )
    assert np.abs(run([Stabilise(crop=0.0)], still)[2].astype(int) - sides).max() <= 2
    # an edge of the seen picture is at 5 percent of the frame: column 0 shows column 0.05 * 191 = 9.55
    wanted = (0.45 * still[0][:, 9] + 0.55 * still[0][:, 10]).astype(int)
    rows = np.clip(np.round(63.5 + (np.arange(128) - 63.5) * 0.9).astype(int), 0, 127)
    assert np.abs(seen[:, 0].astype(int) - wanted[rows]).mean() < 6
    assert np.abs(seen[:, 0].astype(int) - still[0][rows, 6].astype(int)).mean() > 12


def test_a_bounded_correction_stays_inside_the_frame() -> None:
    from filmwright.media.post.stabilise import _is_inside, _limited

    rng = np.random.default_rng(0)
    for _ in range(200):
        turn, shift = complex(*rng.normal(0, 0.05, 2)), complex(*rng.normal(0, 30, 2))
        limited = _limited(turn, shift, (128, 192, 3), 0.08)
        assert _is_inside(*limited, (128, 192, 3), 0.08)
    assert _limited(0.001j, 1 + 1j, (128, 192, 3), 0.08) == (0.001j, 1 + 1j)


def test_a_cut_is_not_smoothed_over() -> None:
    first, second = shaken(0.0, 12), np.ascontiguousarray(shaken(0.0, 12)[:, ::-1, ::-1])
    together = run([Stabilise()], np.concatenate([first, second]))
    assert (together[:12] == run([Stabilise()], first)).all()
    assert (together[12:] == run([Stabilise()], second)).all()


# ------------------------------------------------------------------------------------------------ deflicker


def test_flicker_goes_and_a_fade_stays() -> None:
    rng = np.random.default_rng(1)
    still = texture(90, 160)
    fade = np.clip(1.4 - np.arange(64) / 48, 0.25, 1)  # holds, fades in a line over 36 frames, holds
    flicker = 1 + 0.08 * np.where(np.arange(64) % 2, 1, -1) * rng.uniform(0.5, 1, 64)
    tint = np.stack([flicker, 1 + (flicker - 1) * 0.5, 2 - flicker], axis=1)
    true = np.stack([still * f for f in fade]).clip(0, 255).astype(np.uint8)
    bad = np.stack([still * (f * t) for f, t in zip(fade, tint, strict=True)]).clip(0, 255).astype(np.uint8)
    even = run([Deflicker()], bad)

    def levels(frames: Frames) -> NDArray[np.float64]:
        return np.log(frames.mean(axis=(1, 2)))

    before, after = levels(bad) - levels(true), levels(even) - levels(true)
    assert np.abs(np.diff(after, axis=0)).mean() < np.abs(np.diff(before, axis=0)).mean() / 8
    assert np.abs(after).max() < 0.06
    assert (run([Deflicker()], true) == true).mean() > 0.98  # its bends too
    assert np.abs(run([Deflicker()], true).astype(int) - true).max() <= 1


def test_a_lamp_that_comes_in_changes_nothing_and_a_gain_is_bounded() -> None:
    still = np.repeat(texture(90, 160)[None], 20, axis=0).astype(np.uint8)
    lamp = still.copy()
    lamp[10:, 20:50, 40:80] = 250
    assert np.abs(run([Deflicker()], lamp).astype(int) - lamp).max() <= 1
    flash = (still * np.where(np.arange(20) == 10, 0.4, 1.0)[:, None, None, None]).astype(np.uint8)
    ratio = run([Deflicker(limit=0.2)], flash)[10].mean() / flash[10].mean()
    assert ratio == pytest.approx(1.2, abs=0.01)


# ------------------------------------------------------------------------------------------------ denoise


def squares(num_frames: int = 9) -> Frames:
    """A square that moves 3 pixels a frame over a textured wall."""
    wall, square = texture(96, 144), texture(32, 32, 5)[:, :, ::-1] * 0.3 + 160
    frames = np.repeat(wall[None], num_frames, axis=0)
    for t in range(num_frames):
        frames[t, 30:62, 20 + 3 * t : 52 + 3 * t] = square
    return frames.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("clip", ["still", "moving"])
def test_noise_goes(clip: str) -> None:
    rng = np.random.default_rng(2)
    true = squares(9) if clip == "moving" else np.repeat(squares(1), 9, axis=0)
    noisy = (true + rng.normal(0, 10, true.shape)).clip(0, 255).astype(np.uint8)
    clean = run([Denoise()], noisy)
    gain = psnr(clean[4], true[4]) - psnr(noisy[4], true[4])
    assert gain > (5.5 if clip == "still" else 4.5)
    half = run([Denoise(strength=0.5)], noisy)
    assert psnr(noisy[4], true[4]) < psnr(half[4], true[4]) < psnr(clean[4], true[4])


def test_an_edge_that_moves_stays_sharp() -> None:
    rng = np.random.default_rng(2)
    true = np.full((9, 64, 128, 3), 60, np.uint8)
    for t in range(9):
        true[t, :, 30 + 8 * t :] = 180
    noisy = (true + rng.normal(0, 6, true.shape)).clip(0, 255).astype(np.uint8)
    row = run([Denoise()], noisy)[4].mean(axis=(0, 2))  # along x
    edge = 30 + 8 * 4
    assert row[edge - 2] == pytest.approx(60, abs=4)
    assert row[edge + 1] == pytest.approx(180, abs=4)
    assert (run([Denoise()], true) == true).all()  # what has no noise is left alone


# ------------------------------------------------------------------------------------------------ resize


def lanczos(length: int, size: int) -> NDArray[np.float64]:
    """The matrix [size, length] of Lanczos with three lobes, widened by the scale where it shrinks."""
    scale = length / size
    wide = max(scale, 1.0)
    centre = (np.arange(size) + 0.5) * scale
    x = (np.arange(length)[None] + 0.5 - centre[:, None]) / wide
    kernel = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return kernel / kernel.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(96, 64), (60, 40), (240, 160)])
def test_resize_is_lanczos(size: tuple[int, int]) -> None:
    picture = texture(80, 120)[None].astype(np.uint8)
    made = run([Resize(width=size[0], height=size[1], fit="stretch")], picture)[0]
    across = np.einsum("wx,yxc->ywc", lanczos(120, size[0]), picture[0].astype(np.float64))
    wanted = np.einsum("hy,ywc->hwc", lanczos(80, size[1]), across)
    assert np.abs(made - wanted.clip(0, 255)).max() <= 2


def test_fits_and_linear_light() -> None:
    picture = np.full((1, 40, 80, 3), 200, np.uint8)
    padded = run([Resize(width=40, height=40, fit="pad")], picture)[0]
    assert (padded[10:30] == 200).all()
    assert (padded[:10] == 0).all()
    assert (padded[30:] == 0).all()
    filled = run([Resize(width=40, height=40)], picture)
    assert filled.shape == (1, 40, 40, 3)
    assert (filled == 200).all()
    comb = np.zeros((1, 64, 64, 3), np.uint8)
    comb[:, :, ::2] = 255
    assert run([Resize(width=16, height=16)], comb)[0, 8, 8, 0] == pytest.approx(128, abs=3)
    # half of the light is code value 188 in sRGB
    assert run([Resize(width=16, height=16, linear=True)], comb)[0, 8, 8, 0] == pytest.approx(188, abs=3)


# ------------------------------------------------------------------------------------------------ retime


@pytest.mark.parametrize(
    ("count", "source", "target"),
    [
        (32, Fraction(16), 24),
        (33, Fraction(16), 24),
        (24, Fraction(24), 16),
        (100, Fraction(24000, 1001), 24),
        (1, FPS, 60),
    ],
)
def test_a_clip_keeps_its_length(count: int, source: Fraction, target: int) -> None:
    frames = np.repeat((np.arange(count) % 200).astype(np.uint8)[:, None, None, None], 4, axis=1)
    frames = np.ascontiguousarray(np.broadcast_to(frames, (count, 4, 4, 3)))
    made = run([Retime(fps=target, method="nearest")], frames, source)
    seconds = count / source
    assert 0 <= len(made) / Fraction(target) - seconds < Fraction(1, target)
    assert len(made) == retimed_count(count, source, target)
    shape = PostShape(num_frames=count, fps=source, width=4, height=4)
    assert Retime(fps=target).shaped(shape).num_frames == len(made)
    for j, frame in enumerate(made):
        at = j * source / target
        assert abs(frame[0, 0, 0] - min(at, count - 1) % 200) <= Fraction(1, 2)


@pytest.mark.parametrize(("method", "worst"), [("flow", 0.35), ("blend", 0.35)])
def test_a_square_moves_evenly_at_another_rate(method: str, worst: float) -> None:
    frames = np.full((13, 96, 160, 3), 40, np.uint8)
    square = texture(40, 40, 8) * 0.4 + 130
    for t in range(13):
        frames[t, 28:68, 20 + 4 * t : 60 + 4 * t] = square
    made = run([Retime(fps=24, method=method)], frames)  # type: ignore[arg-type]
    light = made.astype(np.float64).mean(axis=3) - 40
    x = (light * np.arange(160)).sum(axis=(1, 2)) / light.sum(axis=(1, 2))
    wanted = x[0] + 4 * 16 / 24 * np.arange(len(made))
    moving = slice(0, 18)  # after the last frame it stays
    assert np.abs(x - wanted)[moving].max() < worst
    if method == "flow":  # and it is one square, not two that fade
        alone = made[1].astype(int)
        at = 20 + 4 * 16 / 24
        left = round(at)
        assert np.abs(alone[32:64, left + 4 : left + 36] - square[4:36, 4:36]).mean() < 12


def test_nothing_is_mixed_over_a_cut() -> None:
    a, b = texture(64, 96, 1), 255 - texture(64, 96, 1)
    frames = np.stack([a, a, b, b]).astype(np.uint8)
    for method in ("flow", "blend"):
        made = run([Retime(fps=64, method=method)], frames)  # type: ignore[arg-type]
        assert all((frame == frames[0]).all() or (frame == frames[2]).all() for frame in made)


# ------------------------------------------------------------------------------------------------ all


@pytest.mark.parametrize(
    "stages",
    [
        [Stabilise()],
        [Deflicker()],
        [Denoise()],
        [Retime(fps=24)],
        [Resize(width=64, height=48), GradeStage(grade=Grade(saturation=0.5))],
        [Deflicker(), Denoise(), Stabilise(), Retime(fps=24), Resize(width=64, height=48, fit="pad")],
    ],
    ids=lambda stages: "+".join(s.name for s in stages),
)
def test_frames_do_not_depend_on_the_chunks(stages: list[PostStage]) -> None:
    rng = np.random.default_rng(4)
    frames = (shaken(0.5, 14)[:, :72, :96] + rng.normal(0, 3, (14, 72, 96, 3))).clip(0, 255).astype(np.uint8)

    def reused() -> Iterator[Frames]:  # a source may use its memory again
        buffer = np.empty_like(frames[:1])
        for frame in frames:
            buffer[0] = frame
            yield buffer

    whole = run(stages, frames, chunk=14)
    assert (run(stages, frames, chunk=3) == whole).all()
    assert (np.concatenate(list(applied(stages, reused(), FPS))) == whole).all()


@pytest.mark.parametrize("stage", [Stabilise(), Deflicker(), Denoise(), Retime(fps=24)])
def test_one_frame_and_black_frames_pass(stage: PostStage) -> None:
    one = texture(40, 60)[None].astype(np.uint8)
    made = run([stage], one)
    assert made.shape[1:] == one.shape[1:]
    if not isinstance(stage, Stabilise):  # which gives its share of the sides up all the same
        assert (made == one[0]).all()
    black = np.zeros((5, 40, 60, 3), np.uint8)
    assert not run([stage], black).any()


def test_frames_of_two_sizes_or_another_type_are_refused() -> None:
    a, b = np.zeros((2, 40, 60, 3), np.uint8), np.zeros((1, 40, 64, 3), np.uint8)
    with pytest.raises(MediaError, match=r"64x40 after 60x40"):
        list(applied([Deflicker()], iter([a, b]), FPS))
    with pytest.raises(MediaError, match="float32"):
        list(applied([Deflicker()], iter([a.astype(np.float32)]), FPS))  # type: ignore[list-item]
