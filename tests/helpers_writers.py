"""What the loop hands to writers, made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from mmseg.engine.writers import Example

CLASSES = ["road", "car.red"]


def run_info(work_dir: Any, iteration: int = 0, **config: Any) -> dict[str, Any]:
    """What ``Writer.start`` is told."""
    meta = {"CLASSES": CLASSES, "PALETTE": [[128, 64, 128], [255, 0, 0]], "config": "max_iters = 4\n"}
    return dict(work_dir=str(work_dir), timestamp="20260102_030405", config=config, meta=meta, iter=iteration)


def train_record(iteration: int, **numbers: Any) -> dict[str, Any]:
    where = dict(
        epoch=1, iter=iteration, max_iters=100, by_epoch=False, inner_iter=iteration, iters_per_epoch=50
    )
    timing = dict(lr=0.1 / iteration, eta=3.0, time=0.5, data_time=0.1, memory=7)
    return {**where, "mode": "train", **timing, "loss": 1.0 / iteration, **numbers}


SCORES = {"aAcc": 0.75, "mIoU": 0.5, "IoU.road": 0.5, "IoU.car.red": float("nan"), "Acc.road": 0.25}


def val_record(iteration: int) -> dict[str, Any]:
    return {**train_record(iteration), "mode": "val", **SCORES}


def evaluation() -> Any:
    """An evaluation's result, as far as writers look at it."""
    return SimpleNamespace(scores=SCORES)


def example(name: str = "a.png", value: int = 1) -> Example:
    image = np.full((6, 8, 3), (10, 20, 200), np.uint8)
    truth = np.zeros((6, 8), np.uint8)
    truth[0] = 255
    return Example(name, image, np.full((6, 8), value, np.uint8), truth)
