"""Swin Transformer, tiny to large (Liu et al., 2021, "Swin Transformer: Hierarchical Vision Transformer
using Shifted Windows")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.backbones.indices import check_indices
from mmseg.models.backbones.swin_attention import missing_cells
from mmseg.models.backbones.swin_blocks import PatchMerging, SwinStage
from mmseg.models.backbones.swin_pretrained import fit_pretrained, resize_positions
from mmseg.models.builder import BACKBONES
from mmseg.models.init import constant_init, trunc_normal_init
from mmseg.models.layers import PatchEmbed, build_norm_layer, drop_path_rates
from mmseg.models.layers.exporting import is_exporting
from mmseg.models.module import BaseModule, InitCfg
from mmseg.utils.errors import UserError

GELU = {"type": "GELU"}
LN = {"type": "LN"}


@BACKBONES.register_module()
class SwinTransformer(BaseModule):
    """Swin Transformer: patches of 4x4 pixels, then four stages of attention within (shifted) windows.

    ============ ============ ============= =============== ===============
    variant      embed_dims   depths        num_heads       window_size
    ============ ============ ============= =============== ===============
    tiny         96           2, 2, 6, 2    3, 6, 12, 24    7
    small        96           2, 2, 18, 2   3, 6, 12, 24    7
    base         128          2, 2, 18, 2   4, 8, 16, 32    7 or 12
    large        192          2, 2, 18, 2   6, 12, 24, 48   7 or 12
    ============ ============ ============= =============== ===============

    Args:
        pretrain_img_size: Side, or (height, width), of the images whose patches the absolute positions
            stand for. Used with ``use_abs_pos_embed`` only.
        embed_dims: Channels of the first stage; each stage has twice those of the one before.
        patch_size: Side of a patch, the same as ``strides[0]``.
        window_size: Side of a window, in tokens. Maps of any other size are padded to whole windows.
        mlp_ratio: Hidden channels of the feed-forward network, in channels of the stage.
        depths, num_heads, strides: One number per stage: its blocks, its attention heads, and the stride
            with which the map reaches it.
        out_indices: The stages whose maps are returned, each through a norm ``norm{i}`` of its own.
        qk_scale: Of the attention scores; ``None`` means ``head_dims ** -0.5``.
        patch_norm: Normalise after the patch embedding and in each merging of patches.
        drop_path_rate: Of the last block; it rises evenly from 0 at the first.
        use_abs_pos_embed: Add a learned embedding of each place, resized (bicubic) to images of other sizes.
        with_cp: Recompute the blocks in the backward pass instead of keeping their activations.
        pretrained: A checkpoint for ``init_weights()``, the same as
            ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        frozen_stages: How many stages, from the first, keep their weights and stay in evaluation mode,
            with the embedding of patches; 0 freezes that embedding only, -1 nothing.

    Forward: (N, in_channels, H, W) of any size to a list of maps (N, C_i, H_i, W_i), with the default
    strides at 1/4, 1/8, 1/16, 1/32 of the size, rounded up, in channels-last memory.

    Raises:
        UserError: settings that do not fit together.
    """

    def __init__(
        self,
        pretrain_img_size: int | Sequence[int] = 224,
        in_channels: int = 3,
        embed_dims: int = 96,
        patch_size: int = 4,
        window_size: int = 7,
        mlp_ratio: float = 4,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        strides: Sequence[int] = (4, 2, 2, 2),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        use_abs_pos_embed: bool = False,
        act_cfg: dict[str, Any] = GELU,
        norm_cfg: dict[str, Any] = LN,
        with_cp: bool = False,
        pretrained: str | None = None,
        frozen_stages: int = -1,
        init_cfg: InitCfg = None,
    ) -> None:
        if pretrained is not None and init_cfg is not None:
            raise UserError("SwinTransformer takes `pretrained` or `init_cfg`, not both")
        super().__init__({"type": "Pretrained", "checkpoint": pretrained} if pretrained else init_cfg)
        _check_settings(embed_dims, depths, num_heads, strides, out_indices, frozen_stages)
        if strides[0] != patch_size:
            raise UserError(
                f"SwinTransformer: patches do not overlap, so strides[0]={strides[0]} must equal"
                f" patch_size={patch_size}"
            )
        if not isinstance(window_size, int) or window_size < 1:
            raise UserError(f"SwinTransformer: window_size={window_size} must be a whole number above 0")
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.num_features = [embed_dims * 2**i for i in range(len(depths))]
        self.out_channels = [self.num_features[i] for i in out_indices]
        self.patch_size, self.use_abs_pos_embed = patch_size, use_abs_pos_embed

        merge_norm = norm_cfg if patch_norm else None
        self.patch_embed = PatchEmbed(in_channels, embed_dims, patch_size, strides[0], norm_cfg=merge_norm)
        if use_abs_pos_embed:
            self.grid = tuple(side // patch_size for side in _height_width(pretrain_img_size))
            places = torch.zeros(1, self.grid[0] * self.grid[1], embed_dims)
            self.absolute_pos_embed = nn.Parameter(places)
        self.drop_after_pos = nn.Dropout(drop_rate)
        rates = drop_path_rates(drop_path_rate, sum(depths))
        self.stages = nn.ModuleList()
        for i, (depth, dims) in enumerate(zip(depths, self.num_features, strict=True)):
            last = i == len(depths) - 1
            stage = SwinStage(
                dims,
                num_heads[i],
                hidden=int(mlp_ratio * dims),
                window=window_size,
                qkv_bias=qkv_bias,
                qk_scale=qk_scale,
                drop=drop_rate,
                attn_drop=attn_drop_rate,
                drop_paths=rates[sum(depths[:i]) : sum(depths[: i + 1])],
                merging=None if last else PatchMerging(dims, 2 * dims, strides[i + 1], merge_norm),
                act_cfg=act_cfg,
                norm_cfg=norm_cfg,
                with_cp=with_cp,
            )
            assert len(stage.blocks) == depth
            self.stages.append(stage)
        for i in out_indices:
            self.add_module(f"norm{i}", build_norm_layer(norm_cfg, self.num_features[i])[1])
        for module in self._frozen():
            module.requires_grad_(False)
        if use_abs_pos_embed and frozen_stages >= 0:
            self.absolute_pos_embed.requires_grad_(False)

    def _frozen(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        stages = range(self.frozen_stages)
        norms = [getattr(self, f"norm{i}") for i in stages if i in self.out_indices]
        return [self.patch_embed, self.drop_after_pos, *(self.stages[i] for i in stages), *norms]

    def train(self, mode: bool = True) -> SwinTransformer:
        """Set the mode; frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def default_init(self) -> None:
        """Linear layers and absolute positions from a truncated normal (std 0.02), norms 1 and 0.

        Relative position biases stay at 0 and the patch embedding as its layer draws it, as in 0.25.
        """
        if self.use_abs_pos_embed:
            nn.init.trunc_normal_(self.absolute_pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_init(module, std=0.02)
            elif isinstance(module, nn.LayerNorm):
                constant_init(module, 1.0)

    def adapt_pretrained(self, weights: dict[str, Tensor], source: str) -> dict[str, Tensor]:
        """Turn the weights of a ``Pretrained`` file into this model's, see :func:`fit_pretrained`."""
        grid = self.grid if self.use_abs_pos_embed else None
        return fit_pretrained(weights, self.state_dict(), grid, source)

    def forward(self, x: Tensor) -> list[Tensor]:
        below, beside = (missing_cells(side, self.patch_size, self.patch_size) for side in x.shape[2:])
        if is_exporting() or below or beside:
            x = F.pad(x, (0, beside, 0, below))
        tokens, hw = self.patch_embed(x)
        if self.use_abs_pos_embed:
            tokens = tokens + resize_positions(self.absolute_pos_embed, self.grid, hw)
        x = self.drop_after_pos(tokens).unflatten(1, hw)
        outs = []
        for i, stage in enumerate(self.stages):
            out, x = stage(x)
            if i in self.out_indices:
                outs.append(getattr(self, f"norm{i}")(out).permute(0, 3, 1, 2))
        return outs


def _height_width(size: int | Sequence[int]) -> tuple[int, int]:
    sides = [size] if isinstance(size, int) else list(size)
    if len(sides) not in (1, 2):
        raise UserError(f"SwinTransformer: pretrain_img_size={size} must be one number or (height, width)")
    return sides[0], sides[-1]


def _check_settings(
    embed_dims: int,
    depths: Sequence[int],
    num_heads: Sequence[int],
    strides: Sequence[int],
    out_indices: Sequence[int],
    frozen_stages: int,
) -> None:
    stages = len(depths)
    for name, values in {"num_heads": num_heads, "strides": strides}.items():
        if not isinstance(values, list | tuple) or len(values) != stages:
            raise UserError(
                f"SwinTransformer: {name}={values} must have one entry for each of the {stages} stages of"
                f" depths={list(depths)}"
            )
    for i, heads in enumerate(num_heads):
        if (embed_dims * 2**i) % heads:
            raise UserError(
                f"SwinTransformer: the {embed_dims * 2**i} channels of stage {i} do not divide by"
                f" num_heads[{i}]={heads}"
            )
    check_indices("SwinTransformer", out_indices, stages)
    if not isinstance(frozen_stages, int) or not -1 <= frozen_stages <= stages:
        raise UserError(
            f"SwinTransformer: frozen_stages={frozen_stages} must lie between -1 and the {stages} stages"
        )
