"""Online hard example mining (Shrivastava et al., 2016, "Training Region-based Object Detectors with
Online Hard Example Mining") over pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmseg.models.builder import PIXEL_SAMPLERS
from mmseg.models.losses.binary import two_channels
from mmseg.utils.errors import UserError


@PIXEL_SAMPLERS.register_module()
class OHEMPixelSampler:
    """Gives weight 1 to hard pixels and 0 to the others.

    Hard are, with ``thresh``, the pixels whose own class has a probability below it, and in any case
    about the ``min_kept * N`` least probable ones; without ``thresh``, the ``min_kept * N`` pixels of
    highest loss (summed over the losses of the head). Ignored pixels have weight 0.

    Args:
        context: The head: its ``ignore_index`` and its ``loss_decode``.
        thresh: A probability, or None.
        min_kept: Pixels per image of the batch.
    """

    def __init__(self, context: Any, thresh: float | None = None, min_kept: int = 100000) -> None:
        if min_kept <= 1:
            raise UserError(f"OHEMPixelSampler: min_kept must be above 1, not {min_kept}")
        if thresh is not None and not 0 < thresh <= 1:
            raise UserError(f"OHEMPixelSampler: thresh is a probability in (0, 1], not {thresh}")
        self.context, self.thresh, self.min_kept = context, thresh, min_kept

    @torch.no_grad()
    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """Weights (N, H, W) of 0 and 1 for logits (N, C, H, W) and labels (N, 1, H, W) or (N, H, W).

        Nothing here waits for the device.
        """
        label = seg_label.squeeze(1) if seg_label.dim() == 4 else seg_label
        valid = label != self.context.ignore_index
        kept = self.min_kept * label.shape[0]
        if self.thresh is None and kept >= label.numel():
            return valid.to(seg_logit.dtype)
        if self.thresh is not None and seg_logit.shape[1] == 1:  # task='binary'
            seg_logit = two_channels(seg_logit)
        if self.thresh is not None:
            own = label.masked_fill(~valid, 0).unsqueeze(1)
            probability = (seg_logit.gather(1, own).squeeze(1) - seg_logit.logsumexp(dim=1)).exp()
            hard = self._unlikely(probability, valid, kept)
        else:
            hard = self._hardest(self._costs(seg_logit, label, valid), valid, kept)
        return (hard & valid).to(seg_logit.dtype)

    @torch.no_grad()
    def sample_by_losses(self, cross_entropy: Tensor, cost: Tensor, label: Tensor) -> Tensor:
        """The same weights from what they follow from.

        Args:
            cross_entropy: Of each pixel (N, H, W), without weights.
            cost: The sum of the head's losses of each pixel (N, H, W).
            label: (N, H, W).
        """
        valid = label != self.context.ignore_index
        kept = self.min_kept * label.shape[0]
        if self.thresh is not None:
            hard = self._unlikely(cross_entropy.neg().exp(), valid, kept)
        else:
            hard = valid if kept >= label.numel() else self._hardest(cost, valid, kept)
        return (hard & valid).to(cost.dtype)

    def _unlikely(self, probability: Tensor, valid: Tensor, kept: int) -> Tensor:
        # The (kept + 1)-th smallest of the valid ones or, where there are fewer, the largest.
        nth = min(kept + 1, probability.numel())
        lowest = probability.masked_fill(~valid, torch.inf).flatten()
        smallest = lowest.topk(nth, largest=False, sorted=False).values.max()
        largest = probability.masked_fill(~valid, -torch.inf).max()
        threshold = torch.minimum(smallest, largest).clamp(min=self.thresh)
        return probability < threshold

    def _costs(self, seg_logit: Tensor, label: Tensor, valid: Tensor) -> Tensor:
        losses = self.context.loss_decode
        modules = losses if isinstance(losses, torch.nn.ModuleList) else [losses]
        costs = []
        for loss in modules:
            each = loss(seg_logit, label, ignore_index=self.context.ignore_index, reduction_override="none")
            if each.dim() > valid.dim():  # a sigmoid loss has one value per channel
                each = each.sum(dim=1)
            if each.shape == valid.shape:  # Dice and Lovász say nothing of single pixels
                costs.append(each)
        if not costs:
            raise UserError(
                "OHEMPixelSampler without thresh takes the pixels of highest loss, but no loss of the head"
                " has one per pixel; set thresh, or add a CrossEntropyLoss"
            )
        return sum(costs)

    @staticmethod
    def _hardest(cost: Tensor, valid: Tensor, kept: int) -> Tensor:
        cost = cost.masked_fill(~valid, -torch.inf).flatten()
        hardest = cost.topk(kept, sorted=False).indices
        hard = torch.zeros_like(cost, dtype=torch.bool).index_fill_(0, hardest, True)
        return hard.view_as(valid)
