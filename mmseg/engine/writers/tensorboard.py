"""Curves, tables and pictures for tensorboard."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmseg.engine.writers.base import WRITERS, TolerantWriter, curves, per_class_scores
from mmseg.visualization import overlay

if TYPE_CHECKING:
    from mmseg.engine.evaluator import Evaluation
    from mmseg.engine.writers.examples import Example


@WRITERS.register_module(name="TensorboardLoggerHook")
class TensorboardWriter(TolerantWriter):
    """Writes events to ``WORK_DIR/tf_logs``; needs the package tensorboard.

    Every number of a record is a curve, the per-class scores of an evaluation among them; an evaluation
    also gives a table and the example images, the prediction above the truth.

    Args:
        log_dir: Receives the event files instead; a resumed run adds to what is there.
        interval: Iterations between training records; None takes each record of the loop.
        ignore_last, reset_flag, by_epoch: accepted as 0.25's.
        num_eval_images: Validation images per evaluation.
    """

    label = "tensorboard"

    def __init__(
        self,
        log_dir: str | None = None,
        interval: int | None = None,
        ignore_last: bool = True,
        reset_flag: bool = False,
        by_epoch: bool | None = None,
        num_eval_images: int = 8,
    ) -> None:
        super().__init__(interval=interval, num_eval_images=num_eval_images)
        self.log_dir = log_dir

    def _start(self, run: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.classes = list(run["meta"].get("CLASSES") or [])
        self.palette = run["meta"].get("PALETTE")
        folder = self.log_dir or os.path.join(run["work_dir"], "tf_logs")
        # What an interrupted run wrote after its last checkpoint is written again: hide the first copy.
        purge = run["iter"] + 1 if run["iter"] else None
        self.writer = SummaryWriter(folder, purge_step=purge)
        config = run["meta"].get("config") or str(run["config"])
        self.writer.add_text("config", "    " + config.replace("\n", "\n    "), run["iter"])
        self.writer.flush()

    def _write(self, record: Mapping[str, Any]) -> None:
        for name, value in curves(record).items():
            if math.isfinite(value):
                self.writer.add_scalar(name, value, record["iter"])
        self.writer.flush()

    def _evaluation(self, record: Mapping[str, Any], result: Evaluation, examples: Sequence[Example]) -> None:
        step = record["iter"]
        columns, rows = per_class_scores(result.scores, self.classes)
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
        self.writer.add_text("val/per_class", text, step)
        for example in examples:
            pair = [overlay(example.image, m, self.palette) for m in (example.prediction, example.truth)]
            picture = np.concatenate(pair, axis=0)[:, :, ::-1]
            self.writer.add_image(f"val/{example.name}", picture, step, dataformats="HWC")
        self.writer.flush()

    def _close(self) -> None:
        self.writer.close()


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
