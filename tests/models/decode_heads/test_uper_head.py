from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmseg.models import build_head
from mmseg.utils.errors import UserError
from tests.helpers_heads import bilinear, block, filled, maps, top_keys
from tests.models.head_contract import HeadContract

CONFIG = {
    "type": "UPerHead",
    "in_channels": [4, 6, 8],
    "in_index": [0, 1, 2],
    "channels": 12,
    "pool_scales": [1, 2, 3],
    "norm_cfg": {"type": "SyncBN"},
}
SHAPES = ((4, 23, 31), (6, 12, 16), (8, 6, 8))


class TestUPerHead(HeadContract):
    config = CONFIG
    feats = SHAPES
    out_size = (23, 31)


@pytest.mark.parametrize("align_corners", [False, True])
def test_formula(align_corners: bool) -> None:
    head = filled(build_head({**CONFIG, "num_classes": 3, "align_corners": align_corners}))
    feats, state = maps(*SHAPES), head.state_dict()
    pooled = [F.adaptive_avg_pool2d(feats[2], scale) for scale in (1, 2, 3)]
    joined = [block(state, f"psp_modules.{i}.1", x) for i, x in enumerate(pooled)]
    joined = [feats[2], *(bilinear(x, feats[2], align_corners) for x in joined)]
    top = block(state, "bottleneck", torch.cat(joined, 1))
    torch.testing.assert_close(head.psp_forward(feats), top)
    middle = block(state, "lateral_convs.1", feats[1])
    middle = middle + bilinear(top, middle, align_corners)
    bottom = block(state, "lateral_convs.0", feats[0])
    bottom = bottom + bilinear(middle, bottom, align_corners)
    levels = [block(state, "fpn_convs.0", bottom), block(state, "fpn_convs.1", middle), top]
    joined = torch.cat([levels[0], *(bilinear(x, bottom, align_corners) for x in levels[1:])], 1)
    feature = block(state, "fpn_bottleneck", joined)
    torch.testing.assert_close(head._forward_feature(feats), feature)
    torch.testing.assert_close(head(feats), head.conv_seg(feature))


def test_default_scales_and_keys_are_those_of_0_25() -> None:
    settings = {key: value for key, value in CONFIG.items() if key != "pool_scales"}
    head = build_head({**settings, "num_classes": 3})
    assert [pool[0].output_size for pool in head.psp_modules] == [1, 2, 3, 6]
    names = [f"psp_modules.{i}.1" for i in range(4)] + ["bottleneck"]
    names += [f"{name}.{i}" for name in ("lateral_convs", "fpn_convs") for i in (0, 1)] + ["fpn_bottleneck"]
    assert top_keys(head) == ["conv_seg", *(f"{name}.{p}" for name in names for p in ("conv", "bn"))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 4, "in_index": 0}, "lists of the same length"),
        ({"input_transform": "resize_concat"}, "UPerHead works with input_transform='multiple_select'"),
        ({"pool_scales": []}, "pool_scales is a list"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_head({**CONFIG, "num_classes": 3, **changes})
