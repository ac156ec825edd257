"""Vector registers of a CPU device: how many there are, and how many floats each holds.

A device can be made narrower than it is.

A narrower device computes what a processor with such registers computes: vectors are shorter, tiles fit fewer
registers, and configurations are kept apart.  So what depends on the width is tested on one machine for all
widths below its own.

| lanes | like | doubles | registers |
|---|---|---|---|
| 4 | SSE, NEON | 2 | 16 |
| 8 | AVX | 4 | 16 |
| 16 | AVX-512 | 4 (PoCL miscompiles 8) | 32 |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...errors import DeviceError, PhizError

#: The setting that makes CPU devices narrower, and the lanes that it may ask for.
SETTING = "PHIZ_LANES"
LANES = (4, 8, 16)
#: PoCL miscompiles vectors of more than 4 doubles.
MOST_DOUBLES = 4
#: Registers of a device that was made narrower.
REGISTERS = {4: 16, 8: 16, 16: 32}

#: The group size of this kernel says what the compiler generates code for; nothing is launched.
PROBE = """
#if defined(__AVX512F__)
#define UNIT 16, 32
#elif defined(__AVX__)
#define UNIT 8, 16
#elif defined(__SSE__)
#define UNIT 4, 16
#elif defined(__ARM_NEON)
#define UNIT 4, 32
#else
#define UNIT 1, 1
#endif
__kernel __attribute__((reqd_work_group_size(UNIT, 1))) void registers(__global float *x) { x[0] = 0; }
"""


@dataclass(frozen=True)
class Registers:
    """Vector registers: ``lanes`` floats in each, ``count`` of them; ``found``: how that is known, for
    people.
    """

    lanes: int
    count: int
    found: str

    @property
    def doubles(self) -> int:
        """Doubles of a vector: half as many as floats, and no more than compilers survive."""
        return max(1, min(MOST_DOUBLES, self.lanes // 2))


def of_the_compiler(handle: Any, context: Any) -> Registers:
    """What a CPU device's compiler generates code for; DeviceError where it builds nothing.

    The device's own answer is about the processor.  PoCL 3.0 knows Zen 4 as Zen 3, without AVX-512: there the
    vectors of 16 that it claims are native crash its compiler.  So the answer counts only where the compiler
    names no vector unit.
    """
    import pyopencl as cl

    try:
        kernel = cl.Kernel(cl.Program(context, PROBE).build(), "registers")
        lanes, count, _ = kernel.get_work_group_info(
            cl.kernel_work_group_info.COMPILE_WORK_GROUP_SIZE, handle
        )
    except cl.Error as error:
        raise DeviceError(
            f"{handle.name.strip()}: its compiler fails on a kernel of one line ({error})"
        ) from None
    if lanes > 1:
        return Registers(int(lanes), int(count), "the vector unit that its compiler names")
    told = max(n for n in (1, *LANES) if n <= max(1, int(handle.native_vector_width_float)))
    return Registers(
        told,
        REGISTERS.get(told, REGISTERS[4]),
        "the device's native vector width; its compiler names no vector unit",
    )


def narrowed(own: Registers, lanes: int, name: str, setting: str) -> Registers:
    """``own`` with ``lanes`` floats a register, as ``setting`` asks; PhizError where there are not as
    many.
    """
    fitting = [n for n in LANES if n <= own.lanes]
    if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes not in fitting:
        expected = " or ".join(map(str, fitting)) or "none"
        raise PhizError(f"{setting}={lanes!r}: {name} has vectors of {own.lanes} floats, expected {expected}")
    if lanes == own.lanes:
        return own
    found = f"{setting}={lanes}, made narrower than {own.lanes}"
    return replace(own, lanes=lanes, count=min(own.count, REGISTERS[lanes]), found=found)


def asked(text: str) -> int:
    """The lanes that the setting asks for, 0 where it is empty; PhizError where it is no such number."""
    if not text.strip():
        return 0
    if text.strip() not in map(str, LANES):
        raise PhizError(f"{SETTING}={text}: expected {', '.join(map(str, LANES[:-1]))} or {LANES[-1]}")
    return int(text)
