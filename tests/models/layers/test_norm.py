from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmseg.models import build_segmentor, revert_sync_batchnorm
from mmseg.models.layers import build_norm_layer
from mmseg.utils.errors import UserError
from tests.helpers_models import tiny_segformer


@pytest.mark.parametrize(
    ("cfg", "name", "layer"),
    [
        ({"type": "BN", "eps": 1e-3}, "bn1", nn.BatchNorm2d),
        ({"type": "SyncBN"}, "bn1", nn.SyncBatchNorm),
        ({"type": "LN"}, "ln1", nn.LayerNorm),
        ({"type": "GN", "num_groups": 2}, "gn1", nn.GroupNorm),
        ({"type": "IN"}, "in1", nn.InstanceNorm2d),
    ],
)
def test_names_and_types(cfg: dict, name: str, layer: type) -> None:
    built_name, built = build_norm_layer(cfg, 8, postfix=1)
    assert built_name == name
    assert type(built) is layer
    assert built.eps == cfg.get("eps", 1e-5)


def test_requires_grad_freezes() -> None:
    _, layer = build_norm_layer({"type": "BN", "requires_grad": False}, 4)
    assert [p.requires_grad for p in layer.parameters()] == [False, False]


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"type": "SyncBn"}, "did you mean.*SyncBN"),
        ({"eps": 1}, "unknown normalisation layer"),
        ({"type": "GN"}, "num_groups"),
        ({"type": "BN", "epsilon": 1}, "did you mean.*eps"),
    ],
)
def test_mistakes_are_named(cfg: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_norm_layer(cfg, 4)


def test_revert_sync_batchnorm_keeps_parameters_and_outcome() -> None:
    model = build_segmentor(tiny_segformer())
    model.init_weights()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.SyncBatchNorm):
                module.running_mean.normal_()
                module.weight.normal_()
    image, before = torch.randn(2, 3, 64, 64), copy.deepcopy(model.state_dict())
    parameters = [id(p) for p in model.parameters()]
    expected = model.eval().forward_dummy(image)
    assert revert_sync_batchnorm(model) is model
    kinds = {type(m) for m in model.modules()}
    assert nn.SyncBatchNorm not in kinds
    assert nn.BatchNorm2d in kinds
    assert [id(p) for p in model.parameters()] == parameters
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(model.forward_dummy(image), expected)
    assert not any(m.training for m in model.modules())
    model.train().forward_dummy(image)
    name = "decode_head.fusion_conv.bn.num_batches_tracked"
    assert model.state_dict()[name] == before[name] + 1


def test_revert_of_a_bare_layer_returns_the_new_one() -> None:
    layer = nn.SyncBatchNorm(3, eps=1e-2, momentum=0.3, affine=False)
    plain = revert_sync_batchnorm(layer)
    assert type(plain) is nn.BatchNorm2d
    assert (plain.eps, plain.momentum, plain.weight) == (1e-2, 0.3, None)
