"""Let a CPU process keep the memory that it frees.

A step allocates and frees the same large arrays again and again. The C library takes each of them from
the system and gives it back, and every page of a fresh one costs an interrupt and 4 KiB of zeros: on a
virtual machine about half the time of a training step. Kept memory is ready the next time.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

SWITCH = "MMSEG_KEEP_MEMORY"
# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_OTHER_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc", "hoard", "snmalloc")
_OWN_SETTINGS = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")


def keep_memory(device: Any = "cpu") -> bool:
    """Ask glibc to keep what this process frees, if it computes on the CPU.

    What is freed is used again by the next allocation, so that the process holds its peak until it ends. It
    does nothing on another device, another system than Linux, another C library (musl), with another
    allocator (jemalloc, tcmalloc, ... preloaded), where the user has settings of malloc in the environment,
    and with ``MMSEG_KEEP_MEMORY=0``.

    Args:
        device: What the process computes on: a ``torch.device`` or its name.

    Returns:
        Whether it is set now.
    """
    if str(device).partition(":")[0] != "cpu" or os.environ.get(SWITCH, "1") == "0" or _has_own_settings():
        return False
    library = _glibc()
    if library is None or _another_allocator():
        return False
    # Both give 1 where they are accepted.
    return bool(library.mallopt(_M_MMAP_MAX, 0)) and bool(library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def _has_own_settings() -> bool:
    """Whether the user says how malloc shall work: then it stays so."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc." in tunables or any(name in os.environ for name in _OWN_SETTINGS)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None


def _another_allocator(maps: str = "/proc/self/maps") -> bool:
    """Whether a library in this process replaces malloc."""
    try:
        with open(maps) as file:
            loaded = {os.path.basename(line.split()[-1]) for line in file if "/" in line}
    except OSError:
        return False
    return any(name in library for library in loaded for name in _OTHER_ALLOCATORS)
