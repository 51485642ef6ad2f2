"""How long a function takes and how much memory it needs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """Repeated runs of one batch.

    Attributes:
        seconds: Of each run.
        batch_size: Images in the batch.
        peak_bytes: Most memory held at once: on a GPU what torch's allocator gave out, model included; on
            the CPU the resident memory of the whole process. None where it cannot be read.
    """

    seconds: tuple[float, ...]
    batch_size: int
    peak_bytes: int | None

    @property
    def median(self) -> float:
        """Seconds of a run in the middle of all."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> tuple[float, float]:
        """Seconds below which 10 % and 90 % of the runs stay."""
        low, high = np.percentile(self.seconds, (10, 90))
        return float(low), float(high)

    @property
    def images_per_second(self) -> float:
        """At the median."""
        return self.batch_size / self.median


def measure(
    run: Callable[[], Any], device: torch.device, repeat: int, warmup: int, batch_size: int = 1
) -> Timing:
    """Time ``run()`` ``repeat`` times, after ``warmup`` runs that do not count.

    The device has finished its work at the end of every run: this is the latency of single batches, not
    of a queue of them.
    """
    for _ in range(warmup):
        run()
    wait_for(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return Timing(tuple(seconds), batch_size, peak_memory(device))


def wait_for(device: torch.device) -> None:
    """Return when ``device`` has done all that it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """Most bytes held at once, see :class:`Timing`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
