from __future__ import annotations

import pytest
import torch

from mmseg.models import build_head
from mmseg.utils.errors import UserError
from tests.helpers_heads import bilinear, block, filled, maps, separable_block, top_keys
from tests.models.head_contract import HeadContract

ASPP = {
    "type": "ASPPHead",
    "in_channels": 6,
    "channels": 12,
    "dilations": [1, 2, 5],
    "norm_cfg": {"type": "SyncBN"},
}
SEPARABLE = {**ASPP, "type": "DepthwiseSeparableASPPHead", "c1_in_channels": 4, "c1_channels": 3}
SHAPES = ((4, 22, 30), (6, 11, 15))


class TestASPPHead(HeadContract):
    config = ASPP
    feats = SHAPES
    out_size = (11, 15)


class TestDepthwiseSeparableASPPHead(HeadContract):
    config = SEPARABLE
    feats = SHAPES
    out_size = (22, 30)


class TestWithoutTheFirstMap(HeadContract):
    config = {**SEPARABLE, "c1_in_channels": 0, "c1_channels": 0, "norm_cfg": {"type": "GN", "num_groups": 3}}
    feats = SHAPES
    out_size = (11, 15)


def branches(state: dict, x: torch.Tensor, dilated: object, align_corners: bool) -> torch.Tensor:
    average = block(state, "image_pool.1", x.mean((2, 3), keepdim=True))
    joined = [bilinear(average, x, align_corners), block(state, "aspp_modules.0", x)]
    joined += [dilated(state, f"aspp_modules.{i}", x, dilation=d) for i, d in ((1, 2), (2, 5))]
    return block(state, "bottleneck", torch.cat(joined, 1))


@pytest.mark.parametrize("align_corners", [False, True])
def test_formula(align_corners: bool) -> None:
    head = filled(build_head({**ASPP, "num_classes": 3, "align_corners": align_corners}))
    feats = maps(*SHAPES)
    feature = branches(head.state_dict(), feats[1], block, align_corners)
    torch.testing.assert_close(head._forward_feature(feats), feature)
    torch.testing.assert_close(head(feats), head.conv_seg(feature))


@pytest.mark.parametrize("align_corners", [False, True])
def test_formula_of_the_decoder(align_corners: bool) -> None:
    head = filled(build_head({**SEPARABLE, "num_classes": 3, "align_corners": align_corners}))
    feats, state = maps(*SHAPES), head.state_dict()
    x = branches(state, feats[1], separable_block, align_corners)
    c1 = block(state, "c1_bottleneck", feats[0])
    x = torch.cat([bilinear(x, c1, align_corners), c1], 1)
    for i in range(2):
        x = separable_block(state, f"sep_bottleneck.{i}", x)
    torch.testing.assert_close(head(feats), head.conv_seg(x))


def test_default_dilations_and_keys_are_those_of_0_25() -> None:
    settings = {key: value for key, value in SEPARABLE.items() if key != "dilations"}
    head = build_head({**settings, "num_classes": 3})
    assert [m.depthwise_conv.conv.dilation[0] for m in list(head.aspp_modules)[1:]] == [6, 12, 18]
    separable = ["depthwise_conv.conv", "depthwise_conv.bn", "pointwise_conv.conv", "pointwise_conv.bn"]
    assert top_keys(head) == [
        "conv_seg",
        *(f"{name}.{p}" for name in ("image_pool.1", "aspp_modules.0") for p in ("conv", "bn")),
        *(f"aspp_modules.{i}.{p}" for i in (1, 2, 3) for p in separable),
        *(f"{name}.{p}" for name in ("bottleneck", "c1_bottleneck") for p in ("conv", "bn")),
        *(f"sep_bottleneck.{i}.{p}" for i in (0, 1) for p in separable),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dilations": 6}, "dilations is a list of numbers"),
        ({"dilations": [1, 0]}, "dilations is a list of numbers"),
        ({"c1_in_channels": 0}, "c1_in_channels=0 and c1_channels=3 must both be above 0"),
        ({"c1_in_channels": -4}, "must both be above 0"),
        (
            {"in_channels": [4, 6], "in_index": [0, 1], "input_transform": "multiple_select"},
            "DepthwiseSeparableASPPHead works on one map",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_head({**SEPARABLE, "num_classes": 3, **changes})


def test_a_first_map_that_does_not_fit_is_named() -> None:
    head = build_head({**SEPARABLE, "num_classes": 3, "c1_in_channels": 5}).eval()
    with pytest.raises(UserError, match="c1_in_channels says 5, but the first feature map has 4 channels"):
        head([torch.randn(2, *shape) for shape in SHAPES])
