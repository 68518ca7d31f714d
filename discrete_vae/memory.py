"""The C library's memory, as large populations want it."""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc; elsewhere nothing happens.

    By default glibc fetches every tensor above 32 MiB afresh from the system, which clears its pages each time, and
    gives it back at once: on a processor a step of 64 thesis-sized runs then takes 1.7 times as long. The commands call
    this when they start; a program that trains large populations by itself may call it too.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)
