"""Resizing of feature maps and logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmseg.models.layers.exporting import is_exporting, is_known_true


def resize(
    input: Tensor,
    size: Sequence[int] | None = None,
    scale_factor: float | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    warning: bool = True,
) -> Tensor:
    """Resize (N, C, H, W) to ``size`` (h, w) or by ``scale_factor``.

    ``align_corners`` is ignored by modes that do not know it; ``warning`` is accepted for old code.
    A map that has the size already is passed through the operator all the same: the cost counters
    count it, and the outcome is the same map.
    """
    if mode not in ("linear", "bilinear", "bicubic", "trilinear"):
        align_corners = None
    size = None if size is None else tuple(_side(s) for s in size)
    return F.interpolate(input, size, scale_factor, mode, align_corners)


def resize_unless_same(input: Tensor, size: Sequence[int], mode: str, align_corners: bool) -> Tensor:
    """:func:`resize`, without work where the map has the size already."""
    own = input.shape[2:]
    if is_exporting():
        # Sizes are unknowns: `==` would settle them, so that the graph takes one size only.
        same = all(is_known_true(a == b) for a, b in zip(own, size, strict=True))
    else:
        same = tuple(own) == tuple(size)
    if same:
        return input
    return resize(input, size=size, mode=mode, align_corners=align_corners)


def _side(side: Any) -> Any:
    """A side as ``int``; that of an exporter's or a tracer's graph stays, for ``int`` would settle it."""
    return side if isinstance(side, torch.SymInt | Tensor) else int(side)


def at_least_float32(x: Tensor) -> Tensor:
    """``x``, in float32 if it is of half precision: resized logits of 8 bits would tie."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
