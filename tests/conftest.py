"""What every test can rely on: fixed seeds, one thread, no display, no network, any working directory."""

from __future__ import annotations

import os

# Before torch is imported, and inherited by the processes that tests start. One thread: the order of a sum
# is then the same on every machine, and tests that run side by side do not wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

hypothesis.settings.register_profile(
    "repeatable",
    deadline=None,  # a loaded machine is no bug
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _fixed_seeds() -> Iterator[None]:
    """Seed every global generator before each test, and undo what a test switches on for the process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    directory = os.getcwd()
    yield
    os.chdir(directory)
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def _fresh_logger() -> Iterator[None]:
    """Give each test the toolbox's logger as a new process has it, without the handlers of the one before."""
    logger = logging.getLogger("mmseg")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    yield
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


@pytest.fixture
def repo_root() -> Path:
    """The root of the repository, whatever the working directory is."""
    return ROOT
