from __future__ import annotations

import pytest
import torch

from mmseg.models import build_head
from mmseg.utils.errors import UserError
from tests.helpers_heads import block, filled, maps
from tests.models.head_contract import HeadContract

SHAPES = ((4, 22, 30), (6, 11, 15))


class TestFCNHead(HeadContract):
    config = {"type": "FCNHead", "in_channels": 6, "channels": 12, "norm_cfg": {"type": "BN"}}
    feats = SHAPES
    out_size = (11, 15)


class TestAuxiliary(HeadContract):
    config = {
        "type": "FCNHead",
        "in_channels": 4,
        "in_index": 0,
        "channels": 16,
        "num_convs": 1,
        "concat_input": False,
        "dilation": 2,
        "norm_cfg": {"type": "GN", "num_groups": 4},
    }
    feats = SHAPES
    out_size = (22, 30)


class TestAllMapsJoined(HeadContract):
    config = {
        "type": "FCNHead",
        "in_channels": [4, 6],
        "in_index": [0, 1],
        "input_transform": "resize_concat",
        "channels": 10,
        "num_convs": 0,
        "concat_input": False,
    }
    feats = SHAPES
    out_size = (22, 30)


def test_keys_are_those_of_0_25() -> None:
    head = build_head({**TestFCNHead.config, "num_classes": 3})
    shapes = {key: tuple(value.shape) for key, value in head.state_dict().items() if "bn" not in key}
    assert shapes == {
        "conv_seg.weight": (3, 12, 1, 1),
        "conv_seg.bias": (3,),
        "convs.0.conv.weight": (12, 6, 3, 3),
        "convs.1.conv.weight": (12, 12, 3, 3),
        "conv_cat.conv.weight": (12, 18, 3, 3),
    }


@pytest.mark.parametrize("concat_input", [False, True])
@pytest.mark.parametrize(
    ("num_convs", "kernel_size", "dilation"), [(0, 3, 1), (1, 1, 1), (2, 3, 2), (3, 5, 3)]
)
def test_formula(num_convs: int, kernel_size: int, dilation: int, concat_input: bool) -> None:
    config = {
        "type": "FCNHead",
        "in_channels": 6,
        "channels": 6,
        "num_classes": 3,
        "norm_cfg": {"type": "BN"},
    }
    options = {"num_convs": num_convs, "kernel_size": kernel_size, "dilation": dilation}
    head = filled(build_head({**config, **options, "concat_input": concat_input}))
    feats, state = maps(*SHAPES), head.state_dict()
    x = feats[1]
    for i in range(num_convs):
        x = block(state, f"convs.{i}", x, dilation=dilation)
    if concat_input:  # this one is not dilated
        x = block(state, "conv_cat", torch.cat([feats[1], x], 1))
    torch.testing.assert_close(head._forward_feature(feats), x)
    torch.testing.assert_close(head(feats), head.conv_seg(x))


def test_without_convolutions_it_is_the_classifier() -> None:
    settings = {"in_channels": 6, "channels": 6, "num_convs": 0, "concat_input": False}
    head = build_head({"type": "FCNHead", "num_classes": 3, **settings}).eval()
    feat = torch.randn(1, 6, 5, 5)
    torch.testing.assert_close(head([feat]), head.conv_seg(feat))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_convs": 0}, "in_channels=6 must equal channels=12"),
        ({"num_convs": -1}, "num_convs=-1"),
        (
            {"input_transform": "multiple_select", "in_channels": [6, 6], "in_index": [0, 1]},
            "FCNHead works on one map",
        ),
        ({"conv_cfg": {"type": "DCNv2"}}, "DCNv2"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_head({**TestFCNHead.config, "num_classes": 3, **changes})
