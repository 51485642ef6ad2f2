"""One logit for two classes: background and foreground (``task='binary'``)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def two_channels(logits: Tensor, threshold: float = 0.5) -> Tensor:
    """Two logits that stand for one: the first is higher up to the threshold, the second above it.

    Args:
        logits: (N, 1, ...), of the foreground.
        threshold: Probability, in (0, 1), above which a pixel is foreground. At 0.5 the soft-max of the
            result is (1 - sigmoid, sigmoid).

    Returns:
        (N, 2, ...): background and foreground.
    """
    return torch.cat([torch.full_like(logits, math.log(threshold / (1 - threshold))), logits], dim=1)
