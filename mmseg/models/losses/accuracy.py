"""Pixel accuracy, logged beside the losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg.models.losses.utils import EPS


@torch.no_grad()
def accuracy(
    pred: Tensor,
    target: Tensor,
    topk: int | Sequence[int] = 1,
    thresh: float | None = None,
    ignore_index: int | None = None,
) -> Tensor | list[Tensor]:
    """Share of the pixels whose class is among the ``topk`` highest scores, in percent.

    Args:
        pred: Scores (N, C, ...).
        target: Classes (N, ...), int64.
        topk: One number, or several for several results.
        thresh: Scores not above it count as wrong.
        ignore_index: Pixels with this label are left out, above and below the fraction line.

    Returns:
        A scalar, or a list of them if ``topk`` is a sequence. With nothing to count it is 100.
    """
    ks = (topk,) if isinstance(topk, int) else tuple(topk)
    counted = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    total = counted.sum()
    if ks == (1,) and thresh is None:
        # max(...).indices is argmax, several times as fast on the CPU
        hits = [(pred.max(dim=1).indices == target) & counted]
    else:
        scores, classes = pred.topk(max(ks), dim=1)
        right = (classes == target.unsqueeze(1)) & counted.unsqueeze(1)
        if thresh is not None:
            right &= scores > thresh
        hits = [right[:, :k] for k in ks]
    percent = [accuracy_of(hit.sum(), total) for hit in hits]
    return percent[0] if isinstance(topk, int) else percent


def accuracy_of(hits: Tensor, counted: Tensor) -> Tensor:
    """:func:`accuracy` from the number of right pixels and the number of pixels that count."""
    return (hits + EPS) * (100.0 / (counted + EPS))


class Accuracy(nn.Module):
    """:func:`accuracy` as a module."""

    def __init__(
        self,
        topk: int | Sequence[int] = (1,),
        thresh: float | None = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self.topk, self.thresh, self.ignore_index = topk, thresh, ignore_index

    def forward(self, pred: Tensor, target: Tensor) -> Tensor | list[Tensor]:
        return accuracy(pred, target, self.topk, self.thresh, self.ignore_index)
