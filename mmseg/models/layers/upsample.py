"""Layers that enlarge a feature map, by the names that ``upsample_cfg`` of a config uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.layers.activation import build_activation
from mmseg.models.layers.checkpointing import checkpointed
from mmseg.models.layers.conv_module import ConvModule
from mmseg.models.layers.norm import build_norm_layer
from mmseg.models.layers.resize import resize
from mmseg.registry import Registry, check_arguments
from mmseg.utils.errors import UserError

UPSAMPLE_LAYERS = Registry("upsample layer")
BN = {"type": "BN"}
RELU = {"type": "ReLU"}
TWICE = {"scale_factor": 2, "mode": "bilinear", "align_corners": False}


def build_upsample_layer(
    cfg: dict[str, Any],
    in_channels: int,
    out_channels: int,
    with_cp: bool = False,
    norm_cfg: dict[str, Any] | None = BN,
    act_cfg: dict[str, Any] | None = RELU,
) -> nn.Module:
    """Build the layer that ``cfg['type']`` names.

    Args:
        cfg: ``type`` (``'InterpConv'``, ``'DeconvModule'``) and the layer's own arguments.
        in_channels, out_channels: Of its input and its output.
        with_cp: Compute it again in the backward pass instead of keeping its activations.
        norm_cfg, act_cfg: What follows its convolution.

    Raises:
        UserError: an unknown type or argument.
    """
    given = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "with_cp": with_cp,
        "norm_cfg": norm_cfg,
        "act_cfg": act_cfg,
    }
    return UPSAMPLE_LAYERS.build(cfg, default_args=given)


class Upsample(nn.Module):
    """Resizing as a layer: (N, C, H, W) to ``size``, or to H and W times ``scale_factor``, rounded down.

    Args:
        size: (h, w), or one number for both.
        scale_factor: One number, or (for h, for w).
        mode, align_corners: As :func:`torch.nn.functional.interpolate` takes them.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise UserError(
                f"upsample_cfg takes one of `size` and `scale_factor`, but size={size} and"
                f" scale_factor={scale_factor}"
            )
        self.size = (size, size) if isinstance(size, int) else size
        factors = scale_factor if isinstance(scale_factor, list | tuple) else (scale_factor, scale_factor)
        self.scale_factor = None if scale_factor is None else tuple(float(f) for f in factors)
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = self.size
        if size is None:
            size = [_times(side, factor) for side, factor in zip(x.shape[2:], self.scale_factor, strict=True)]
        return resize(x, size, None, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        return f"size={self.size}, scale_factor={self.scale_factor}, mode={self.mode!r}"


def _times(side: int, factor: float) -> int:
    # Not by way of a float where that is not needed: tracers and exporters know whole sides only.
    return side * int(factor) if factor.is_integer() else torch.sym_int(side * factor)


@UPSAMPLE_LAYERS.register_module()
class InterpConv(nn.Module):
    """Interpolation and a convolution with normalisation and activation.

    Args:
        in_channels, out_channels: Of the input and the output.
        with_cp: Compute it again in the backward pass instead of keeping its activations.
        norm_cfg, act_cfg: What follows the convolution.
        conv_cfg, kernel_size, stride, padding: Of the convolution.
        conv_first: Convolve, normalise and activate before the interpolation, not after it.
        upsample_cfg: Arguments of :class:`Upsample`.

    Attributes:
        exact: Interpolate, convolve: the sequence of MMSegmentation 0.25. By default (false) a 1x1
            convolution is done on the small map and its outcome is interpolated, before normalisation
            and activation. It is the same map: interpolation acts within a channel, with weights that
            add up to 1, and the convolution within a position, both linearly.

    Forward: (N, in_channels, H, W) to (N, out_channels, 2H, 2W) by default.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        with_cp: bool = False,
        norm_cfg: dict[str, Any] | None = BN,
        act_cfg: dict[str, Any] | None = RELU,
        *,
        conv_cfg: dict[str, Any] | None = None,
        conv_first: bool = False,
        kernel_size: int = 1,
        stride: int = 1,
        padding: int = 0,
        upsample_cfg: dict[str, Any] = TWICE,
    ) -> None:
        super().__init__()
        self.with_cp, self.conv_first, self.exact = with_cp, conv_first, False
        conv = ConvModule(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        check_arguments(Upsample, upsample_cfg)
        upsample = Upsample(**upsample_cfg)
        self.interp_upsample = nn.Sequential(*((conv, upsample) if conv_first else (upsample, conv)))
        pointwise = conv.conv.kernel_size == (1, 1) and conv.conv.stride == (1, 1)
        self._may_swap = pointwise and conv.conv.padding == (0, 0) and not conv_first

    def _compute(self, x: Tensor) -> Tensor:
        if self.exact or not self._may_swap:
            return self.interp_upsample(x)
        upsample, conv = self.interp_upsample
        return conv.after_conv(upsample(conv.conv(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return checkpointed(self, self._compute, x)
        return self._compute(x)


@UPSAMPLE_LAYERS.register_module()
class DeconvModule(nn.Module):
    """Transposed convolution, normalisation and activation.

    Args:
        in_channels, out_channels: Of the input and the output.
        with_cp: Compute it again in the backward pass instead of keeping its activations.
        norm_cfg, act_cfg: What follows the convolution.
        kernel_size: Not below ``scale_factor``, and even or odd as that is.
        scale_factor: How many times higher and wider the map becomes.

    Forward: (N, in_channels, H, W) to (N, out_channels, scale_factor * H, scale_factor * W).

    Raises:
        UserError: ``kernel_size`` and ``scale_factor`` do not fit together.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        with_cp: bool = False,
        norm_cfg: dict[str, Any] | None = BN,
        act_cfg: dict[str, Any] | None = RELU,
        *,
        kernel_size: int = 4,
        scale_factor: int = 2,
    ) -> None:
        super().__init__()
        if kernel_size < scale_factor or (kernel_size - scale_factor) % 2:
            raise UserError(
                f"DeconvModule: kernel_size={kernel_size} must exceed scale_factor={scale_factor} by an even"
                " number, or equal it"
            )
        self.with_cp = with_cp
        padding = (kernel_size - scale_factor) // 2
        layers = [nn.ConvTranspose2d(in_channels, out_channels, kernel_size, scale_factor, padding)]
        if norm_cfg is not None:
            layers.append(build_norm_layer(norm_cfg, out_channels)[1])
        if act_cfg is not None:
            layers.append(build_activation(act_cfg, inplace=True))
        self.deconv_upsamping = nn.Sequential(*layers)  # state dicts of 0.25 spell it so

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return checkpointed(self, self.deconv_upsamping, x)
        return self.deconv_upsamping(x)
