"""Pyramid pooling (Zhao et al., 2017, "Pyramid Scene Parsing Network", section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.inputs import check_takes_one
from mmseg.models.decode_heads.pooled_maps import can_stay_small, conv_with_pooled
from mmseg.models.layers import ConvModule, resize
from mmseg.models.layers.exporting import is_exporting
from mmseg.utils.errors import UserError


class AdaptiveAveragePool(nn.AdaptiveAvgPool2d):
    """``nn.AdaptiveAvgPool2d(scale)``, in ``torch.export`` by two matrix products.

    ONNX knows pooling with windows of fixed sizes only, and these follow from the size of the image.

    Forward: (N, C, H, W) to (N, C, scale, scale).
    """

    def forward(self, x: Tensor) -> Tensor:
        if not is_exporting():
            return super().forward(x)
        rows, columns = (averaging_matrix(self.output_size, side, x) for side in x.shape[2:])
        return rows @ x @ columns.transpose(0, 1)


def averaging_matrix(cells: int, side: int, like: Tensor) -> Tensor:
    """(cells, side), whose row i averages the places that cell i of an adaptive pooling covers.

    These are ``floor(i * side / cells)`` up to ``ceil((i + 1) * side / cells)``, which is left out.

    Args:
        like: Of the device and the dtype wanted.
    """
    cell = torch.arange(cells, device=like.device)[:, None]
    place = torch.arange(side, device=like.device)[None]
    start, end = cell * side // cells, ((cell + 1) * side + cells - 1) // cells
    inside = (place >= start) & (place < end)
    return inside.to(like.dtype) / (end - start).to(like.dtype)


class PooledConv(nn.Sequential):
    """Average pooling to ``scale`` x ``scale`` cells, then a 1x1 convolution.

    Forward: (N, in_channels, H, W) to (N, channels, scale, scale).
    """

    def __init__(self, scale: int, in_channels: int, channels: int, **kwargs: Any) -> None:
        super().__init__(AdaptiveAveragePool(scale), ConvModule(in_channels, channels, 1, **kwargs))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        norm = self[1].norm
        if self.scale == 1 and isinstance(norm, nn.BatchNorm2d) and norm.training and len(x) == 1:
            raise UserError(
                "this head averages a whole map to one value, and batch normalisation cannot train on the one"
                " value of a batch of 1 image: set data.samples_per_gpu to 2 or more, or give the head"
                " norm_cfg=dict(type='GN', num_groups=32)"
            )
        return super().forward(x)


class PPM(nn.ModuleList):
    """Pyramid pooling module: one :class:`PooledConv` per scale.

    Args:
        pool_scales: Cells along each side.
        in_channels, channels: Of the input, and of each outcome.
        conv_cfg, norm_cfg, act_cfg: Of the convolutions.
        align_corners: Of the bilinear resizing.
        **kwargs: Further arguments of each :class:`ConvModule`.

    Forward: (N, in_channels, H, W) to a list of (N, channels, H, W), one per scale.
    """

    def __init__(
        self,
        pool_scales: Sequence[int],
        in_channels: int,
        channels: int,
        conv_cfg: dict[str, Any] | None,
        norm_cfg: dict[str, Any] | None,
        act_cfg: dict[str, Any] | None,
        align_corners: bool,
        **kwargs: Any,
    ) -> None:
        layers = {"conv_cfg": conv_cfg, "norm_cfg": norm_cfg, "act_cfg": act_cfg, **kwargs}
        super().__init__(PooledConv(scale, in_channels, channels, **layers) for scale in pool_scales)
        self.pool_scales, self.align_corners = tuple(pool_scales), align_corners
        self.in_channels, self.channels = in_channels, channels

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self._enlarged(pool(x), x) for pool in self]

    def _enlarged(self, pooled: Tensor, like: Tensor) -> Tensor:
        return resize(pooled, like.shape[2:], None, "bilinear", self.align_corners)

    def joined(self, x: Tensor, bottleneck: ConvModule, exact: bool = False) -> Tensor:
        """``bottleneck`` of ``x`` and the outcome for it, joined: (N, C, H, W).

        Args:
            exact: Enlarge, join, convolve: the sequence of MMSegmentation 0.25. By default the pooled
                maps stay small, see :func:`~mmseg.models.decode_heads.pooled_maps.conv_with_pooled`.
        """
        pooled = [pool(x) for pool in self]
        if exact or not can_stay_small(bottleneck, pooled):
            return bottleneck(torch.cat([x, *(self._enlarged(p, x) for p in pooled)], dim=1))
        return bottleneck.after_conv(conv_with_pooled(bottleneck.conv, [], x, pooled, self.align_corners))


def check_pool_scales(name: str, pool_scales: Sequence[int]) -> None:
    """Raise ``UserError`` unless these are positive numbers of cells."""
    several = isinstance(pool_scales, list | tuple) and len(pool_scales) > 0
    if not several or not all(isinstance(s, int) and s > 0 for s in pool_scales):
        raise UserError(
            f"{name}: pool_scales is a list of numbers of cells, such as (1, 2, 3, 6), not {pool_scales!r}"
        )


@HEADS.register_module()
class PSPHead(BaseDecodeHead):
    """The map and its averages over ever finer grids, joined and fused by a 3x3 convolution.

    Args:
        pool_scales: Cells along each side of the grids.
        **kwargs: Those of :class:`BaseDecodeHead`.
    """

    def __init__(self, pool_scales: Sequence[int] = (1, 2, 3, 6), **kwargs: Any) -> None:
        check_pool_scales("PSPHead", pool_scales)
        check_takes_one("PSPHead", kwargs.get("input_transform"))
        super().__init__(**kwargs)
        self.pool_scales = pool_scales
        layers = {"conv_cfg": self.conv_cfg, "norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}
        self.psp_modules = PPM(
            pool_scales, self.in_channels, self.channels, align_corners=self.align_corners, **layers
        )
        joined = self.in_channels + len(pool_scales) * self.channels
        self.bottleneck = ConvModule(joined, self.channels, 3, padding=1, **layers)

    def _forward_feature(self, inputs: Sequence[Tensor]) -> Tensor:
        """The map (N, channels, h, w) before the classifier."""
        return self.psp_modules.joined(self._transform_inputs(inputs), self.bottleneck, exact=self.exact)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.cls_seg(self._forward_feature(inputs))
