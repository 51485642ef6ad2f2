"""U-Net (Ronneberger et al., 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
section 2), with padded convolutions, so that its maps keep the size of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg.models.builder import BACKBONES
from mmseg.models.init import initialize
from mmseg.models.layers import ConvModule, checkpointed
from mmseg.models.layers.upsample import DeconvModule, InterpConv, build_upsample_layer
from mmseg.models.module import BaseModule, InitCfg
from mmseg.utils.errors import UserError

__all__ = ["BasicConvBlock", "DeconvModule", "InterpConv", "UNet", "UpConvBlock"]

BN = {"type": "BN"}
RELU = {"type": "ReLU"}
INTERPOLATION = {"type": "InterpConv"}


class BasicConvBlock(nn.Module):
    """``num_convs`` 3x3 convolutions, each with normalisation and activation.

    Args:
        in_channels, out_channels: Of the input and of every convolution's output.
        stride: Of the first convolution.
        dilation: Of all but the first.
        with_cp: Compute it again in the backward pass instead of keeping its activations.

    Forward: (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_convs: int = 2,
        stride: int = 1,
        dilation: int = 1,
        with_cp: bool = False,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = BN,
        act_cfg: dict[str, Any] | None = RELU,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        layers = []
        for i in range(num_convs):
            reach = dilation if i else 1
            layers.append(
                ConvModule(
                    out_channels if i else in_channels,
                    out_channels,
                    kernel_size=3,
                    stride=1 if i else stride,
                    padding=reach,
                    dilation=reach,
                    conv_cfg=conv_cfg,
                    norm_cfg=norm_cfg,
                    act_cfg=act_cfg,
                )
            )
        self.convs = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return checkpointed(self, self.convs, x)
        return self.convs(x)


class UpConvBlock(nn.Module):
    """A step of the decoder: enlarge the map, join the encoder's map, convolve.

    Args:
        in_channels: Of the map from below.
        skip_channels: Of the encoder's map, and of the enlarged one.
        out_channels: Of the output.
        num_convs, dilation: Of the convolutions, see :class:`BasicConvBlock`.
        upsample_cfg: The layer that enlarges; None for a 1x1 convolution that keeps the size.

    Forward: the encoder's map (N, skip_channels, H, W) and the map from below (N, in_channels, h, w) to
    (N, out_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        num_convs: int = 2,
        dilation: int = 1,
        with_cp: bool = False,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = BN,
        act_cfg: dict[str, Any] | None = RELU,
        upsample_cfg: dict[str, Any] | None = INTERPOLATION,
    ) -> None:
        super().__init__()
        self.conv_block = BasicConvBlock(
            2 * skip_channels,
            out_channels,
            num_convs=num_convs,
            dilation=dilation,
            with_cp=with_cp,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        if upsample_cfg is None:
            self.upsample: nn.Module = ConvModule(
                in_channels, skip_channels, 1, conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg
            )
        else:
            self.upsample = build_upsample_layer(
                upsample_cfg, in_channels, skip_channels, with_cp=with_cp, norm_cfg=norm_cfg, act_cfg=act_cfg
            )

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        below, x = x, self.upsample(x)
        if x.shape[2:] != skip.shape[2:]:
            small, large, beside = (f"{m.shape[2]}x{m.shape[3]}" for m in (below, x, skip))
            raise UserError(
                f"UNet: upsample_cfg makes a map of {large} of one of {small}, but the encoder's map beside"
                f" it has {beside}; its factor must be that of `strides` and `downsamples`"
            )
        return self.conv_block(torch.cat([skip, x], dim=1))


@BACKBONES.register_module()
class UNet(BaseModule):
    """U-Net: an encoder of falling resolution, and a decoder that climbs back up beside it.

    Stage i of the encoder has ``base_channels * 2**i`` channels.

    Args:
        strides: One per stage, of its first convolution.
        enc_num_convs, dec_num_convs: Convolutions of each stage of the encoder, and of each of the
            ``num_stages - 1`` steps of the decoder.
        downsamples: For each stage but the first, whether its map is half as high and wide as the one
            before: by max-pooling, or with a stride above 1 by that alone.
        enc_dilations, dec_dilations: Of all but the first convolution of each stage or step.
        with_cp: Recompute the blocks in the backward pass instead of keeping their activations.
        upsample_cfg: What enlarges the maps: ``InterpConv`` or ``DeconvModule`` with their arguments.
        norm_eval: Keep batch normalisation in evaluation mode while training.
        dcn, plugins: Must stay None; they are arguments of MMSegmentation 0.25, which has neither.
        pretrained: A checkpoint for ``init_weights()``, the same as
            ``init_cfg=dict(type='Pretrained', checkpoint=...)``.

    Forward: (N, in_channels, H, W) to ``num_stages`` maps of the decoder, from the smallest, which is
    the encoder's last, to the largest; by default 1024, 512, 256, 128, 64 channels at 1/16, 1/8, 1/4,
    1/2, 1 of the size.

    Raises:
        UserError: settings that do not fit together; an image whose sides the product of the strides
            (16 by default) does not divide.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        num_stages: int = 5,
        strides: Sequence[int] = (1, 1, 1, 1, 1),
        enc_num_convs: Sequence[int] = (2, 2, 2, 2, 2),
        dec_num_convs: Sequence[int] = (2, 2, 2, 2),
        downsamples: Sequence[bool] = (True, True, True, True),
        enc_dilations: Sequence[int] = (1, 1, 1, 1, 1),
        dec_dilations: Sequence[int] = (1, 1, 1, 1),
        with_cp: bool = False,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = BN,
        act_cfg: dict[str, Any] | None = RELU,
        upsample_cfg: dict[str, Any] = INTERPOLATION,
        norm_eval: bool = False,
        dcn: None = None,
        plugins: None = None,
        pretrained: str | None = None,
        init_cfg: InitCfg = None,
    ) -> None:
        if pretrained is not None and init_cfg is not None:
            raise UserError("UNet takes `pretrained` or `init_cfg`, not both")
        super().__init__({"type": "Pretrained", "checkpoint": pretrained} if pretrained else init_cfg)
        for name, value in (("dcn", dcn), ("plugins", plugins)):
            if value is not None:
                raise UserError(f"UNet has no {name}: leave `{name}` out, or set it to None")
        per_stage = {"strides": strides, "enc_num_convs": enc_num_convs, "enc_dilations": enc_dilations}
        per_step = {
            "dec_num_convs": dec_num_convs,
            "downsamples": downsamples,
            "dec_dilations": dec_dilations,
        }
        _check_lengths(per_stage, num_stages, f"num_stages={num_stages} stages")
        _check_lengths(per_step, num_stages - 1, f"the {num_stages - 1} steps between {num_stages} stages")
        widths = [base_channels * 2**i for i in range(num_stages)]
        self.out_channels = widths[::-1]
        self.norm_eval = norm_eval
        common = dict(with_cp=with_cp, conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        factors = []
        for i, width in enumerate(widths):
            halves = i > 0 and bool(downsamples[i - 1])
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if halves and strides[i] == 1 else []
            factors.append(2 if layers else strides[i])
            block = BasicConvBlock(
                widths[i - 1] if i else in_channels,
                width,
                num_convs=enc_num_convs[i],
                stride=strides[i],
                dilation=enc_dilations[i],
                **common,
            )
            self.encoder.append(nn.Sequential(*layers, block))
            if i > 0:
                step = UpConvBlock(
                    width,
                    skip_channels=widths[i - 1],
                    out_channels=widths[i - 1],
                    num_convs=dec_num_convs[i - 1],
                    dilation=dec_dilations[i - 1],
                    upsample_cfg=upsample_cfg if halves or strides[i] != 1 else None,
                    **common,
                )
                self.decoder.append(step)
        self.size_divisor = math.prod(factors)

    def train(self, mode: bool = True) -> UNet:
        """Set the mode; with ``norm_eval`` batch normalisation stays in evaluation mode."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def default_init(self) -> None:
        """He initialisation for the convolutions; normalisation 1 and 0."""
        initialize(self, {"type": "Kaiming", "layer": "Conv2d"})
        initialize(self, {"type": "Constant", "val": 1.0, "layer": ["_BatchNorm", "GroupNorm"]})

    def forward(self, x: Tensor) -> list[Tensor]:
        (h, w), divisor = x.shape[2:], self.size_divisor
        if h % divisor or w % divisor:
            raise UserError(
                f"UNet: both sides of the image must divide by {divisor}, but it has {h}x{w} (h x w);"
                f" put dict(type='ResizeToMultiple', size_divisor={divisor}) in the pipeline after the"
                f" resizing, or dict(type='Pad', size_divisor={divisor}), or a crop_size that divides"
            )
        enc_outs = []
        for stage in self.encoder:
            x = stage(x)
            enc_outs.append(x)
        dec_outs = [x]
        for i in reversed(range(len(self.decoder))):
            x = self.decoder[i](enc_outs[i], x)
            dec_outs.append(x)
        return dec_outs


def _check_lengths(settings: dict[str, Sequence[Any]], length: int, what: str) -> None:
    for name, values in settings.items():
        if not isinstance(values, list | tuple) or len(values) != length:
            raise UserError(f"UNet: {name}={values} must have one entry for each of {what}")
