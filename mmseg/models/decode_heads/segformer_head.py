"""All-MLP head (Xie et al., 2021, "SegFormer: Simple and Efficient Design for Semantic Segmentation
with Transformers", section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.layers import ConvModule, resize
from mmseg.models.layers.fold import folded, folds
from mmseg.models.layers.resize import resize_unless_same
from mmseg.utils.errors import UserError

# The fusing convolution has this activation whatever `act_cfg` says, as in MMSegmentation 0.25.
FUSION_ACT = {"type": "ReLU"}


@HEADS.register_module()
class SegformerHead(BaseDecodeHead):
    """One 1x1 convolution per map, all maps resized to the first, one 1x1 convolution over them.

    Args:
        interpolate_mode: How the maps are resized: ``'bilinear'``, ``'nearest'``, ``'bicubic'``.
        exact: Resize, join, convolve: the sequence of MMSegmentation 0.25. By default the fusing
            convolution is applied to each map at its own resolution, and the results are resized
            and added: the same sum, for resizing acts within a channel and the convolution within
            a position, both linearly.
        **kwargs: Those of :class:`BaseDecodeHead`; ``in_channels`` and ``in_index`` are lists.
    """

    def __init__(
        self,
        interpolate_mode: str = "bilinear",
        input_transform: str = "multiple_select",
        exact: bool = False,
        **kwargs: Any,
    ) -> None:
        if input_transform != "multiple_select":
            raise UserError(
                f"SegformerHead works with input_transform='multiple_select', not {input_transform!r}"
            )
        if interpolate_mode not in ("bilinear", "nearest", "bicubic"):
            raise UserError(
                "SegformerHead: interpolate_mode is 'bilinear', 'nearest' or 'bicubic', not"
                f" {interpolate_mode!r}"
            )
        super().__init__(input_transform=input_transform, **kwargs)
        self.interpolate_mode, self.exact = interpolate_mode, exact
        self.convs = nn.ModuleList(
            ConvModule(c, self.channels, 1, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
            for c in self.in_channels
        )
        joined = self.channels * len(self.in_channels)
        self.fusion_conv = ConvModule(joined, self.channels, 1, norm_cfg=self.norm_cfg, act_cfg=FUSION_ACT)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        inputs = self._transform_inputs(feats)
        maps = [conv(x) for conv, x in zip(self.convs, inputs, strict=True)]
        fused = self._join_then_fuse(maps) if self.exact else self._fuse_then_add(maps)
        return self.cls_seg(fused)

    def _join_then_fuse(self, maps: list[Tensor]) -> Tensor:
        size = maps[0].shape[2:]
        resized = [resize(x, size, None, self.interpolate_mode, self.align_corners) for x in maps]
        return self.fusion_conv(torch.cat(resized, dim=1))

    def _fuse_then_add(self, maps: list[Tensor]) -> Tensor:
        size, conv, norm = maps[0].shape[2:], self.fusion_conv.conv, self.fusion_conv.norm
        normed = norm is not None and folds(maps[0], conv, norm)
        weight, bias = folded(conv, norm) if normed else (conv.weight, conv.bias)
        weights = weight.split(self.channels, dim=1)
        total = F.conv2d(maps[0], weights[0], bias)
        for x, weight in zip(maps[1:], weights[1:], strict=True):
            part = F.conv2d(x, weight)
            total += resize_unless_same(part, size, self.interpolate_mode, self.align_corners)
        return self.fusion_conv.after_conv(total, normed)
