"""How many partial sums a sum over samples is taken in.

Several keep a device busy that has many more work items than there are parameters.

Of p partial sums the n-th takes every p-th vector from the n-th on; a second launch adds them up in order.
Nothing depends on which work item comes first, so that results repeat bit for bit.
"""

from __future__ import annotations

from math import isqrt

from ...powers import power_below

#: Vectors that a part sums at least: fewer are added faster than another launch begins.  A CPU's core, which needs no other work
#: items beside it, adds thousands meanwhile (measured: 1,024 in less than the 2 us of a launch).
LEAST_SHARE, LEAST_SHARE_OF_A_CORE = 16, 4096
#: Work items of a reduction group at most: more keep one another waiting longer than they sum.
MOST_REDUCTION_GROUP = 128
#: Work items that keep a device busy, from which on it is no CPU.
MANY = 512


def least_share(work_items: int) -> int:
    """Vectors that a part sums at least, on a device that ``work_items`` keep busy."""
    return LEAST_SHARE if work_items >= MANY else LEAST_SHARE_OF_A_CORE


def most_partial_sums(vectors: int, work_items: int) -> int:
    """The most partial sums that are worth it, a power of two.

    None sums fewer vectors than there are partial sums to be added up later.
    """
    return power_below(min(isqrt(max(0, vectors)), vectors // least_share(work_items)))


def default_partial_sums(items: int, vectors: int, work_items: int) -> int:
    """As many partial sums as are worth it and as the device has room for, a power of two.

    ``items``: work items of one part.  ``vectors``: of samples that are summed.
    """
    return min(most_partial_sums(vectors, work_items), power_below(work_items // max(1, items)))


def reduction_group_numbers(places: int, reduction_group: int) -> int:
    """How many numbers of local memory ``MOST_REDUCTION_GROUP`` work items need, in groups that each sum ``places`` places."""
    return places * (reduction_group + 1) * max(1, MOST_REDUCTION_GROUP // reduction_group)
