from __future__ import annotations

import pytest
import torch
from torch import nn

from mmseg.models.layers import ConvModule, build_activation
from mmseg.utils.errors import UserError


def test_keys_are_those_of_mmcv() -> None:
    block = ConvModule(3, 4, 3, norm_cfg={"type": "BN"})
    assert [k for k in block.state_dict() if "running" not in k] == [
        "conv.weight",
        "bn.weight",
        "bn.bias",
        "bn.num_batches_tracked",
    ]
    assert [name for name, _ in block.named_children()] == ["conv", "bn", "activate"]


def test_bias_is_there_where_no_norm_follows() -> None:
    assert ConvModule(3, 4, 1).conv.bias is not None
    assert ConvModule(3, 4, 1, norm_cfg={"type": "BN"}).conv.bias is None
    assert ConvModule(3, 4, 1, norm_cfg={"type": "BN"}, bias=True).conv.bias is not None


def test_parts_run_in_order() -> None:
    x = torch.randn(2, 3, 8, 8)
    block = ConvModule(3, 4, 3, stride=2, padding=1, norm_cfg={"type": "GN", "num_groups": 2}).eval()
    torch.testing.assert_close(block(x), block.gn(block.conv(x)).relu())
    torch.testing.assert_close(block.after_conv(block.conv(x)), block(x))
    first = ConvModule(3, 4, 1, norm_cfg={"type": "BN"}, order=("norm", "act", "conv")).eval()
    assert first.bn.num_features == 3
    torch.testing.assert_close(first(x.clone()), first.conv(first.bn(x).relu()))


def test_without_norm_and_activation_it_is_the_convolution() -> None:
    block, x = ConvModule(3, 4, 1, act_cfg=None), torch.randn(1, 3, 4, 4)
    assert torch.equal(block(x), block.conv(x))
    assert block.norm is None


def test_weights_start_by_fan_out() -> None:
    for act, gain in (({"type": "ReLU"}, 2.0), ({"type": "LeakyReLU", "negative_slope": 1.0}, 1.0)):
        block = ConvModule(64, 128, 3, act_cfg=act)
        assert block.conv.weight.std().item() == pytest.approx((gain / (128 * 9)) ** 0.5, rel=0.05)
        assert block.conv.bias.abs().max() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_cfg": {"type": "DCN"}}, "conv_cfg"),
        ({"order": ("conv", "norm")}, "permutation"),
        ({"act_cfg": {"type": "ReLu"}}, "did you mean.*ReLU"),
        ({"act_cfg": {"type": "ReLU", "slope": 1}}, "no argument `slope`"),
    ],
)
def test_mistakes_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConvModule(3, 4, 1, **changes)


def test_activations_by_name() -> None:
    assert isinstance(build_activation({"type": "Swish"}), nn.SiLU)
    assert build_activation({"type": "ReLU"}, inplace=True).inplace
    assert not build_activation({"type": "ReLU", "inplace": False}, inplace=True).inplace
    assert isinstance(build_activation({"type": "GELU"}, inplace=True), nn.GELU)
