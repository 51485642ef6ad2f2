"""Dice loss (Milletari et al., 2016, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
Segmentation", section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg.models.builder import LOSSES
from mmseg.models.layers.resize import at_least_float32
from mmseg.models.losses.base import WeightedLoss
from mmseg.models.losses.utils import weight_reduce_loss
from mmseg.utils.errors import UserError


def dice_loss(
    pred: Tensor,
    label: Tensor,
    class_weight: Tensor | None = None,
    smooth: float = 1.0,
    exponent: float = 2.0,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """1 - (2 * intersection + smooth) / (sum of squares + smooth), per image and class.

    Ignored pixels are left out of the intersection only. In the sum of squares their probabilities count,
    and they count as pixels of the last class: labels are clamped to C - 1. So it is in MMSegmentation
    0.25, and a batch without labels therefore has a small gradient.

    Args:
        pred: Logits (N, C, ...). With C = 1 they are those of the foreground, which is label 1: the
            probability is the sigmoid, and there is one class, the foreground.
        label: Classes (N, ...), int64.
        class_weight: Per class (C,), multiplied with the loss of the class.
        smooth: Added above and below the fraction line.
        exponent: Of the probabilities in the sum of squares.
        reduction: The loss is one number already; only ``avg_factor`` makes a difference.
        avg_factor: With ``reduction='mean'`` a divisor of the loss.
        ignore_index: Label of ignored pixels. If it is a class, that class has no loss of its own.

    Returns:
        A scalar: the mean over images, the sum over classes divided by C.
    """
    pred = at_least_float32(pred)
    channels = pred.shape[1]
    first = 1 if channels == 1 else 0
    probability = pred.sigmoid() if channels == 1 else pred.softmax(dim=1)
    classes = torch.arange(first, first + channels, device=pred.device)
    probability, label = probability.flatten(2), label.flatten(1)[:, None]
    own = label.clamp(0, int(first + channels - 1)) == classes[:, None]
    intersection = torch.where(own & (label != ignore_index), probability, 0).sum(dim=2)
    squares = probability.pow(exponent).sum(dim=2) + own.sum(dim=2)
    per_class = (1 - (2 * intersection + smooth) / (squares + smooth)).mean(dim=0)
    if class_weight is not None:
        per_class = per_class * class_weight
    if channels > 1 and 0 <= ignore_index < channels:
        per_class = per_class * (classes != ignore_index)
    return weight_reduce_loss(per_class.sum() / channels, None, reduction, avg_factor)


@LOSSES.register_module()
class DiceLoss(WeightedLoss):
    """:func:`dice_loss`.

    Args:
        smooth, exponent: As there.
        ignore_index: As there. The ``ignore_index`` of the head plays no part, as in MMSegmentation 0.25.
        reduction, class_weight, loss_weight, loss_name: See :class:`WeightedLoss`.

    Raises:
        UserError: settings out of range; class weights that are not as many as the logits have channels.
    """

    one_channel = True

    def __init__(
        self,
        smooth: float = 1.0,
        exponent: float = 2.0,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        ignore_index: int = 255,
        loss_name: str = "loss_dice",
    ) -> None:
        super().__init__(reduction, class_weight, loss_weight, loss_name)
        if smooth < 0 or exponent <= 0:
            raise UserError(
                f"DiceLoss: smooth must not be negative and exponent must be positive, not {smooth} and"
                f" {exponent}"
            )
        self.smooth, self.exponent, self.ignore_index = smooth, exponent, ignore_index

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
    ) -> Tensor:
        """Loss of logits (N, C, ...) against labels (N, ...).

        ``weight`` and ``ignore_index``, which heads give to every loss, are without effect.
        """
        return self.loss_weight * dice_loss(
            pred,
            target,
            self.class_weight_for(pred),
            self.smooth,
            self.exponent,
            reduction_override or self.reduction,
            avg_factor,
            self.ignore_index,
        )
