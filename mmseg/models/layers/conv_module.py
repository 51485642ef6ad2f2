"""Convolution, normalisation and activation in one block, with the state dict keys of mmcv 1.x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmseg.models.init import constant_init, kaiming_init
from mmseg.models.layers.activation import build_activation
from mmseg.models.layers.fold import conv_norm
from mmseg.models.layers.norm import build_norm_layer
from mmseg.utils.errors import UserError

ORDER = ("conv", "norm", "act")
DEFAULT_ACT = {"type": "ReLU"}


def check_conv_cfg(conv_cfg: dict[str, Any] | None) -> None:
    """Only the plain convolution is known: ``None``, ``Conv2d`` or ``Conv``."""
    if conv_cfg is not None and conv_cfg != {"type": "Conv2d"} and conv_cfg != {"type": "Conv"}:
        raise UserError(f"conv_cfg {conv_cfg} is not known; leave it out or write dict(type='Conv2d')")


class ConvModule(nn.Module):
    """``conv`` → ``bn`` (``gn``, ``ln``, ``in``) → ``activate``.

    Args:
        bias: ``'auto'``: only where no normalisation follows the convolution.
        norm_cfg, act_cfg: ``None`` leaves the part out.
        inplace: Let the activation overwrite its input, where it can.
        order: A permutation of ``('conv', 'norm', 'act')``.

    Attributes:
        exact: Convolution and normalisation in two steps also where nothing is trained, see
            :mod:`mmseg.models.layers.fold`.

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
        groups: int = 1,
        bias: bool | str = "auto",
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = DEFAULT_ACT,
        inplace: bool = True,
        padding_mode: str = "zeros",
        order: Sequence[str] = ORDER,
    ) -> None:
        super().__init__()
        check_conv_cfg(conv_cfg)
        if sorted(order) != sorted(ORDER):
            raise UserError(f"order of a ConvModule is a permutation of {ORDER}, not {tuple(order)}")
        self.order, self.exact = tuple(order), False
        self.with_norm, self.with_activation = norm_cfg is not None, act_cfg is not None
        self.with_bias = not self.with_norm if bias == "auto" else bool(bias)
        self.act_cfg = act_cfg
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias=self.with_bias,
            padding_mode=padding_mode,
        )
        self.norm_name = None
        if self.with_norm:
            norm_first = self.order.index("norm") < self.order.index("conv")
            self.norm_name, norm = build_norm_layer(norm_cfg, in_channels if norm_first else out_channels)
            self.add_module(self.norm_name, norm)
        if self.with_activation:
            self.activate = build_activation(act_cfg, inplace=inplace)
        self.init_weights()

    @property
    def norm(self) -> nn.Module | None:
        """The normalisation layer, whatever its name."""
        return getattr(self, self.norm_name) if self.norm_name else None

    def init_weights(self) -> None:
        """He initialisation for the convolution, 1 and 0 for the normalisation."""
        leaky = self.with_activation and self.act_cfg["type"] == "LeakyReLU"
        slope = self.act_cfg.get("negative_slope", 0.01) if leaky else 0.0
        kaiming_init(self.conv, a=slope, nonlinearity="leaky_relu" if leaky else "relu")
        if self.norm is not None:
            constant_init(self.norm, 1.0)

    def after_conv(self, x: Tensor, normed: bool = False) -> Tensor:
        """What follows the convolution, for callers that did the convolution in another way.

        Args:
            x: The convolution's outcome.
            normed: The normalisation was folded into it.
        """
        names = self.order[self.order.index("conv") + 1 :]
        return self._parts(x, [name for name in names if name != "norm"] if normed else names)

    def _parts(self, x: Tensor, names: Sequence[str]) -> Tensor:
        for part in names:
            if part == "norm" and self.with_norm:
                x = self.norm(x)
            elif part == "act" and self.with_activation:
                x = self.activate(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        place = self.order.index("conv")
        x = self._parts(x, self.order[:place])
        rest = self.order[place + 1 :]
        if self.with_norm and rest[:1] == ("norm",):
            return self._parts(conv_norm(x, self.conv, self.norm, self.exact), rest[1:])
        return self._parts(self.conv(x), rest)
