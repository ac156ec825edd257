"""Blocks of samples: where each number lies, walked, and how far apart the same unit of two blocks is."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from phiz.runtime.opencl.launch.block_layout import BlockLayout


@given(blocks=st.integers(1, 5), lanes=st.integers(1, 6), units=st.integers(0, 7), spread=st.booleans())
def test_every_number_has_its_place(blocks: int, lanes: int, units: int, spread: bool) -> None:
    layout = BlockLayout(blocks * lanes, lanes, spread)
    flat = np.arange(layout.count(units))
    found = layout.blocks(flat, units)
    assert found.shape == (blocks, units, lanes) and (units == 0 or found.base is not None)
    room = units if not spread or units % 2 else units + 1
    for block in range(blocks):
        for unit in range(units):
            for lane in range(lanes):
                assert found[block, unit, lane] == (block * room + unit) * lanes + lane


def test_blocks_of_a_power_of_two_of_units_do_not_share_their_cache_sets() -> None:
    """32 KiB, 8 ways of 64 sets of 64 bytes: the eight blocks of a unit of 128 bytes lie in sixteen
    sets instead of two.
    """

    def sets(layout: BlockLayout, units: int) -> int:
        places = layout.blocks(np.arange(layout.count(units)), units)[:, 0, :] * 4 // 64 % 64
        return len(np.unique(places))

    assert sets(BlockLayout(256, 32), 256) == 2
    assert sets(BlockLayout(256, 32, spread=True), 256) == 16
