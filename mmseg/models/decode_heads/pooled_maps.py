"""A convolution over a map and over pooled maps of a few cells, without enlarging these."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.layers import ConvModule
from mmseg.models.layers.exporting import is_exporting


def can_stay_small(block: ConvModule, pooled: Sequence[Tensor]) -> bool:
    """Whether :func:`conv_with_pooled` applies to the convolution of ``block`` and is less work.

    A block with hooks is called as ever: somebody wants to see its input or its outcome.
    """
    conv = block.conv
    hooks = any(m._forward_hooks or m._forward_pre_hooks for m in (block, conv))
    same_size = all(k % 2 == 1 and p == k // 2 for k, p in zip(conv.kernel_size, conv.padding, strict=True))
    cells = sum(x.shape[2] * x.shape[3] for x in pooled)
    return (
        same_size
        and not hooks
        and block.order[0] == "conv"
        and (conv.stride, conv.dilation, conv.groups) == ((1, 1), (1, 1), 1)
        and conv.padding_mode == "zeros"
        and 2 * cells <= sum(x.shape[1] for x in pooled)
        and not (is_exporting() or torch.compiler.is_compiling() or torch.jit.is_tracing())
    )


def conv_with_pooled(
    conv: nn.Conv2d, before: Sequence[Tensor], x: Tensor, after: Sequence[Tensor], align_corners: bool
) -> Tensor:
    """``conv`` of the channels of ``before``, ``x`` and ``after``, where all but ``x`` are resized to it.

    The same as resizing (bilinear), joining and convolving. Every position of an enlarged map is a mix of
    its few cells. So the filters are applied to the cells, and the mixing, shifted by each position of the
    filter, is one matrix product with a constant matrix.

    Args:
        conv: A convolution that keeps the size.
        before, after: Maps (N, C_i, h_i, w_i) of a few cells.
        x: (N, C, H, W).

    Returns:
        (N, out_channels, H, W).
    """
    parts = [*before, x, *after]
    weights = conv.weight.split([part.shape[1] for part in parts], dim=1)
    big = len(before)
    total = F.conv2d(x, weights[big], conv.bias, padding=conv.padding)
    products, sizes = [], []
    for i, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        if i != big:
            cells = part.flatten(2).transpose(1, 2)  # (N, h_i * w_i, C_i)
            filters = weight.permute(1, 2, 3, 0).flatten(1)  # (C_i, positions * out)
            products.append((cells @ filters).view(len(x), -1, conv.out_channels))
            sizes.append(tuple(part.shape[2:]))
    mixing = mixing_matrix(
        tuple(x.shape[2:]), tuple(sizes), conv.kernel_size, align_corners, x.dtype, x.device
    )
    mixed = mixing @ torch.cat(products, dim=1)  # (N, H * W, out)
    return total + mixed.transpose(1, 2).unflatten(2, tuple(x.shape[2:]))


@lru_cache(maxsize=4)
def mixing_matrix(
    size: tuple[int, int],
    cells: tuple[tuple[int, int], ...],
    kernel: tuple[int, int],
    align_corners: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """(H * W, sum of cells x positions of the filter): the share that each cell of the maps has in what the
    filter's position finds, around each position of the enlarged map; 0 in the padding."""
    blocks = []
    with torch.no_grad(), torch.inference_mode(False):
        for h, w in cells:
            each = torch.eye(h * w, dtype=torch.promote_types(dtype, torch.float32), device=device)
            each = each.view(h * w, 1, h, w)
            full = F.interpolate(each, size, mode="bilinear", align_corners=align_corners)
            around = F.unfold(full, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
            blocks.append(around.flatten(0, 1))  # (h * w * positions, H * W)
        return torch.cat(blocks).t().contiguous().to(dtype)
