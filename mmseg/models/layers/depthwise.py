"""Depthwise convolution with a wide dilation, as a sum of shifted maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmseg.models.layers.exporting import is_exporting

LEAST_DILATION = 6  # below it, the library's convolution is as fast


class DilatedDepthwiseConv(nn.Conv2d):
    """``nn.Conv2d`` whose dilated depthwise case is computed on a CPU one filter position at a time.

    A position of a filter multiplies a shifted map. With a wide dilation much of the shifted map lies in
    the padding, where there is nothing to add, and libraries, which are made for neighbouring pixels, take
    several times as long.

    Attributes:
        exact: Always the library's convolution.
    """

    exact = False

    @classmethod
    def like(cls, conv: nn.Conv2d) -> DilatedDepthwiseConv:
        """A layer with the settings and the very parameters of ``conv``."""
        new = cls.__new__(cls)
        new.__dict__.update(conv.__dict__)
        new.exact = False
        return new

    def _shifts_pay(self, x: Tensor) -> bool:
        same_size = all(
            p == d * (k // 2) and k % 2 == 1
            for p, d, k in zip(self.padding, self.dilation, self.kernel_size, strict=True)
        )
        return (
            not self.exact
            and x.device.type == "cpu"
            and x.dim() == 4
            and x.dtype == torch.float32 == self.weight.dtype
            and self.groups == self.in_channels == self.out_channels
            and self.stride == (1, 1)
            and self.padding_mode == "zeros"
            and min(self.dilation) >= LEAST_DILATION
            and same_size
            and not torch.is_autocast_enabled("cpu")
            and not (is_exporting() or torch.compiler.is_compiling() or torch.jit.is_tracing())
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self._shifts_pay(x):
            return super().forward(x)
        out = _ShiftedSum.apply(x, self.weight, self.dilation)
        return out if self.bias is None else out + self.bias.view(1, -1, 1, 1)


def _windows(size: tuple[int, int], kernel: tuple[int, int], dilation: tuple[int, int]) -> Iterator[Any]:
    """(i, j), the part of the outcome that position (i, j) of the filter adds to, the part it reads; the
    middle position, which reads all, comes first."""
    places = [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]
    middle = (kernel[0] // 2, kernel[1] // 2)
    for place in sorted(places, key=lambda p: p != middle):
        shifts = [(p - m) * d for p, m, d in zip(place, middle, dilation, strict=True)]
        if any(abs(shift) >= side for shift, side in zip(shifts, size, strict=True)):
            continue  # it lies in the padding everywhere
        to, read = [], []
        for shift, side in zip(shifts, size, strict=True):
            to.append(slice(max(0, -shift), side - max(0, shift)))
            read.append(slice(max(0, shift), side - max(0, -shift)))
        yield place, (..., *to), (..., *read)


class _ShiftedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        out = None
        for (i, j), to, read in _windows(tuple(x.shape[2:]), tuple(weight.shape[2:]), dilation):
            factor = weight[:, 0, i, j].view(1, -1, 1, 1)
            if out is None:
                out = x * factor
            else:
                out[to].addcmul_(x[read], factor)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight = None, torch.zeros_like(weight)
        for (i, j), to, read in _windows(tuple(x.shape[2:]), tuple(weight.shape[2:]), ctx.dilation):
            part = grad[to]
            of_weight[:, 0, i, j] = (part * x[read]).sum((0, 2, 3))
            if not ctx.needs_input_grad[0]:
                continue
            factor = weight[:, 0, i, j].view(1, -1, 1, 1)
            if of_x is None:
                of_x = grad * factor
            else:
                of_x[read].addcmul_(part, factor)
        return of_x, of_weight, None
