from __future__ import annotations

import pytest
import torch

from mmseg.models.layers import DepthwiseSeparableConvModule
from mmseg.utils.errors import UserError
from tests.helpers_heads import filled, maps, separable_block, top_keys

BN = {"type": "BN"}


def test_depthwise_then_pointwise() -> None:
    module = filled(DepthwiseSeparableConvModule(4, 6, 3, padding=2, dilation=2, norm_cfg=BN))
    (x,) = maps((4, 9, 12))
    state = {f"m.{key}": value for key, value in module.state_dict().items()}
    torch.testing.assert_close(module(x), separable_block(state, "m", x, dilation=2))
    assert top_keys(module) == [f"{p}_conv.{q}" for p in ("depthwise", "pointwise") for q in ("conv", "bn")]
    assert module.depthwise_conv.conv.groups == 4
    assert DepthwiseSeparableConvModule(4, 6, 3, stride=2, padding=1)(x.float()).shape == (2, 6, 5, 6)


@pytest.mark.parametrize("part", ["dw", "pw"])
def test_each_part_may_have_its_own_norm_and_activation(part: str) -> None:
    module = DepthwiseSeparableConvModule(
        4, 6, 3, norm_cfg=BN, **{f"{part}_norm_cfg": None, f"{part}_act_cfg": {"type": "Tanh"}}
    )
    own, other = module.depthwise_conv, module.pointwise_conv
    if part == "pw":
        own, other = other, own
    assert own.norm is None and own.conv.bias is not None and isinstance(own.activate, torch.nn.Tanh)
    assert other.norm is not None and isinstance(other.activate, torch.nn.ReLU)


def test_groups_are_not_to_choose() -> None:
    with pytest.raises(UserError, match="leave `groups` out"):
        DepthwiseSeparableConvModule(4, 6, 3, groups=2)
