"""Fully convolutional head with depthwise separable convolutions (as in Poudel et al., 2019, "Fast-SCNN:
Fast Semantic Segmentation Network")."""

from __future__ import annotations

from typing import Any

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.fcn_head import FCNHead
from mmseg.models.layers import DepthwiseSeparableConvModule


@HEADS.register_module()
class DepthwiseSeparableFCNHead(FCNHead):
    """:class:`FCNHead` whose convolutions are depthwise separable.

    As in MMSegmentation 0.25, ``dilation`` and ``act_cfg`` have no effect here: the convolutions are
    not dilated, and the activation of the pointwise ones is ReLU.

    Args:
        dw_act_cfg: Activation between depthwise and pointwise convolution; None: none.
        **kwargs: Those of :class:`FCNHead`.
    """

    def __init__(self, dw_act_cfg: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.dw_act_cfg = dw_act_cfg
        super().__init__(**kwargs)

    def _conv(self, in_channels: int, **kwargs: int) -> DepthwiseSeparableConvModule:
        return DepthwiseSeparableConvModule(
            in_channels,
            self.channels,
            self.kernel_size,
            padding=self.kernel_size // 2,
            norm_cfg=self.norm_cfg,
            dw_act_cfg=self.dw_act_cfg,
        )
