"""The two residual blocks, and a stage of them (He et al., 2016, "Deep Residual Learning for Image
Recognition", figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.layers import build_norm_layer, checkpointed
from mmseg.models.layers.fold import ConvNormSequential, conv_norm


class ResidualBlock(nn.Module):
    """Convolutions beside a shortcut.

    Args:
        parts: One dictionary of arguments of ``nn.Conv2d`` per convolution. They are kept as ``conv1``,
            ``conv2``, ... with a normalisation each (``bn1``, ..., or ``gn1``, ...), and a ReLU between.
        norm_cfg: As :func:`mmseg.models.layers.build_norm_layer` takes it.
        downsample: Of the shortcut, where size or channels change.
        with_cp: Recompute the block in the backward pass instead of keeping its activations.

    Attributes:
        exact: Convolution and normalisation in two steps also where nothing is trained, see
            :mod:`mmseg.models.layers.fold`.

    Forward: (N, C, H, W) to (N, channels * expansion, H / stride, W / stride), sizes rounded up.
    """

    expansion: int = 1

    def __init__(
        self,
        parts: Sequence[dict[str, Any]],
        norm_cfg: dict[str, Any],
        downsample: nn.Module | None,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.with_cp, self.exact = with_cp, False
        self._names = []
        for number, args in enumerate(parts, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(**args, bias=False))
            name, norm = build_norm_layer(norm_cfg, args["out_channels"], postfix=number)
            self.add_module(name, norm)
            self._names.append((f"conv{number}", name))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    @property
    def last_norm(self) -> nn.Module:
        """The normalisation before the sum; with weight 0 the block begins as its shortcut."""
        return getattr(self, self._names[-1][1])

    def _sum(self, x: Tensor) -> Tensor:
        out = x
        for i, (conv, norm) in enumerate(self._names):
            if i > 0:
                out = self.relu(out)
            out = conv_norm(out, getattr(self, conv), getattr(self, norm), self.exact)
        out += x if self.downsample is None else self.downsample(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return self.relu(checkpointed(self, self._sum, x))
        return self.relu(self._sum(x))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions, for depths 18 and 34; only the first has a stride and a dilation."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        dilation: int,
        style: str,
        norm_cfg: dict[str, Any],
        downsample: nn.Module | None,
        with_cp: bool,
    ) -> None:
        parts = [
            _conv3x3(in_channels, channels, stride=stride, dilation=dilation),
            _conv3x3(channels, channels),
        ]
        super().__init__(parts, norm_cfg, downsample, with_cp)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions, for depths from 50 on.

    Args:
        style: ``'pytorch'`` puts the stride on the 3x3 convolution, ``'caffe'`` on the first 1x1.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        dilation: int,
        style: str,
        norm_cfg: dict[str, Any],
        downsample: nn.Module | None,
        with_cp: bool,
    ) -> None:
        first, second = (1, stride) if style == "pytorch" else (stride, 1)
        parts = [
            dict(in_channels=in_channels, out_channels=channels, kernel_size=1, stride=first),
            _conv3x3(channels, channels, stride=second, dilation=dilation),
            dict(in_channels=channels, out_channels=channels * self.expansion, kernel_size=1),
        ]
        super().__init__(parts, norm_cfg, downsample, with_cp)


def _conv3x3(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> dict[str, Any]:
    """Arguments of a 3x3 convolution that keeps the size, but for the stride."""
    return dict(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=3,
        stride=stride,
        padding=dilation,
        dilation=dilation,
    )


def make_stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    channels: int,
    num_blocks: int,
    stride: int,
    dilation: int,
    style: str,
    avg_down: bool,
    norm_cfg: dict[str, Any],
    contract_dilation: bool,
    multi_grid: Sequence[int] | None,
    with_cp: bool,
) -> nn.Sequential:
    """Build one stage: ``num_blocks`` blocks, the first of which takes the stride.

    Args:
        channels: Of the 3x3 convolutions; the stage returns ``channels * block.expansion``.
        avg_down: The shortcut is pooled before its 1x1 convolution, which then has no stride.
        contract_dilation: The first block takes half of a dilation above 1, so that the step from the
            stage before is no jump (Wang et al., 2018, "Understanding Convolution for Semantic
            Segmentation", section 3.2).
        multi_grid: The dilation of each block, in place of ``dilation``.
    """
    if multi_grid is not None:
        dilations = list(multi_grid)
    else:
        halved = dilation // 2 if contract_dilation and dilation > 1 else dilation
        dilations = [halved] + [dilation] * (num_blocks - 1)
    out_channels = channels * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = _shortcut(in_channels, out_channels, stride, avg_down, norm_cfg)
    blocks = []
    for i in range(num_blocks):
        blocks.append(
            block(
                in_channels,
                channels,
                stride=stride if i == 0 else 1,
                dilation=dilations[i],
                style=style,
                norm_cfg=norm_cfg,
                downsample=downsample if i == 0 else None,
                with_cp=with_cp,
            )
        )
        in_channels = out_channels
    return nn.Sequential(*blocks)


def _shortcut(
    in_channels: int, out_channels: int, stride: int, avg_down: bool, norm_cfg: dict[str, Any]
) -> nn.Sequential:
    layers: list[nn.Module] = []
    if avg_down:  # also with stride 1: it changes nothing then, but old state dicts count it
        layers.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
        stride = 1
    layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False))
    layers.append(build_norm_layer(norm_cfg, out_channels)[1])
    return ConvNormSequential(*layers)
