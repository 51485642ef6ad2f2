"""Label maps scored through the evaluator, with a model that only hands out what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmseg.datasets import build_dataloader
from mmseg.engine import evaluate
from mmseg.engine.evaluator import Evaluation


class Maps:
    """A data set of label maps (H, W) without images."""

    def __init__(self, truths: Sequence[np.ndarray], num_classes: int, ignore_index: int) -> None:
        self.truths, self.ignore_index = truths, ignore_index
        self.CLASSES = [f"class {i}" for i in range(num_classes)]

    def __len__(self) -> int:
        return len(self.truths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"img": [torch.zeros(3, 1, 1)], "img_metas": [{"filename": str(index), "place": index}]}

    def get_gt_seg_map_by_idx(self, index: int) -> np.ndarray:
        return self.truths[index]


class Oracle(torch.nn.Module):
    """Predicts the label maps that it was made with."""

    def __init__(self, guesses: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.guesses = guesses
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, img: Any, img_metas: Any, return_loss: bool = False) -> list[np.ndarray]:
        return [self.guesses[meta["place"]] for meta in img_metas[0]]


def evaluate_maps(
    guesses: Sequence[np.ndarray], truths: Sequence[np.ndarray], num_classes: int, ignore_index: int = 255
) -> Evaluation:
    """Score ``guesses`` against ``truths`` as training and testing do."""
    data = Maps(truths, num_classes, ignore_index)
    loader = build_dataloader(data, samples_per_gpu=1, workers_per_gpu=0, shuffle=False, with_truth=True)
    return evaluate(Oracle(guesses), loader, device=torch.device("cpu"), metrics=["mIoU"])
