"""One pass over a test set that collects everything a report shows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mmseg.apis.test import load_for_test, test_loader
from mmseg.config import Config
from mmseg.core.evaluation.bootstrap import image_scores
from mmseg.core.evaluation.calibration import calibration_counts
from mmseg.core.evaluation.error_places import ErrorPlaces
from mmseg.core.evaluation.metrics import areas_from_confusion, confusion_matrix
from mmseg.core.evaluation.run_results import RunResults, Thumbnail
from mmseg.datasets import build_dataset
from mmseg.engine.precision import precision_from
from mmseg.engine.prefetch import to_device
from mmseg.engine.progress import ProgressBar
from mmseg.models.segmentors.inference import (
    labels_of,
    logits_of,
    scores_of,
    threshold_of,
    to_original,
    unflip,
)
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.errors import UserError
from mmseg.visualization.palettes import colour_table

# The longer side of the thumbnails; none is larger than the image itself.
THUMBNAIL = 768
# Of larger data sets only this many of the worst and as many of the best images keep their thumbnails.
KEPT = 200

Metas = list[dict[str, Any]]


class Collector:
    """Adds up what a report needs, image by image."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.num_classes = len(dataset.CLASSES)
        self.ignore_index = getattr(dataset, "ignore_index", 255)
        self.confusion = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)
        self.counts: dict[int, np.ndarray] = {}
        self.calibration: Tensor | None = None
        self.places = ErrorPlaces()
        self.thumbnails: dict[int, Thumbnail] = {}
        self.scores: dict[int, float] = {}

    def add(
        self, index: int, label: Tensor, truth: np.ndarray, filename: str, confidence: Tensor | None
    ) -> None:
        """Count one image.

        Args:
            index: Of the image in the data set.
            label: (H, W) predicted classes.
            truth: (H, W) true classes, or the ignored value.
            filename: Of the image, for its thumbnail.
            confidence: (H, W) probability of the predicted classes, where it is known.

        Raises:
            UserError: the two label maps differ in size.
        """
        if tuple(label.shape) != truth.shape:
            raise UserError(
                f"{filename}: the mask has size {truth.shape} and the prediction {tuple(label.shape)} (h, "
                "w); "
                "image and mask must have the same size"
            )
        target = torch.as_tensor(truth).to(label.device)
        matrix = confusion_matrix(label, target, self.num_classes, self.ignore_index)
        intersect, _, predicted, labelled = areas_from_confusion(matrix.cpu())
        self.confusion += matrix.cpu()
        self.counts[index] = torch.stack((intersect, predicted, labelled)).numpy()
        if confidence is not None:
            sums = calibration_counts(confidence, label, target, self.num_classes, self.ignore_index)
            self.calibration = sums if self.calibration is None else self.calibration + sums
        guess = label.cpu().numpy()
        self.places.add(guess, truth, self.ignore_index)
        score = float(image_scores(self.counts[index][None])[0][0])
        self.scores[index] = score
        self.thumbnails[index] = thumbnail(filename, truth, guess, self.ignore_index)
        if len(self.thumbnails) > 3 * KEPT:
            self._forget()

    def _forget(self) -> None:
        order = sorted(self.thumbnails, key=lambda i: (np.isnan(self.scores[i]), self.scores[i], i))
        for index in order[KEPT : len(order) - KEPT]:
            del self.thumbnails[index]

    def results(self, name: str) -> RunResults:
        """What was collected."""
        number = len(self.dataset)
        if len(self.thumbnails) > 2 * KEPT:
            self._forget()
        infos = getattr(self.dataset, "img_infos", None)
        return RunResults(
            name=name,
            classes=[str(c) for c in self.dataset.CLASSES],
            palette=colour_table(self.dataset.PALETTE, self.num_classes)[: self.num_classes, ::-1].tolist(),
            images=[str(infos[i]["filename"]) if infos else str(i) for i in range(number)],
            per_image=np.stack([self.counts[i] for i in range(number)]),
            confusion=self.confusion.numpy(),
            calibration=None if self.calibration is None else self.calibration.numpy(),
            places=self.places,
            thumbnails=self.thumbnails,
            about={"dataset": type(self.dataset).__name__, "date": datetime.now().isoformat(" ", "minutes")},
        )


def evaluate_for_report(cfg: Config, checkpoint: str, *, name: str, device: torch.device) -> RunResults:
    """Evaluate ``checkpoint`` on ``data.test`` of ``cfg`` and collect what a report shows.

    The label maps are those of ``tools/test.py``.

    Raises:
        UserError: a mistake in the config, the data or the checkpoint; a data set without masks.
    """
    start = time.perf_counter()
    dataset = _with_masks(cfg)
    model = load_for_test(cfg, checkpoint, dataset, device)
    loader = test_loader(cfg, dataset, with_truth=True)
    collector = Collector(dataset)
    autocast = precision_from(cfg.get("fp16")).autocast
    size, views = None, 1
    with ProgressBar("evaluate", len(dataset)) as bar:
        for batch in loader:
            images = to_device(batch["img"], device)
            images = [images] if isinstance(images, Tensor) else images
            size = size or tuple(int(n) for n in images[0].shape[-2:])
            views = len(images)
            with torch.inference_mode(), autocast(device):
                parts = list(labels_and_confidences(model, images, batch["img_metas"]))
            for i, (label, confidence) in enumerate(parts):
                meta = batch["img_metas"][0][i]
                collector.add(batch["index"][i], label, batch["gt"][i], str(meta["filename"]), confidence)
            bar.advance(len(parts))
    results = collector.results(name)
    if results.calibration is None:
        results.missing["calibration"] = f"{type(model).__name__} gives label maps without scores"
    saved = read_checkpoint(checkpoint).get("meta") or {}
    results.about |= {
        "checkpoint": os.path.abspath(checkpoint),
        "iterations": saved.get("iter"),
        "model": describe(cfg.model),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "seconds": round(time.perf_counter() - start, 1),
        "input_size": list(size or ()) or None,
        "views": views,
        "params": sum(p.numel() for p in model.parameters()),
        "mmseg_version": str(saved.get("mmseg_version") or ""),
        "torch": torch.__version__,
    }
    return results


