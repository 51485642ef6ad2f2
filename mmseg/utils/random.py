"""Seeds: of a run, and of one training iteration."""

from __future__ import annotations

import random

import numpy as np
import torch


def set_random_seed(seed: int, deterministic: bool = False) -> None:
    """Seed ``random``, ``numpy.random`` and torch; ``deterministic`` asks cuDNN for repeatable kernels."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def seed_from(*key: int) -> int:
    """Return a 63-bit seed that depends on every integer of ``key`` (``numpy.random.SeedSequence``)."""
    words = np.random.SeedSequence([k % 2**64 for k in key]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


def seed_iteration(seed: int, iteration: int, rank: int = 0) -> None:
    """Seed the generators that a training step draws from (dropout, drop path).

    The draws of an iteration depend on (seed, iteration, rank) and on nothing before it, so a
    resumed run draws what the undisturbed one did, on every rank, with no generator state to save.
    """
    set_random_seed(seed_from(seed, iteration, rank))
