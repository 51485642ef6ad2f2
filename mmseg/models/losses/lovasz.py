"""Lovász loss, a convex stand-in for the intersection over union (Berman et al., 2018, "The Lovász-Softmax
Loss: A Tractable Surrogate for the Optimization of the Intersection-Over-Union Measure in Neural Networks",
sections 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg.models.builder import LOSSES
from mmseg.models.layers.resize import at_least_float32
from mmseg.models.losses.base import WeightedLoss
from mmseg.models.losses.utils import weight_reduce_loss
from mmseg.utils.errors import UserError


def lovasz_softmax(
    pred: Tensor,
    label: Tensor,
    classes: str | Sequence[int] = "present",
    per_image: bool = False,
    class_weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Lovász-Softmax loss, the mean over classes.

    With ``classes='present'`` the classes in the labels are looked up once, which waits for the device;
    sorting the errors of absent classes would cost far more.

    Args:
        pred: Logits (N, C, ...).
        label: Classes (N, ...), int64; pixels of ``ignore_index`` are left out.
        classes: ``'present'``: those that occur; ``'all'``; or a list of them.
        per_image: One loss per image, reduced by ``reduction``; otherwise one over the whole batch.
        class_weight: Per class (C,), multiplied with the loss of the class.
        avg_factor: With ``per_image`` the divisor of ``'mean'``, by default the number of images.

    Returns:
        A scalar, or with ``per_image`` and ``reduction='none'`` one number per image (N,); 0 where
        nothing but ignored pixels is.
    """
    number = pred.shape[1]
    probability = _groups(at_least_float32(pred).softmax(dim=1).flatten(2), per_image)
    label = _groups(label.flatten(1)[:, None], per_image).squeeze(1)
    valid = label != ignore_index
    chosen = range(number) if isinstance(classes, str) else classes
    members = {c: (label == c) & valid for c in chosen}
    counts = {c: [True] * len(label) for c in chosen}
    if classes == "present":
        occurs = torch.stack([member.any(dim=1) for member in members.values()]).tolist()
        counts = dict(zip(members, occurs, strict=True))
    losses = []
    for i in range(len(label)):
        own = []
        for c in chosen:
            if counts[c][i]:
                errors = (members[c][i].to(probability.dtype) - probability[i, c]).abs()
                loss = _extension(errors, members[c][i], valid[i])
                own.append(loss if class_weight is None else loss * class_weight[c])
        losses.append(torch.stack(own).mean() if own else probability[i].sum() * 0)
    return weight_reduce_loss(torch.stack(losses), None, reduction, avg_factor) if per_image else losses[0]


