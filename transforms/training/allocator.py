"""The C library's memory: for work that takes and frees the same large blocks over and over."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Make this process keep the memory that it frees, and return whether that could be done: it can with glibc.

    By default, glibc hands each large block back to the system when it is freed; the next one comes as pages of zeros
    that the kernel must clear first. In training on a CPU every step does so for all activations.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        tune = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(tune(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**28)))
