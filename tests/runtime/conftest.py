"""A small generated folder written by hand: a dense layer, three activations, the squared error.

Independent of the code generators, so that the runtime's own conventions (layout, arguments, macros, digests)
are tested against text that a person wrote from the contract.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

NUMPY_DENSE = """
import numpy as np

def forward_Z(Y, w, b, *, I, J):
    return np.einsum("ij,jt->it", w, Y) + b[:, None]

def delta_Y(delta_Z, w, dphi, *, I, J):
    return np.einsum("ij,it->jt", w, delta_Z) * dphi

def gradient_w(delta_Z, Y, *, I, J):
    return np.einsum("it,jt->ij", delta_Z, Y)

def gradient_b(delta_Z, *, I, J):
    return delta_Z.sum(axis=-1)

def samplegradient_w(delta_Z, Y, *, I, J):
    return np.einsum("it,jt->ijt", delta_Z, Y)

def samplegradient_b(delta_Z, *, I, J):
    return delta_Z
"""

NUMPY_ACTIVATIONS = """
import numpy as np

def phi_linear(z):
    return z

def dphi_linear(y):
    return np.ones_like(y)

def phi_tanh(z):
    return np.tanh(z)

def dphi_tanh(y):
    return 1 - y * y

def phi_square(z):
    return z * z

def dphi_square(z):
    return 2 * z
"""

NUMPY_MSE = """
def value_y(T, Y, weight, *, N):
    return 0.5 * weight * ((Y - T) ** 2).sum(axis=0)

def delta_linear(T, Y, weight, *, N):
    return weight * (Y - T)

def delta_tanh(T, Y, weight, *, N):
    return weight * (Y - T) * (1 - Y * Y)

def value_square(T, Z, weight, *, N):
    return 0.5 * weight * ((Z * Z - T) ** 2).sum(axis=0)

def delta_square(T, Z, weight, *, N):
    return weight * (Z * Z - T) * 2 * Z
"""

CL_HEAD = """
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#if V == 1
typedef REAL vec;
#else
typedef CAT(REAL, V) vec;
#endif
#define phi_linear(z) (z)
#define dphi_linear(f) ((vec)(1))
#define phi_tanh(z) tanh(z)
#define dphi_tanh(f) (1 - (f) * (f))
#define phi_square(z) ((z) * (z))
#define dphi_square(f) (2 * (f))
"""

CL_DENSE = (
    CL_HEAD
    + """
enum { I = SIZE_I, J = SIZE_J };
__kernel void forward_Z(__global const vec *Y, __global const REAL *w, __global const REAL *b, __global vec *out,
                        __global vec *z, int vectors, int TV)
{
    const int t = get_global_id(0), i = get_global_id(1);
    vec sum = (vec)(b[i]);
    for (int j = 0; j < J; j++) sum += w[i * J + j] * Y[j * TV + t];
#if STORE_Z
    z[i * TV + t] = sum;
#endif
    out[i * TV + t] = PHI(sum);
}
__kernel void delta_Y(__global const vec *delta, __global const REAL *w, __global vec *out, __global const vec *f, int vectors,
                      int TV)
{
    const int t = get_global_id(0), j = get_global_id(1);
    vec sum = (vec)(0);
    for (int i = 0; i < I; i++) sum += w[i * J + j] * delta[i * TV + t];
    out[j * TV + t] = sum * DPHI(f[j * TV + t]);
}
__kernel void gradient_w(__global const REAL *delta, __global const REAL *Y, __global REAL *out, int vectors, int TV)
{
    const int i = get_global_id(0), j = get_global_id(1);
    REAL sum = 0;
    for (int t = 0; t < vectors * V; t++) sum += delta[i * TV * V + t] * Y[j * TV * V + t];
    out[i * J + j] = sum;
}
__kernel void gradient_b(__global const REAL *delta, __global REAL *out, int vectors, int TV)
{
    const int i = get_global_id(0);
    REAL sum = 0;
    for (int t = 0; t < vectors * V; t++) sum += delta[i * TV * V + t];
    out[i] = sum;
}
__kernel void samplegradient_w(__global const vec *delta, __global const vec *Y, __global vec *out, int vectors, int TV)
{
    const int t = get_global_id(0), i = get_global_id(1), j = get_global_id(2);
    out[(i * J + j) * TV + t] = delta[i * TV + t] * Y[j * TV + t];
}
__kernel void samplegradient_b(__global const vec *delta, __global vec *out, int vectors, int TV)
{
    const int t = get_global_id(0), i = get_global_id(1);
    out[i * TV + t] = delta[i * TV + t];
}
"""  # noqa: E501
)

CL_MSE = (
    CL_HEAD
    + """
