"""Scalar expressions of definitions with NumPy's float64."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from ..symbols.functions import root, sigmoid, softplus

Array = np.ndarray[Any, np.dtype[Any]]


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))


_FUNCTIONS: Mapping[type, Callable[..., Any]] = {
    sp.exp: np.exp,
    sp.log: np.log,
    sp.sin: np.sin,
    sp.cos: np.cos,
    sp.tan: np.tan,
    sp.asin: np.arcsin,
    sp.acos: np.arccos,
    sp.atan: np.arctan,
    sp.sinh: np.sinh,
    sp.cosh: np.cosh,
    sp.tanh: np.tanh,
    sigmoid: _sigmoid,
    softplus: lambda z: np.logaddexp(0, z),
    root: np.sqrt,
}
_COMPARE: Mapping[type, Callable[[Any, Any], Any]] = {
    sp.Eq: np.equal,
    sp.Ne: np.not_equal,
    sp.Lt: np.less,
    sp.Le: np.less_equal,
    sp.Gt: np.greater,
    sp.Ge: np.greater_equal,
}


class ScalarValues:
    """Values of scalar expressions; ``lookup`` gives those of symbols and of sizes in tables."""

    def __init__(self, lookup: Callable[[sp.Expr], Array]) -> None:
        self.lookup = lookup
        self._known: dict[sp.Basic, Any] = {}

    def __call__(self, e: sp.Basic) -> Any:
        """The value of ``e``; TypeError for a function that definitions do not have."""
        if e not in self._known:
            self._known[e] = self._value(e)
        return self._known[e]

    def _value(self, e: sp.Basic) -> Any:
        if e in (sp.true, sp.false):
            return np.asarray(bool(e))
        if isinstance(e, sp.Symbol | AppliedUndef):
            return self.lookup(e)
        if isinstance(e, sp.Expr) and e.is_number and e.is_comparable:
            return np.asarray(float(e))
        if isinstance(e, sp.Piecewise):
            return self._piecewise(e)
        if isinstance(e, sp.Mul):
            return self._product(e)
        parts = [self(a) for a in e.args]
        if isinstance(e, sp.Add):
            return reduce(operator.add, parts)
        if isinstance(e, sp.Pow):
            return parts[0] ** parts[1]
        return self._function(e, parts)

    def _function(self, e: sp.Basic, parts: list[Any]) -> Any:
        if isinstance(e, sp.erf):
            from scipy.special import erf

            return erf(parts[0])
        if isinstance(e, sp.And | sp.Or):
            return reduce(np.logical_and if isinstance(e, sp.And) else np.logical_or, parts)
        if isinstance(e, sp.Not):
            return np.logical_not(parts[0])
        if isinstance(e, sp.ITE):
            return np.where(*parts)
        found = _FUNCTIONS.get(type(e)) or _COMPARE.get(type(e))
        if found is not None:
            return found(*parts)
        for known in (sp.exp, sp.erf):
            if (written := e.rewrite(known)) != e:
                return self(written)
        raise TypeError(f"no value is known for {type(e).__name__} (in {e})")

    def _product(self, e: sp.Expr) -> Any:
        """A product, with 0 log 0 = 0 (ledger E27)."""
        logs = [a for a in e.args if isinstance(a, sp.log)]
        others = reduce(operator.mul, (self(a) for a in e.args if a not in logs), np.asarray(1.0))
        if not logs:
            return others
        return np.where(others == 0, 0.0, others * reduce(operator.mul, map(self, logs)))

    def _piecewise(self, e: sp.Piecewise) -> Any:
        value: Any = np.asarray(np.nan)
        for branch, condition in reversed(e.args):
            value = np.where(self(condition), self(branch), value)
        return value
