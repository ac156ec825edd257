"""How much the processor's cores keep to themselves: what a pass over a micro-batch should fit.

OpenCL reports the largest cache only, which cores share; the sizes of the others are asked of the system.
"""

from __future__ import annotations

from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
#: A core's second-level cache where the system does not tell.
USUAL = 2**20
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def core_cache(caches: Path = CACHES) -> int:
    """Bytes of a core's second-level cache."""
    for folder in sorted(caches.glob("index*")):
        try:
            if (folder / "level").read_text().strip() == "2":
                size = (folder / "size").read_text().strip()
                return int(size.rstrip("KMG")) * UNITS.get(size[-1:], 1)
        except (OSError, ValueError):
            continue
    return USUAL
