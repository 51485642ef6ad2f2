"""Focal loss (Lin et al., 2017, "Focal Loss for Dense Object Detection", section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmseg.models.builder import LOSSES
from mmseg.models.layers.resize import at_least_float32
from mmseg.models.losses.base import WeightedLoss
from mmseg.models.losses.utils import weight_reduce_loss
from mmseg.utils.errors import UserError


def sigmoid_focal_loss(
    pred: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    gamma: float = 2.0,
    alpha: float | Tensor = 0.5,
    class_weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Sigmoid cross entropy of every channel, times ``(1 - p)^gamma`` of the probability p of the truth.

    Args:
        pred: Logits (N, C, ...).
        target: Classes (N, ...), int64, expanded to one channel per class; with C = 1 the values are 0
            and 1; or probabilities in the shape of ``pred``. Pixels of ``ignore_index`` (with
            probabilities: those whose likeliest class it is) have loss 0.
        weight: Per pixel (N, ...) or in the shape of ``pred``, multiplied with the loss.
        gamma: The larger, the less the easy pixels count; at least 0.
        alpha: Weight of the positives, with 1 - alpha that of the negatives: a number, or one per
            class (C,).
        class_weight: Per class (C,), multiplied with the loss.
        avg_factor: The divisor of ``'mean'``, by default the number of elements, ignored ones too.

    Returns:
        A scalar, or the shape of ``pred`` with ``reduction='none'``.
    """
    pred = at_least_float32(pred)
    per_channel = (1, -1, *[1] * (pred.dim() - 2))
    if target.shape == pred.shape:
        valid = (target.argmax(dim=1) != ignore_index).unsqueeze(1)
        truth = target.to(pred.dtype)
    else:
        label = target.unsqueeze(1)
        valid = label != ignore_index
        first = 1 if pred.shape[1] == 1 else 0
        classes = torch.arange(first, first + pred.shape[1], device=pred.device).view(per_channel)
        truth = (label == classes).to(pred.dtype)
    # sigmoid(-x) is 1 - sigmoid(x), without its rounding to 0 where x is large
    wrong = pred.neg().sigmoid() * truth + pred.sigmoid() * (1 - truth)
    if isinstance(alpha, Tensor):
        alpha = alpha.to(pred).view(per_channel)
    balance = alpha * truth + (1 - alpha) * (1 - truth)
    loss = F.binary_cross_entropy_with_logits(pred, truth, reduction="none") * balance * wrong.pow(gamma)
    factor = valid.to(pred.dtype)
    if weight is not None:
        factor = factor * (weight if weight.dim() == pred.dim() else weight.unsqueeze(1))
    if class_weight is not None:
        factor = factor * class_weight.view(per_channel)
    return weight_reduce_loss(loss, factor, reduction, avg_factor)


@LOSSES.register_module()
class FocalLoss(WeightedLoss):
    """:func:`sigmoid_focal_loss`.

    Args:
        use_sigmoid: True; there is no soft-max form, nor was there one in MMSegmentation 0.25.
        gamma, alpha: As there; ``alpha`` is a number or one per class.
        reduction, class_weight, loss_weight, loss_name: See :class:`WeightedLoss`.

    Raises:
        UserError: settings out of range; numbers per class that are not as many as the logits have
            channels.
    """

    one_channel = True

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma: float = 2.0,
        alpha: float | Sequence[float] = 0.5,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_focal",
    ) -> None:
        super().__init__(reduction, class_weight, loss_weight, loss_name)
        if not use_sigmoid:
            raise UserError("FocalLoss works on sigmoids: leave use_sigmoid=False out")
        if gamma < 0:
            raise UserError(f"FocalLoss: gamma must not be negative, and is {gamma}")
        self.use_sigmoid, self.gamma = use_sigmoid, gamma
        several = isinstance(alpha, list | tuple)
        if not all(isinstance(a, int | float) and 0 <= a <= 1 for a in (alpha if several else [alpha])):
            raise UserError(f"FocalLoss: alpha is one number from 0 to 1 or one per class, not {alpha!r}")
        self.register_buffer("alpha_per_class", torch.tensor(alpha) if several else None, persistent=False)
        self.alpha = alpha

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """Loss of logits (N, C, ...) against labels (N, ...) or probabilities (N, C, ...)."""
        alpha = self.alpha if self.alpha_per_class is None else self.alpha_per_class
        if isinstance(alpha, Tensor) and len(alpha) != pred.shape[1]:
            raise UserError(
                f"FocalLoss: alpha has {len(alpha)} entries, but the head gives {pred.shape[1]} channels;"
                " give one number, or one per class"
            )
        return self.loss_weight * sigmoid_focal_loss(
            pred,
            target,
            weight,
            self.gamma,
            alpha,
            self.class_weight_for(pred),
            reduction_override or self.reduction,
            avg_factor,
            ignore_index,
        )
