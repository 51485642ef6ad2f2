"""Scoring label maps of any data set: the scores as one flat dictionary, and their table in the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.core.evaluation import eval_metrics, pre_eval_to_metrics
from mmseg.core.evaluation.report import class_table, eval_results
from mmseg.utils.logger import get_root_logger


def score(
    results: Sequence[Any],
    gt_seg_maps: Any,
    names: Sequence[str],
    ignore_index: int,
    metric: str | Sequence[str] = "mIoU",
    logger: Any = None,
) -> dict[str, float]:
    """Score label maps (or what ``pre_eval`` made of them) against ``gt_seg_maps``; see ``evaluate``."""
    metrics = [metric] if isinstance(metric, str) else list(metric)
    if results and isinstance(results[0], tuple):
        scores = pre_eval_to_metrics(results, metrics)
    else:
        scores = eval_metrics(results, gt_seg_maps, len(names), ignore_index, metrics)
    if logger != "silent":
        (logger or get_root_logger()).info("\n%s", class_table(scores, names))
    return eval_results(scores, names)
