"""The other side of ``alternate_processes``: a process that makes one measurement per line ``go``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(step: Callable[[], Any], *, device: str = "cpu") -> None:
    """Time ``step`` once for every line on standard input, until that ends.

    Whatever else the process prints goes to standard error, so build the contestant, then call this last.
    Each answer has ``seconds``, ``peak_bytes`` (the most memory held during this step: resident memory of
    the process on a CPU, the allocator's on a GPU) and ``base_bytes`` (what was held before it).

    Args:
        step: What is timed. A dictionary that it returns is added to the answer: plain numbers and strings.
        device: ``cuda`` and ``cuda:0`` are waited for before the clock starts and before it stops.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for _ in sys.stdin:
        print(json.dumps(measure(step, device=device)), file=answers)


def measure(step: Callable[[], Any], *, device: str = "cpu") -> dict[str, Any]:
    """Time ``step`` once in this process; returns one answer of :func:`serve`."""
    on_gpu = device.startswith("cuda")
    if on_gpu:
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        base = torch.cuda.memory_allocated(device)
    else:
        reset_peak_memory()
        base = resident_memory()
    start = time.perf_counter()
    found = step()
    if on_gpu:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else peak_memory()
    extra = found if isinstance(found, dict) else {}
    return {**extra, "seconds": seconds, "peak_bytes": peak, "base_bytes": base}


def reset_peak_memory() -> None:
    """Let :func:`peak_memory` begin anew; does nothing where the system cannot (it is Linux that can)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return


def peak_memory() -> int | None:
    """The most resident memory since the start or the last reset, in bytes; None where unknown."""
    found = _status("VmHWM")
    if found is not None:
        return found
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_memory() -> int | None:
    """Resident memory of this process now, in bytes; None where the system does not tell."""
    return _status("VmRSS")


def _status(key: str) -> int | None:
    try:
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith(f"{key}:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024
