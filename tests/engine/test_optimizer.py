"""Parameter groups, saved states, and the errors of a wrong optimizer section."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mmseg.engine.optimizer import build_optimizer, load_optimizer_state
from mmseg.models import build_segmentor
from mmseg.utils.errors import UserError

RECORDED = Path(__file__).parent.parent / "data" / "recorded"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.head = nn.Linear(4, 2)


def rates(optimizer):
    """name -> (learning rate, weight decay)"""
    return {n: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for n in g["param_names"]}


def test_groups_of_segformer_b2_equal_the_recorded_ones():
    recorded = json.loads((RECORDED / "param_groups.json").read_text())["b2"]
    embed, layers = 64, [3, 4, 6, 3]
    model = build_segmentor(
        dict(
            type="EncoderDecoder",
            backbone=dict(
                type="MixVisionTransformer",
                embed_dims=embed,
                num_layers=layers,
                num_heads=[1, 2, 5, 8],
                sr_ratios=[8, 4, 2, 1],
                mlp_ratio=4,
                qkv_bias=True,
            ),
            decode_head=dict(
                type="SegformerHead",
                in_channels=[64, 128, 320, 512],
                in_index=[0, 1, 2, 3],
                channels=256,
                num_classes=19,
                norm_cfg=dict(type="SyncBN"),
                loss_decode=dict(type="CrossEntropyLoss"),
            ),
            auxiliary_head=dict(
                type="FCNHead",
                in_channels=320,
                in_index=2,
                channels=256,
                num_convs=1,
                concat_input=False,
                num_classes=19,
                norm_cfg=dict(type="SyncBN"),
                loss_decode=dict(type="CrossEntropyLoss"),
            ),
        )
    )
    found = rates(build_optimizer(model, recorded["optimizer"]))
    assert set(found) == set(recorded["groups"])
    for name, (lr, decay) in recorded["groups"].items():
        assert found[name] == pytest.approx((lr, decay), rel=1e-5), name


def test_longest_key_wins_and_custom_keys_win_over_norm_decay():
    cfg = dict(
        type="SGD",
        lr=1.0,
        momentum=0.9,
        weight_decay=0.1,
        paramwise_cfg=dict(
            custom_keys={"conv": dict(lr_mult=2.0), "conv.bias": dict(lr_mult=3.0, decay_mult=0.0)},
            norm_decay_mult=0.0,
            bias_lr_mult=5.0,
            bias_decay_mult=0.5,
            dwconv_decay_mult=0.25,
        ),
    )
    found = rates(build_optimizer(Net(), cfg))
    assert found["conv.weight"] == (2.0, 0.1)
    assert found["conv.bias"] == (3.0, 0.0)
    assert found["norm.weight"] == (1.0, 0.0)
    assert found["norm.bias"] == (1.0, 0.0)
    assert found["depthwise.weight"] == pytest.approx((1.0, 0.025))
    assert found["head.bias"] == pytest.approx((5.0, 0.05))
    assert found["head.weight"] == (1.0, 0.1)


def train_steps(model, optimizer, steps):
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        features = model.depthwise(model.norm(model.conv(torch.randn(2, 3, 8, 8, generator=generator))))
        model.head(features.mean((2, 3))).square().sum().backward()
        optimizer.step()


CFG = dict(
    type="AdamW", lr=0.01, weight_decay=0.1, paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0)})
)


def test_a_state_loads_by_name_into_other_groups():
    torch.manual_seed(0)
    model = Net()
    optimizer = build_optimizer(model, CFG)
    train_steps(model, optimizer, 3)
    other = build_optimizer(model, {**CFG, "paramwise_cfg": dict(custom_keys={"head": dict(lr_mult=10.0)})})
    load_optimizer_state(other, optimizer.state_dict(), model)
    for parameter in model.parameters():
        assert torch.equal(other.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"])
    assert rates(other)["head.weight"][0] == pytest.approx(0.1)


def test_a_state_of_025_loads_by_the_order_of_the_parameters():
    torch.manual_seed(0)
    model = Net()
    optimizer = build_optimizer(model, CFG)
    train_steps(model, optimizer, 2)
    # 0.25 saved one group per parameter, numbered in the model's order, without names.
    names = [n for n, _ in model.named_parameters()]
    by_name = dict(model.named_parameters())
    old = {
        "state": {i: optimizer.state[by_name[n]] for i, n in enumerate(names)},
        "param_groups": [{"lr": 0.5, "params": [i]} for i in range(len(names))],
    }
    fresh = build_optimizer(model, CFG)
    load_optimizer_state(fresh, old, model)
    for parameter in model.parameters():
        assert torch.equal(fresh.state[parameter]["exp_avg_sq"], optimizer.state[parameter]["exp_avg_sq"])
    with pytest.raises(UserError, match="--load-from"):
        load_optimizer_state(fresh, {"state": {}, "param_groups": old["param_groups"][:-1]}, model)


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (dict(type="AdamX", lr=0.1), ["unknown optimizer `AdamX`", "`Adam`"]),
        (dict(type="AdamW", lr=0.1, weight_decy=0.1), ["no argument `weight_decy`", "`weight_decay`"]),
        (dict(type="AdamW", lr=0.1, paramwise_cfg=dict(custom_key={})), ["`custom_key`", "`custom_keys`"]),
        (dict(type="AdamW", lr=0.1, constructor="Odd"), ["unknown constructor `Odd`"]),
        (dict(lr=0.1), ["needs `type`"]),
    ],
)
def test_mistakes_are_named(cfg, words):
    with pytest.raises(UserError) as error:
        build_optimizer(Net(), cfg)
    for word in words:
        assert word in str(error.value)
