"""The blocks and stages of the Swin Transformer (Liu et al., 2021, section 3.1).

Maps are (N, H, W, C) here: channels last, so that tokens and map are one and the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.backbones.swin_attention import (
    MaskCache,
    ShiftedWindowAttention,
    WindowAttention,
    missing_cells,
)
from mmseg.models.layers import DropPath, build_activation, build_norm_layer, checkpointed
from mmseg.models.layers.exporting import is_exporting


class FeedForward(nn.Module):
    """Linear, activation, linear. Forward: (..., C) to (..., C)."""

    def __init__(self, embed_dims: int, hidden: int, drop: float, act_cfg: dict[str, Any]) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(embed_dims, hidden), build_activation(act_cfg), nn.Dropout(drop))
        self.layers = nn.Sequential(first, nn.Linear(hidden, embed_dims), nn.Dropout(drop))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class SwinBlock(nn.Module):
    """Window attention and a feed-forward network, each after a norm and beside a shortcut.

    Forward: a map (N, H, W, C) to a map (N, H, W, C).
    """

    def __init__(
        self,
        embed_dims: int,
        attention: ShiftedWindowAttention,
        hidden: int,
        drop: float,
        drop_path: float,
        act_cfg: dict[str, Any],
        norm_cfg: dict[str, Any],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.attn = attention
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.ffn = FeedForward(embed_dims, hidden, drop, act_cfg)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, masks: MaskCache) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), masks))
        return x + self.drop_path(self.ffn(self.norm2(x)))


class PatchMerging(nn.Module):
    """2x2 neighbours become one token: their channels side by side, a norm, a linear layer.

    The channels are ordered as ``nn.Unfold`` orders them (channel, row, column), as in 0.25; the original
    release has (column, row, channel). Odd maps are padded with zeros at the right and the bottom.

    Forward: a map (N, H, W, C) to (N, ceil(H / stride), ceil(W / stride), out_channels).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, norm_cfg: dict[str, Any] | None
    ) -> None:
        super().__init__()
        self.stride = stride
        self.norm = build_norm_layer(norm_cfg, 4 * in_channels)[1] if norm_cfg is not None else None
        self.reduction = nn.Linear(4 * in_channels, out_channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        below, beside = (missing_cells(side, kernel=2, stride=self.stride) for side in x.shape[1:3])
        if is_exporting() or below or beside:
            x = F.pad(x, (0, 0, 0, beside, 0, below))
        if self.stride == 2:
            count, height, width, dims = x.shape
            x = x.reshape(count, height // 2, 2, width // 2, 2, dims).permute(0, 1, 3, 5, 2, 4)
        else:
            x = x.unfold(1, 2, self.stride).unfold(2, 2, self.stride)
        x = x.flatten(3)  # of (N, h, w, C, row, column)
        return self.reduction(x if self.norm is None else self.norm(x))


class SwinStage(nn.Module):
    """Blocks, every second one of which shifts its windows by half, and a merging of patches.

    Args:
        drop_paths: One rate for each block.
        merging: ``None`` in the last stage.

    Forward: a map (N, H, W, C) to the map after the blocks, and to that map merged (after the last stage:
    the same).
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        hidden: int,
        window: int,
        qkv_bias: bool,
        qk_scale: float | None,
        drop: float,
        attn_drop: float,
        drop_paths: Sequence[float],
        merging: PatchMerging | None,
        act_cfg: dict[str, Any],
        norm_cfg: dict[str, Any],
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.blocks = nn.ModuleList()
        for i, drop_path in enumerate(drop_paths):
            attention = WindowAttention(embed_dims, num_heads, window, qkv_bias, qk_scale, attn_drop, drop)
            shifted = ShiftedWindowAttention(attention, shift=window // 2 if i % 2 else 0)
            self.blocks.append(SwinBlock(embed_dims, shifted, hidden, drop, drop_path, act_cfg, norm_cfg))
        self.downsample = merging
        self.masks = MaskCache()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            if self.with_cp and torch.is_grad_enabled() and x.requires_grad:
                x = checkpointed(block, block, x, self.masks)
            else:
                x = block(x, self.masks)
        return x, x if self.downsample is None else self.downsample(x)
