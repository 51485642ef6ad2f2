from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmseg.models import build_head
from mmseg.models.decode_heads import PSPHead
from mmseg.utils.errors import UserError
from tests.helpers_heads import bilinear, block, filled, maps, top_keys
from tests.models.head_contract import HeadContract

CONFIG = {"type": "PSPHead", "in_channels": 6, "channels": 12, "norm_cfg": {"type": "SyncBN"}}


class TestPSPHead(HeadContract):
    config = CONFIG
    feats = ((4, 22, 30), (6, 11, 15))
    out_size = (11, 15)


@pytest.mark.parametrize("align_corners", [False, True])
def test_formula(align_corners: bool) -> None:
    settings = {"num_classes": 3, "pool_scales": [1, 4], "align_corners": align_corners}
    head = filled(build_head({**CONFIG, **settings}))
    (x,) = maps((6, 9, 13))
    state, joined = head.state_dict(), [x]
    for i, scale in enumerate((1, 4)):
        pooled = block(state, f"psp_modules.{i}.1", F.adaptive_avg_pool2d(x, scale))
        joined.append(bilinear(pooled, x, align_corners))
    feature = block(state, "bottleneck", torch.cat(joined, 1))
    torch.testing.assert_close(head._forward_feature([x]), feature)
    torch.testing.assert_close(head([x]), head.conv_seg(feature))


def test_keys_are_those_of_0_25() -> None:
    expected = ["conv_seg", *(f"psp_modules.{i}.1.{p}" for i in range(4) for p in ("conv", "bn"))]
    assert top_keys(build_head({**CONFIG, "num_classes": 3})) == [
        *expected,
        "bottleneck.conv",
        "bottleneck.bn",
    ]


def test_a_subclass_may_change_the_feature() -> None:
    class Doubled(PSPHead):
        def _forward_feature(self, inputs: list[torch.Tensor]) -> torch.Tensor:
            return 2 * super()._forward_feature(inputs)

    plain = filled(PSPHead(in_channels=6, channels=4, num_classes=3))
    doubled = filled(Doubled(in_channels=6, channels=4, num_classes=3))
    feats, bias = maps((6, 5, 5)), plain.conv_seg.bias[:, None, None]
    torch.testing.assert_close(doubled(feats) - bias, 2 * (plain(feats) - bias))


def test_one_image_cannot_be_normalised_over_a_batch() -> None:
    feats = [torch.randn(1, 6, 11, 15)]
    bn = build_head({**CONFIG, "num_classes": 3, "norm_cfg": {"type": "BN"}})
    with pytest.raises(UserError, match="batch of 1 image: set data.samples_per_gpu to 2"):
        bn(feats)
    assert bn.eval()(feats).shape == (1, 3, 11, 15)
    gn = build_head({**CONFIG, "num_classes": 3, "norm_cfg": {"type": "GN", "num_groups": 4}})
    assert gn.train()(feats).shape == (1, 3, 11, 15)
    coarse = build_head({**CONFIG, "num_classes": 3, "norm_cfg": {"type": "BN"}, "pool_scales": [2, 3]})
    assert coarse.train()(feats).shape == (1, 3, 11, 15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool_scales": 6}, "pool_scales is a list.*not 6"),
        ({"pool_scales": [1, 0]}, "pool_scales is a list"),
        (
            {"in_channels": [4, 6], "in_index": [0, 1], "input_transform": "multiple_select"},
            "PSPHead works on one map",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_head({**CONFIG, "num_classes": 3, **changes})
