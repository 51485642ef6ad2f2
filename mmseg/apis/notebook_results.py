"""What the functions for notebooks return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmseg.core.cost.tables import giga, mega


class _Result(ABC):
    """Shows itself in one line: a notebook prints the value of a cell's last expression."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary()}>"

    @abstractmethod
    def summary(self) -> str:
        """What it is, in a few words."""


@dataclass(repr=False)
class NetworkSummary(_Result):
    """The cost of a network for one image.

    Attributes:
        name: Of the config.
        image_shape: (H, W).
        macs: Multiply-adds by fvcore's rules; the seed of every table calls them FLOPs.
        params: Parameters.
        parts: Part of the network → its (multiply-adds, parameters); they add up to the totals.
        table: The network module by module.
        notes: What the totals hold and leave out.
        charts: ``cost`` → PNG, where one was asked for.
    """

    name: str
    image_shape: tuple[int, int]
    macs: int
    params: int
    parts: dict[str, tuple[int, int]]
    table: str
    notes: list[str] = field(default_factory=list)
    charts: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        h, w = self.image_shape
        return f"{self.name} at {h}x{w}: {giga(self.macs)}FLOPs, {mega(self.params)} parameters"


@dataclass(repr=False)
class ClassDistribution(_Result):
    """How often the classes occur in the masks of a split.

    Attributes:
        split: 'train', 'val' or 'test'.
        names: C classes.
        pixels: (C,) int64, ignored pixels left out.
        weights: (C,) for a loss's ``class_weight``, whose mean is 1.
        table: Text.
        charts: ``classes`` → PNG.
    """

    split: str
    names: list[str]
    pixels: np.ndarray
    weights: np.ndarray
    table: str
    charts: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        return f"{len(self.names)} classes, {int(self.pixels.sum()):,} pixels of data.{self.split}"


@dataclass(repr=False)
class TrainingResult(_Result):
    """A finished training.

    Attributes:
        work_dir: Folder of the run.
        checkpoint: The newest checkpoint.
        best: The one with the best validation score, ``checkpoint`` where none was kept.
        log: The text log.
        scores: Of the last evaluation: ``mIoU``, ``IoU.road``, ... in 0..1; empty where there was none.
        curves: ``{"train": [...], "val": [...]}``, the records of the log.
        charts: ``curves`` → PNG.
    """

    work_dir: str
    checkpoint: str
    best: str
    log: str
    scores: dict[str, float]
    curves: dict[str, list[dict[str, Any]]]
    charts: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        score = f"mIoU {self.scores['mIoU']:.4f}, " if "mIoU" in self.scores else ""
        return f"{score}{self.checkpoint}"


@dataclass(repr=False)
class EvaluationResult(_Result):
    """An evaluated checkpoint.

    Attributes:
        checkpoint: Its file.
        out_dir: Folder of the overlays, with the label maps in ``gray/``.
        multi_scale: Whether the scores of six scales and their mirror images were averaged.
        scores: ``aAcc``, ``mIoU``, ``mAcc``, ``IoU.road``, ... in 0..1, NaN where a class never occurs;
            empty where the data set has no masks.
        table: The scores of the classes as text.
        confusion: (C, C) pixel counts, rows truth, columns prediction; None without masks.
        names: The images.
        charts: ``iou`` and ``confusion`` → PNG.
    """

    checkpoint: str
    out_dir: str
    multi_scale: bool
    scores: dict[str, float]
    table: str
    confusion: np.ndarray | None
    names: list[str]
    charts: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        score = f"mIoU {self.scores['mIoU']:.4f}, " if "mIoU" in self.scores else ""
        scales = "six scales and flips" if self.multi_scale else "one scale"
        return f"{score}{len(self.names)} images at {scales}, in {self.out_dir}"

    def per_class(self, metric: str = "IoU") -> dict[str, float]:
        """The score of each class."""
        start = f"{metric}."
        return {k.removeprefix(start): v for k, v in self.scores.items() if k.startswith(start)}
