"""Whether a model is right as often as it says (Guo et al., On Calibration of Modern Neural Networks, 2017).

Pixels are sorted into bins by the confidence of their prediction. In a calibrated model the pixels that
claim 0.8 are right in 80 % of the cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Reliability of one set of pixels.

    Attributes:
        count: (B) pixels per bin of confidence, bins of equal width from 0 to 1.
        confidence: (B) mean confidence per bin, NaN in an empty one.
        accuracy: (B) share of right pixels per bin, NaN in an empty one.
        ece: Expected calibration error: mean over pixels of |accuracy - confidence| of their bin.
        mce: Largest |accuracy - confidence| of a bin that holds at least one in a thousand pixels.
        gap: Mean confidence minus accuracy of all pixels; positive is overconfident.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float
    mce: float
    gap: float


def calibration_counts(
    confidence: torch.Tensor,
    pred: torch.Tensor,
    label: torch.Tensor,
    num_classes: int,
    ignore_index: int | None = 255,
    bins: int = BINS,
) -> torch.Tensor:
    """Sums that calibration needs, float64 (C, bins, 3) on the CPU: pixels, summed confidence, right pixels.

    They add up over images. The first axis is the predicted class.

    Args:
        confidence: (H, W) probability of the predicted class, in [0, 1].
        pred: (H, W) predicted classes.
        label: (H, W) true classes; those equal to ``ignore_index`` are left out.
        bins: Number of bins of equal width; a bin holds its upper edge, the first also 0.
    """
    counted = torch.ones_like(label, dtype=torch.bool) if ignore_index is None else label != ignore_index
    confidence, pred = confidence[counted].double(), pred[counted].long()
    right = (pred == label[counted].to(pred.device)).double()
    index = (torch.ceil(confidence * bins) - 1).clamp_(0, bins - 1).long() + pred * bins
    size = num_classes * bins
    sums = [
        torch.bincount(index, minlength=size).double(),
        torch.bincount(index, weights=confidence, minlength=size),
        torch.bincount(index, weights=right, minlength=size),
    ]
    return torch.stack(sums, dim=-1).reshape(num_classes, bins, 3).cpu()


def calibration(counts: np.ndarray) -> Calibration:
    """Reliability curve and errors of summed counts (bins, 3)."""
    count, confidence, right = np.asarray(counts, np.float64).T
    total = count.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, accuracy = confidence / count, right / count
        gaps = np.abs(accuracy - mean)
        populated = count > max(0.0, total / 1000)
        ece = float(np.nansum(gaps * count) / total) if total else float("nan")
        return Calibration(
            count=count,
            confidence=mean,
            accuracy=accuracy,
            ece=ece,
            mce=float(gaps[populated].max()) if populated.any() else float("nan"),
            gap=float((confidence.sum() - right.sum()) / total) if total else float("nan"),
        )
