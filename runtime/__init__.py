"""What runs committed kernels: backends, networks, training, optimizers.
May import NumPy, SciPy, PyOpenCL and the folder of generated kernels.
Never SymPy, Mako, derive or codegen.

    from phiz.runtime import Network, layer, minimize

What most programs need is named here, and loaded when it is first asked for; everything else has its place in
the folders.

Folders import one another down the list of ``docs/rooms.md`` only, for types as well.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import Request
    from .data.datasets import Dataset, from_arrays
    from .data.split import load_split
    from .errors import PhizError
    from .manifest.loading import load_folder, load_manifest
    from .network.architectures import architecture
    from .network.backends import make_backend
    from .network.network import Network
    from .opencl.backend import OpenCLBackend
    from .opencl.plan.config import KernelConfig
    from .optimize import LeastSquares, minimize, predict_memory
    from .optimize.error_curve import error_curve
    from .program.layer import LayerSpec, layer
    from .training.evaluation_set import EvaluationSet, Score
    from .training.objective import NetworkObjective
    from .training.settings import Settings
    from .training.train import train

#: Where each name lives.
_HOMES = {
    "backend": ("Request",),
    "data.datasets": ("Dataset", "from_arrays"),
    "data.split": ("load_split",),
    "errors": ("PhizError",),
    "manifest.loading": ("load_folder", "load_manifest"),
    "network.architectures": ("architecture",),
    "network.backends": ("make_backend",),
    "network.network": ("Network",),
    "opencl.backend": ("OpenCLBackend",),
    "opencl.plan.config": ("KernelConfig",),
    "optimize": ("LeastSquares", "minimize", "predict_memory"),
    "optimize.error_curve": ("error_curve",),
    "program.layer": ("LayerSpec", "layer"),
    "training.objective": ("NetworkObjective",),
    "training.evaluation_set": ("EvaluationSet", "Score"),
    "training.settings": ("Settings",),
    "training.train": ("train",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Dataset",
    "EvaluationSet",
    "KernelConfig",
    "LayerSpec",
    "LeastSquares",
    "Network",
    "NetworkObjective",
    "OpenCLBackend",
    "PhizError",
    "Request",
    "Score",
    "Settings",
    "architecture",
    "error_curve",
    "from_arrays",
    "layer",
    "load_folder",
    "load_manifest",
    "load_split",
    "make_backend",
    "minimize",
    "predict_memory",
    "train",
]  # fmt: skip

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The object ``name``, from its module, which is imported now."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
