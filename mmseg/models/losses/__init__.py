"""Losses: a pure function and a thin module each; the pixel sampler; the accuracy beside them."""

from __future__ import annotations

from mmseg.models.losses.accuracy import Accuracy, accuracy
from mmseg.models.losses.binary import two_channels
from mmseg.models.losses.cross_entropy import (
    CrossEntropyLoss,
    binary_cross_entropy,
    cross_entropy,
    mask_cross_entropy,
)
from mmseg.models.losses.ohem import OHEMPixelSampler
from mmseg.models.losses.utils import get_class_weight, reduce_loss, weight_reduce_loss

__all__ = [
    "Accuracy",
    "CrossEntropyLoss",
    "OHEMPixelSampler",
    "accuracy",
    "binary_cross_entropy",
    "cross_entropy",
    "get_class_weight",
    "mask_cross_entropy",
    "reduce_loss",
    "two_channels",
    "weight_reduce_loss",
]
