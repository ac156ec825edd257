"""Finite differences on functions whose derivatives are known, with kinks, and with wrong gradients."""

from __future__ import annotations

import numpy as np
import pytest
from phiz.runtime.verify.differences import STEPS, central, compare, one_sided, taylor_slope

POINTS = np.array([[0.3, -1.2, 2.0], [0.7, 0.1, -0.4]])


def moved(function):
    return lambda entry, offset: function(POINTS[entry] + offset)


@pytest.mark.parametrize(
    ("function", "slope"), [(np.sin, np.cos), (np.exp, np.exp), (np.tanh, lambda z: 1 - np.tanh(z) ** 2)]
)
def test_central_differences_are_accurate_to_1e_11(function, slope) -> None:
    for entry, z in enumerate(POINTS):
        np.testing.assert_allclose(
            central(moved(function), entry, STEPS[0]), slope(z), rtol=1e-11, atol=1e-11
        )
        np.testing.assert_allclose(one_sided(moved(function), entry, 1e-5), slope(z), rtol=0, atol=1e-8)


def test_a_wrong_entry_is_seen_and_zero_slopes_do_not_divide_by_zero() -> None:
    slopes = np.cos(POINTS)
    assert compare(moved(np.sin), slopes, 1e-3, 1e-6).errors(slopes).max() < 1e-10
    slopes[1, 2] *= 1 + 1e-5
    errors = compare(moved(np.sin), slopes, 1e-3, 1e-6).errors(slopes)
    assert np.argwhere(errors > 1e-6).tolist() == [[1, 2]]
    zero = np.zeros_like(POINTS)
    assert compare(moved(np.zeros_like), zero, 0.0, 1e-6).errors(zero).max() == 0
    assert np.isinf(
        compare(moved(np.sin), np.full_like(POINTS, np.nan), 0.0, 1e-6).errors(np.full_like(POINTS, np.nan))
    ).all()


@pytest.mark.parametrize("distance", [0.0, 1.5e-4, 5e-6])
def test_kinks_are_met_with_smaller_steps_or_one_side_and_never_with_tolerance(distance: float) -> None:
    def kinked(entry: int, offset: float) -> np.ndarray:
        return np.abs(np.array([offset + distance]))

    right, left, between = (np.array([[slope]]) for slope in (1.0, -1.0, 0.0))
    found = compare(kinked, right, 1e-3, 1e-6)
    assert found.errors(right).max() <= 1e-6
    assert found.kinks.any() == (distance == 0)
    assert found.steps[0, 0] < STEPS[0]
    assert compare(kinked, between, 1e-3, 1e-6).errors(between).max() > 0.5 or distance == 0
    wrong_side = compare(kinked, left, 1e-3, 1e-6).errors(left).max()
    assert wrong_side <= 1e-6 if distance == 0 else wrong_side > 0.5
    if distance == 0:
        half = np.array([[0.5]])  # on neither side, and not what central differences give
        assert compare(kinked, half, 1e-3, 1e-6).errors(half).max() > 0.4


def test_taylor_orders() -> None:
    steps = [2.0**-n for n in range(4, 17)]

    def order(slope: float, function=np.exp) -> float:
        return taylor_slope(lambda e: abs(function(1 + e) - function(1) - e * slope), lambda e: 1e-15, steps)

    assert abs(order(np.e) - 2) < 0.05
    assert abs(order(-np.e) - 1) < 0.05
    assert abs(order(np.e * (1 + 1e-4)) - 1) < 0.2
    assert order(3.0, lambda z: 3.0 * z) == np.inf
    assert abs(order(-3.0, lambda z: 3.0 * z) - 1) < 1e-6
    assert order(np.nan) == 0
    assert order(1.0, lambda z: abs(z - 1.01) + 2 * z) >= 1.5  # a kink that only the larger steps cross
