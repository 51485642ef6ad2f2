from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmseg.models.backbones.resnet_blocks import BasicBlock, make_stage
from mmseg.models.layers import ConvModule
from mmseg.models.layers.fold import ConvNormSequential, conv_norm, folded, folds

BN = {"type": "BN"}


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """``module`` evaluating, with drawn statistics, weights and biases."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.2, 3, generator=generator)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2, generator=generator)
                nn.init.normal_(layer.bias, generator=generator)
    return module.eval()


def image(channels: int = 4, size: int = 20) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups, stride", [(1, 1), (4, 2)])
def test_one_convolution_does_what_two_layers_do(bias: bool, affine: bool, groups: int, stride: int) -> None:
    conv = nn.Conv2d(4, 8, 3, stride, 1, groups=groups, bias=bias)
    norm = filled(nn.BatchNorm2d(8, affine=affine))
    x = image()
    with torch.no_grad():
        assert folds(x, conv, norm)
        expected = norm(conv(x))
        torch.testing.assert_close(conv_norm(x, conv, norm), expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(conv_norm(x, conv, norm, exact=True), expected)


def cases() -> list[Any]:
    def frozen(conv: nn.Conv2d, norm: nn.Module) -> None:
        conv.register_forward_hook(lambda *_: None)

    return [
        pytest.param(lambda conv, norm: norm.train(), id="trains"),
        pytest.param(frozen, id="hook"),
        pytest.param(lambda conv, norm: setattr(conv, "padding_mode", "reflect"), id="padding"),
        pytest.param(lambda conv, norm: norm.register_buffer("running_mean", None), id="no statistics"),
    ]


@pytest.mark.parametrize("change", cases())
def test_it_stays_two_layers_where_they_matter(change: Callable[[nn.Module, nn.Module], Any]) -> None:
    conv, norm = nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8).eval()
    x = image()
    with torch.no_grad():
        assert folds(x, conv, norm)
        change(conv, norm)
        assert not folds(x, conv, norm)


def test_no_folding_with_gradients_other_layers_or_small_maps() -> None:
    conv, norm = nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8).eval()
    x = image()
    assert not folds(x, conv, norm)
    with torch.no_grad():
        assert not folds(x, conv, nn.GroupNorm(2, 8))
        assert not folds(x[:, :, :4, :4], nn.Conv2d(4, 80, 3), nn.BatchNorm2d(80).eval())
        assert not folds(x.double(), conv.double(), norm.double())
        with torch.autocast("cpu", torch.bfloat16):
            assert not folds(x, conv.float(), norm.float())


def test_parameters_and_buffers_stay_and_new_ones_are_seen() -> None:
    module = filled(ConvModule(4, 8, 3, norm_cfg=BN))
    other = filled(ConvModule(4, 8, 3, norm_cfg=BN), seed=5)
    x, before = image(), {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        first = module(x)
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
        module.load_state_dict(other.state_dict())
        second = module(x)
        torch.testing.assert_close(second, other(x))
        assert not torch.allclose(first, second)
        module.exact = True
        torch.testing.assert_close(module(x), second, rtol=1e-4, atol=1e-5)
    module.train()(x).sum().backward()
    assert module.conv.weight.grad is not None


@pytest.mark.parametrize("order", [("conv", "norm", "act"), ("norm", "conv", "act"), ("conv", "act", "norm")])
def test_conv_module_keeps_its_order(order: tuple[str, ...]) -> None:
    module = filled(ConvModule(4, 4, 3, norm_cfg=BN, order=order))
    with torch.no_grad():
        got = module(image())
        module.exact = True
        torch.testing.assert_close(got, module(image()), rtol=1e-4, atol=1e-5)


def test_residual_blocks_and_sequences() -> None:
    stage = make_stage(BasicBlock, 4, 8, 2, 2, 1, "pytorch", True, BN, False, None, False)
    filled(stage)
    assert list(stage[0].downsample.state_dict())[0] == "1.weight"
    x = image(size=32)
    with torch.no_grad():
        got = stage(x)
        for module in stage.modules():
            if hasattr(module, "exact"):
                module.exact = True
        torch.testing.assert_close(got, stage(x), rtol=1e-4, atol=1e-4)
    sequence = ConvNormSequential(nn.ReLU(), nn.Conv2d(4, 8, 1), filled(nn.BatchNorm2d(8)), nn.ReLU()).eval()
    with torch.no_grad():
        torch.testing.assert_close(sequence(x), nn.Sequential(*sequence)(x), rtol=1e-4, atol=1e-5)


def test_folded_weights_are_new_tensors() -> None:
    conv, norm = nn.Conv2d(2, 3, 1), filled(nn.BatchNorm2d(3))
    weight, bias = folded(conv, norm)
    assert weight.shape == conv.weight.shape
    assert bias.shape == (3,)
    assert weight.data_ptr() != conv.weight.data_ptr()
