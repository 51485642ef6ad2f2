"""UPerNet's head (Xiao et al., 2018, "Unified Perceptual Parsing for Scene Understanding", section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.inputs import check_takes_several
from mmseg.models.decode_heads.psp_head import PPM, check_pool_scales
from mmseg.models.layers import ConvModule, resize


@HEADS.register_module()
class UPerHead(BaseDecodeHead):
    """Pyramid pooling on the last map, a feature pyramid down to the first, all levels joined and fused.

    The logits have the size of the first map.

    Args:
        pool_scales: Cells along each side of the pooled grids.
        **kwargs: Those of :class:`BaseDecodeHead`; ``in_channels`` and ``in_index`` are lists.
    """

    def __init__(
        self,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        input_transform: str = "multiple_select",
        **kwargs: Any,
    ) -> None:
        check_pool_scales("UPerHead", pool_scales)
        check_takes_several("UPerHead", input_transform)
        super().__init__(input_transform=input_transform, **kwargs)
        layers = {"conv_cfg": self.conv_cfg, "norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}
        channels, last = self.channels, self.in_channels[-1]
        self.psp_modules = PPM(pool_scales, last, channels, align_corners=self.align_corners, **layers)
        self.bottleneck = ConvModule(last + len(pool_scales) * channels, channels, 3, padding=1, **layers)
        finer = self.in_channels[:-1]
        self.lateral_convs = nn.ModuleList(ConvModule(c, channels, 1, **layers) for c in finer)
        self.fpn_convs = nn.ModuleList(ConvModule(channels, channels, 3, padding=1, **layers) for _ in finer)
        joined = len(self.in_channels) * channels
        self.fpn_bottleneck = ConvModule(joined, channels, 3, padding=1, **layers)

    def psp_forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Pyramid pooling on the last of ``inputs``: (N, channels, h, w)."""
        return self.psp_modules.joined(inputs[-1], self.bottleneck, exact=self.exact)

    def _forward_feature(self, inputs: Sequence[Tensor]) -> Tensor:
        """The map (N, channels, h, w) before the classifier."""
        inputs = self._transform_inputs(inputs)
        levels = [conv(x) for conv, x in zip(self.lateral_convs, inputs[:-1], strict=True)]
        levels.append(self.psp_forward(inputs))
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + self._resize(levels[i], like=levels[i - 1])
        outs = [conv(x) for conv, x in zip(self.fpn_convs, levels[:-1], strict=True)]
        outs.append(levels[-1])
        outs[1:] = [self._resize(x, like=outs[0]) for x in outs[1:]]
        return self.fpn_bottleneck(torch.cat(outs, dim=1))

    def _resize(self, x: Tensor, like: Tensor) -> Tensor:
        return resize(x, like.shape[2:], None, "bilinear", self.align_corners)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.cls_seg(self._forward_feature(inputs))
