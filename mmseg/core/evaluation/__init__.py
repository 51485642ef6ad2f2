"""Scores of label maps, their tables, and the class names of the known data sets."""

from mmseg.core.evaluation.class_names import get_classes, get_palette
from mmseg.core.evaluation.metrics import (
    METRICS,
    areas_from_confusion,
    check_metrics,
    confusion_matrix,
    eval_metrics,
    intersect_and_union,
    mean_dice,
    mean_fscore,
    mean_iou,
    pre_eval_to_metrics,
    total_area_to_metrics,
    total_intersect_and_union,
)
from mmseg.core.evaluation.report import class_table, eval_results, json_ready

__all__ = [
    "METRICS",
    "areas_from_confusion",
    "check_metrics",
    "class_table",
    "confusion_matrix",
    "eval_metrics",
    "eval_results",
    "get_classes",
    "get_palette",
    "intersect_and_union",
    "json_ready",
    "mean_dice",
    "mean_fscore",
    "mean_iou",
    "pre_eval_to_metrics",
    "total_area_to_metrics",
    "total_intersect_and_union",
]