def collect_label_maps(cfg: Config, maps: list[np.ndarray], *, name: str) -> RunResults:
    """Collect from label maps that ``tools/test.py --out`` wrote, without a model.

    Raises:
        UserError: there are more or fewer maps than images, or they differ in size.
    """
    dataset = _with_masks(cfg)
    if len(maps) != len(dataset):
        raise UserError(
            f"there are {len(maps)} label maps for the {len(dataset)} images of data.test; give the config "
            "that "
            "they were made with"
        )
    collector = Collector(dataset)
    with ProgressBar("read", len(dataset)) as bar:
        for index, label in enumerate(maps):
            truth = dataset.get_gt_seg_map_by_idx(index)
            filename = _path_of(dataset, index)
            label = torch.as_tensor(np.asarray(label).astype(np.int64))
            collector.add(index, label, truth, filename, None)
            bar.advance()
    results = collector.results(name)
    results.missing["calibration"] = "label maps hold no confidences; give the run's folder"
    results.about["model"] = describe(cfg.model)
    return results


def labels_and_confidences(
    model: nn.Module, imgs: list[Tensor], img_metas: list[Metas]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Label map (H, W) and probability of the predicted class (H, W) of each image of a batch.

    Args:
        model: A segmentor.
        imgs: Per augmentation one batch (N, 3, h, w).
        img_metas: Per augmentation N dictionaries.

    Yields:
        The label map that ``model.predict`` gives, and None beside it where a model gives no scores.
    """
    if not hasattr(model, "align_corners") or not hasattr(model, "encode_decode"):
        for label in model(img=imgs, img_metas=img_metas, return_loss=False):
            yield torch.as_tensor(label), None
        return
    threshold = threshold_of(model)
    logits = [logits_of(model, batch, metas) for batch, metas in zip(imgs, img_metas, strict=True)]
    for k in range(len(imgs[0])):
        views = [
            unflip(to_original(part[k : k + 1], metas[k], model.align_corners), metas[k])
            for part, metas in zip(logits, img_metas, strict=True)
        ]
        if len(views) == 1 and threshold is None:
            label = labels_of(views[0])[0]  # equal to that of the scores, but for rounding
            scores = scores_of(views[0].float())
        else:
            scores = sum(scores_of(view.float()) for view in views) / len(views)
            label = labels_of(scores, threshold)[0]
        if scores.shape[1] == 1:
            confidence = torch.where(label == 1, scores[0, 0], 1 - scores[0, 0])
        else:
            confidence = scores[0].amax(0)
        yield label, confidence


def thumbnail(filename: str, truth: np.ndarray, guess: np.ndarray, ignore_index: int | None) -> Thumbnail:
    """Reduce an image and its two label maps (H, W); an image that cannot be read becomes grey."""
    height, width = truth.shape
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.imread(filename, cv2.IMREAD_COLOR) if os.path.isfile(filename) else None
    if picture is None:
        picture = np.full((height, width, 3), 128, np.uint8)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    shown = np.where(truth == ignore_index, 255, truth) if ignore_index is not None else truth
    maps = [
        cv2.resize(np.minimum(m, 255).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        for m in (shown, guess)
    ]
    return Thumbnail(
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes(),
        *(cv2.imencode(".png", m, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes() for m in maps),
    )


def describe(model: Any) -> str:
    """A model's parts in a few words, such as ``EncoderDecoder: ResNetV1c-18, PSPHead``."""
    student = model.get("student") or model
    backbone, head = student.get("backbone") or {}, student.get("decode_head") or {}
    head = head[-1] if isinstance(head, list | tuple) else head
    depth = backbone.get("depth") or backbone.get("model_name")
    parts = [str(backbone.get("type", "")) + (f"-{depth}" if depth else ""), str(head.get("type", ""))]
    return ", ".join(part for part in parts if part) or str(model.get("type"))


def _with_masks(cfg: Config) -> Any:
    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    dataset.get_gt_seg_map_by_idx(0)  # a data set without masks says so now, not after a minute
    return dataset


def _path_of(dataset: Any, index: int) -> str:
    inner = dataset
    while hasattr(inner, "get_dataset_idx_and_sample_idx"):
        part, index = inner.get_dataset_idx_and_sample_idx(index)
        inner = inner.datasets[part]
    return os.path.join(getattr(inner, "img_dir", None) or "", inner.img_infos[index]["filename"])
