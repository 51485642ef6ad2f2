from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from mmseg.models import build_head
from mmseg.utils.errors import UserError
from tests.models.head_contract import HeadContract

CONFIG = {"type": "BasicDecoder", "in_channels": 6, "channels": 12, "input_size": [20, 30]}


class TestBasicDecoder(HeadContract):
    config = CONFIG
    feats = ((6, 3, 5),)
    out_size = (20, 30)

    def test_the_classifier_starts_small(self) -> None:
        """It starts as PyTorch draws it, here: uniformly within 1 / sqrt(fan-in)."""
        weight = self.build(num_classes=300).conv_seg.weight
        assert weight.std().item() == pytest.approx((1 / 12 / 3) ** 0.5, rel=0.05)


@pytest.mark.slow
class TestExact(TestBasicDecoder):
    config = {**CONFIG, "exact": True}


def build(**changes: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_head({**CONFIG, "num_classes": 4, **changes})


def test_it_is_three_transposed_convolutions_and_an_interpolation() -> None:
    head, x = build(input_size=(21, 33), n_class=4).eval(), torch.randn(2, 6, 3, 4)
    assert [n for n, _ in head.named_parameters()] == [
        "conv_seg.weight",
        "conv_seg.bias",
        "upsample_cov1.weight",
        "upsample_cov2.weight",
        "upsample_cov3.weight",
    ]
    y = F.conv_transpose2d(x, head.upsample_cov1.weight, stride=2, output_padding=1)
    y = F.conv_transpose2d(y, head.upsample_cov2.weight, stride=2)
    y = F.conv_transpose2d(y, head.upsample_cov3.weight, stride=2, padding=1)
    assert tuple(y.shape[2:]) == (40, 48)
    y = F.interpolate(y, (21, 33), mode="bilinear", align_corners=True)
    torch.testing.assert_close(head([x]), y)


def test_the_second_resizing_of_the_recorded_sequence_changes_nothing() -> None:
    head, x = build().eval(), torch.randn(2, 6, 3, 4)
    once = head([x])
    head.exact = True
    torch.testing.assert_close(head([x]), once, rtol=0, atol=0)


def test_it_trains_under_plain_ddp(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        head = build().train()
        wrapped = DistributedDataParallel(head)
        for _ in range(2):  # a weight that got no gradient is reported by the second step
            wrapped([torch.randn(2, 6, 3, 4)]).square().mean().backward()
        assert all((p.grad is not None) == p.requires_grad for p in head.parameters())
        assert [n for n, p in head.named_parameters() if not p.requires_grad] == [
            "conv_seg.weight",
            "conv_seg.bias",
        ]
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_class": 5}, "n_class=5 must equal the 4 channels"),
        ({"input_size": 256}, r"input_size is \(height, width\).*not 256"),
        ({"input_size": [0, 864]}, r"not \[0, 864\]"),
        ({"input_size": [1, 2, 3]}, r"not \[1, 2, 3\]"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**changes)