enum { N = SIZE_N };
#define VALUE(NAME, Y) \\
__kernel void NAME(__global const vec *T, __global const vec *f, __global const vec *weight, __global vec *r, int vectors, \\
                   int TV) \\
{ \\
    const int t = get_global_id(0); \\
    vec sum = (vec)(0); \\
    for (int n = 0; n < N; n++) { vec v = f[n * TV + t]; vec d = Y - T[n * TV + t]; sum += d * d; } \\
    r[t] = weight[t] * sum / 2; \\
}
#define DELTA(NAME, Y, SLOPE) \\
__kernel void NAME(__global const vec *T, __global const vec *f, __global const vec *weight, __global vec *out, int vectors, \\
                   int TV) \\
{ \\
    const int t = get_global_id(0), n = get_global_id(1); \\
    vec v = f[n * TV + t]; \\
    out[n * TV + t] = weight[t] * (Y - T[n * TV + t]) * SLOPE; \\
}
VALUE(value_y, v)
VALUE(value_square, (v * v))
DELTA(delta_linear, v, 1)
DELTA(delta_tanh, v, (1 - v * v))
DELTA(delta_square, (v * v), (2 * v))
"""  # noqa: E501
)


def _kernel(
    name: str, role: str, target: str, arguments: str, output: str, finish: str, sizes: str, grid: list[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "role": role,
        "target": target,
        "arguments": arguments.split(),
        "output": output,
        "position": None,
        "finish": finish,
        "sizes": sizes.split(),
        "relations": [],
        "launches": {"sample_inner": {"tiles": {}, "operands": [], "global": grid}},
    }


def _tensor(kind: str, shape: str, samples: bool) -> dict[str, Any]:
    return {"kind": kind, "shape": shape.split(), "samples": samples, "ragged": False, "layout": ""}


def manifest() -> dict[str, Any]:
    """The manifest of the folder, without the digests of its files."""
    dense = {
        "family": "dense",
        "options": {},
        "doc": "Z = W y + b",
        "digest": "dense-digest",
        "sizes": [
            {"name": "J", "source": "input", "axis": 0, "random": [1, 9]},
            {
                "name": "I",
                "source": "keyword",
                "keyword": "units",
                "entry": None,
                "default": None,
                "minimum": 1,
                "random": [1, 9],
            },
        ],
        "relations": {},
        "input": "Y",
        "output": "Z",
        "parameters": ["w", "b"],
        "tensors": {
            "Y": _tensor("input", "J", True),
            "w": _tensor("parameter", "I J", False),
            "b": _tensor("parameter", "I", False),
            "Z": _tensor("output", "I", True),
        },
        "initial": {"w": {"rule": "uniform", "fan_in": "J"}, "b": {"rule": "constant", "value": 0.0}},
        "checks": [],
        "kernels": [
            _kernel("forward_Z", "forward", "Z", "Y w b", "Z", "phi", "I J", ["vectors", "I"]),
            _kernel("delta_Y", "delta", "Y", "delta_Z w", "delta_Y", "dphi", "I J", ["vectors", "J"]),
            _kernel("gradient_w", "gradient", "w", "delta_Z Y", "gradient_w", "", "I J", ["I", "J"]),
            _kernel("gradient_b", "gradient", "b", "delta_Z", "gradient_b", "", "I J", ["I"]),
            _kernel(
                "samplegradient_w",
                "sample_gradient",
                "w",
                "delta_Z Y",
                "samplegradient_w",
                "",
                "I J",
                ["vectors", "I", "J"],
            ),
            _kernel(
                "samplegradient_b",
                "sample_gradient",
                "b",
                "delta_Z",
                "samplegradient_b",
                "",
                "I J",
                ["vectors", "I"],
            ),
        ],
        "heads": {},
        "macros": {"sample_inner": ["DPHI", "PHI", "REAL", "SIZE_I", "SIZE_J", "STORE_Z", "V"]},
    }
    loss_kernels = [
        _kernel(name, "loss", "", f"T {f} weight", out, "", "N", grid)
        for name, f, out, grid in [
            ("value_y", "Y", "r", ["vectors"]),
            ("value_square", "Z", "r", ["vectors"]),
            ("delta_linear", "Y", "delta", ["vectors", "N"]),
            ("delta_tanh", "Y", "delta", ["vectors", "N"]),
            ("delta_square", "Z", "delta", ["vectors", "N"]),
        ]
    ]
    mse = {
        "file": "loss_mse",
        "targets": [None, None],
        "outputs": [None, None],
        "open": [False, False],
        "digest": "mse-digest",
        "tensors": {
            "T": _tensor("target", "N", True),
            "Y": _tensor("output", "N", True),
            "Z": _tensor("output", "N", True),
            "weight": _tensor("input", "", True),
            "r": _tensor("loss", "", True),
            "delta": _tensor("delta", "N", True),
        },
        "kernels": loss_kernels,
        "pairs": {
            "linear": {"value": "value_y", "delta": "delta_linear"},
            "tanh": {"value": "value_y", "delta": "delta_tanh"},
            "square": {"value": "value_square", "delta": "delta_square"},
        },
        "macros": {"sample_inner": ["REAL", "SIZE_N", "V"]},
    }
    positive = {
        **mse,
        "targets": [0.0, None],
        "outputs": [0.0, 1.0],
        "open": [True, False],
        "digest": "positive-digest",
    }
    return {
        "version": 3,
        "files": {},
        "activations": {
            "linear": {"derivative_in": "y", "range": [None, None], "digest": "a"},
            "tanh": {"derivative_in": "y", "range": [-1.0, 1.0], "digest": "b"},
            "square": {"derivative_in": "z", "range": [0.0, None], "digest": "c"},
        },
        "losses": {"mse": mse, "positive": positive},
        "layers": {"dense": dense},
    }


def write_folder(path: Path, data: dict[str, Any], files: dict[str, str]) -> Path:
    """Write ``files`` and the manifest with their digests."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    data = {
        **data,
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
    }
    (path / "manifest.json").write_text(json.dumps(data))
    return path


FILES = {
    "numpy/dense.py": NUMPY_DENSE,
    "numpy/activations.py": NUMPY_ACTIVATIONS,
    "numpy/loss_mse.py": NUMPY_MSE,
    "opencl/dense.cl": CL_DENSE,
    "opencl/loss_mse.cl": CL_MSE,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder, fresh for this test."""
    return write_folder(tmp_path / "kernels", manifest(), FILES)
