from __future__ import annotations

import torch
from torch import nn

from mmseg.models import build_head
from tests.helpers_heads import filled, maps, top_keys
from tests.models.head_contract import HeadContract

CONFIG = {
    "type": "DepthwiseSeparableFCNHead",
    "in_channels": 6,
    "channels": 12,
    "concat_input": False,
    "norm_cfg": {"type": "SyncBN"},
}
SHAPES = ((4, 22, 30), (6, 11, 15))


class TestDepthwiseSeparableFCNHead(HeadContract):
    config = CONFIG
    feats = SHAPES
    out_size = (11, 15)


class TestConcatenated(HeadContract):
    config = {**CONFIG, "num_convs": 1, "concat_input": True, "dw_act_cfg": {"type": "ReLU"}}
    feats = SHAPES
    out_size = (11, 15)


def test_keys_are_those_of_0_25() -> None:
    head = build_head({**CONFIG, "num_classes": 3, "concat_input": True})
    parts = ["depthwise_conv.conv", "depthwise_conv.bn", "pointwise_conv.conv", "pointwise_conv.bn"]
    names = ("convs.0", "convs.1", "conv_cat")
    assert top_keys(head) == ["conv_seg", *(f"{name}.{part}" for name in names for part in parts)]
    assert head.conv_cat.depthwise_conv.conv.in_channels == 18


def test_activations_are_those_of_0_25() -> None:
    head = build_head({**CONFIG, "num_classes": 3, "act_cfg": {"type": "Tanh"}})
    assert not head.convs[0].depthwise_conv.with_activation
    assert isinstance(head.convs[0].pointwise_conv.activate, nn.ReLU)
    own = build_head({**CONFIG, "num_classes": 3, "dw_act_cfg": {"type": "GELU"}})
    assert isinstance(own.convs[1].depthwise_conv.activate, nn.GELU)


def test_dilation_has_no_effect() -> None:
    plain, dilated = (filled(build_head({**CONFIG, "num_classes": 3, "dilation": d})) for d in (1, 3))
    feats = maps((6, 11, 15))
    torch.testing.assert_close(dilated(feats), plain(feats))
