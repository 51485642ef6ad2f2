"""The formulas of heads and necks, spelt out on a state dict, to compare the modules with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers_weights import recorded_weights


def filled(module: nn.Module) -> nn.Module:
    """``module`` in evaluation mode, double precision, with weights that are a function of their names."""
    module.load_state_dict(recorded_weights(module.state_dict()))
    return module.double().eval()


def block(state: dict[str, Tensor], name: str, x: Tensor, **conv: Any) -> Tensor:
    """Convolution, batch normalisation where ``state`` has one, ReLU; padded to keep the size."""
    weight, dilation = state[f"{name}.conv.weight"], conv.get("dilation", 1)
    padding = weight.shape[-1] // 2 * dilation
    x = F.conv2d(x, weight, state.get(f"{name}.conv.bias"), padding=padding, **conv)
    if f"{name}.bn.weight" in state:
        names = ("running_mean", "running_var", "weight", "bias")
        x = F.batch_norm(x, *(state[f"{name}.bn.{n}"] for n in names))
    return x.relu()


def separable_block(state: dict[str, Tensor], name: str, x: Tensor, **conv: Any) -> Tensor:
    """Depthwise and pointwise :func:`block`."""
    x = block(state, f"{name}.depthwise_conv", x, groups=x.shape[1], **conv)
    return block(state, f"{name}.pointwise_conv", x)


def bilinear(x: Tensor, like: Tensor, align_corners: bool = False) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=align_corners)


def maps(*shapes: tuple[int, int, int], n: int = 2) -> list[Tensor]:
    """Random maps (n, C, H, W), double precision."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(n, *shape, generator=generator, dtype=torch.float64) for shape in shapes]


def top_keys(module: nn.Module) -> list[str]:
    """Names of the layers with weights, in the order of the state dict."""
    return list(dict.fromkeys(key.rpartition(".")[0] for key in module.state_dict()))
