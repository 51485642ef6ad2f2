"""Depthwise separable convolution (Chollet, 2017, "Xception: Deep Learning with Depthwise Separable
Convolutions")."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmseg.models.layers.conv_module import DEFAULT_ACT, ConvModule
from mmseg.utils.errors import UserError

# In place of a configuration, where None already means "without".
SAME = "default"


class DepthwiseSeparableConvModule(nn.Module):
    """``depthwise_conv``, one filter per channel, then the 1x1 ``pointwise_conv`` over the channels.

    Args:
        kernel_size, stride, padding, dilation: Of the depthwise convolution.
        norm_cfg, act_cfg: Of both convolutions; ``None`` leaves the part out.
        dw_norm_cfg, dw_act_cfg, pw_norm_cfg, pw_act_cfg: Of the one or the other alone;
            ``'default'`` means ``norm_cfg`` and ``act_cfg``.
        **kwargs: Further arguments of both :class:`ConvModule`.

    Forward: (N, in_channels, H, W) to (N, out_channels, H', W').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = DEFAULT_ACT,
        dw_norm_cfg: dict[str, Any] | str | None = SAME,
        dw_act_cfg: dict[str, Any] | str | None = SAME,
        pw_norm_cfg: dict[str, Any] | str | None = SAME,
        pw_act_cfg: dict[str, Any] | str | None = SAME,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if "groups" in kwargs:
            raise UserError("a DepthwiseSeparableConvModule has one group per channel; leave `groups` out")
        self.depthwise_conv = ConvModule(
            in_channels,
            in_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups=in_channels,
            norm_cfg=norm_cfg if dw_norm_cfg == SAME else dw_norm_cfg,
            act_cfg=act_cfg if dw_act_cfg == SAME else dw_act_cfg,
            **kwargs,
        )
        self.pointwise_conv = ConvModule(
            in_channels,
            out_channels,
            1,
            norm_cfg=norm_cfg if pw_norm_cfg == SAME else pw_norm_cfg,
            act_cfg=act_cfg if pw_act_cfg == SAME else pw_act_cfg,
            **kwargs,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))
