from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models import build_neck
from mmseg.utils.errors import UserError
from tests.helpers_heads import filled, maps, top_keys

CHANNELS = [4, 6, 8, 10]
CONFIG = {"type": "FPN", "in_channels": CHANNELS, "out_channels": 7, "num_outs": 4}
SHAPES = ((4, 23, 31), (6, 12, 16), (8, 6, 8), (10, 3, 4))
SIZES = [shape[1:] for shape in SHAPES]


def neck_of(**changes: object) -> nn.Module:
    return filled(build_neck({**CONFIG, **changes}))


def conv(neck: nn.Module, name: str, x: Tensor, **kwargs: int) -> Tensor:
    state = neck.state_dict()
    weight = state[f"{name}.conv.weight"]
    return F.conv2d(x, weight, state[f"{name}.conv.bias"], padding=weight.shape[-1] // 2, **kwargs)


def sizes(outs: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    return [tuple(x.shape[2:]) for x in outs]


@pytest.mark.parametrize(("start", "end", "last"), [(0, -1, 4), (1, -1, 4), (1, 3, 3)])
def test_formula(start: int, end: int, last: int) -> None:
    neck, feats = neck_of(start_level=start, end_level=end, num_outs=last - start), maps(*SHAPES)
    total, expected = None, []
    for i in reversed(range(last - start)):
        lateral = conv(neck, f"lateral_convs.{i}", feats[start + i])
        if total is not None:
            lateral = lateral + F.interpolate(total, lateral.shape[2:], mode="nearest")
        total = lateral
        expected.insert(0, conv(neck, f"fpn_convs.{i}", total))
    outs = neck(feats)
    assert isinstance(outs, tuple)
    assert sizes(outs) == SIZES[start:last]
    torch.testing.assert_close(list(outs), expected)


def test_further_levels_by_subsampling() -> None:
    outs = neck_of(num_outs=6)(maps(*SHAPES))
    assert sizes(outs) == [*SIZES, (2, 2), (1, 1)]
    torch.testing.assert_close(outs[4], outs[3][:, :, ::2, ::2])
    assert len(neck_of(num_outs=6).fpn_convs) == 4


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("source", ["on_input", "on_lateral", "on_output"])
def test_further_levels_by_convolutions(source: str, relu: bool) -> None:
    feats, options = maps(*SHAPES), {"num_outs": 6, "relu_before_extra_convs": relu}
    neck = neck_of(add_extra_convs=source, **options)
    outs = neck(feats)
    lateral = conv(neck, "lateral_convs.3", feats[3])
    start = {"on_input": feats[3], "on_lateral": lateral, "on_output": outs[3]}[source]
    first = conv(neck, "fpn_convs.4", start, stride=2)
    torch.testing.assert_close(outs[4], first)
    second = conv(neck, "fpn_convs.5", first.relu() if relu else first, stride=2)
    torch.testing.assert_close(outs[5], second)
    assert sizes(outs) == [*SIZES, (2, 2), (1, 1)]


def test_true_means_on_output_or_on_input() -> None:
    options = {"num_outs": 5, "add_extra_convs": True}
    assert neck_of(**options).add_extra_convs == "on_output"
    assert neck_of(**options, extra_convs_on_inputs=True).add_extra_convs == "on_input"
    assert neck_of(num_outs=5, extra_convs_on_inputs=True).add_extra_convs is False


def test_keys_and_parts_are_those_of_0_25() -> None:
    neck = neck_of(norm_cfg={"type": "BN"}, act_cfg={"type": "ReLU"}, no_norm_on_lateral=True)
    laterals = [f"lateral_convs.{i}.conv" for i in range(4)]
    assert top_keys(neck) == laterals + [f"fpn_convs.{i}.{p}" for i in range(4) for p in ("conv", "bn")]
    assert all(m.with_activation for m in [*neck.lateral_convs, *neck.fpn_convs])
    assert "lateral_convs.0.bn.weight" in neck_of(norm_cfg={"type": "BN"}).state_dict()
    assert not neck_of().lateral_convs[0].with_activation


def test_levels_may_be_resized_by_a_factor() -> None:
    shapes = ((4, 16, 24), (6, 8, 12), (8, 4, 6), (10, 2, 3))
    feats = maps(*shapes)
    by_size = neck_of(upsample_cfg={"mode": "bilinear", "align_corners": False})(feats)
    by_factor = neck_of(upsample_cfg={"mode": "bilinear", "scale_factor": 2.0})(feats)
    torch.testing.assert_close(by_factor, by_size)
    assert not torch.allclose(by_size[0], neck_of()(feats)[0])


def test_initial_weights_are_uniform() -> None:
    torch.manual_seed(0)
    neck = build_neck({**CONFIG, "out_channels": 64, "norm_cfg": {"type": "BN"}})
    neck.init_weights()
    for name, fan_in in (("lateral_convs", 10), ("fpn_convs", 64 * 9)):
        weight = getattr(neck, name)[3].conv.weight
        bound = math.sqrt(6 / (fan_in + 64 * weight.shape[-1] ** 2))
        assert bound * 0.98 < weight.abs().max().item() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert all((m.bn.weight == 1).all() for m in neck.fpn_convs)
    other = build_neck({**CONFIG, "init_cfg": {"type": "Constant", "val": 0.5, "layer": "Conv2d"}})
    other.init_weights()
    assert (other.fpn_convs[0].conv.weight == 0.5).all()


def test_building_leaves_the_config_alone() -> None:
    config = {**copy.deepcopy(CONFIG), "upsample_cfg": {"mode": "nearest"}}
    before = copy.deepcopy(config)
    build_neck(config)(tuple(x.float() for x in maps(*SHAPES)))
    assert config == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 256}, "in_channels is a list, one per map, not 256"),
        ({"num_outs": 3}, "num_outs=3, but the maps 0 to 3 give 4 levels; num_outs must be at least"),
        ({"end_level": 3}, "num_outs=4, but the maps 0 to 2 give 3 levels; .* exactly"),
        ({"end_level": 5}, "end_level=5 .*must pick some of the 4 maps"),
        ({"start_level": 4}, "start_level=4"),
        ({"add_extra_convs": "on_inputs"}, "add_extra_convs is a bool or one of .*not 'on_inputs'"),
        ({"upsample_cfg": {"mod": "nearest"}}, "`mod`.*did you mean.*mode"),
        ({"nums_outs": 4}, "did you mean.*num_outs"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_neck({**CONFIG, **changes})


def test_maps_that_do_not_fit_are_named() -> None:
    with pytest.raises(UserError, match=r"in_channels says \[4, 6, 8, 10\], but .* have \[4, 6, 8\]"):
        neck_of()(maps(*SHAPES[:3]))
