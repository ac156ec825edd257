"""Into how many parts a sum over samples is split, so that a device with many more work items than parameters is kept busy.

Part n sums every parts-th vector from the n-th on; a second launch adds the parts up in order.  Nothing depends on which work item
comes first, so that results repeat bit for bit.
"""

from __future__ import annotations

from math import isqrt

from ...powers import power_below

#: Vectors that a part sums at least: fewer are added faster than another launch begins.  A CPU's core, which needs no other work
#: items beside it, adds thousands meanwhile (measured: 1,024 in less than the 2 us of a launch).
LEAST_SHARE, LEAST_SHARE_OF_A_CORE = 16, 4096
#: Work items of a team at most: more keep one another waiting longer than they sum.
MOST_TEAM = 128
#: Work items that keep a device busy, from which on it is no CPU.
MANY = 512


def least_share(work_items: int) -> int:
    """Vectors that a part sums at least, on a device that ``work_items`` keep busy."""
    return LEAST_SHARE if work_items >= MANY else LEAST_SHARE_OF_A_CORE


def most_parts(vectors: int, work_items: int) -> int:
    """The most parts that are worth it, a power of two: no part sums fewer vectors than there are parts to be added up later."""
    return power_below(min(isqrt(max(0, vectors)), vectors // least_share(work_items)))


def default_parts(items: int, vectors: int, work_items: int) -> int:
    """A power of two: as many as a device that ``work_items`` keep busy has room for beside each other, and as are worth it.

    ``items``: work items of one part.  ``vectors``: of samples that are summed.
    """
    return min(most_parts(vectors, work_items), power_below(work_items // max(1, items)))


def team_numbers(places: int, team: int) -> int:
    """Numbers of local memory of a group of ``MOST_TEAM`` work items in teams, each of which sums ``places`` places of a tile."""
    return places * (team + 1) * max(1, MOST_TEAM // team)
