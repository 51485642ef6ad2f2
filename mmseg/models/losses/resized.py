"""Cross entropy of resized logits, without the resized maps of the whole batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def resized_cross_entropy(
    logits: Tensor,
    label: Tensor,
    *,
    weight: Tensor | None = None,
    class_weight: Tensor | None = None,
    scale: Tensor | float = 1.0,
    ignore_index: int = 255,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    """Sum of the soft-max cross entropies of logits that are resized to the labels, times ``scale``.

    The same as resizing (bilinear), :func:`torch.nn.functional.cross_entropy` and a sum, one image at a
    time: its logits are resized, turned into the loss and, in the same memory, into their gradient, which
    is brought back to the small size at once. Of the batch nothing is kept but that small gradient. It can
    be differentiated once.

    Args:
        logits: (N, C, h, w), float32.
        label: (N, H, W), int64; pixels of ``ignore_index`` have loss 0.
        weight: Of the pixels (N, H, W).
        class_weight: Of the classes (C,).
        scale: A factor of the result: a number or a tensor with one element, without a gradient.

    Returns:
        The loss, a scalar, and the number of pixels (ignored ones left out) whose class has the highest
        logit, int64.
    """
    return _ResizedCrossEntropy.apply(logits, label, weight, class_weight, scale, ignore_index, align_corners)


@torch.no_grad()
def resized_pixel_losses(
    logits: Tensor,
    label: Tensor,
    *,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
    align_corners: bool = False,
) -> Tensor:
    """The soft-max cross entropy of each pixel (N, H, W), without a gradient; see above."""
    losses = []
    for logit, target in zip(logits.split(1), label.split(1), strict=True):
        log_probability = F.log_softmax(_resized(logit, target, align_corners), dim=1)
        losses.append(_own_losses(log_probability, target, class_weight, ignore_index)[0])
    return torch.cat(losses)


def _resized(logit: Tensor, label: Tensor, align_corners: bool) -> Tensor:
    """Logits (1, C, H, W) in the memory order in which soft-max and resizing are fastest on a CPU."""
    logit = logit.contiguous()
    if logit.shape[2:] == label.shape[1:]:
        return logit
    return F.interpolate(logit, label.shape[1:], mode="bilinear", align_corners=align_corners)


def _own_losses(
    log_probability: Tensor, label: Tensor, class_weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses (1, H, W), the weights in them, and the labels (1, 1, H, W) with 0 for ignored pixels."""
    valid = label != ignore_index
    safe = label.masked_fill(~valid, 0)
    # Indexing with a label that is no class raises, as the loss itself does.
    weights = valid.to(log_probability.dtype)
    if class_weight is not None:
        weights = weights * class_weight[safe]
    own = log_probability.gather(1, safe.unsqueeze(1)).squeeze(1)
    return -own * weights, weights, safe.unsqueeze(1)


def _is_highest(full: Tensor, label: Tensor, ignore_index: int) -> Tensor:
    """Whether the class of each pixel is the first with the highest logit: (1, H, W)."""
    highest = full.amax(dim=1, keepdim=True)
    if int((full == highest).sum()) != label.numel():  # equal logits, or NaN
        return full.max(dim=1).indices == label
    # On a CPU this takes a tenth of the time that the index of the highest takes.
    own = full.gather(1, label.masked_fill(label == ignore_index, 0).unsqueeze(1))
    return (own == highest).squeeze(1)


def _brought_back(gradient: Tensor, logit: Tensor, align_corners: bool) -> Tensor:
    """The gradient (1, C, h, w) of the logits, from that of the resized ones (1, C, H, W).

    Bilinear resizing is a matrix product for the rows and one for the columns.
    """
    if gradient.shape[2:] == logit.shape[2:]:
        return gradient
    rows, columns = (
        _bilinear_weights(small, large, align_corners, gradient)
        for small, large in zip(logit.shape[2:], gradient.shape[2:], strict=True)
    )
    return rows.transpose(0, 1) @ (gradient @ columns)


def _bilinear_weights(small: int, large: int, align_corners: bool, like: Tensor) -> Tensor:
    """(large, small): what each of ``small`` places gives to each of ``large``."""
    each = torch.eye(small, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(each, (small, large), mode="bilinear", align_corners=align_corners)[0, 0].t()


class _ResizedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        label: Tensor,
        weight: Tensor | None,
        class_weight: Tensor | None,
        scale: Tensor | float,
        ignore_index: int,
        align_corners: bool,
    ) -> tuple[Tensor, Tensor]:
        wants_gradient = ctx.needs_input_grad[0]
        small: list[Tensor] = []
        total, hits = logits.new_zeros(()), torch.zeros((), dtype=torch.int64, device=logits.device)
        for i in range(len(logits)):
            logit, target = logits[i : i + 1], label[i : i + 1]
            full = _resized(logit, target, align_corners)
            hits += (_is_highest(full, target, ignore_index) & (target != ignore_index)).sum()
            full = F.log_softmax(full, dim=1)
            losses, weights, classes = _own_losses(full, target, class_weight, ignore_index)
            if weight is not None:
                losses, weights = losses * weight[i : i + 1], weights * weight[i : i + 1]
            total += losses.sum()
            if not wants_gradient:
                continue
            # (softmax - one-hot) * weight, in the memory of the log-soft-max
            weights = (weights * scale).unsqueeze(1)
            full.exp_().mul_(weights).scatter_add_(1, classes, -weights)
            small.append(_brought_back(full, logit, align_corners))
        if wants_gradient:
            ctx.save_for_backward(torch.cat(small))
        ctx.mark_non_differentiable(hits)
        return total * scale, hits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_loss, None, None, None, None, None, None
