"""Atrous spatial pyramid pooling (Chen et al., 2017, "Rethinking Atrous Convolution for Semantic Image
Segmentation", section 3.3: DeepLabV3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.inputs import check_takes_one
from mmseg.models.decode_heads.pooled_maps import can_stay_small, conv_with_pooled
from mmseg.models.decode_heads.psp_head import PooledConv
from mmseg.models.layers import ConvModule, resize
from mmseg.utils.errors import UserError


class ASPPModule(nn.ModuleList):
    """Parallel convolutions: 1x1 where the dilation is 1, dilated 3x3 elsewhere.

    Args:
        dilations: One per branch.
        in_channels, channels: Of the input, and of each outcome.
        conv_cfg, norm_cfg, act_cfg: Of the convolutions.

    Forward: (N, in_channels, H, W) to a list of (N, channels, H, W), one per dilation.
    """

    def __init__(
        self,
        dilations: Sequence[int],
        in_channels: int,
        channels: int,
        conv_cfg: dict[str, Any] | None,
        norm_cfg: dict[str, Any] | None,
        act_cfg: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.dilations, self.in_channels, self.channels = tuple(dilations), in_channels, channels
        self.conv_cfg, self.norm_cfg, self.act_cfg = conv_cfg, norm_cfg, act_cfg
        for dilation in dilations:
            self.append(self._pointwise() if dilation == 1 else self._dilated(dilation))

    def _pointwise(self) -> nn.Module:
        return ConvModule(
            self.in_channels,
            self.channels,
            1,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )

    def _dilated(self, dilation: int) -> nn.Module:
        return ConvModule(
            self.in_channels,
            self.channels,
            3,
            padding=dilation,
            dilation=dilation,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        return [branch(x) for branch in self]


@HEADS.register_module()
class ASPPHead(BaseDecodeHead):
    """The map's average and its convolutions at several dilations, joined and fused by a 3x3 convolution.

    Args:
        dilations: Of the parallel convolutions.
        **kwargs: Those of :class:`BaseDecodeHead`.
    """

    branches: type[ASPPModule] = ASPPModule

    def __init__(self, dilations: Sequence[int] = (1, 6, 12, 18), **kwargs: Any) -> None:
        name = type(self).__name__
        if not isinstance(dilations, list | tuple) or not dilations or min(dilations) < 1:
            raise UserError(f"{name}: dilations is a list of numbers >= 1, not {dilations!r}")
        check_takes_one(name, kwargs.get("input_transform"))
        super().__init__(**kwargs)
        self.dilations = dilations
        layers = {"conv_cfg": self.conv_cfg, "norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}
        self.image_pool = PooledConv(1, self.in_channels, self.channels, **layers)
        self.aspp_modules = self.branches(dilations, self.in_channels, self.channels, **layers)
        joined = (len(dilations) + 1) * self.channels
        self.bottleneck = ConvModule(joined, self.channels, 3, padding=1, **layers)

    def _forward_feature(self, inputs: Sequence[Tensor]) -> Tensor:
        """The map (N, channels, h, w) that the branches give together."""
        x = self._transform_inputs(inputs)
        average, branches = self.image_pool(x), self.aspp_modules(x)
        if self.exact or not can_stay_small(self.bottleneck, [average]):
            average = resize(average, x.shape[2:], None, "bilinear", self.align_corners)
            return self.bottleneck(torch.cat([average, *branches], dim=1))
        # The average is one value per channel: the same as above, with less work.
        x, conv = torch.cat(branches, dim=1), self.bottleneck.conv
        joined = conv_with_pooled(conv, [average], x, [], self.align_corners)
        return self.bottleneck.after_conv(joined)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.cls_seg(self._forward_feature(inputs))
