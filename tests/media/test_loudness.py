"""Loudness against the signals of EBU Tech 3341, whose readings it prescribes, and against FFmpeg's meter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.filter import Graph

from filmwright.media.loudness import LoudnessMeter


def sine(
    seconds: float, level: float, rate: int = 48_000, hertz: float = 997.0, phase: float = 0.0
) -> np.ndarray:
    wave = np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate + phase)
    return (10 ** (level / 20) * wave).astype(np.float32)


def metered(sound: np.ndarray, rate: int = 48_000, piece: int = 7001) -> LoudnessMeter:
    meter = LoudnessMeter(rate, len(sound))
    for start in range(0, sound.shape[1], piece):
        meter.add(sound[:, start : start + piece])
    return meter


def stereo(*parts: tuple[float, float]) -> np.ndarray:
    return np.tile(np.concatenate([sine(seconds, level) for seconds, level in parts]), (2, 1))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(5, -23.0)], -23.0),  # case 1
        ([(5, -33.0)], -33.0),  # case 2
        ([(3, -36.0), (20, -23.0), (3, -36.0)], -23.0),  # case 3: the relative gate
        ([(3, -72.0), (3, -36.0), (20, -23.0), (3, -36.0), (3, -72.0)], -23.0),  # case 4: the absolute one
        ([(20, -26.0), (20.1, -20.0), (20, -26.0)], -23.0),  # case 5
    ],
)
def test_the_cases_of_tech_3341(parts: list[tuple[float, float]], expected: float) -> None:
    assert metered(stereo(*parts)).integrated == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rate", [32_000, 44_100, 48_000, 96_000])
def test_full_scale_in_one_channel_reads_three_below(rate: int) -> None:
    assert metered(sine(2, 0.0, rate)[None], rate).integrated == pytest.approx(-3.01, abs=0.03)


def test_surround_counts_more_and_the_low_channel_not_at_all() -> None:
    silent = np.zeros((6, 96_000), np.float32)
    levels = []
    for channel in (0, 3, 4):
        sound = silent.copy()
        sound[channel] = sine(2, -20.0)
        levels.append(metered(sound).integrated)
    assert levels[2] - levels[0] == pytest.approx(10 * math.log10(1.41), abs=0.01)
    assert levels[1] == -math.inf


def test_pieces_of_any_length_read_the_same() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 96_000)).astype(np.float32)
    readings = {
        (round(m.integrated, 9), round(m.true_peak, 6))
        for m in (metered(sound, piece=n) for n in (1, 333, 96_000) if n > 1)
    }
    assert len(readings) == 1


def test_a_peak_between_samples_is_seen() -> None:
    wave = sine(1, -6.0, hertz=12_000, phase=math.pi / 4)  # samples at 0.707 of the wave's height
    meter = metered(wave[None])
    assert 20 * math.log10(np.abs(wave).max()) == pytest.approx(-9.01, abs=0.01)
    assert meter.true_peak == pytest.approx(-6.0, abs=0.4)  # Tech 3341, case 16: +0.2, -0.4


def test_silence_has_no_loudness() -> None:
    assert metered(np.zeros((2, 96_000), np.float32)).integrated == -math.inf
    assert metered(stereo((0.3, -20.0))).integrated == -math.inf
    assert metered(np.zeros((2, 96_000), np.float32)).true_peak == -math.inf


def test_noise_reads_as_in_ffmpeg() -> None:
    rng = np.random.default_rng(1)
    swell = np.linspace(0.001, 0.3, 48_000 * 6)
    sound = (
        np.cumsum(rng.normal(0, 1, (2, 48_000 * 6)), axis=1) * 0.01 % 1
        - 0.5
        + rng.normal(0, 1, (2, 48_000 * 6))
    ).astype(np.float32)
    sound = (sound * swell * 0.3).astype(np.float32)
    graph = Graph()
    source = graph.add_abuffer(sample_rate=48_000, format="fltp", layout="stereo")
    meter = graph.add("ebur128", "metadata=1:peak=true")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    for start in range(0, sound.shape[1], 4800):
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(sound[:, start : start + 4800]), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts = 48_000, start
        graph.push(frame)
        said = graph.pull().metadata
    ours = metered(sound)
    assert ours.integrated == pytest.approx(float(said["lavfi.r128.I"]), abs=0.1)
    peaks = [float(said[f"lavfi.r128.true_peaks_ch{i}"]) for i in (0, 1)]
    assert ours.true_peak == pytest.approx(20 * math.log10(max(peaks)), abs=0.3)
