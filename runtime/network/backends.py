"""Backends by name."""

from __future__ import annotations

from typing import Any, cast

from ..backend import Backend
from ..errors import DeviceError, PhizError
from ..nearest import did_you_mean
from ..reference.backend import NumpyBackend


def as_backend(given: Any, device: str | None = None) -> Backend:
    """The backend of that name, or ``given`` itself where it is one; PhizError otherwise."""
    if isinstance(given, str):
        return make_backend(given, device)
    if not all(callable(getattr(given, name, None)) for name in ("require", "executor", "micro_batch")):
        raise PhizError(f"backend: expected numpy, opencl, auto or a Backend, got {type(given).__name__}")
    return cast(Backend, given)


def make_backend(name: str, device: str | None = None) -> Backend:
    """The backend ``name``: "numpy", "opencl", or "auto" for OpenCL where there is a device; PhizError
    otherwise.

    OpenCL runs with the configurations that were tuned for the device (``phiz tune``).
    """
    if name == "numpy":
        if device is not None:
            raise PhizError(f"device {device!r} has no effect with backend numpy")
        return NumpyBackend()
    if name not in ("opencl", "auto"):
        near = did_you_mean(name, ("numpy", "opencl", "auto"))
        raise PhizError(f"unknown backend {name!r}, expected numpy, opencl or auto{near}")
    try:
        from ..opencl.backend import OpenCLBackend
        from ..opencl.tuned.lookup import Tuned

        backend = OpenCLBackend(device)
        backend.configs = Tuned(backend.device, fused=backend.fuses)
        return backend
    except ImportError as error:
        if name == "auto":
            return NumpyBackend()
        raise DeviceError(
            f'PyOpenCL cannot be imported ({error}); run: pip install "pyopencl[pocl]"'
        ) from None
    except DeviceError:
        if name == "auto" and device is None:  # a device that was asked for and is not there is an error
            return NumpyBackend()
        raise
