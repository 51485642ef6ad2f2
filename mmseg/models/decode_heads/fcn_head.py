"""Fully convolutional head (Long et al., 2015, "Fully Convolutional Networks for Semantic
Segmentation"), mostly as auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.inputs import check_takes_one
from mmseg.models.layers import ConvModule
from mmseg.utils.errors import UserError


@HEADS.register_module()
class FCNHead(BaseDecodeHead):
    """Some convolutions, then the classifier.

    Args:
        num_convs: Number of convolutions; with 0, ``in_channels`` must equal ``channels``.
        kernel_size, dilation: Of these convolutions.
        concat_input: Join the input to their output, and convolve once more.
        **kwargs: Those of :class:`BaseDecodeHead`.
    """

    def __init__(
        self,
        num_convs: int = 2,
        kernel_size: int = 3,
        concat_input: bool = True,
        dilation: int = 1,
        **kwargs: Any,
    ) -> None:
        if num_convs < 0 or dilation < 1:
            raise UserError(f"FCNHead: num_convs={num_convs} must be >= 0 and dilation={dilation} >= 1")
        super().__init__(**kwargs)
        check_takes_one(type(self).__name__, self.input_transform)
        self.num_convs, self.concat_input, self.kernel_size = num_convs, concat_input, kernel_size
        if num_convs == 0 and self.in_channels != self.channels:
            raise UserError(
                f"FCNHead: with num_convs=0, in_channels={self.in_channels} must equal"
                f" channels={self.channels}"
            )
        padding = kernel_size // 2 * dilation
        convs = [
            self._conv(self.channels if i else self.in_channels, padding=padding, dilation=dilation)
            for i in range(num_convs)
        ]
        self.convs = nn.Sequential(*convs) if convs else nn.Identity()
        if concat_input:
            self.conv_cat = self._conv(self.in_channels + self.channels, padding=kernel_size // 2)

    def _conv(self, in_channels: int, **kwargs: int) -> ConvModule:
        return ConvModule(
            in_channels,
            self.channels,
            self.kernel_size,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
            **kwargs,
        )

    def _forward_feature(self, feats: Sequence[Tensor]) -> Tensor:
        """The map (N, channels, h, w) before the classifier."""
        x = self._transform_inputs(feats)
        out = self.convs(x)
        return self.conv_cat(torch.cat([x, out], dim=1)) if self.concat_input else out

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        return self.cls_seg(self._forward_feature(feats))
