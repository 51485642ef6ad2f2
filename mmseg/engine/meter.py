"""Averages of what the loop logs."""

from __future__ import annotations

import resource
import sys
import time

import torch
import torch.distributed as dist
from torch import Tensor

from mmseg.utils.distributed import get_world_size


class Meter:
    """Sums what the loop logs, on the device, until the log interval collects the means."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave out of the iteration time what happened since (an evaluation, say)."""
        self.clock = time.perf_counter()
        self.iters_timed, self.data_seconds = 0, 0.0

    def start_data(self) -> None:
        """The loop begins to wait for a batch."""
        self._data_from = time.perf_counter()

    def end_data(self) -> None:
        """The batch is there."""
        self.data_seconds += time.perf_counter() - self._data_from

    def add(self, log_vars: dict[str, Tensor]) -> None:
        """Add the values of one iteration; nothing here waits for the device."""
        for name, value in log_vars.items():
            value = torch.as_tensor(value, device=self.device).detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1
        self.iters_timed += 1

    def collect(self) -> dict[str, float]:
        """Return means over the iterations added since the last call and over ranks, and start anew.

        ``time`` and ``data_time`` are seconds per iteration, ``memory`` is the peak in MiB.
        """
        names = sorted(self.sums, key=lambda n: n == "loss")  # the total stands last, as in 0.25
        values: dict[str, float] = {}
        if names:
            means = torch.stack([self.sums[n] / self.counts[n] for n in names])
            if get_world_size() > 1:
                dist.all_reduce(means)
                means /= get_world_size()
            values = dict(zip(names, means.tolist(), strict=True))
        seconds, iters = time.perf_counter() - self.clock, max(1, self.iters_timed)
        timing = {
            "time": seconds / iters,
            "data_time": self.data_seconds / iters,
            "memory": memory_mb(self.device),
        }
        self.sums, self.counts = {}, {}
        self.restart_clock()
        return {**timing, **values}


def memory_mb(device: torch.device) -> int:
    """Peak memory in MiB: of the device, or of the process on the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) / 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / (2**20 if sys.platform == "darwin" else 2**10))
