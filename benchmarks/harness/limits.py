"""What the hardware allows: measured memory bandwidth and the measured rate of a large matrix product.

A program that must move ``n`` bytes cannot be faster than ``n / memory_bandwidth()`` seconds, one that must
make ``m`` operations not faster than ``m / matmul_rate()``. The larger of the two is its limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Limit:
    """The least time that the hardware allows.

    Attributes:
        seconds: The larger of the two parts.
        by: ``memory`` or ``arithmetic``, which of them it is.
    """

    seconds: float
    by: str


def limit(
    *, flop: float = 0, moved_bytes: float = 0, dtype: Any = None, device: str = "cpu", quick: bool = False
) -> Limit:
    """Return the least time for ``flop`` operations and ``moved_bytes`` bytes read and written.

    Args:
        flop: Floating point operations; a multiply-add is two.
        moved_bytes: Bytes read plus bytes written.
        dtype: Of the matrix product; torch.float32 by default.
        device: ``cpu``, ``cuda``, ...
        quick: Measure on small arrays, for trying out.
    """
    arithmetic = flop / matmul_rate(dtype, device, quick=quick) if flop else 0.0
    memory = moved_bytes / memory_bandwidth(device, quick=quick) if moved_bytes else 0.0
    return Limit(max(arithmetic, memory), "arithmetic" if arithmetic >= memory else "memory")


def memory_bandwidth(device: str = "cpu", *, quick: bool = False) -> float:
    """Bytes per second (read plus written) of a large copy, with the threads that torch uses now."""
    return _bandwidth(str(device), _threads(), quick)


def matmul_rate(dtype: Any = None, device: str = "cpu", *, quick: bool = False) -> float:
    """Operations per second (a multiply-add is two) of a large matrix product, with torch's threads of now.

    Args:
        dtype: torch.float32 by default.
        device: ``cpu``, ``cuda``, ...
        quick: Small matrices.
    """
    import torch

    return _rate(dtype or torch.float32, str(device), _threads(), quick)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


@cache
def _bandwidth(device: str, threads: int, quick: bool) -> float:
    import torch

    # Far beyond any cache: 256 MB on a CPU, 2 GB on a GPU.
    size = 2**20 if quick else 2**28 if device == "cpu" else 2**31
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _best(lambda: target.copy_(source), device, runs=3 if quick else 9)


@cache
def _rate(dtype: Any, device: str, threads: int, quick: bool) -> float:
    import torch

    # bf16 is slow on CPUs without instructions for it: there a smaller product says as much.
    n = 128 if quick else 8192 if device != "cpu" else 2048 if dtype == torch.float32 else 1024
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    with torch.inference_mode():
        return 2 * n**3 / _best(lambda: torch.mm(a, b, out=out), device, runs=3 if quick else 7)


def _best(call: Callable[[], object], device: str, runs: int) -> float:
    """The least time of some runs: a limit is what the machine can do at its best."""
    from benchmarks.harness.machine import synchronise

    call()
    times = []
    for _ in range(runs):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return max(min(times), 1e-9)
