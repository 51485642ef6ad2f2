"""Repeated runs and what is said of them."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from mmseg.core.cost.timing import Timing, measure, peak_memory

CPU = torch.device("cpu")


def test_runs_are_counted_and_timed():
    calls = []

    def run() -> None:
        calls.append(1)
        time.sleep(0.002)

    timing = measure(run, CPU, repeat=4, warmup=3, batch_size=2)
    assert len(calls) == 7 and len(timing.seconds) == 4
    assert min(timing.seconds) >= 0.002
    assert timing.images_per_second == pytest.approx(2 / timing.median)


def test_median_and_spread():
    timing = Timing((5.0, 1.0, 2.0, 4.0, 3.0), batch_size=6, peak_bytes=None)
    assert timing.median == 3 and timing.images_per_second == 2
    assert timing.spread == pytest.approx((1.4, 4.6))


def test_peak_of_the_process_grows_with_what_it_holds():
    before = peak_memory(CPU)
    held = np.ones(40 * 2**20, np.uint8)
    assert before > 50 * 2**20 and peak_memory(CPU) >= before
    assert held.nbytes < peak_memory(CPU) < 2**38
