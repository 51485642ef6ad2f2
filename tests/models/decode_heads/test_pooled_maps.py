"""Heads with pooled maps and wide dilations: the fast path beside the exact one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmseg.models.builder import build_head
from mmseg.models.decode_heads import pooled_maps
from mmseg.models.layers import ConvModule
from mmseg.models.layers.depthwise import DilatedDepthwiseConv

BN = {"type": "BN"}
ONE = {"in_channels": 64, "in_index": 0}
HEADS = {
    "PSPHead": (ONE, [(64, 13, 17)]),
    "ASPPHead": (ONE, [(64, 13, 17)]),
    "DepthwiseSeparableASPPHead": (
        {
            "in_channels": 64,
            "in_index": 1,
            "c1_in_channels": 8,
            "c1_channels": 4,
            "dilations": (1, 6, 12, 18),
        },
        [(8, 26, 34), (64, 13, 17)],
    ),
    "UPerHead": ({"in_channels": [8, 64], "in_index": [0, 1]}, [(8, 26, 34), (64, 13, 17)]),
}


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_the_fast_path_gives_the_maps_and_gradients_of_the_exact_one(name: str, align_corners: bool) -> None:
    torch.manual_seed(0)
    settings, sizes = HEADS[name]
    common: dict[str, Any] = {"channels": 32, "num_classes": 5, "norm_cfg": BN, "dropout_ratio": 0}
    head = build_head({"type": name, "align_corners": align_corners, **common, **settings}).double()
    inputs = [torch.randn(2, *size, dtype=torch.float64, requires_grad=True) for size in sizes]
    wanted = [*inputs, *head.parameters()]
    found = []
    for exact in (True, False):
        for module in head.modules():
            if hasattr(module, "exact"):
                module.exact = exact
        logits = head(inputs)
        found.append((logits, torch.autograd.grad(logits.square().mean(), wanted)))
    torch.testing.assert_close(found[1][0], found[0][0])
    for fast, exact in zip(found[1][1], found[0][1], strict=True):
        torch.testing.assert_close(fast, exact, rtol=1e-5, atol=1e-9)


def test_many_cells_of_few_channels_are_enlarged() -> None:
    block, few = ConvModule(16, 4, 3, padding=1), [torch.zeros(1, 8, 1, 1)]
    assert pooled_maps.can_stay_small(block, few)
    assert not pooled_maps.can_stay_small(block, [torch.zeros(1, 8, 6, 6)])
    assert not pooled_maps.can_stay_small(ConvModule(16, 4, 3), few)
    block.register_forward_hook(lambda *_: None)
    assert not pooled_maps.can_stay_small(block, few)


@pytest.mark.parametrize("dilation", [6, 12, 40])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_shifted_maps_are_the_convolution(dilation: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 6, 3, padding=dilation, dilation=dilation, groups=6)
    conv = DilatedDepthwiseConv.like(plain)
    assert conv.weight is plain.weight and isinstance(conv, nn.Conv2d)
    x = torch.randn(2, 6, 15, 31).contiguous(memory_format=layout).requires_grad_()
    assert conv._shifts_pay(x)
    found = [
        (out, torch.autograd.grad(out.square().sum(), [x, plain.weight, plain.bias]))
        for out in (plain(x), conv(x))
    ]
    torch.testing.assert_close(found[1][0], found[0][0])
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-4, atol=1e-4)


def test_shifts_are_for_wide_dilations_in_float32_only() -> None:
    conv = DilatedDepthwiseConv.like(nn.Conv2d(6, 6, 3, padding=12, dilation=12, groups=6))
    x = torch.zeros(1, 6, 20, 20)
    assert conv._shifts_pay(x) and not conv._shifts_pay(x.double())
    conv.exact = True
    assert not conv._shifts_pay(x)
    near = DilatedDepthwiseConv.like(nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6))
    full = DilatedDepthwiseConv.like(nn.Conv2d(6, 6, 3, padding=12, dilation=12))
    assert not near._shifts_pay(x) and not full._shifts_pay(x)
