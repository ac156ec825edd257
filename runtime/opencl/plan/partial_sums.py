"""Chooses the number of partial sums for a sum over samples.

Several partial sums keep a device busy that runs many more work items than there are parameters.  Of p
partial sums, the n-th adds every p-th vector from the n-th on.  A second launch adds them up in order, so
results do not depend on which work item is first and repeat bit for bit.
"""

from __future__ import annotations

from math import isqrt

from ...powers import power_below

#: The least number of vectors in a partial sum; fewer are added before another launch could begin.  A CPU
#: core needs no other work items and adds thousands in that time (measured: 1,024 in less than a launch's 2
#: us).
LEAST_SHARE, LEAST_SHARE_OF_A_CORE = 16, 4096
#: The most work items of a reduction group; more of them would wait for each other longer than they sum.
MOST_REDUCTION_GROUP = 128
#: A device that needs at least this many work items to be busy is not a CPU.
MANY = 512


def least_share(work_items: int) -> int:
    """The least number of vectors in a partial sum, on a device that ``work_items`` work items keep busy."""
    return LEAST_SHARE if work_items >= MANY else LEAST_SHARE_OF_A_CORE


def most_partial_sums(vectors: int, work_items: int) -> int:
    """The most partial sums that pay off, a power of two.

    Each adds at least as many vectors as there are partial sums.
    """
    return power_below(min(isqrt(max(0, vectors)), vectors // least_share(work_items)))


def default_partial_sums(items: int, vectors: int, work_items: int) -> int:
    """The default number of partial sums, a power of two.

    There are as many as pay off and as the device has room for.

    ``items``: the work items of one partial sum.
    ``vectors``: the vectors of samples that are summed.
    """
    return min(most_partial_sums(vectors, work_items), power_below(work_items // max(1, items)))


def reduction_group_numbers(places: int, reduction_group: int) -> int:
    """How many numbers of local memory ``MOST_REDUCTION_GROUP`` work items need.

    ``places``: the number of sums that each reduction group computes.
    """
    return places * (reduction_group + 1) * max(1, MOST_REDUCTION_GROUP // reduction_group)
