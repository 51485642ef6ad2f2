"""Batch normalisation folded into the convolution before it, where nothing is trained.

In evaluation mode batch normalisation multiplies each channel by a number and adds one; a convolution
whose filters are multiplied by that number and whose bias holds the rest gives the same map in one pass
over memory instead of two. The folded filters are computed at each call and then forgotten: parameters,
buffers and the state dict are never touched, and weights that are loaded or trained later are seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg.models.layers.exporting import is_exporting

# Folding reads and writes the filters once, and saves one such pass over the map; so the map should be
# the larger one by this factor.
LEAST_GAIN = 2


def conv_norm(x: Tensor, conv: nn.Module, norm: nn.Module, exact: bool = False) -> Tensor:
    """``norm(conv(x))``, in one step where :func:`folds` says so.

    Args:
        x: (N, C, H, W).
        exact: Always two steps: the sequence of MMSegmentation 0.25. The results differ by rounding.
    """
    if exact or not folds(x, conv, norm):
        return norm(conv(x))
    weight, bias = folded(conv, norm)
    return conv._conv_forward(x, weight, bias)


def folds(x: Tensor, conv: nn.Module, norm: nn.Module) -> bool:
    """Whether :func:`folded` may replace the two layers for ``x``, and is worth it.

    It may on the CPU without gradients, for a plain convolution (zero padding, no hooks that want to see
    the two calls) before batch normalisation with running statistics. While a graph is recorded the layers
    stay as they are: compilers and exporters fold for themselves. On a GPU the few small kernels that fold
    the filters cost more than they save.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32:
        return False
    if type(conv) is not nn.Conv2d or not isinstance(norm, _BatchNorm) or norm.training:
        return False
    if norm.running_mean is None or conv.padding_mode != "zeros" or _has_hooks(conv) or _has_hooks(norm):
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or is_exporting():
        return False
    if torch.is_autocast_enabled("cpu") or conv.weight.dtype != torch.float32:
        return False
    stride = conv.stride[0] * conv.stride[1]
    values = len(x) * conv.out_channels * x.shape[2] * x.shape[3] // stride
    return values >= LEAST_GAIN * conv.weight.numel()


def folded(conv: nn.Conv2d, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that does what ``conv`` and then ``norm`` (evaluating) do."""
    factor = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight
    start = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    bias = -start * factor if norm.bias is None else norm.bias - start * factor
    return conv.weight * factor[:, None, None, None], bias


class ConvNormSequential(nn.Sequential):
    """``nn.Sequential`` that takes each convolution with the normalisation after it by :func:`conv_norm`.

    Attributes:
        exact: Every layer by itself.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.exact = False

    def forward(self, x: Tensor) -> Tensor:
        layers = list(self)
        while layers:
            if len(layers) > 1 and isinstance(layers[0], nn.Conv2d):
                x, layers = conv_norm(x, layers[0], layers[1], self.exact), layers[2:]
            else:
                x, layers = layers[0](x), layers[1:]
        return x


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
