"""Decoder of DeepLabV3+ (Chen et al., 2018, "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation", section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.aspp_head import ASPPHead, ASPPModule
from mmseg.models.layers import ConvModule, DepthwiseSeparableConvModule, resize
from mmseg.models.layers.depthwise import DilatedDepthwiseConv
from mmseg.utils.errors import UserError


class DepthwiseSeparableASPPModule(ASPPModule):
    """:class:`ASPPModule` whose dilated convolutions are depthwise separable."""

    def _dilated(self, dilation: int) -> nn.Module:
        module = DepthwiseSeparableConvModule(
            self.in_channels,
            self.channels,
            3,
            padding=dilation,
            dilation=dilation,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )
        module.depthwise_conv.conv = DilatedDepthwiseConv.like(module.depthwise_conv.conv)
        return module


@HEADS.register_module()
class DepthwiseSeparableASPPHead(ASPPHead):
    """ASPP on a deep map, resized and joined to the backbone's first map, then two 3x3 convolutions.

    The logits have the size of the first map.

    Args:
        c1_in_channels: Channels of the first map; 0 leaves it out.
        c1_channels: Channels that it is reduced to; 0 where it is left out.
        **kwargs: Those of :class:`ASPPHead`.
    """

    branches = DepthwiseSeparableASPPModule

    def __init__(self, c1_in_channels: int, c1_channels: int, **kwargs: Any) -> None:
        if c1_in_channels < 0 or c1_channels < 0 or (c1_in_channels == 0) != (c1_channels == 0):
            raise UserError(
                f"DepthwiseSeparableASPPHead: c1_in_channels={c1_in_channels} and c1_channels={c1_channels}"
                " must both be above 0, or both 0 to do without the first map"
            )
        super().__init__(**kwargs)
        self.c1_in_channels = c1_in_channels
        layers = {"norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}
        self.c1_bottleneck = None
        if c1_in_channels:
            self.c1_bottleneck = ConvModule(c1_in_channels, c1_channels, 1, conv_cfg=self.conv_cfg, **layers)
        self.sep_bottleneck = nn.Sequential(
            DepthwiseSeparableConvModule(self.channels + c1_channels, self.channels, 3, padding=1, **layers),
            DepthwiseSeparableConvModule(self.channels, self.channels, 3, padding=1, **layers),
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        output = self._forward_feature(inputs)
        if self.c1_bottleneck is not None:
            if inputs[0].shape[1] != self.c1_in_channels:
                raise UserError(
                    f"DepthwiseSeparableASPPHead: c1_in_channels says {self.c1_in_channels}, but the first"
                    f" feature map has {inputs[0].shape[1]} channels"
                )
            c1 = self.c1_bottleneck(inputs[0])
            output = resize(output, c1.shape[2:], None, "bilinear", self.align_corners)
            output = torch.cat([output, c1], dim=1)
        return self.cls_seg(self.sep_bottleneck(output))