def lovasz_hinge(
    pred: Tensor,
    label: Tensor,
    per_image: bool = False,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Lovász hinge loss of the foreground.

    Args:
        pred: Logits of the foreground (N, 1, ...) or (N, ...).
        label: 0 and 1 (N, ...), int64; pixels of ``ignore_index`` are left out.
        per_image, reduction, avg_factor: As in :func:`lovasz_softmax`.

    Returns:
        As :func:`lovasz_softmax`.
    """
    logits = _groups(at_least_float32(pred).reshape(len(pred), 1, -1), per_image).squeeze(1)
    label = _groups(label.flatten(1)[:, None], per_image).squeeze(1)
    valid = label != ignore_index
    foreground = (label == 1) & valid
    errors = 1 - torch.where(foreground, logits, -logits)
    losses = [_extension(*args) for args in zip(errors, foreground, valid, strict=True)]
    return weight_reduce_loss(torch.stack(losses), None, reduction, avg_factor) if per_image else losses[0]


def _groups(x: Tensor, per_image: bool) -> Tensor:
    """(N, C, P) as it is, or as one group (1, C, N * P)."""
    return x if per_image else x.transpose(0, 1).flatten(1)[None]


def _extension(errors: Tensor, foreground: Tensor, valid: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss at ``errors`` (P,), of which negative ones count as 0.

    Pixels that are not valid are sorted behind those that count, and add nothing: so no pixel has to be
    picked out, which would wait for the device.
    """
    ordered, order = errors.masked_fill(~valid, -1).sort(descending=True)
    return (ordered.relu() * _jaccard_steps(foreground[order])).sum()


def _jaccard_steps(foreground: Tensor) -> Tensor:
    """By how much the Jaccard loss grows with each further wrong pixel, in the order given (P,).

    Counts are integers: sums of ones in float32 stand still at 2^24, fewer pixels than a batch can have.
    """
    hit = foreground.long()
    total = hit.sum()
    intersection = total - hit.cumsum(0)
    union = total + (1 - hit).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.diff(jaccard, prepend=jaccard.new_zeros(1))


@LOSSES.register_module()
class LovaszLoss(WeightedLoss):
    """:func:`lovasz_softmax`, or with ``loss_type='binary'`` :func:`lovasz_hinge`.

    Args:
        loss_type: ``'multi_class'``, or ``'binary'`` for one logit per pixel.
        classes: Of ``'multi_class'``: ``'present'``, ``'all'`` or a list of classes.
        per_image: One loss per image, then ``reduction``. Without it there is one loss for the whole
            batch and nothing to average: ``reduction`` must then be ``'none'``, as in MMSegmentation 0.25.
        reduction, class_weight, loss_weight, loss_name: See :class:`WeightedLoss`.

    Raises:
        UserError: settings that do not fit together or to the logits.
    """

    def __init__(
        self,
        loss_type: str = "multi_class",
        classes: str | Sequence[int] = "present",
        per_image: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_lovasz",
    ) -> None:
        super().__init__(reduction, class_weight, loss_weight, loss_name)
        if loss_type not in ("binary", "multi_class"):
            raise UserError(f"LovaszLoss: loss_type is 'multi_class' or 'binary', not {loss_type!r}")
        named = isinstance(classes, str) and classes in ("all", "present")
        listed = isinstance(classes, list | tuple) and classes and all(type(c) is int for c in classes)
        if not (named or listed):
            raise UserError(
                f"LovaszLoss: classes is one of 'present', 'all' and a list of class numbers, not {classes!r}"
            )
        if not per_image and reduction != "none":
            raise UserError(
                f"LovaszLoss: reduction={reduction!r} goes over images, but per_image=False gives one loss"
                " for the whole batch; set per_image=True, or reduction='none'"
            )
        self.loss_type, self.classes, self.per_image = loss_type, classes, per_image

    @property
    def one_channel(self) -> bool:
        """Whether it can tell two classes by one logit per pixel."""
        return self.loss_type == "binary"

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """Loss of logits (N, C, ...) against labels (N, ...); ``weight`` is without effect, as in 0.25."""
        reduction = reduction_override or self.reduction
        if self.loss_type == "binary":
            if cls_score.numel() != label.numel():
                raise UserError(
                    f"LovaszLoss with loss_type='binary' takes one logit per pixel, but the head gives"
                    f" {cls_score.shape[1]} channels; set task='binary' or loss_type='multi_class'"
                )
            loss = lovasz_hinge(cls_score, label, self.per_image, reduction, avg_factor, ignore_index)
            return self.loss_weight * loss
        wrong = [c for c in self.classes if not 0 <= c < cls_score.shape[1]] if self._lists_classes else []
        if wrong:
            raise UserError(
                f"LovaszLoss: classes names {wrong}, but the head gives {cls_score.shape[1]} channels"
            )
        return self.loss_weight * lovasz_softmax(
            cls_score,
            label,
            self.classes,
            self.per_image,
            self.class_weight_for(cls_score),
            reduction,
            avg_factor,
            ignore_index,
        )

    @property
    def _lists_classes(self) -> bool:
        return not isinstance(self.classes, str)
