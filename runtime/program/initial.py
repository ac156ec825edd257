"""Initial parameter values, seeded per layer and tensor so that no layer's draw depends on another's.

The generator of tensor number p (in the layer's parameter order) of layer number l is
``numpy.random.default_rng([seed, l, p])``; values are drawn in row-major order in float64.

| rule | values |
|---|---|
| uniform | U(-a, a), a = scale·sqrt(3/fan_in): variance scale²/fan_in, so that sums over fan_in inputs keep unit variance |
| normal | N(0, (scale/sqrt(fan_in))²); fan_in is 1 where the rule gives none |
| constant | value |
"""  # noqa: E501

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..manifest.expressions import expression
from .sizes import Extent

RULES = ("constant", "normal", "uniform")


def initial_values(
    label: str,
    name: str,
    rule: Mapping[str, Any],
    extent: Extent,
    sizes: Mapping[str, Any],
    seed: tuple[int, int, int],
) -> npt.NDArray[np.float64]:
    """The flat initial values, ``(extent.units,)`` float64, of parameter ``name``; ShapeError for an
    unknown rule.
    """
    if rule.get("rule") not in RULES:
        raise ShapeError(
            f"{label}: initial {name}: unknown rule {rule.get('rule')!r}, known are {', '.join(RULES)}"
        )
    scale, value = rule.get("scale", 1.0), rule.get("value", 0.0)
    if isinstance(scale, str) or not 0 <= scale < math.inf:
        raise ShapeError(f"{label}: initial {name}: expected a scale >= 0, got {scale!r}")
    if isinstance(value, str) or not math.isfinite(value):
        raise ShapeError(f"{label}: initial {name}: expected a finite value, got {value!r}")
    generator = np.random.default_rng(list(seed))
    if extent.entries is None:
        return _draw(rule, extent.units, _fan_in(rule, sizes), generator)
    parts = [
        _draw(rule, prod(entry), _fan_in(rule, {**sizes, "_": number}), generator)
        for number, entry in enumerate(extent.entries)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _fan_in(rule: Mapping[str, Any], sizes: Mapping[str, Any]) -> int:
    text = rule.get("fan_in")
    return 1 if text is None else max(1, expression(str(text))(sizes))


def _draw(
    rule: Mapping[str, Any], count: int, fan_in: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    scale = float(rule.get("scale", 1.0))
    match rule["rule"]:
        case "uniform":
            bound = scale * np.sqrt(3.0 / fan_in)
            return generator.uniform(-bound, bound, count)
        case "normal":
            return generator.normal(0.0, scale / np.sqrt(fan_in), count)
        case _:
            return np.full(count, float(rule.get("value", 0.0)))
