"""What a kernel takes: tensors, sizes and relations, in the order of the calling conventions."""

from __future__ import annotations

from collections.abc import Mapping

from ...derive.ir import Column, Kernel, Size, TableLoop, Tensor, integers, loads


def arguments(kernel: Kernel, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The tensors that ``kernel`` reads, in the order of ``tensors``."""
    read = {load.tensor for load in loads(kernel)}
    unknown = sorted(read - set(tensors))
    if unknown:
        raise KeyError(f"kernel {kernel.name}: reads the undeclared tensor {unknown[0]}")
    return tuple(name for name in tensors if name in read)


def sizes(kernel: Kernel, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The sizes (scalars and tables) in the kernel and in the shapes of the tensors that it touches,
    sorted.
    """
    nodes = [kernel, *(tensors[name] for name in arguments(kernel, tensors))]
    return tuple(sorted({i.name for node in nodes for i in integers(node) if isinstance(i, Size)}))


def relations(kernel: Kernel) -> tuple[str, ...]:
    """The relations that the kernel reads, sorted."""
    read = {i.relation for i in integers(kernel) if isinstance(i, Column)}
    read |= {loop.relation for nest in kernel.nests for loop in nest.loops if isinstance(loop, TableLoop)}
    return tuple(sorted(read))
