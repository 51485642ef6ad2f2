"""Patch embedding, and the two views of a feature map: a map and a sequence of tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.layers.norm import build_norm_layer


def tokens_to_map(tokens: Tensor, hw: tuple[int, int]) -> Tensor:
    """View (N, H*W, C) as (N, C, H, W) in channels-last memory; nothing is copied."""
    return tokens.transpose(1, 2).unflatten(2, hw)


def map_to_tokens(x: Tensor) -> Tensor:
    """View (N, C, H, W) as (N, H*W, C); contiguous where the map is in channels-last memory."""
    return x.flatten(2).transpose(1, 2)


class PatchEmbed(nn.Module):
    """A strided convolution and a normalisation: ``projection`` and ``norm`` in the state dict.

    The map is kept in channels-last memory, so that tokens and map are views of each other.

    Args:
        padding: By default none.
        norm_cfg: ``None`` leaves the normalisation out.

    Forward: (N, in_channels, H, W) to tokens (N, h*w, embed_dims) and (h, w).
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        kernel_size: int,
        stride: int,
        padding: int = 0,
        norm_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, embed_dims, kernel_size, stride, padding)
        self.norm = build_norm_layer(norm_cfg, embed_dims)[1] if norm_cfg is not None else None

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        x = self.projection(x.contiguous(memory_format=torch.channels_last))
        hw = (x.shape[2], x.shape[3])
        x = map_to_tokens(x)
        return (x if self.norm is None else self.norm(x)), hw
