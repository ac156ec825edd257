"""One launch: a kernel with its arguments set, and the local size that it runs with."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

import pyopencl as cl

from ..device.programs import Binding
from .calls import Bound, Size, set_number

#: Global size, local size (None: the driver's), global offset (None: 0).
Sizes = tuple[Size, Size | None, Size | None]


def work_group(size: Size) -> Size:
    """The local size of a launch on a CPU.

    It has up to 64 work items, sample vectors first, and leaves at least 16 groups.

    A work group costs about as much as a small work item, so tiles share one too.

    PoCL compiles a kernel anew for every local size.  Left to itself it picks one that depends on the exact
    number of samples, so that the last, smaller batch of an epoch costs seconds.
    """
    if 0 in size:
        return size
    group = [next(n for n in (16, 4, 1) if size[0] % n == 0)]
    for extent in size[1:]:
        room, groups = 64 // prod(group), prod(size) // prod(group)
        group.append(max(n for n in range(1, room + 1) if extent % n == 0 and (n == 1 or groups // n >= 16)))
    return tuple(group)


def local_size(size: Size, wanted: Size | None, grouped: bool, copies: bool = False) -> Size | None:
    """``wanted`` where it divides ``size``; else a work group of our own where ``grouped``, or None for the
    driver's.

    ``copies``: only the first axis may have more than one item of a group; so where ``wanted`` does not
    divide, a part of it.
    """
    if copies and wanted is not None:
        return (gcd(size[0], wanted[0]), *(1 for _ in size[1:])) if 0 not in size else size
    if wanted is not None and 0 not in size and all(n % k == 0 for n, k in zip(size, wanted, strict=True)):
        return wanted
    return work_group(size) if grouped else None


@dataclass(frozen=True)
class Launch:
    """One launch of a pass, its arguments set but for those that change from pass to pass.

    ``moving``: positions and keys of those that come with the micro-batch or receive results.
    ``wanted``: the local size of the kernel's configuration, taken where it divides the global size.
    ``grouped``: whether the local size is otherwise our own choice (CPU), or the driver's.
    """

    bound: Bound
    binding: Binding
    moving: tuple[tuple[int, str], ...]
    wanted: Size | None
    grouped: bool

    @property
    def kernel(self) -> cl.Kernel:
        """What is queued."""
        return self.bound.kernel

    def sizes(self, used: int) -> Sizes:
        """Global size, local size and global offset for ``used`` lanes."""
        size, offset = self.bound.call.work(self.binding, used // self.binding.width)
        return size, local_size(size, self.wanted, self.grouped, self.bound.call.copies), offset

    def use(self, used: int) -> None:
        """Set the number of vectors of ``used`` lanes."""
        if self.bound.last is not None:
            set_number(self.kernel, self.bound.last, used // self.binding.width)
