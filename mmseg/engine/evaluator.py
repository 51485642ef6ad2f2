"""The one evaluator: training's validation and ``tools/test.py`` both score through it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader

from mmseg.core.evaluation.metrics import (
    areas_from_confusion,
    check_metrics,
    confusion_matrix,
    total_area_to_metrics,
)
from mmseg.core.evaluation.report import class_table, eval_results
from mmseg.engine.precision import Precision
from mmseg.engine.prefetch import to_device
from mmseg.engine.progress import ProgressBar
from mmseg.engine.val_loss import ValidationLoss
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError

LabelMap = np.ndarray | torch.Tensor
# (index in the data set, label map (H, W), meta of the first view) -> None
PredictionSink = Callable[[int, np.ndarray, dict[str, Any]], None]


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a data set.

    Attributes:
        scores: ``aAcc``, ``mIoU``, ``mAcc``, ``IoU.road``, ... in 0..1; NaN where a class never occurs. Of
            joined data sets also ``0_mIoU``, ``1_mIoU``, ... for each, unless ``separate_eval=False``.
        table: The per-class table as text.
        confusion: (C, C) int64 pixel counts, rows truth, columns prediction.
        names: (N) image files in the data set's order.
        per_image: (N, 3, C) int64 pixels of intersection, prediction and label per image and class.
        losses: ``loss``, ``decode.loss_ce``, ... where they were asked for.
    """

    scores: dict[str, float]
    table: str
    confusion: np.ndarray
    names: list[str] = field(default_factory=list)
    per_image: np.ndarray = field(default_factory=lambda: np.zeros((0, 3, 0), np.int64))
    losses: dict[str, float] = field(default_factory=dict)


def predictions(
    model: nn.Module, loader: DataLoader, device: torch.device, precision: Precision | None = None
) -> Iterator[tuple[dict[str, Any], list[LabelMap]]]:
    """Yield each batch of ``loader`` with the label maps (H, W) of its images, at their original sizes.

    The images of the batch stand on ``device`` then; the label maps are int64, on ``device`` where the
    model leaves them there. Afterwards every module is in the mode it was in.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    precision = precision or Precision()
    try:
        for batch in loader:
            images = to_device(batch["img"], device)
            with torch.inference_mode(), precision.autocast(device):
                if hasattr(model, "predict"):  # stays on the device
                    labels = model.predict(images, batch["img_metas"])
                else:
                    labels = model(img=images, img_metas=batch["img_metas"], return_loss=False)
            yield {**batch, "img": images}, labels
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(
    model: nn.Module,
    loader: DataLoader,
    *,
    device: torch.device,
    metrics: str | Sequence[str] = "mIoU",
    precision: Precision | None = None,
    on_prediction: PredictionSink | None = None,
    wanted: Container[int] | None = None,
    with_loss: bool = False,
) -> Evaluation:
    """Score ``model`` on the data set of ``loader``; under DDP every rank gets the joined result.

    Args:
        model: A segmentor on ``device``; its mode (training or not) is as before afterwards.
        loader: Built with ``with_truth=True``; under DDP each rank has its share of the images.
        device: Where the model stands; the confusion matrix is kept there.
        metrics: Of ``mIoU``, ``mDice``, ``mFscore``.
        precision: Autocast for the forward passes.
        on_prediction: Receives each label map on the rank that made it.
        wanted: Indices of the images whose label maps it receives; the others are not copied from the
            device. None means all.
        with_loss: Also the mean losses, see :class:`~mmseg.engine.val_loss.ValidationLoss`.

    Raises:
        UserError: an unknown metric, or truth and prediction of different size.
    """
    metrics = check_metrics(metrics)
    dataset = loader.dataset
    names = list(dataset.CLASSES)
    ignore_index = getattr(dataset, "ignore_index", 255)
    total = torch.zeros(len(names), len(names), dtype=torch.int64, device=device)
    indices: list[int] = []
    counts: list[torch.Tensor] = []
    loss = ValidationLoss(model, precision or Precision(), ignore_index) if with_loss else None

    with ProgressBar("evaluate", len(dataset), enabled=get_rank() == 0) as bar:
        for batch, labels in predictions(model, loader, device, precision):
            for i, label in enumerate(labels):
                truth = torch.as_tensor(batch["gt"][i]).to(device, non_blocking=True)
                guess = torch.as_tensor(label).to(device, non_blocking=True)
                if guess.shape != truth.shape:
                    raise UserError(
                        f"{_filename(batch, i)}: the mask has size {tuple(truth.shape)} and the prediction "
                        f"{tuple(guess.shape)} (h, w); image and mask must have the same size"
                    )
                matrix = confusion_matrix(guess, truth, len(names), ignore_index)
                total += matrix
                intersect, _, predicted, labelled = areas_from_confusion(matrix)
                indices.append(batch["index"][i])
                counts.append(torch.stack((intersect, predicted, labelled)))
                if loss is not None:
                    loss.add(batch, i, truth)
                if on_prediction is not None and (wanted is None or batch["index"][i] in wanted):
                    on_prediction(batch["index"][i], to_array(label), batch["img_metas"][0][i])
            bar.advance(min(len(labels) * get_world_size(), bar.total - bar.done))

    per_image = _gather_rows(indices, counts, len(names), len(dataset))
    if get_world_size() > 1:
        dist.all_reduce(total)
    areas = areas_from_confusion(total.cpu())
    values = total_area_to_metrics(*areas, metrics)
    return Evaluation(
        scores={**eval_results(values, names), **_part_scores(dataset, per_image, metrics, names)},
        table=class_table(values, names),
        confusion=total.cpu().numpy(),
        names=[_image_name(dataset, i) for i in range(len(dataset))],
        per_image=per_image,
        losses={} if loss is None else loss.means(),
    )


def share_statistics(model: nn.Module) -> None:
    """Give every rank the running statistics of rank 0's batch norms, which are those that are saved."""
    if get_world_size() == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            dist.broadcast(module.running_mean, 0)
            dist.broadcast(module.running_var, 0)


