"""A device for kernels that phiz does not generate: those with which the paper's claims are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import pyopencl as cl

from ....runtime.opencl.device import device as devices

Array = npt.NDArray[Any]
Size = tuple[int, ...]
#: Runs something so many times and waits.
Repeat = Callable[[int], None]
#: Queues something once.
Queue = Callable[[], object]


@cache
def source(file: str) -> str:
    """The text of ``kernels/FILE.cl``."""
    return (resources.files(__package__) / "kernels" / f"{file}.cl").read_text(encoding="utf-8")


def round_up(number: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that is not below ``number``."""
    return -(-number // multiple) * multiple


@dataclass(frozen=True)
class Loaded:
    """A kernel with its arguments, which the driver does not keep alive by itself."""

    kernel: Any
    arguments: tuple[Any, ...]


class Rig:
    """One device with an in-order queue.

    ``selector``: see ``device.choose``, which also raises DeviceError.
    """

    def __init__(self, selector: str | None = None) -> None:
        self.selector = selector
        self.device = devices.choose(selector)
        self.kind = devices.kind(self.device)
        self.context = devices.context(self.device)
        self.queue = cl.CommandQueue(self.context)
        self._programs: dict[tuple[str, tuple[str, ...]], Any] = {}

    @property
    def cpu(self) -> bool:
        """Whether the device is a CPU."""
        return self.kind == "cpu"

    @property
    def widest(self) -> int:
        """Floats of the longest vector that the device's compiler can take."""
        return devices.widest(self.device, self.kind, "float32")

    def describe(self) -> str:
        """Platform, device, compute units."""
        info = devices.describe(self.device)
        return f"{info.platform} {info.driver}, {info.name}, {info.compute_units} compute units ({info.kind})"

    def built(self, file: str, name: str, **macros: int | str) -> Any:
        """Kernel ``name`` of ``kernels/FILE.cl`` built with ``macros``."""
        options = tuple(f"-D{key}={value}" for key, value in sorted(macros.items()))
        if (file, options) not in self._programs:
            self._programs[file, options] = cl.Program(self.context, source(file)).build(
                options=list(options)
            )
        return cl.Kernel(self._programs[file, options], name)

    def kernel(self, file: str, name: str, *arguments: Any, **macros: int | str) -> Loaded:
        """The same with its arguments set; integers become ``int``."""
        kernel = self.built(file, name, **macros)
        kernel.set_args(*(np.int32(value) if isinstance(value, int) else value for value in arguments))
        return Loaded(kernel, arguments)

    def put(self, values: Array, room: int = 0) -> Any:
        """A buffer with float32 ``values`` and ``room`` zeros behind them."""
        flat = np.concatenate([np.ravel(values), np.zeros(room)]).astype(np.float32)
        return cl.Buffer(self.context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR, hostbuf=flat)

    def empty(self, shape: Sequence[int] | int) -> Any:
        """A buffer for float32 numbers, all NaN: what no work item writes shows."""
        return self.put(np.full(shape, np.nan))

    def get(self, buffer: Any, shape: Sequence[int] | int) -> Array:
        """The numbers in a buffer."""
        values = np.empty(shape, np.float32)
        cl.enqueue_copy(self.queue, values, buffer)
        return values

    def launch(self, loaded: Loaded, size: Size, group: Size | None = None) -> Queue:
        """What queues the kernel once."""
        return lambda: cl.enqueue_nd_range_kernel(self.queue, loaded.kernel, size, group)

    def repeat(self, *queued: Queue) -> Repeat:
        """What queues all of ``queued``, in order, so many times, and waits."""

        def run(count: int) -> None:
            for _ in range(count):
                for one in queued:
                    one()
            self.queue.finish()

        return run
