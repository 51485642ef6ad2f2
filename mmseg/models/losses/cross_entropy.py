"""Cross entropy over classes, per class (sigmoid), and over instance masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmseg.models.builder import LOSSES
from mmseg.models.losses.base import WeightedLoss
from mmseg.models.losses.utils import valid_pixels, weight_reduce_loss
from mmseg.utils.errors import UserError


def cross_entropy(
    pred: Tensor,
    label: Tensor,
    weight: Tensor | None = None,
    class_weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    ignore_index: int = -100,
    avg_non_ignore: bool = False,
) -> Tensor:
    """Soft-max cross entropy.

    Args:
        pred: Logits (N, C, ...).
        label: Classes (N, ...), int64; pixels of ``ignore_index`` have loss 0.
        weight: Per pixel (N, ...), multiplied with the loss.
        class_weight: Per class (C,), multiplied with the loss.
        avg_factor: The divisor of ``'mean'``.
        avg_non_ignore: Divide by the number of pixels that are not ignored; otherwise all pixels
            count, ignored ones too. Neither kind of weight enters the divisor.

    Returns:
        A scalar, or (N, ...) with ``reduction='none'``.
    """
    loss = _pixel_cross_entropy(pred, label, class_weight, ignore_index)
    if avg_factor is None and avg_non_ignore and reduction == "mean":
        avg_factor = valid_pixels(label, ignore_index)
    return weight_reduce_loss(loss, weight, reduction, avg_factor)


def _pixel_cross_entropy(
    pred: Tensor, label: Tensor, class_weight: Tensor | None, ignore_index: int
) -> Tensor:
    # In channels-last memory the pixels are the rows of a matrix. As such the soft-max takes them as
    # they lie; as a map, it would copy them to another order first.
    as_rows = pred.dim() == 4 and not pred.is_contiguous() and pred.permute(0, 2, 3, 1).is_contiguous()
    if as_rows:
        pred, shape, label = pred.permute(0, 2, 3, 1).flatten(0, 2), label.shape, label.flatten()
    loss = F.cross_entropy(pred, label, weight=class_weight, reduction="none", ignore_index=ignore_index)
    return loss.view(shape) if as_rows else loss


def binary_cross_entropy(
    pred: Tensor,
    label: Tensor,
    weight: Tensor | None = None,
    class_weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    ignore_index: int = -100,
    avg_non_ignore: bool = False,
) -> Tensor:
    """Sigmoid cross entropy of every channel on its own.

    Args:
        pred: Logits (N, C, ...).
        label: Classes (N, ...), int64, expanded to one channel per class; with C = 1 the values are
            0 and 1; or 0, 1 and ignored values already in the shape of ``pred``. Negative labels
            and ``ignore_index`` have loss 0.
        weight: Per pixel, multiplied with the loss.
        class_weight: Per class (C,), multiplied with the loss of the positives.
        avg_non_ignore: Divide by the number of elements that are not ignored, otherwise by all.

    Returns:
        A scalar, or with ``reduction='none'`` the shape of ``pred`` (without its channel if C = 1).
    """
    if pred.dim() == label.dim() + 1 and pred.shape[1] == 1:
        pred = pred.squeeze(1)
    valid = (label >= 0) & (label != ignore_index)
    target = label.masked_fill(~valid, 0)
    if pred.dim() == label.dim() + 1:
        classes = torch.arange(pred.shape[1], device=pred.device).view(-1, *[1] * (label.dim() - 1))
        target = target.unsqueeze(1) == classes
        valid = valid.unsqueeze(1).expand(pred.shape)
        weight = None if weight is None else weight.unsqueeze(1)
        if class_weight is not None:
            class_weight = class_weight.view(classes.shape)
    valid = valid.to(pred.dtype)
    if avg_factor is None and avg_non_ignore and reduction == "mean":
        avg_factor = valid.sum()
    loss = F.binary_cross_entropy_with_logits(
        pred, target.to(pred.dtype), pos_weight=class_weight, reduction="none"
    )
    return weight_reduce_loss(loss, valid if weight is None else valid * weight, reduction, avg_factor)


def mask_cross_entropy(
    pred: Tensor,
    target: Tensor,
    label: Tensor,
    class_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Sigmoid cross entropy of the one mask per region that belongs to the region's class.

    Args:
        pred: Mask logits (N, C, ...) of N regions.
        target: Masks (N, ...) of 0 and 1.
        label: The class of every region (N,), int64.
        class_weight: Per position of the mask, multiplied with the loss.

    Returns:
        A tensor of shape (1,), averaged over regions and positions.
    """
    if reduction != "mean":
        raise UserError(f"mask_cross_entropy knows reduction='mean' only, not {reduction!r}")
    chosen = pred[torch.arange(len(label), device=pred.device), label]
    return F.binary_cross_entropy_with_logits(chosen, target.to(pred.dtype), weight=class_weight)[None]


@LOSSES.register_module()
class CrossEntropyLoss(WeightedLoss):
    """:func:`cross_entropy`, or with ``use_sigmoid`` :func:`binary_cross_entropy`, or with
    ``use_mask`` :func:`mask_cross_entropy`.

    Args:
        reduction, class_weight, loss_weight, loss_name: See :class:`WeightedLoss`.
        avg_non_ignore: Average over the pixels that are not ignored instead of over all.

    Raises:
        UserError: settings that exclude each other; class weights that cannot be read or that are
            not as many as the logits have channels.
    """

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_ce",
        avg_non_ignore: bool = False,
    ) -> None:
        super().__init__(reduction, class_weight, loss_weight, loss_name)
        if use_sigmoid and use_mask:
            raise UserError("CrossEntropyLoss: use_sigmoid and use_mask exclude each other")
        self.use_sigmoid, self.use_mask, self.avg_non_ignore = use_sigmoid, use_mask, avg_non_ignore

    @property
    def one_channel(self) -> bool:
        """Whether it can tell two classes by one logit per pixel."""
        return self.use_sigmoid

    def extra_repr(self) -> str:
        return f"avg_non_ignore={self.avg_non_ignore}"

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
    ) -> Tensor:
        """Loss of logits (N, C, ...) against labels (N, ...), weighed per pixel by ``weight``.

        With ``use_mask``, ``label`` holds the masks and ``weight`` the class of every region.
        """
        reduction = reduction_override or self.reduction
        if self.use_mask:  # its class weights are those of positions
            class_weight = None if self.class_weight is None else self.class_weight.to(cls_score)
            return self.loss_weight * mask_cross_entropy(cls_score, label, weight, class_weight, reduction)
        function = binary_cross_entropy if self.use_sigmoid else cross_entropy
        return self.loss_weight * function(
            cls_score,
            label,
            weight,
            self.class_weight_for(cls_score),
            reduction,
            avg_factor,
            ignore_index,
            self.avg_non_ignore,
        )
