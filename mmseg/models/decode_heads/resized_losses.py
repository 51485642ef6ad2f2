"""The losses of a head on a CPU, without the resized logits of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg.models.losses import CrossEntropyLoss, OHEMPixelSampler
from mmseg.models.losses.accuracy import accuracy_of
from mmseg.models.losses.resized import resized_cross_entropy, resized_pixel_losses
from mmseg.models.losses.utils import EPS, valid_pixels


def can_take_small_logits(logits: Tensor, losses: Sequence[nn.Module], sampler: object) -> bool:
    """Whether :func:`small_logit_losses` knows this case: soft-max cross entropies on a CPU, perhaps with
    OHEM. On a GPU a batch in one piece is faster."""
    return (
        logits.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and (sampler is None or type(sampler) is OHEMPixelSampler)
        and all(
            type(loss) is CrossEntropyLoss
            and not (loss.use_sigmoid or loss.use_mask)
            and loss.reduction == "mean"
            for loss in losses
        )
    )


def small_logit_losses(
    logits: Tensor,
    label: Tensor,
    *,
    losses: Sequence[CrossEntropyLoss],
    sampler: OHEMPixelSampler | None,
    ignore_index: int,
    align_corners: bool,
) -> dict[str, Tensor]:
    """Losses by name and ``acc_seg``: those of ``BaseDecodeHead.losses``, up to rounding.

    Args:
        logits: (N, C, h, w), float32.
        label: (N, H, W), int64.
    """
    common = {"ignore_index": ignore_index, "align_corners": align_corners}
    counted = valid_pixels(label, ignore_index)
    weight = None
    if sampler is not None:
        weight = _hard_pixels(sampler, logits, label, losses, **common)
    found: dict[str, Tensor] = {}
    hits = None
    for loss in losses:
        value, hits = resized_cross_entropy(
            logits,
            label,
            weight=weight,
            class_weight=loss.class_weight_for(logits),
            scale=loss.loss_weight / (counted + EPS if loss.avg_non_ignore else label.numel()),
            **common,
        )
        found[loss.loss_name] = found[loss.loss_name] + value if loss.loss_name in found else value
    found["acc_seg"] = accuracy_of(hits, counted)
    return found


def _hard_pixels(
    sampler: OHEMPixelSampler,
    logits: Tensor,
    label: Tensor,
    losses: Sequence[CrossEntropyLoss],
    ignore_index: int,
    align_corners: bool,
) -> Tensor:
    each = resized_pixel_losses(logits, label, ignore_index=ignore_index, align_corners=align_corners)
    # Ignored pixels have loss 0, whatever the weight of the class that stands in for theirs.
    classes = label.masked_fill(label == ignore_index, 0)
    cost = torch.zeros_like(each)
    for loss in losses:
        weights = loss.class_weight_for(logits)
        cost += loss.loss_weight * (each if weights is None else each * weights[classes])
    return sampler.sample_by_losses(each, cost, label)
