"""Residual forms: the paper's norm per sample (105-115) and the Gauss-Newton form of softmax with
cross-entropy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...errors import ShapeError
from ..base.vector import Vector

#: D10: rows whose norm is below this are set to zero; the norm is not differentiable there.
ZERO_NORM = 1e-12


class NormResidual:
    """One residual per sample, r_i = ||t_i - y_i||, from component residuals ordered sample by sample."""

    @staticmethod
    def rows(r: Vector, jacobian: np.ndarray, outputs: int) -> tuple[Vector, np.ndarray]:
        """(m,) and (m, n) component residuals into (m / outputs,) norms and their Jacobian; X32: 0
        where r_i = 0.
        """
        if outputs < 1 or r.size % outputs:
            raise ShapeError(
                f"norm residual: expected a multiple of {outputs} residuals in a chunk, got {r.size}"
            )
        components = r.reshape(-1, outputs)
        norms = np.sqrt((components**2).sum(axis=1))
        live = norms >= ZERO_NORM
        unit = np.where(live[:, None], components / np.where(live, norms, 1.0)[:, None], 0.0).astype(r.dtype)
        slopes = jacobian.reshape(len(norms), outputs, -1)
        return norms.astype(r.dtype), np.einsum("ik,ikn->in", unit, slopes)

    @staticmethod
    def group(
        chunks: Iterator[tuple[Vector, np.ndarray]], outputs: int
    ) -> Iterator[tuple[Vector, np.ndarray]]:
        """The same for every chunk; a chunk must hold whole samples."""
        for r, jacobian in chunks:
            yield NormResidual.rows(r, jacobian, outputs)


def gauss_newton_softmax(p: np.ndarray, t: np.ndarray, jacobian: np.ndarray) -> tuple[Vector, np.ndarray]:
    """Rows for LM that stand for softmax and cross-entropy E = -sum t log p.

    p, t: (m, K) outputs and targets, each row of t summing to 1.
    jacobian: (m, K, n), d(pre-softmax)/d(parameters).

    Returns r (m K,), J (m K, n) with J^T r = dE/dx = sum jacobian^T (p - t) and
    J^T J = sum jacobian^T (diag p - p p^T) jacobian, the Gauss-Newton matrix: with L = diag(sqrt p) - p
    sqrt(p)^T, L L^T = diag p - p p^T, the rows are L^T jacobian and (p - t) / sqrt p.
    """
    if p.shape != t.shape or p.ndim != 2 or jacobian.shape[:2] != p.shape:
        got = f"{p.shape}, {t.shape}, {jacobian.shape}"
        raise ShapeError(f"softmax rows: expected p, t (m, K) and J (m, K, n), got {got}")
    root = np.sqrt(np.maximum(p, np.finfo(p.dtype).tiny))
    mean = np.einsum("mk,mkn->mn", p, jacobian)
    rows = root[:, :, None] * (jacobian - mean[:, None, :])
    return ((p - t) / root).reshape(-1), rows.reshape(p.size, -1)
