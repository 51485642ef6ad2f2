from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmseg.models import build_backbone, build_segmentor, revert_sync_batchnorm
from mmseg.utils.errors import UserError
from tests.helpers_models import fcn_head
from tests.models.backbone_contract import BackboneContract
from tests.models.backbones.recorded_figures import (
    assert_initial_spread_as_recorded,
    assert_keys_as_recorded,
    assert_logits_as_recorded,
)

SYNC_BN = {"type": "SyncBN", "requires_grad": True}
TINY = {
    "type": "UNet",
    "base_channels": 4,
    "num_stages": 3,
    "strides": [1, 1, 1],
    "enc_num_convs": [2, 2, 2],
    "dec_num_convs": [2, 2],
    "downsamples": [True, True],
    "enc_dilations": [1, 1, 1],
    "dec_dilations": [1, 1],
}


def unet(**changes: Any) -> dict[str, Any]:
    """The config of the U-Net that the figures were recorded with."""
    head = {"channels": 64, "norm_cfg": SYNC_BN}
    model = {
        "type": "EncoderDecoder",
        "backbone": {"type": "UNet", "norm_cfg": SYNC_BN, "upsample_cfg": {"type": "InterpConv"}},
        "decode_head": fcn_head(in_channels=64, in_index=4, **head),
        "auxiliary_head": fcn_head(in_channels=128, in_index=3, **head),
    }
    return {**model, **changes}


class UNetContract(BackboneContract):
    def test_a_misspelt_argument_is_named(self) -> None:
        with pytest.raises(UserError, match="base_chanels.*did you mean.*base_channels"):
            self.build(base_chanels=4)


class TestUNet(UNetContract):
    config = TINY
    channels = (16, 8, 4)
    strides = (4, 2, 1)
    size_multiple = 4


@pytest.mark.slow
class TestStridesDilationsAndDeconvolution(UNetContract):
    config = {
        "type": "UNet",
        "base_channels": 4,
        "num_stages": 4,
        "strides": [2, 2, 1, 1],
        "enc_num_convs": [1, 2, 2, 3],
        "dec_num_convs": [2, 1, 3],
        "downsamples": [True, False, True],
        "enc_dilations": [1, 1, 2, 3],
        "dec_dilations": [1, 2, 2],
        "act_cfg": {"type": "LeakyReLU"},
        "norm_cfg": {"type": "GN", "num_groups": 2},
        "upsample_cfg": {"type": "DeconvModule"},
    }
    channels = (32, 16, 8, 4)
    strides = (8, 4, 4, 2)
    size_multiple = 8


def test_keys_and_shapes_are_those_of_0_25() -> None:
    assert_keys_as_recorded("unet", unet())


def test_logits_are_those_of_0_25() -> None:
    assert_logits_as_recorded("unet", unet())


def test_initial_weights_spread_as_in_0_25() -> None:
    assert_initial_spread_as_recorded("unet", unet())


def test_a_stage_without_pool_or_stride_has_the_keys_of_0_25() -> None:
    config = {**TINY, "strides": [1, 2, 1], "downsamples": [True, False]}
    with torch.device("meta"):
        keys = {key for key in build_backbone(config).state_dict() if key.endswith("weight")}
    blocks = {key.split(".convs.")[0] for key in keys if key.startswith("encoder")}
    assert blocks == {"encoder.0.0", "encoder.1.0", "encoder.2.0"}
    assert {key for key in keys if "upsample" in key and "bn" not in key} == {
        "decoder.0.upsample.interp_upsample.1.conv.weight",
        "decoder.1.upsample.conv.weight",
    }


def test_all_but_the_first_convolution_of_a_block_are_dilated() -> None:
    config = {**TINY, "enc_num_convs": [1, 2, 3], "enc_dilations": [2, 3, 4], "dec_dilations": [5, 6]}
    backbone = build_backbone(config)
    dilations = [[c.conv.dilation[0] for c in stage[-1].convs] for stage in backbone.encoder]
    dilations += [[c.conv.dilation[0] for c in step.conv_block.convs] for step in backbone.decoder]
    assert dilations == [[1], [1, 3], [1, 4, 4], [1, 5], [1, 6]]


@pytest.mark.parametrize("kind", ["BN", "SyncBN"])
@pytest.mark.parametrize("norm_eval", [False, True])
def test_norm_eval_keeps_the_statistics(kind: str, norm_eval: bool) -> None:
    backbone = build_backbone({**TINY, "norm_cfg": {"type": kind}, "norm_eval": norm_eval})
    backbone = revert_sync_batchnorm(backbone.train())
    backbone(torch.randn(2, 3, 16, 16))
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 12
    assert {norm.training for norm in norms} == {not norm_eval}
    assert {norm.running_mean.any().item() for norm in norms} == {not norm_eval}


def test_both_sequences_give_the_same_gradients_and_statistics() -> None:
    torch.manual_seed(0)
    image, label = torch.randn(2, 3, 16, 24).double(), torch.randint(0, 19, (2, 1, 16, 24))
    backbone = {**TINY, "norm_cfg": {"type": "BN"}}
    head = fcn_head(in_channels=4, in_index=2, norm_cfg={"type": "BN"}, dropout_ratio=0)
    model = build_segmentor({"type": "EncoderDecoder", "backbone": backbone, "decode_head": head})
    model.init_weights()
    start = {key: value.clone() for key, value in model.state_dict().items()}
    outcomes = []
    for exact in (False, True):
        model.load_state_dict(start)
        model.double().train().zero_grad()
        model.exact = exact
        model.forward_train(image, [{}, {}], label)["decode.loss_ce"].backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
        outcomes.append((gradients, {n: b.clone() for n, b in model.named_buffers()}))
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-9, atol=1e-12)


def test_pretrained_is_an_init_cfg(tmp_path: Any) -> None:
    source = build_backbone(TINY)
    torch.save(source.state_dict(), tmp_path / "unet.pth")
    backbone = build_backbone({**TINY, "pretrained": str(tmp_path / "unet.pth")})
    backbone.init_weights()
    torch.testing.assert_close(backbone.state_dict(), source.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": [1, 1]}, r"strides=\[1, 1\].*num_stages=3 stages"),
        ({"dec_num_convs": [2, 2, 2]}, r"dec_num_convs=\[2, 2, 2\].*the 2 steps between 3 stages"),
        ({"downsamples": True}, "downsamples=True.*2 steps"),
        ({"dcn": {"type": "DCN"}}, "no dcn"),
        ({"plugins": [{}]}, "no plugins"),
        ({"pretrained": "a.pth", "init_cfg": {"type": "Pretrained", "checkpoint": "b.pth"}}, "not both"),
        ({"upsample_cfg": {"type": "InterpConf"}}, "InterpConf.*did you mean.*InterpConv"),
        ({"conv_cfg": {"type": "DCNv2"}}, "DCNv2"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone({**TINY, **changes})


def test_a_size_that_does_not_divide_is_refused_with_the_remedy() -> None:
    message = "divide by 16, but it has 375x1242.*ResizeToMultiple', size_divisor=16"
    with torch.device("meta"), pytest.raises(UserError, match=message):
        build_backbone({"type": "UNet"})(torch.zeros(1, 3, 375, 1242))


def test_a_factor_other_than_the_strides_is_refused() -> None:
    deconv = {"type": "DeconvModule", "kernel_size": 3, "scale_factor": 3}
    with pytest.raises(UserError, match="12x12 of one of 4x4.*has 8x8"):
        build_backbone({**TINY, "upsample_cfg": deconv})(torch.zeros(2, 3, 16, 16))
