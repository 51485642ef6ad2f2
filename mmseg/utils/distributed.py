"""Rank, world size and device: the few questions that the rest asks about where it runs."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist


def get_rank() -> int:
    """Rank of this process; 0 outside distributed runs."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def get_world_size() -> int:
    """Number of processes; 1 outside distributed runs."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def get_device(gpu_id: int | None = None) -> torch.device:
    """The best device at hand: cuda, then mps, then cpu.

    Args:
        gpu_id: The CUDA device to use; by default this process's ``LOCAL_RANK``.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if gpu_id is None else gpu_id)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def barrier() -> None:
    """Wait for every rank; nothing outside distributed runs."""
    if get_world_size() > 1:
        dist.barrier()
