"""How the C library keeps the memory that training frees."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""`M_TRIM_THRESHOLD` and `M_MMAP_MAX` of glibc's mallopt(3)."""

KEEP = 2**30


def keep_freed() -> bool:
    """Keep up to 1 GiB of freed memory instead of handing it back at every step; whether this C library can.

    Every step allocates what the last one freed, and pages that come back from the system come zeroed, one fault each.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(MMAP_MAX, 0) == 1 and mallopt(TRIM_THRESHOLD, KEEP) == 1
