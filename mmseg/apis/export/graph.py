"""The module that is exported: a segmentor from one tensor to one tensor."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmseg.apis.export.describe import Preprocessing
from mmseg.models.segmentors.inference import threshold_of

TRAINING_ONLY = ("auxiliary_head", "teacher", "align")


class ExportedSegmentor(nn.Module):
    """A segmentor without metas, windows and views: what a graph can hold of it.

    Args:
        segmentor: In evaluation mode.
        preprocessing: Build this normalisation in; None leaves it to the caller.
        argmax: Give label maps instead of logits.

    Forward: normalised images (N, C, H, W) float32, or with ``preprocessing`` images (N, H, W, C) uint8 as
    OpenCV reads them (BGR), to logits (N, classes, H, W) float32, or with ``argmax`` to label maps
    (N, H, W) int64. With ``task='binary'`` there is one logit, and a label map has 1 where its sigmoid is
    above the head's threshold.
    """

    def __init__(
        self, segmentor: nn.Module, preprocessing: Preprocessing | None = None, argmax: bool = False
    ) -> None:
        super().__init__()
        self.segmentor, self.argmax = _without_training(segmentor), argmax
        self.threshold = threshold_of(segmentor)
        self.normalises = preprocessing is not None
        if preprocessing is not None:
            self.swaps = preprocessing.to_rgb and len(preprocessing.mean) == 3
            mean, std = (
                torch.tensor(v, dtype=torch.float32) for v in (preprocessing.mean, preprocessing.std)
            )
            self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
            self.register_buffer("scale", 1 / std.view(1, -1, 1, 1), persistent=False)

    def forward(self, img: Tensor) -> Tensor:
        if self.normalises:
            img = img.permute(0, 3, 1, 2).to(torch.float32)
            img = ((img.flip(1) if self.swaps else img) - self.mean) * self.scale
        logits = self.segmentor.encode_decode(img, None)
        return self.labels_of(logits) if self.argmax else logits

    def labels_of(self, logits: Tensor) -> Tensor:
        """Label maps (N, H, W), int64, of logits (N, classes, H, W)."""
        if self.threshold is not None:
            return (logits[:, 0].sigmoid() > self.threshold).to(torch.int64)
        return logits.argmax(1)


def _without_training(segmentor: nn.Module) -> nn.Module:
    """The same segmentor, its weights shared, without the parts that only training uses."""
    copied = copy.copy(segmentor)
    copied._modules = {k: v for k, v in segmentor._modules.items() if k not in TRAINING_ONLY}
    return copied
