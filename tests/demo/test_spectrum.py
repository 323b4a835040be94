"""Cycles that are there are found, with their strength and phase; in noise none is believed."""

from __future__ import annotations

import numpy as np
import pytest

from ai_grpc.demo.spectrum import analyse

LENGTH = 400


def cosine(cycles: int, amplitude: float, phase: float, length: int = LENGTH) -> np.ndarray:
    return amplitude * np.cos(2 * np.pi * cycles * np.arange(length) / length + phase)


@pytest.mark.parametrize("length", [400, 401])
def test_known_cosines_are_found_with_frequency_amplitude_and_phase(length: int) -> None:
    spectrum = analyse(5 + cosine(20, 2.0, 0.7, length) + cosine(50, 0.5, -2.0, length), strongest=2)
    assert spectrum.frequencies == pytest.approx([20 / length, 50 / length])
    assert spectrum.amplitudes == pytest.approx([2.0, 0.5])
    assert spectrum.phases == pytest.approx([0.7, -2.0])
    assert spectrum.error == pytest.approx(0, abs=1e-9)


def test_error_is_the_part_of_the_deviation_that_is_left() -> None:
    spectrum = analyse(cosine(20, 4.0, 0.0) + cosine(50, 3.0, 0.0), strongest=1)
    assert spectrum.error == pytest.approx(3 / 5)


def test_cosine_in_noise_is_significant_and_noise_alone_is_not() -> None:
    draw = np.random.default_rng(1)
    noise = draw.normal(size=(200, LENGTH))
    assert analyse(noise[0] + cosine(37, 1.0, 1.0)).significance[0] > 0.999
    assert analyse(noise[0] + cosine(37, 1.0, 1.0)).frequencies[0] == 37 / LENGTH
    # Of 200 series of noise about 10 have a significance above 0.95.
    assert 2 <= sum(analyse(one).significance[0] > 0.95 for one in noise) <= 20


def test_significance_falls_with_the_strength() -> None:
    spectrum = analyse(np.random.default_rng(2).normal(size=LENGTH))
    assert spectrum.significance == sorted(spectrum.significance, reverse=True)
    assert all(0 <= one <= 1 for one in spectrum.significance)
