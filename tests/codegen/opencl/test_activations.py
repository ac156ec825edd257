"""phi and phi' of every built-in activation, as the device computes them, within 4 units in the last place.

OpenCL lets a device's own erfc be 16 units off.  Where it is more than 4 off, what is made of it may be as
much more; PoCL's is within 1.
"""

from __future__ import annotations

import numpy as np
import pyopencl as cl
import pytest
from phiz.runtime.manifest.loading import builtin, builtin_path

from tests.codegen.exact_activations import EXACT, UNITS, points, units

CASES = [("float32", 1), ("float32", 8), ("float64", 1), ("float64", 4)]
KERNEL = """
__kernel void probe_{name}(__global const realv *z, __global realv *phi, __global realv *dphi)
{{
    const size_t n = get_global_id(0);
    phi[n] = phi_{name}(z[n]);
    dphi[n] = dphi_{name}({argument}[n]);
}}
"""
OWN = """
__kernel void own_{name}(__global const realv *z, __global realv *y)
{{
    const size_t n = get_global_id(0);
    y[n] = {function};
}}
"""
ADMITTED = {"gelu": ("0.5 * erfc(z[n])", 16.0)}
"""Activations made of a function of the device that may be off by more, that function, and by how much."""


class Device:
    """One precision and one width of vectors."""

    def __init__(self, dtype: str, width: int) -> None:
        self.z = points(dtype)
        self.width = width
        self.context = cl.create_some_context(interactive=False)
        self.queue = cl.CommandQueue(self.context)
        folder = builtin_path() / "opencl"
        text = [(folder / file).read_text() for file in ("prelude.cl", "activations.cl")]
        for name, activation in builtin().activations.items():
            text.append(KERNEL.format(name=name, argument="z" if activation.derivative_in == "z" else "phi"))
        for name, (own, _) in ADMITTED.items():
            text.append(OWN.format(name=name, function=own))
        options = [f"-DREAL={'float' if dtype == 'float32' else 'double'}", f"-DV={width}"]
        options += ["-cl-single-precision-constant"] if dtype == "float32" else []
        self.program = cl.Program(self.context, "\n".join(text)).build(options=options)

    def run(self, kernel: str, outputs: int) -> list[np.ndarray]:
        """The outputs of a kernel at the points."""
        flags = cl.mem_flags
        source = cl.Buffer(self.context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=self.z)
        targets = [cl.Buffer(self.context, flags.READ_WRITE, self.z.nbytes) for _ in range(outputs)]
        getattr(self.program, kernel)(self.queue, (len(self.z) // self.width,), None, source, *targets)
        found = [np.empty_like(self.z) for _ in targets]
        for host, target in zip(found, targets, strict=True):
            cl.enqueue_copy(self.queue, host, target)
        return found


@pytest.fixture(scope="module", params=CASES, ids=str)
def device(request: pytest.FixtureRequest) -> Device:
    return Device(*request.param)


@pytest.mark.parametrize("name", EXACT)
def test_phi_and_its_derivative_are_exact_to_four_units(name: str, device: Device) -> None:
    bound = UNITS
    if name in ADMITTED:
        (own,), admitted = device.run(f"own_{name}", 1), ADMITTED[name][1]
        bound += admitted if own_error(own) > UNITS else 0.0
    for slope, got in enumerate(device.run(f"probe_{name}", 2)):
        errors = units(name, bool(slope), got)
        worst = int(errors.argmax())
        assert errors[worst] <= bound, f"{'dphi' if slope else 'phi'} at {device.z[worst]}"


def own_error(half_erfc: np.ndarray) -> float:
    """How far the device's own erfc is off, at most."""
    import mpmath

    info, worst = np.finfo(half_erfc.dtype), 0.0
    for z, value in zip(points(half_erfc.dtype.name), half_erfc, strict=True):
        exact = mpmath.erfc(mpmath.mpf(float(z))) / 2
        if exact > 16 * float(info.tiny):
            unit = mpmath.mpf(2) ** (mpmath.floor(mpmath.log(exact, 2)) - info.nmant)
            worst = max(worst, float(abs(mpmath.mpf(float(value)) - exact) / unit))
    return worst


def test_derivatives_are_never_negative_where_phi_rises(device: Device) -> None:
    """1 - y^2 of scaled_tanh was -3.4e-8 at z = 17 in float32."""
    for name, activation in builtin().activations.items():
        if activation.increasing:
            assert (device.run(f"probe_{name}", 2)[1] >= 0).all(), name
