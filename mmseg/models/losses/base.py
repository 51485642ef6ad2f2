"""What every loss module keeps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg.models.losses.utils import check_reduction, get_class_weight
from mmseg.utils.errors import UserError


class WeightedLoss(nn.Module):
    """A loss with class weights, a weight of its own and a name.

    Args:
        reduction: ``'mean'``, ``'sum'`` or ``'none'``.
        class_weight: One number per class, or a file with them, see
            :func:`mmseg.models.losses.utils.get_class_weight`.
        loss_weight: Multiplied with the loss.
        loss_name: Its key in the losses of a head; only keys that contain ``loss`` are part of the sum.

    Raises:
        UserError: an unknown reduction, or class weights that cannot be read.
    """

    def __init__(
        self,
        reduction: str,
        class_weight: Sequence[float] | str | None,
        loss_weight: float,
        loss_name: str,
    ) -> None:
        super().__init__()
        self.reduction, self.loss_weight = check_reduction(reduction), loss_weight
        weights = get_class_weight(class_weight)
        values = None if weights is None else torch.tensor(weights)
        # Not a part of the state dict; a buffer, so that it is on the device before the first step.
        self.register_buffer("class_weight", values, persistent=False)
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """The key of this loss in the losses of a head."""
        return self._loss_name

    def class_weight_for(self, pred: Tensor) -> Tensor | None:
        """The class weights in the type of ``pred`` (N, C, ...).

        Raises:
            UserError: they are not as many as it has channels.
        """
        if self.class_weight is None:
            return None
        if len(self.class_weight) != pred.shape[1]:
            raise UserError(
                f"class_weight has {len(self.class_weight)} entries, but the head gives"
                f" {pred.shape[1]} channels; give one weight per class"
            )
        return self.class_weight.to(pred)
