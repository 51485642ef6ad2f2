from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmseg.models.layers.upsample import Upsample, build_upsample_layer
from mmseg.utils.errors import UserError


def build(kind: str = "InterpConv", norm: str | None = "BN", **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    norm_cfg = None if norm is None else {"type": norm}
    layer = build_upsample_layer({"type": kind, **settings}, 6, 4, norm_cfg=norm_cfg)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer.double()


@pytest.mark.parametrize("norm", ["BN", None])
@pytest.mark.parametrize(
    "upsample",
    [
        {"scale_factor": 2, "mode": "bilinear", "align_corners": False},
        {"scale_factor": 2, "mode": "bilinear", "align_corners": True},
        {"scale_factor": [3, 1.5], "mode": "nearest"},
        {"size": [11, 9], "mode": "bicubic", "align_corners": False},
        {"size": 8},
    ],
)
def test_both_sequences_give_the_same_map_and_gradients(norm: str | None, upsample: dict) -> None:
    layer = build(norm=norm, upsample_cfg=upsample)
    x = torch.randn(2, 6, 4, 6, dtype=torch.float64, requires_grad=True)
    outcomes = []
    for exact in (False, True):
        layer.exact = exact
        out = layer(x)
        outcomes.append([out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["Upsample", "ConvModule"]),
        ({"conv_first": True}, ["ConvModule", "Upsample"]),
        ({"kernel_size": 3, "padding": 1}, ["Upsample", "ConvModule"]),
        ({"kernel_size": 3, "padding": 1, "stride": 2}, ["Upsample", "ConvModule"]),
        ({"kernel_size": 1, "padding": 1}, ["Upsample", "ConvModule"]),
    ],
)
def test_the_map_is_that_of_the_layers_in_their_order(settings: dict, names: list[str]) -> None:
    layer, x = build(**settings).eval(), torch.randn(2, 6, 4, 6, dtype=torch.float64)
    assert [type(part).__name__ for part in layer.interp_upsample] == names
    expected = x
    for part in layer.interp_upsample:
        expected = part(expected)
    torch.testing.assert_close(layer(x), expected)


def test_sizes_are_rounded_down() -> None:
    x = torch.randn(1, 2, 5, 7)
    out = Upsample(scale_factor=(1.5, 2), mode="bilinear", align_corners=False)(x)
    assert tuple(out.shape[2:]) == (7, 14)
    torch.testing.assert_close(out, F.interpolate(x, (7, 14), mode="bilinear"))


@pytest.mark.parametrize(("kernel_size", "scale_factor"), [(4, 2), (2, 2), (3, 3), (5, 3), (6, 4)])
def test_deconvolution_enlarges_by_its_factor(kernel_size: int, scale_factor: int) -> None:
    layer = build("DeconvModule", kernel_size=kernel_size, scale_factor=scale_factor)
    out = layer(torch.randn(2, 6, 4, 5, dtype=torch.float64))
    assert tuple(out.shape) == (2, 4, 4 * scale_factor, 5 * scale_factor)
    assert out.min() >= 0
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {
        "deconv_upsamping.0.weight": (6, 4, kernel_size, kernel_size),
        "deconv_upsamping.0.bias": (4,),
        "deconv_upsamping.1.weight": (4,),
        "deconv_upsamping.1.bias": (4,),
    }


@pytest.mark.parametrize("kind", ["InterpConv", "DeconvModule"])
def test_gradient_checkpointing_gives_equal_gradients(kind: str) -> None:
    layer, x = build(kind).train(), torch.randn(2, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    gradients = []
    for with_cp in (False, True):
        layer.with_cp = with_cp
        gradients.append(torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("DeconvModule", {"kernel_size": 3}, "kernel_size=3.*scale_factor=2"),
        ("DeconvModule", {"kernel_size": 2, "scale_factor": 4}, "kernel_size=2.*scale_factor=4"),
        ("InterpConv", {"upsample_cfg": {"scale_factor": 2, "mod": "nearest"}}, "mod.*did you mean.*mode"),
        ("InterpConv", {"upsample_cfg": {"scale_factor": 2, "size": 8}}, "size=8 and scale_factor=2"),
        ("InterpConv", {"upsample_cfg": {}}, "size=None and scale_factor=None"),
        ("InterpConv", {"conv_frist": True}, "conv_frist.*did you mean.*conv_first"),
        ("bilinear", {}, "bilinear.*InterpConv"),
    ],
)
def test_settings_that_do_not_fit_are_named(kind: str, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(kind, **settings)
