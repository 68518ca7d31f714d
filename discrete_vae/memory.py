"""Free memory, and how the C library keeps freed memory, set for large populations."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import psutil
import torch

from discrete_vae.errors import InputError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc; elsewhere nothing happens.

    By default glibc fetches every tensor above 32 MiB afresh from the system, which clears its pages each time, and
    gives it back at once: on a CPU a step of 64 thesis-sized runs then takes 1.7 times as long. The commands call
    this when they start; a program that trains large populations by itself may call it too.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def available(device: torch.device) -> int:
    """Bytes that a program may still take: of a GPU, of the machine, or of this process' control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available + psutil.swap_memory().free
    with contextlib.suppress(OSError, ValueError):  # no group, or one without a limit
        group = Path("/sys/fs/cgroup")
        parts = {name: int(value) for name, value in map(str.split, (group / "memory.stat").read_text().splitlines())}
        cached = parts.get("file", 0) - parts.get("shmem", 0)  # given back when it is wanted
        used = int((group / "memory.current").read_text()) - cached
        free = min(free, int((group / "memory.max").read_text()) - used)
    return free


def require(needed: int, what: str, device: torch.device) -> None:
    """Raise ``InputError`` if so many bytes are more than the device has left."""
    if needed > (there := available(device)):
        raise InputError(
            f"{what}: at least {amount(needed)} of memory, and {device.type} has {amount(there)} left; give less"
        )


def amount(size: int) -> str:
    """``3.2 GiB``."""
    value, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if value >= 100 else f"{value:.3g} {units[0]}"
