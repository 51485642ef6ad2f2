"""The same few validation images at every evaluation, with prediction and truth, for the writers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch.distributed as dist

from mmseg.engine.writers.base import Writer, first_line
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.logger import get_root_logger

if TYPE_CHECKING:
    from mmseg.engine.evaluator import Evaluation, PredictionSink

LONGEST_SIDE = 1024  # of a kept picture: enough to see, and an evaluation's pictures stay below a few MB


@dataclass(frozen=True)
class Example:
    """One validation image.

    Attributes:
        name: Its file, relative to the data set's images.
        image: (H, W, 3) uint8 BGR, at most ``LONGEST_SIDE`` long.
        prediction: (H, W) label map.
        truth: (H, W) label map; 255 is ignored.
    """

    name: str
    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray


class Examples:
    """Keeps the predictions of a few evenly spaced images while an evaluation runs.

    Under DDP every rank has one, and ``report`` must be called on all of them.

    Args:
        dataset: The validation set; None keeps nothing.
        writers: The writers of this rank; those of rank 0 say how many images they want.
    """

    def __init__(self, dataset: Any, writers: Sequence[Writer]) -> None:
        number = [max((w.num_eval_images for w in writers), default=0)]
        if get_world_size() > 1:
            dist.broadcast_object_list(number, src=0)
        self.dataset = dataset
        self.indices = spaced_indices(0 if dataset is None else len(dataset), number[0])
        self._warned = False
        self._predictions: dict[int, tuple[np.ndarray, dict[str, Any]]] = {}
        self._scenes: dict[int, tuple[str, np.ndarray, np.ndarray]] = {}  # what stays the same, on rank 0

    @property
    def sink(self) -> PredictionSink | None:
        """For ``evaluate(on_prediction=...)``; None, which spares the copies, where nothing is kept."""
        return self._keep if self.indices else None

    def report(self, writers: Sequence[Writer], record: Mapping[str, Any], result: Evaluation) -> None:
        """Hand the evaluation that just ended to ``writers``, with the images that each wants.

        Args:
            writers: Those of rank 0; empty on the others.
            record: The record of this evaluation.
            result: Its scores.
        """
        examples = self._collect()
        for writer in writers:
            wanted = spaced_indices(len(examples), writer.num_eval_images)
            writer.evaluation(record, result, [examples[i] for i in wanted])

    def _keep(self, index: int, label_map: np.ndarray, meta: dict[str, Any]) -> None:
        if index in self.indices:
            kind = np.uint8 if label_map.max(initial=0) < 256 else np.uint16
            self._predictions[index] = (label_map.astype(kind), meta)

    def _collect(self) -> list[Example]:
        """Join the predictions of all ranks; on rank 0 return them as pictures, elsewhere nothing."""
        if not self.indices:
            return []
        kept, self._predictions = self._predictions, {}
        parts: list[Any] = [kept]
        if get_world_size() > 1:
            parts = [None] * get_world_size()
            # Of the meta only what names the image: the rest may be large.
            dist.all_gather_object(parts, {i: (p, _names(m)) for i, (p, m) in kept.items()})
        if get_rank() != 0:
            return []
        joined = {index: pair for part in parts for index, pair in part.items()}
        try:
            return [self._example(i, *joined[i]) for i in self.indices if i in joined]
        except Exception as error:  # a picture is no reason to stop a run
            if not self._warned:
                get_root_logger().warning(f"no example images for the log: {first_line(error)}")
            self._warned = True
            return []

    def _example(self, index: int, prediction: np.ndarray, meta: dict[str, Any]) -> Example:
        if index not in self._scenes:
            truth = np.asarray(self.dataset.get_gt_seg_map_by_idx(index))
            image = _picture(self.dataset, index, meta, truth.shape)
            name = str(meta.get("ori_filename") or meta.get("filename") or index)
            self._scenes[index] = (name, shrunk(image, cv2.INTER_AREA), shrunk(truth, cv2.INTER_NEAREST))
        name, image, truth = self._scenes[index]
        return Example(name, image, shrunk(prediction, cv2.INTER_NEAREST), truth)


def spaced_indices(length: int, number: int) -> list[int]:
    """Return ``number`` evenly spaced indices of ``length`` items, all of them where there are fewer.

    >>> spaced_indices(10, 3)
    [0, 4, 9]
    """
    number = min(number, length)
    if number <= 1:
        return list(range(max(0, number)))
    return [i * (length - 1) // (number - 1) for i in range(number)]


def shrunk(array: np.ndarray, interpolation: int, longest: int = LONGEST_SIDE) -> np.ndarray:
    """Return ``array`` (H, W) or (H, W, C) with no side above ``longest``; smaller ones as they are."""
    h, w = array.shape[:2]
    scale = longest / max(h, w, 1)
    if scale >= 1:
        return array
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    return cv2.resize(array, size, interpolation=interpolation)


def _names(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {k: meta[k] for k in ("filename", "ori_filename") if k in meta}


def _picture(dataset: Any, index: int, meta: Mapping[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """The image as (H, W, 3) BGR uint8: from its file, or from the sample where OpenCV cannot read that."""
    path = meta.get("filename")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path else None
    if image is not None and image.shape[:2] == tuple(size[:2]):
        return image
    sample = dataset[index]["img"]
    view = np.asarray(sample[0] if isinstance(sample, list | tuple) else sample, np.float32)
    channels = np.stack([view[min(c, len(view) - 1)] for c in range(3)], axis=2)
    low, high = float(channels.min()), float(channels.max())
    image = ((channels - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
