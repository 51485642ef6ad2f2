"""Semantic branch on a feature pyramid (Kirillov et al., 2019, "Panoptic Feature Pyramid Networks",
section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.inputs import check_takes_several
from mmseg.models.layers import ConvModule, resize
from mmseg.utils.errors import UserError


@HEADS.register_module()
class FPNHead(BaseDecodeHead):
    """Each level is convolved and doubled in size until it has the first one's, then they are added up.

    Args:
        feature_strides: Strides of the maps against the image, the first the smallest.
        **kwargs: Those of :class:`BaseDecodeHead`; ``in_channels`` and ``in_index`` are lists.
    """

    def __init__(
        self, feature_strides: Sequence[int], input_transform: str = "multiple_select", **kwargs: Any
    ) -> None:
        check_takes_several("FPNHead", input_transform)
        super().__init__(input_transform=input_transform, **kwargs)
        if len(feature_strides) != len(self.in_channels) or min(feature_strides) != feature_strides[0]:
            raise UserError(
                f"FPNHead: feature_strides={feature_strides} must have one entry for each of in_channels="
                f"{self.in_channels}, the first the smallest"
            )
        self.feature_strides = feature_strides
        self.scale_heads = nn.ModuleList(
            self._scale_head(c, stride) for c, stride in zip(self.in_channels, feature_strides, strict=True)
        )

    def _scale_head(self, in_channels: int, stride: int) -> nn.Sequential:
        first = self.feature_strides[0]
        layers: list[nn.Module] = []
        for i in range(max(1, int(math.log2(stride) - math.log2(first)))):
            conv = ConvModule(
                self.channels if i else in_channels,
                self.channels,
                3,
                padding=1,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
                act_cfg=self.act_cfg,
            )
            layers.append(conv)
            if stride != first:
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=self.align_corners))
        return nn.Sequential(*layers)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        maps = [head(x) for head, x in zip(self.scale_heads, self._transform_inputs(inputs), strict=True)]
        output = maps[0]
        for x in maps[1:]:
            # Doubling a level of an odd-sized image overshoots by a row or a column.
            output = output + resize(x, output.shape[2:], None, "bilinear", self.align_corners)
        return self.cls_seg(output)
