"""Runs of the tiny config in this process, and what tests ask of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmseg.apis import set_random_seed, train_segmentor
from mmseg.config import Config
from mmseg.datasets import build_dataset
from mmseg.engine import Trainer
from mmseg.models import build_segmentor
from mmseg.utils.logger import get_root_logger


def train(config: dict[str, Any], work_dir: Path, validate: bool = False, **changes: Any) -> Trainer:
    """Train ``config`` on the CPU from fixed weights; return the finished trainer."""
    cfg = Config({**config, "work_dir": str(work_dir), "seed": 3, "device": "cpu", **changes})
    set_random_seed(0)
    model = build_segmentor(cfg.model)
    model.init_weights()
    return train_segmentor(model, build_dataset(cfg.data.train), cfg, validate=validate)


def new_trainer(config: dict[str, Any], work_dir: Path, val_dataset: Any = None, **changes: Any) -> Trainer:
    """A trainer that has not begun."""
    cfg = Config({**config, "seed": 3, **changes})
    set_random_seed(0)
    model = build_segmentor(cfg.model)
    model.init_weights()
    dataset = build_dataset(cfg.data.train)
    return Trainer(
        model,
        dataset,
        cfg,
        work_dir=str(work_dir),
        device=torch.device("cpu"),
        seed=3,
        val_dataset=val_dataset,
    )


def records(work_dir: Path, mode: str) -> list[dict[str, Any]]:
    """The records of one mode in the run's JSON log."""
    (path,) = Path(work_dir).glob("*.log.json")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line.get("mode") == mode]


def same(a: Any, b: Any) -> bool:
    """Whether two nested structures of tensors and plain values are equal to the bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """What the toolbox logs inside the block."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, logger = Keep(), get_root_logger()
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
