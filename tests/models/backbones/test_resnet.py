from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from mmseg.models import build_backbone
from mmseg.utils.errors import UserError
from tests.helpers_models import recorded_json, relative_distance
from tests.helpers_weights import recorded_weights
from tests.models.backbone_contract import BackboneContract

TINY = {"type": "ResNet", "depth": 18, "stem_channels": 8, "base_channels": 4}
DILATED = {"strides": [1, 2, 1, 1], "dilations": [1, 1, 2, 4], "contract_dilation": True}


class TestResNet(BackboneContract):
    config = TINY
    channels = (4, 8, 16, 32)
    strides = (4, 8, 16, 32)
    freezes = True


class TestDilatedResNetV1c(BackboneContract):
    config = {**TINY, "type": "ResNetV1c", "depth": 50, **DILATED}
    channels = (16, 32, 64, 128)
    strides = (4, 8, 8, 8)
    freezes = True


class TestResNetV1d(BackboneContract):
    config = {**TINY, "type": "ResNetV1d", "out_indices": [1, 3], "norm_cfg": {"type": "GN", "num_groups": 2}}
    channels = (8, 32)
    strides = (8, 32)
    freezes = True


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_keys_and_shapes_are_those_of_0_25(depth: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone({"type": "ResNetV1c", "depth": depth, **DILATED})
    own = [[key, list(value.shape)] for key, value in backbone.state_dict().items()]
    assert own == recorded_json("resnet_keys.json.gz")[f"r{depth}"]  # in 0.25's order, too


def test_initial_weights_spread_as_in_0_25() -> None:
    torch.manual_seed(0)
    backbone = build_backbone({"type": "ResNetV1c", "depth": 18, **DILATED})
    backbone.init_weights()
    recorded = recorded_json("resnet_initial_spread.json")
    assert set(recorded) == {name for name, _ in backbone.named_parameters()}
    for name, parameter in backbone.named_parameters():
        mean, std, count = recorded[name]
        assert parameter.numel() == count
        if std == 0:
            assert (parameter == mean).all(), name
        elif count > 500:
            assert abs(parameter.std().item() - std) <= 0.15 * std, name
            assert abs(parameter.mean().item() - mean) <= 4 * std / count**0.5, name


def features_of(model: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of ``layer1`` to ``layer4`` of another library's ResNet."""
    found: list[torch.Tensor] = []
    hooks = [
        getattr(model, f"layer{i}").register_forward_hook(lambda _m, _i, out: found.append(out))
        for i in (1, 2, 3, 4)
    ]
    model(image)
    for hook in hooks:
        hook.remove()
    return found


@torch.no_grad()
def assert_equal_features(ours: nn.Module, theirs: nn.Module) -> None:
    """Both have the same layers in the same order and give the same maps on the same weights."""
    weights = recorded_weights(ours.state_dict())
    keys = [key for key in theirs.state_dict() if not key.startswith("fc.")]
    theirs.load_state_dict(dict(zip(keys, weights.values(), strict=True)), strict=False)
    ours.load_state_dict(weights)
    image = torch.randn(1, 3, 75, 97, generator=torch.Generator().manual_seed(0))
    expected = features_of(theirs.eval(), image)
    for a, b in zip(ours.eval()(image), expected, strict=True):
        assert relative_distance(a, b) < 1e-5


def test_dilated_bottlenecks_are_those_of_torchvision() -> None:
    ours = build_backbone({"type": "ResNet", "depth": 50, **DILATED})
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
    assert_equal_features(ours, theirs)


def test_basic_blocks_are_those_of_torchvision() -> None:
    assert_equal_features(build_backbone({"type": "ResNet", "depth": 18}), torchvision.models.resnet18())


def test_averaging_shortcuts_are_those_of_timm() -> None:
    assert_equal_features(build_backbone({"type": "ResNetV1d", "depth": 50}), timm.create_model("resnet50d"))


@pytest.mark.slow
@pytest.mark.parametrize("depth", [34, 50, 101, 152])
def test_other_depths_are_those_of_torchvision(depth: int) -> None:
    theirs = getattr(torchvision.models, f"resnet{depth}")()
    assert_equal_features(build_backbone({"type": "ResNet", "depth": depth}), theirs)


def dilations_of(backbone: nn.Module, stage: int, conv: str) -> list[tuple[int, int]]:
    """(dilation, padding) of one convolution of every block of a stage."""
    blocks = getattr(backbone, f"layer{stage}")
    return [(getattr(b, conv).dilation[0], getattr(b, conv).padding[0]) for b in blocks]


def test_the_first_block_of_a_dilated_stage_contracts_its_dilation() -> None:
    dilated = {"strides": [1, 2, 1, 1], "dilations": [1, 1, 2, 4]}
    plain = build_backbone({**TINY, "depth": 50, **dilated})
    assert dilations_of(plain, 4, "conv2") == [(4, 4), (4, 4), (4, 4)]
    contracted = build_backbone({**TINY, "depth": 50, **dilated, "contract_dilation": True})
    assert dilations_of(contracted, 2, "conv2") == [(1, 1)] * 4
    assert dilations_of(contracted, 3, "conv2") == [(1, 1), *[(2, 2)] * 5]
    assert dilations_of(contracted, 4, "conv2") == [(2, 2), (4, 4), (4, 4)]


def test_multi_grid_sets_the_last_stage_block_by_block() -> None:
    backbone = build_backbone({**TINY, "depth": 50, **DILATED, "multi_grid": [1, 2, 4]})
    assert dilations_of(backbone, 3, "conv2") == [(1, 1), *[(2, 2)] * 5]
    assert dilations_of(backbone, 4, "conv2") == [(1, 1), (2, 2), (4, 4)]
    shallow = build_backbone({**TINY, **DILATED, "multi_grid": [1, 2, 4]})  # of two blocks
    assert dilations_of(shallow, 4, "conv1") == [(1, 1), (2, 2)]
    assert dilations_of(shallow, 4, "conv2") == [(1, 1), (1, 1)]


@pytest.mark.parametrize(("style", "strides"), [("pytorch", (1, 2)), ("caffe", (2, 1))])
def test_style_places_the_stride(style: str, strides: tuple[int, int]) -> None:
    block = build_backbone({**TINY, "depth": 50, "style": style}).layer2[0]
    assert (block.conv1.stride[0], block.conv2.stride[0]) == strides


def test_three_stages_of_four_channel_images() -> None:
    few = {"num_stages": 3, "strides": [1, 2, 2], "dilations": [1, 1, 1], "out_indices": [2, 0]}
    backbone = build_backbone({**TINY, **few, "in_channels": 4})
    assert not hasattr(backbone, "layer4")
    assert [f.shape[1] for f in backbone(torch.randn(2, 4, 64, 64))] == [4, 16] == backbone.out_channels


def test_norm1_is_the_norm_of_the_stem() -> None:
    assert isinstance(build_backbone(TINY).norm1, nn.BatchNorm2d)
    grouped = build_backbone({**TINY, "norm_cfg": {"type": "GN", "num_groups": 2}})
    assert grouped.norm1 is grouped.gn1


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize(("depth", "last"), [(18, "bn2"), (50, "bn3")])
def test_residual_branches_start_at_zero_if_asked(depth: int, last: str, zero: bool) -> None:
    backbone = build_backbone({**TINY, "depth": depth, "zero_init_residual": zero})
    backbone.init_weights()
    for block in backbone.layer2:
        assert (getattr(block, last).weight == (0 if zero else 1)).all()
        assert (block.bn1.weight == 1).all()


def test_an_init_cfg_of_ones_own_replaces_the_default() -> None:
    backbone = build_backbone({**TINY, "init_cfg": {"type": "Constant", "val": 0.5, "layer": "Conv2d"}})
    backbone.init_weights()
    assert (backbone.layer1[0].conv1.weight == 0.5).all()
    assert (backbone.layer1[0].bn2.weight == 1).all()


def test_norm_eval_uses_running_statistics_and_trains_weights() -> None:
    backbone = build_backbone({**TINY, "norm_eval": True}).train()
    assert backbone.training and backbone.layer1.training
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
    for name, value in backbone.named_buffers():
        assert torch.equal(value, before[name]), name
    assert backbone.bn1.weight.grad is not None


def test_a_string_for_pretrained_is_a_checkpoint(tmp_path: Any) -> None:
    source = build_backbone(TINY)
    torch.save(source.state_dict(), tmp_path / "r18.pth")
    backbone = build_backbone({**TINY, "pretrained": str(tmp_path / "r18.pth")})
    backbone.init_weights()
    torch.testing.assert_close(backbone.state_dict(), source.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 20}, "depth=20.*18, 34, 50, 101, 152"),
        ({"num_stages": 5}, "num_stages=5.*1 and 4"),
        ({"strides": [1, 2, 2]}, r"strides=\[1, 2, 2\].*num_stages=4"),
        ({"dilations": 2}, "dilations=2"),
        ({"out_indices": [0, 4]}, r"out_indices=\[0, 4\].*0 to 3"),
        ({"out_indices": 3}, "out_indices=3 must name stages 0 to 3, in a list"),
        ({"norm_cfg": None}, "norm_cfg is a dictionary .*not None"),
        ({"style": "torch"}, "style='torch'.*'caffe'"),
        ({"frozen_stages": 5}, "frozen_stages=5 must lie between -1 and the 4 stages"),
        ({"multi_grid": [1]}, r"multi_grid=\[1\].*2 blocks"),
        ({"dcn": {"type": "DCNv2"}, "stage_with_dcn": [False, True, True, True]}, "`dcn` is not supported"),
        ({"plugins": [{"cfg": {"type": "ContextBlock"}}]}, "`plugins` is not supported"),
        ({"conv_cfg": {"type": "DCN"}}, "conv_cfg .*DCN.*not known"),
        ({"pretrained": "a.pth", "init_cfg": {"type": "Pretrained", "checkpoint": "b.pth"}}, "not both"),
        ({"type": "ResNetV1c", "deep_stem": False}, "ResNetV1c .*deep_stem=False does not fit"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone({**TINY, **changes})
