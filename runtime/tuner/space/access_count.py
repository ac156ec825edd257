"""Global memory accesses of a convolution: read naively, and by tiles in local memory (paper section 10,
corrected).

All sizes are ``(x, y)``, x the first index; counts are elements, not bytes.  Reads of the filters are in none
of them: they are the same in both forms (ledger X54).  The printed ``R = F + 1`` is ``R = F - 1``, and S_z
multiplies both terms (X51-X53).
"""

from __future__ import annotations

from ...errors import ShapeError

Pair = tuple[int, int]
ONE: Pair = (1, 1)


def tile_width(local: int, taps: int, stride: int = 1, dilation: int = 1) -> int:
    """Inputs along one axis that ``local`` neighbouring outputs span.

    These are k (S_l - 1) + d (F - 1) + 1 (ledger I10-LOCAL).
    """
    return stride * (local - 1) + dilation * (taps - 1) + 1


def output_size(size: int, taps: int, stride: int = 1, dilation: int = 1) -> int:
    """Outputs along one axis of a valid convolution, at most 0 where none fits.

    For k = d = 1 this is the paper's S - R with R = F - 1.
    """
    return (size - tile_width(1, taps, stride, dilation)) // stride + 1


def naive_reads(outputs: Pair, taps: Pair, maps: int = 1) -> int:
    """Reads where every output fetches all its inputs: S_z O_x O_y F_x F_y.

    The outputs' writes are not in it.
    """
    return maps * outputs[0] * outputs[1] * taps[0] * taps[1]


def output_writes(outputs: Pair, maps: int = 1) -> int:
    """Each output once: S_z O_x O_y."""
    return maps * outputs[0] * outputs[1]


def tiled_reads(
    outputs: Pair,
    local: Pair,
    taps: Pair,
    *,
    maps: int = 1,
    stride: Pair = ONE,
    dilation: Pair = ONE,
    local_z: int = 1,
    shared_image: bool = False,
) -> int:
    """Reads where every work group of ``local`` outputs loads its tile once.

    ``local_z`` slices in a group save nothing where each has its own image, and load one tile for all where
    they share it (``shared_image``; ledger X52).  Raises ShapeError where the groups do not divide the
    outputs: pad these first.
    """
    if outputs[0] % local[0] or outputs[1] % local[1] or maps % local_z:
        raise ShapeError(
            f"local size {(*local, local_z)} does not divide the outputs {(*outputs, maps)}: pad them to "
            "a multiple"
        )
    groups = (outputs[0] // local[0]) * (outputs[1] // local[1])
    tile = tile_width(local[0], taps[0], stride[0], dilation[0]) * tile_width(
        local[1], taps[1], stride[1], dilation[1]
    )
    return (maps // local_z if shared_image else maps) * groups * tile
