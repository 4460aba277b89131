"""Loudness and true peak of sound as it comes, chunk by chunk: ITU-R BS.1770-5, gated as EBU R 128 asks.

The two filters of the K-weighting are computed for any rate from the analogue ones behind the 48 kHz table of the
recommendation (annex 1); true peak is read from the sound at four times its rate (annex 2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import signal

__all__ = ["LoudnessMeter", "decibel"]

ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute one
OFFSET = -0.691  # so that a 997 Hz sine of full scale in one channel reads -3.01
SURROUND = 1.41
OVERSAMPLING = 4
TAPS = 12  # a phase
STEPS_A_BLOCK = 4  # blocks of 400 ms, a new one each 100 ms


def decibel(amplitude: float) -> float:
    """An amplitude, 1 is full scale, in decibel; silence is -inf."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


class LoudnessMeter:
    """Give it sound piece by piece with `add`; `integrated` and `true_peak` are of all that came so far."""

    def __init__(self, rate: int, channels: int) -> None:
        """`rate` in samples a second; channels in the order of WAVE: left, right, centre, LFE, surrounds."""
        self._hop = round(rate / 10)
        self._weights = np.array(
            [0.0 if i == 3 else SURROUND if i > 3 else 1.0 for i in range(channels)] if channels > 3 else 1.0
        ).reshape(-1, 1)
        self._filter = _k_weighting(rate)
        self._state = np.zeros((len(self._filter), channels, 2))
        self._waiting = np.zeros((channels, 0))
        self._steps: list[float] = []  # weighted power of each 100 ms: 5 kB a minute
        low_pass = signal.firwin(OVERSAMPLING * TAPS + 1, 1 / OVERSAMPLING, window=("kaiser", 7.0))
        self._low_pass = low_pass * OVERSAMPLING
        self._tail = np.zeros((channels, TAPS))
        self._peak = 0.0

    def add(self, sound: NDArray[np.float32]) -> None:
        """The next piece, float32 [channels, samples], of any length."""
        if not sound.shape[1]:
            return
        whole = np.concatenate([self._tail, sound], axis=1)
        finer = signal.upfirdn(self._low_pass, whole, up=OVERSAMPLING, axis=1)
        inside = finer[:, OVERSAMPLING * TAPS : OVERSAMPLING * whole.shape[1]]
        self._peak = max(self._peak, float(np.abs(inside).max()), float(np.abs(sound).max()))
        self._tail = whole[:, -TAPS:]

        weighted, self._state = signal.sosfilt(self._filter, sound, axis=1, zi=self._state)
        weighted = np.concatenate([self._waiting, weighted], axis=1)
        count = weighted.shape[1] // self._hop
        steps = weighted[:, : count * self._hop].reshape(len(weighted), count, self._hop)
        self._steps += list((np.square(steps).mean(axis=2) * self._weights).sum(axis=0))
        self._waiting = weighted[:, count * self._hop :].copy()

    @property
    def integrated(self) -> float:
        """Gated loudness in LUFS; -inf for silence and for less than 0.4 s."""
        steps = np.array(self._steps)
        if len(steps) < STEPS_A_BLOCK:
            return -math.inf
        blocks = np.convolve(steps, np.full(STEPS_A_BLOCK, 1 / STEPS_A_BLOCK), mode="valid")
        loud = blocks[blocks > _power(ABSOLUTE_GATE)]
        if not len(loud):
            return -math.inf
        loud = loud[loud > _power(_lufs(float(loud.mean())) + RELATIVE_GATE)]
        return _lufs(float(loud.mean()))

    @property
    def true_peak(self) -> float:
        """The highest point of the wave in dBTP; -inf for silence."""
        return decibel(self._peak)


def _lufs(power: float) -> float:
    return OFFSET + 10 * math.log10(power) if power > 0 else -math.inf


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - OFFSET) / 10))


def _k_weighting(rate: int) -> NDArray[np.float64]:
    """The shelf of the head and the high-pass, as two second-order sections for `rate`."""
    k, q = math.tan(math.pi * 1681.974450955533 / rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = [
        (high + middle * k / q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - middle * k / q + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    ]
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    return np.array([shelf, high_pass])
