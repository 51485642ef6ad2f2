"""Seeds of one sample: its own generator, and the global ones for transforms that draw from those."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

# The generator of the sample being loaded. Transforms called on a dictionary without `rng`, as data
# sets of the user's own do, draw from it.
sample_rng: ContextVar[np.random.Generator | None] = ContextVar("sample_rng", default=None)


@contextmanager
def drawing_from(rng: np.random.Generator | None, keep: bool = False) -> Iterator[np.random.Generator]:
    """Let the samples loaded inside draw from ``rng``; None makes a new one, or with ``keep`` takes
    the present one where there is one."""
    if rng is None and keep:
        rng = sample_rng.get()
    rng = np.random.default_rng() if rng is None else rng
    token = sample_rng.set(rng)
    try:
        yield rng
    finally:
        sample_rng.reset(token)


def sample_of(dataset: Any, index: int) -> Any:
    """Return the sample ``index`` of any data set, drawn from the present generator."""
    if hasattr(dataset, "get_sample"):
        return dataset.get_sample(index, rng=sample_rng.get())
    return dataset[index]


@contextmanager
def seeded(seed: int) -> Iterator[np.random.Generator]:
    """Give a generator seeded with ``seed``, and seed the global ones; without workers restore those."""
    own_process = get_worker_info() is not None
    if not own_process:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach for CUDA, too
    rng = np.random.default_rng(seed)
    token = sample_rng.set(rng)
    try:
        yield rng
    finally:
        sample_rng.reset(token)
        if not own_process:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])
