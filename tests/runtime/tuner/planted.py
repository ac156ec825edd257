"""A generated folder whose dense layer misbehaves for some sizes of its tile: what a tuner must notice.

Written by hand on top of the runtime's test folder.  ``TILE_forward_Z_i`` is the number of outputs that a
work item computes.
"""

from __future__ import annotations

from pathlib import Path

from phiz.runtime.backend import Request
from phiz.runtime.manifest.loading import load_manifest
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.program.layer import layer
from phiz.runtime.tuner.trials.jobs import Job, jobs

from tests.runtime.conftest import CL_DENSE, CL_HEAD, FILES, manifest, write_folder

TILE = "TILE_forward_Z_i"
WRONG, CRASH, BROKEN, PAST, MISSING, HANG = 2, 3, 4, 5, 6, 7

FORWARD = """
__kernel void forward_Z(__global const vec *Y, __global const REAL *w, __global const REAL *b, __global vec *out,
                        __global vec *z, int vectors, int TV)
{
    const int t = get_global_id(0);
    for (int n = 0; n < TILE_forward_Z_i; n++) {
        const int i = get_global_id(1) * TILE_forward_Z_i + n;
        if (i >= I) continue;
        vec sum = (vec)(b[i]);
        for (int j = 0; j < J; j++) sum += w[i * J + j] * Y[j * TV + t];
#if TILE_forward_Z_i == 2
        if (i == 3) sum *= (REAL)1.01;
#elif TILE_forward_Z_i == 3
        *(volatile __global int *)(vectors - vectors) = 1;
#elif TILE_forward_Z_i == 4
#error "this tile does not compile"
#elif TILE_forward_Z_i == 5
        out[I * TV + t] = sum;
#elif TILE_forward_Z_i == 6
        if (i == 7) continue;
#elif TILE_forward_Z_i == 7
        for (volatile int k = 0; k >= 0; k = (k + 1) & 7) {}
#endif
#if STORE_Z
        z[i * TV + t] = sum;
#endif
        out[i * TV + t] = PHI(sum);
    }
}
"""  # noqa: E501


def planted(path: Path) -> Path:
    """Write the folder."""
    data = manifest()
    dense = data["layers"]["dense"]
    record = next(kernel for kernel in dense["kernels"] if kernel["name"] == "forward_Z")
    grid = ["vectors", f"-(-I//{TILE})", "1"]
    record["launches"]["sample_inner"] = {"tiles": {TILE: "I"}, "operands": [[TILE], []], "global": grid}
    dense["macros"]["sample_inner"].append(TILE)
    start = CL_DENSE.index("__kernel void delta_Y")
    text = CL_HEAD + "enum { I = SIZE_I, J = SIZE_J };\n" + FORWARD + CL_DENSE[start:]
    return write_folder(path, data, {**FILES, "opencl/dense.cl": text})


def planted_job(path: Path, samples: int = 20) -> tuple[Network, Job]:
    """A network of one planted layer with 8 outputs, and its forward kernel."""
    network = Network(
        [layer("dense", units=8, activation="tanh")],
        (5,),
        "mse",
        "opencl",
        manifests=load_manifest([planted(path)], trust=True),
    )
    (job,) = jobs(network, samples, Request())
    return network, job


def tile(size: int) -> KernelConfig:
    """A configuration with the planted tile."""
    return KernelConfig({TILE: size})