def _part_scores(
    dataset: Any, per_image: np.ndarray, metrics: Sequence[str], names: Sequence[str]
) -> dict[str, float]:
    """Scores of the joined data sets one by one (``0_mIoU``, ``1_mIoU``, ...) where it asks for them."""
    parts: Sequence[range] = dataset.eval_parts() if hasattr(dataset, "eval_parts") else ()
    scores = {}
    for i, part in enumerate(parts):
        intersect, predicted, labelled = torch.from_numpy(per_image[part.start : part.stop].sum(0))
        areas = intersect, predicted + labelled - intersect, predicted, labelled
        own = eval_results(total_area_to_metrics(*areas, metrics), names)
        scores.update({f"{i}_{key}": value for key, value in own.items()})
    return scores


def to_array(label: LabelMap) -> np.ndarray:
    """Return a label map (of fewer than 32768 classes) as an int64 array on the host."""
    if isinstance(label, torch.Tensor):
        # What crosses from the device is a quarter as large.
        label = label.numpy() if label.device.type == "cpu" else label.to(torch.int16).cpu().numpy()
    return np.asarray(label).astype(np.int64, copy=False)


def _gather_rows(indices: list[int], counts: list[torch.Tensor], num_classes: int, length: int) -> np.ndarray:
    """Return (N, 3, C): the rows of every rank, in the order of the data set."""
    rows = torch.stack(counts).cpu().numpy() if counts else np.zeros((0, 3, num_classes), np.int64)
    parts: list[Any] = [(indices, rows)]
    if get_world_size() > 1:
        parts = [None] * get_world_size()
        dist.all_gather_object(parts, (indices, rows))
    joined = np.zeros((length, 3, num_classes), np.int64)
    for part_indices, part_rows in parts:
        joined[part_indices] = part_rows
    return joined


def _image_name(dataset: Any, index: int) -> str:
    infos = getattr(dataset, "img_infos", None)
    return str(infos[index]["filename"]) if infos is not None else str(index)


def _filename(batch: dict[str, Any], i: int) -> str:
    return str(batch["img_metas"][0][i].get("filename", f"image {batch['index'][i]}"))
