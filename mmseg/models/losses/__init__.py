"""Losses: a pure function and a thin module each; the pixel sampler; the accuracy beside them."""

from __future__ import annotations

from mmseg.models.losses.accuracy import Accuracy, accuracy
from mmseg.models.losses.base import WeightedLoss
from mmseg.models.losses.binary import two_channels
from mmseg.models.losses.cross_entropy import (
    CrossEntropyLoss,
    binary_cross_entropy,
    cross_entropy,
    mask_cross_entropy,
)
from mmseg.models.losses.cwd import channel_wise_divergence
from mmseg.models.losses.dice import DiceLoss, dice_loss
from mmseg.models.losses.focal import FocalLoss, sigmoid_focal_loss
from mmseg.models.losses.lovasz import LovaszLoss, lovasz_hinge, lovasz_softmax
from mmseg.models.losses.ohem import OHEMPixelSampler
from mmseg.models.losses.utils import get_class_weight, reduce_loss, weight_reduce_loss

__all__ = [
    "Accuracy",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "LovaszLoss",
    "OHEMPixelSampler",
    "WeightedLoss",
    "accuracy",
    "binary_cross_entropy",
    "channel_wise_divergence",
    "cross_entropy",
    "dice_loss",
    "get_class_weight",
    "lovasz_hinge",
    "lovasz_softmax",
    "mask_cross_entropy",
    "reduce_loss",
    "sigmoid_focal_loss",
    "two_channels",
    "weight_reduce_loss",
]
