from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmseg.models import build_head
from mmseg.utils.errors import UserError
from tests.helpers_heads import bilinear, block, filled, maps, top_keys
from tests.models.head_contract import HeadContract

CONFIG = {
    "type": "FPNHead",
    "in_channels": [6, 6, 6],
    "in_index": [0, 1, 2],
    "feature_strides": [4, 8, 16],
    "channels": 12,
    "norm_cfg": {"type": "SyncBN"},
}
STRIDES = {"feature_strides": [4, 8, 16, 32]}
SHAPES = ((6, 23, 31), (6, 12, 16), (6, 6, 8))


class TestFPNHead(HeadContract):
    config = CONFIG
    feats = SHAPES
    out_size = (23, 31)


@pytest.mark.parametrize("align_corners", [False, True])
def test_formula(align_corners: bool) -> None:
    head = filled(build_head({**CONFIG, "num_classes": 3, "align_corners": align_corners}))
    feats, state = maps(*SHAPES), head.state_dict()

    def double(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, [2 * s for s in x.shape[2:]], mode="bilinear", align_corners=align_corners)

    total = block(state, "scale_heads.0.0", feats[0])
    middle = double(block(state, "scale_heads.1.0", feats[1]))
    assert middle.shape[2:] == (24, 32)
    top = double(block(state, "scale_heads.2.0", feats[2]))
    top = double(block(state, "scale_heads.2.2", top))
    for x in (middle, top):
        total = total + bilinear(x, total, align_corners)
    torch.testing.assert_close(head(feats), head.conv_seg(total))


def test_keys_are_those_of_0_25() -> None:
    four = {"in_channels": [6] * 4, "in_index": [0, 1, 2, 3], **STRIDES}
    head = build_head({**CONFIG, **four, "num_classes": 3})
    names = ["0.0", "1.0", "2.0", "2.2", "3.0", "3.2", "3.4"]
    assert top_keys(head) == ["conv_seg", *(f"scale_heads.{n}.{p}" for n in names for p in ("conv", "bn"))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (STRIDES, r"feature_strides=\[4, 8, 16, 32\] must have one entry"),
        ({"feature_strides": [8, 4, 16]}, "the first the smallest"),
        ({"input_transform": "resize_concat"}, "FPNHead works with input_transform='multiple_select'"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_head({**CONFIG, "num_classes": 3, **changes})
