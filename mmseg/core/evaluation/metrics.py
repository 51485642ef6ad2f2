"""Scores of label maps, all computed from exact integer counts.

A confusion matrix holds everything that the scores need: it adds up over images and over ranks, and is
divided once, at the end, in float64. The names, the order of the results and the treatment of classes
that never occur (NaN) are those of MMSegmentation 0.25.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from mmseg.core.evaluation.counting import as_integers, confusion_matrix
from mmseg.utils.errors import UserError, near_matches

LabelMap: TypeAlias = np.ndarray | torch.Tensor | str | Path
Areas: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

METRICS = ("mIoU", "mDice", "mFscore")


def areas_from_confusion(confusion: torch.Tensor) -> Areas:
    """Return per class the areas of intersection, union, prediction and label, each (C,).

    Args:
        confusion: (C, C), rows truth, columns prediction; also (..., C, C) for several matrices.
    """
    intersect = confusion.diagonal(dim1=-2, dim2=-1)
    label, pred = confusion.sum(-1), confusion.sum(-2)
    return intersect, pred + label - intersect, pred, label


def intersect_and_union(
    pred_label: LabelMap,
    label: LabelMap,
    num_classes: int,
    ignore_index: int | None,
    label_map: dict[int, int] | None = None,
    reduce_zero_label: bool = False,
) -> Areas:
    """Return the areas of one image, int64 (C,) each: intersection, union, prediction, label.

    Args:
        pred_label: Predicted classes (H, W), or the path of an ``.npy`` file with them.
        label: True classes (H, W), or the path of an image (palette masks give indices) or ``.npy`` file.
        num_classes: Number of classes ``C``.
        ignore_index: Value of ``label`` (after the two steps below) whose pixels are left out.
        label_map: Old value → new value of ``label``, all applied at once; -1 means ``ignore_index``.
        reduce_zero_label: Turn 0 of ``label`` into 255 and lower the other values by one.

    Raises:
        UserError: as :func:`confusion_matrix`, or a file cannot be read.
    """
    pred_label = as_integers(_read(pred_label), "prediction")
    label = as_integers(_read(label), "label")
    if label_map or reduce_zero_label:
        label = label.long()  # uint8 has no room for -1
    if label_map:
        former = label
        label = former.clone()
        for old, new in label_map.items():
            new = ignore_index if new == -1 and ignore_index is not None else new
            label[former == old] = new
    if reduce_zero_label:
        # 0 and 255 are "nothing" in such masks (ADE20K), so neither may slip into a class.
        label = torch.where((label == 0) | (label == 255), 255, label - 1)
    return areas_from_confusion(confusion_matrix(pred_label, label, num_classes, ignore_index))


def total_intersect_and_union(
    results: Iterable[LabelMap],
    gt_seg_maps: Iterable[LabelMap],
    num_classes: int,
    ignore_index: int | None,
    label_map: dict[int, int] | None = None,
    reduce_zero_label: bool = False,
) -> Areas:
    """Return the areas of :func:`intersect_and_union` summed over images, int64 (C,) each, on the CPU.

    Raises:
        UserError: as :func:`intersect_and_union`, or the two lists differ in length.
    """
    totals = torch.zeros(4, num_classes, dtype=torch.int64)
    for index, (pred, label) in enumerate(zip_longest(results, gt_seg_maps, fillvalue=None)):
        if pred is None or label is None:
            fewer = "predictions" if pred is None else "labels"
            raise UserError(f"there are only {index} {fewer}; each prediction needs one label")
        areas = intersect_and_union(pred, label, num_classes, ignore_index, label_map, reduce_zero_label)
        totals += torch.stack(areas).cpu()
    return totals[0], totals[1], totals[2], totals[3]


def total_area_to_metrics(
    total_area_intersect: torch.Tensor | np.ndarray,
    total_area_union: torch.Tensor | np.ndarray,
    total_area_pred_label: torch.Tensor | np.ndarray,
    total_area_label: torch.Tensor | np.ndarray,
    metrics: str | Sequence[str] = ("mIoU",),
    nan_to_num: float | None = None,
    beta: float = 1,
) -> OrderedDict[str, np.ndarray]:
    """Turn summed areas (C,) into scores from 0 to 1.

    Args:
        metrics: Any of ``mIoU`` (gives IoU, Acc), ``mDice`` (Dice, Acc) and ``mFscore`` (Fscore,
            Precision, Recall).
        nan_to_num: What replaces NaN, which a class gets whose score would be 0/0.
        beta: Weight of the recall in Fscore.

    Returns:
        ``aAcc`` (a scalar: share of correct pixels) and one float64 array (C,) per score.

    Raises:
        UserError: an unknown name in ``metrics``.
    """
    metrics = check_metrics(metrics)
    intersect, union, pred, label = (
        torch.as_tensor(area).detach().cpu().double()
        for area in (total_area_intersect, total_area_union, total_area_pred_label, total_area_label)
    )
    scores: OrderedDict[str, torch.Tensor] = OrderedDict(aAcc=intersect.sum() / label.sum())
    for metric in metrics:
        if metric == "mIoU":
            scores["IoU"] = intersect / union
            scores["Acc"] = intersect / label
        elif metric == "mDice":
            scores["Dice"] = 2 * intersect / (pred + label)
            scores["Acc"] = intersect / label
        else:
            precision, recall = intersect / pred, intersect / label
            scores["Fscore"] = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
            scores["Precision"], scores["Recall"] = precision, recall
    arrays = OrderedDict((name, score.numpy()) for name, score in scores.items())
    if nan_to_num is not None:
        arrays = OrderedDict((name, np.where(np.isnan(a), nan_to_num, a)) for name, a in arrays.items())
    return arrays


def pre_eval_to_metrics(
    pre_eval_results: Iterable[Areas],
    metrics: str | Sequence[str] = ("mIoU",),
    nan_to_num: float | None = None,
    beta: float = 1,
) -> OrderedDict[str, np.ndarray]:
    """Return :func:`total_area_to_metrics` of the summed areas of many images.

    Args:
        pre_eval_results: One result of :func:`intersect_and_union` per image.

    Raises:
        UserError: there is no image, or an unknown name in ``metrics``.
    """
    images = [torch.stack([torch.as_tensor(area).cpu() for area in areas]) for areas in pre_eval_results]
    if not images:
        raise UserError("there are no results to score: the data set that was evaluated is empty")
    totals = torch.stack(images).sum(0)
    return total_area_to_metrics(*totals, metrics=metrics, nan_to_num=nan_to_num, beta=beta)


def eval_metrics(
    results: Iterable[LabelMap],
    gt_seg_maps: Iterable[LabelMap],
    num_classes: int,
    ignore_index: int | None,
    metrics: str | Sequence[str] = ("mIoU",),
    nan_to_num: float | None = None,
    label_map: dict[int, int] | None = None,
    reduce_zero_label: bool = False,
    beta: float = 1,
) -> OrderedDict[str, np.ndarray]:
    """Score ``results`` against ``gt_seg_maps``, one label map (H, W) per image in each.

    The arguments are those of :func:`intersect_and_union` and :func:`total_area_to_metrics`.

    Returns:
        ``aAcc`` (a scalar) and one float64 array (C,) per score, all from 0 to 1.
    """
    metrics = check_metrics(metrics)
    totals = total_intersect_and_union(
        results, gt_seg_maps, num_classes, ignore_index, label_map, reduce_zero_label
    )
    return total_area_to_metrics(*totals, metrics=metrics, nan_to_num=nan_to_num, beta=beta)


def mean_iou(
    results: Iterable[LabelMap],
    gt_seg_maps: Iterable[LabelMap],
    num_classes: int,
    ignore_index: int | None,
    nan_to_num: float | None = None,
    label_map: dict[int, int] | None = None,
    reduce_zero_label: bool = False,
) -> OrderedDict[str, np.ndarray]:
    """Return aAcc, IoU and Acc of :func:`eval_metrics`."""
    return eval_metrics(
        results, gt_seg_maps, num_classes, ignore_index, ["mIoU"], nan_to_num, label_map, reduce_zero_label
    )


def mean_dice(
    results: Iterable[LabelMap],
    gt_seg_maps: Iterable[LabelMap],
    num_classes: int,
    ignore_index: int | None,
    nan_to_num: float | None = None,
    label_map: dict[int, int] | None = None,
    reduce_zero_label: bool = False,
) -> OrderedDict[str, np.ndarray]:
    """Return aAcc, Dice and Acc of :func:`eval_metrics`."""
    return eval_metrics(
        results, gt_seg_maps, num_classes, ignore_index, ["mDice"], nan_to_num, label_map, reduce_zero_label
    )


def mean_fscore(
    results: Iterable[LabelMap],
    gt_seg_maps: Iterable[LabelMap],
    num_classes: int,
    ignore_index: int | None,
    nan_to_num: float | None = None,
    label_map: dict[int, int] | None = None,
    reduce_zero_label: bool = False,
    beta: float = 1,
) -> OrderedDict[str, np.ndarray]:
    """Return aAcc, Fscore, Precision and Recall of :func:`eval_metrics`."""
    return eval_metrics(
        results,
        gt_seg_maps,
        num_classes,
        ignore_index,
        ["mFscore"],
        nan_to_num,
        label_map,
        reduce_zero_label,
        beta,
    )


def check_metrics(metrics: str | Sequence[str]) -> list[str]:
    """Return ``metrics`` as a list of known names.

    Raises:
        UserError: a name is not one of ``mIoU``, ``mDice``, ``mFscore``.
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in METRICS:
            raise UserError(
                f"unknown metric `{name}`{near_matches(name, METRICS)} (known: {', '.join(METRICS)})"
            )
    return names


def _read(source: LabelMap) -> Any:
    """Return ``source``, or what the file holds that it names."""
    if not isinstance(source, str | Path):
        return source
    try:
        if str(source).endswith(".npy"):
            return np.load(source, allow_pickle=False)
        from PIL import Image

        with Image.open(source) as image:
            return np.array(image)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the label map {source}: {error}") from error
