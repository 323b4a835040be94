"""The strongest cycles of a series, found by Fourier's transform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ai_grpc.demo.prices import Floats

STRONGEST = 5


@dataclass(frozen=True)
class Spectrum:
    """Cosines, the strongest first: cycles per bar, amplitude, phase in radians, and how significant each is.

    `error` is what they leave unexplained, as a part of the standard deviation: 0 is nothing.
    """

    frequencies: list[float]
    amplitudes: list[float]
    phases: list[float]
    significance: list[float]
    error: float


def analyse(values: Floats, strongest: int = STRONGEST) -> Spectrum:
    """The strongest cycles around the mean of the values, which must not all be equal.

    The significance of a cycle is the probability that the strongest of as many cycles of white noise is weaker
    (Fisher's test, for many values): near 1 it is no accident.
    """
    length, moved = len(values), values - values.mean()
    coefficients = np.fft.rfft(moved)
    # Neither the mean nor, where there is one, the cycle of two bars, whose amplitude and phase cannot be told apart.
    candidates = np.arange(1, (length + 1) // 2)
    power = np.abs(coefficients[candidates]) ** 2
    found = candidates[np.argsort(power)[::-1][:strongest]]
    noise = np.exp(-(np.abs(coefficients[found]) ** 2) / power.mean())
    kept = np.zeros_like(coefficients)
    kept[found] = coefficients[found]
    unexplained = moved - np.fft.irfft(kept, length)
    return Spectrum(
        frequencies=(found / length).tolist(),
        amplitudes=(2 * np.abs(coefficients[found]) / length).tolist(),
        phases=np.angle(coefficients[found]).tolist(),
        significance=((1 - noise) ** len(candidates)).tolist(),
        error=float(unexplained.std() / moved.std()),
    )
