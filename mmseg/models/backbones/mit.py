"""Mix Transformer, MiT-B0 to B5 (Xie et al., 2021, "SegFormer: Simple and Efficient Design for
Semantic Segmentation with Transformers", section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmseg.models.backbones.indices import check_indices
from mmseg.models.builder import BACKBONES
from mmseg.models.init import constant_init, conv_fan_out_init, trunc_normal_init
from mmseg.models.layers import (
    DropPath,
    PatchEmbed,
    build_activation,
    build_norm_layer,
    drop_path_rates,
    map_to_tokens,
    tokens_to_map,
)
from mmseg.models.module import BaseModule, InitCfg
from mmseg.utils.errors import UserError

GELU = {"type": "GELU"}
LN = {"type": "LN", "eps": 1e-6}


class PackedAttention(nn.Module):
    """Multi-head attention with the parameters of ``nn.MultiheadAttention``.

    Forward: queries (N, L, C) and keys-and-values (N, S, C) to (N, L, C).
    """

    def __init__(self, embed_dims: int, num_heads: int, attn_drop: float, bias: bool) -> None:
        super().__init__()
        self.num_heads, self.attn_drop = num_heads, attn_drop
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims)) if bias else None
        self.out_proj = nn.Linear(embed_dims, embed_dims, bias=bias)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: Tensor, key_value: Tensor) -> Tensor:
        dims = query.shape[2]
        if key_value is query:
            qkv = F.linear(query, self.in_proj_weight, self.in_proj_bias)
            q, k, v = self._heads(qkv, 3)
        else:
            weights = self.in_proj_weight.split((dims, 2 * dims))
            biases = (None, None) if self.in_proj_bias is None else self.in_proj_bias.split((dims, 2 * dims))
            (q,) = self._heads(F.linear(query, weights[0], biases[0]), 1)
            k, v = self._heads(F.linear(key_value, weights[1], biases[1]), 2)
        dropout = self.attn_drop if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(N, L, parts * C) to ``parts`` views of (N, heads, L, C / heads)."""
        return x.unflatten(2, (parts, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class EfficientAttention(nn.Module):
    """Self-attention whose keys and values are taken from the map shrunk ``sr_ratio`` times.

    Forward: tokens (N, H*W, C) to tokens (N, H*W, C).
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        sr_ratio: int,
        attn_drop: float,
        proj_drop: float,
        qkv_bias: bool,
        norm_cfg: dict[str, Any],
    ) -> None:
        super().__init__()
        self.sr_ratio = sr_ratio
        self.attn = PackedAttention(embed_dims, num_heads, attn_drop, qkv_bias)
        self.proj_drop = nn.Dropout(proj_drop)
        if sr_ratio > 1:
            self.sr = nn.Conv2d(embed_dims, embed_dims, kernel_size=sr_ratio, stride=sr_ratio)
            self.norm = build_norm_layer(norm_cfg, embed_dims)[1]

    def forward(self, tokens: Tensor, hw: tuple[int, int]) -> Tensor:
        key_value = tokens
        if self.sr_ratio > 1:
            if hw[0] < self.sr_ratio or hw[1] < self.sr_ratio:  # not min(): see layers/exporting.py
                raise UserError(
                    f"the image is too small for MixVisionTransformer: a feature map of {hw[0]}x{hw[1]}"
                    f" cannot be reduced {self.sr_ratio} times; use images of at least 32x32"
                )
            key_value = self.norm(map_to_tokens(self.sr(tokens_to_map(tokens, hw))))
        return self.proj_drop(self.attn(tokens, key_value))


class TokenConv(nn.Conv2d):
    """A 1x1 convolution applied to tokens (N, L, C), where it is a matrix product."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(tokens, self.weight.flatten(1), self.bias)


class MixFFN(nn.Module):
    """1x1 convolution, 3x3 depthwise convolution (it tells tokens where they are), 1x1 convolution.

    Forward: tokens (N, H*W, C) to tokens (N, H*W, C).
    """

    def __init__(self, embed_dims: int, hidden: int, drop: float, act_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            TokenConv(embed_dims, hidden),
            nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden),
            build_activation(act_cfg),
            nn.Dropout(drop),
            TokenConv(hidden, embed_dims),
            nn.Dropout(drop),
        )

    def forward(self, tokens: Tensor, hw: tuple[int, int]) -> Tensor:
        expand, depthwise, act, drop, reduce, last_drop = self.layers
        tokens = map_to_tokens(depthwise(tokens_to_map(expand(tokens), hw)))
        return last_drop(reduce(drop(act(tokens))))


class Block(nn.Module):
    """Attention and Mix-FFN, each after a norm and beside a shortcut.

    Forward: tokens (N, H*W, C) to tokens (N, H*W, C).
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        hidden: int,
        sr_ratio: int,
        drop: float,
        attn_drop: float,
        drop_path: float,
        qkv_bias: bool,
        act_cfg: dict[str, Any],
        norm_cfg: dict[str, Any],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.attn = EfficientAttention(
            embed_dims, num_heads, sr_ratio, attn_drop, proj_drop=drop, qkv_bias=qkv_bias, norm_cfg=norm_cfg
        )
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.ffn = MixFFN(embed_dims, hidden, drop, act_cfg)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, hw: tuple[int, int]) -> Tensor:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), hw))
        return tokens + self.drop_path(self.ffn(self.norm2(tokens), hw))


@BACKBONES.register_module()
class MixVisionTransformer(BaseModule):
    """Mix Transformer: four stages of overlapping patch embedding, transformer blocks and a norm.

    MiT-B0 has ``embed_dims=32``, B1 to B5 64; ``num_heads=[1, 2, 5, 8]``; ``num_layers`` is
    [2, 2, 2, 2] for B0 and B1, then [3, 4, 6, 3], [3, 4, 18, 3], [3, 8, 27, 3], [3, 6, 40, 3].

    Args:
        embed_dims: Channels per attention head; stage i has ``embed_dims * num_heads[i]`` channels.
        num_layers, num_heads, patch_sizes, strides, sr_ratios: One number per stage: its blocks,
            attention heads, the kernel and the stride of its patch embedding, and how many times
            the map is shrunk, per side, before keys and values are taken from it.
        out_indices: The stages whose maps are returned.
        mlp_ratio: Hidden channels of the Mix-FFN, in channels of the stage.
        drop_path_rate: Of the last block; it rises evenly from 0 at the first.
        pretrained: A checkpoint for ``init_weights()``, the same as
            ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        with_cp: Recompute the blocks in the backward pass instead of keeping their activations.
        frozen_stages: How many stages, from the first, keep their weights and stay in evaluation mode;
            0 freezes the first patch embedding only, -1 nothing.

    Forward: (N, in_channels, H, W) of any H, W >= 32 to a list of maps (N, C_i, H_i, W_i), with the
    default strides at 1/4, 1/8, 1/16, 1/32 of the size, rounded up, in channels-last memory.

    Raises:
        UserError: settings that do not fit together.
    """

    def __init__(
        self,
        in_channels: int = 3,
        embed_dims: int = 64,
        num_stages: int = 4,
        num_layers: Sequence[int] = (3, 4, 6, 3),
        num_heads: Sequence[int] = (1, 2, 4, 8),
        patch_sizes: Sequence[int] = (7, 3, 3, 3),
        strides: Sequence[int] = (4, 2, 2, 2),
        sr_ratios: Sequence[int] = (8, 4, 2, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        mlp_ratio: float = 4,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act_cfg: dict[str, Any] = GELU,
        norm_cfg: dict[str, Any] = LN,
        pretrained: str | None = None,
        init_cfg: InitCfg = None,
        with_cp: bool = False,
        frozen_stages: int = -1,
    ) -> None:
        if pretrained is not None and init_cfg is not None:
            raise UserError("MixVisionTransformer takes `pretrained` or `init_cfg`, not both")
        super().__init__({"type": "Pretrained", "checkpoint": pretrained} if pretrained else init_cfg)
        per_stage = dict(
            num_layers=num_layers,
            num_heads=num_heads,
            patch_sizes=patch_sizes,
            strides=strides,
            sr_ratios=sr_ratios,
        )
        _check_stages(num_stages, per_stage, out_indices)
        self.out_indices = tuple(out_indices)
        self.out_channels = [embed_dims * num_heads[i] for i in out_indices]
        self.with_cp = with_cp
        if not isinstance(frozen_stages, int) or not -1 <= frozen_stages <= num_stages:
            raise UserError(
                f"MixVisionTransformer: frozen_stages={frozen_stages} must lie between -1 and the"
                f" {num_stages} stages"
            )
        self.frozen_stages = frozen_stages
        rates = iter(drop_path_rates(drop_path_rate, sum(num_layers)))
        self.layers = nn.ModuleList()
        for i in range(num_stages):
            dims = embed_dims * num_heads[i]
            embed = PatchEmbed(
                in_channels, dims, patch_sizes[i], strides[i], padding=patch_sizes[i] // 2, norm_cfg=norm_cfg
            )
            blocks = nn.ModuleList(
                Block(
                    dims,
                    num_heads[i],
                    hidden=int(mlp_ratio * dims),
                    sr_ratio=sr_ratios[i],
                    drop=drop_rate,
                    attn_drop=attn_drop_rate,
                    drop_path=next(rates),
                    qkv_bias=qkv_bias,
                    act_cfg=act_cfg,
                    norm_cfg=norm_cfg,
                )
                for _ in range(num_layers[i])
            )
            self.layers.append(nn.ModuleList([embed, blocks, build_norm_layer(norm_cfg, dims)[1]]))
            in_channels = dims
        for module in self._frozen():
            module.requires_grad_(False)

    def _frozen(self) -> list[nn.Module]:
        if self.frozen_stages == 0:
            return [self.layers[0][0]]
        return list(self.layers[: max(0, self.frozen_stages)])

    def train(self, mode: bool = True) -> MixVisionTransformer:
        """Set the mode; frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def default_init(self) -> None:
        """Linear layers from a truncated normal (std 0.02), convolutions by fan-out, norms 1 and 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_init(module, std=0.02)
            elif isinstance(module, nn.LayerNorm):
                constant_init(module, 1.0)
            elif isinstance(module, nn.Conv2d):
                conv_fan_out_init(module)

    def adapt_pretrained(self, weights: dict[str, Tensor], source: str) -> dict[str, Tensor]:
        """Turn the weights of a ``Pretrained`` file into this model's.

        A backbone is taken out of a segmentor, and the original release's layout is converted.
        """
        from mmseg.conversion.weights import from_original
        from mmseg.conversion.weights_mit import MIT

        return from_original(weights, MIT, source)

    def forward(self, x: Tensor) -> list[Tensor]:
        outs = []
        for i, (embed, blocks, norm) in enumerate(self.layers):
            tokens, hw = embed(x)
            for block in blocks:
                if self.with_cp and tokens.requires_grad:
                    tokens = checkpoint(block, tokens, hw, use_reentrant=False)
                else:
                    tokens = block(tokens, hw)
            x = tokens_to_map(norm(tokens), hw)
            if i in self.out_indices:
                outs.append(x)
        return outs


def _check_stages(num_stages: int, per_stage: dict[str, Sequence[int]], out_indices: Sequence[int]) -> None:
    for name, values in per_stage.items():
        if not isinstance(values, list | tuple) or len(values) != num_stages:
            raise UserError(
                f"MixVisionTransformer: {name}={values} must have one entry for each of"
                f" num_stages={num_stages} stages"
            )
    check_indices("MixVisionTransformer", out_indices, num_stages)
