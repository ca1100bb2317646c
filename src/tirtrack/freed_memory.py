"""Memory of pictures that were freed, kept by the process for the next ones."""

from __future__ import annotations

import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from malloc.h of glibc
_KEPT_BYTES = 64 * 2**20
_LARGEST_BYTES = 32 * 2**20  # the most that glibc takes; what is larger goes back as before
_GIVEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep about 64 MB that it has freed; whether it does.

    The allocator of Linux (glibc) may give memory back with every picture and ask for it again, and
    each page is then cleared anew: a third of the time of mining pairs of 512x384. A user who sets
    the allocator by the environment is left alone, and so are other systems.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _GIVEN):
        return False
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):  # a Python without it, or another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
