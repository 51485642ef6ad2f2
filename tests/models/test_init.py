from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from mmseg.models.init import initialize
from mmseg.models.module import BaseModule
from mmseg.utils.errors import UserError


class Net(BaseModule):
    def __init__(self, init_cfg: object = None) -> None:
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(32, 64, 3)
        self.norm = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, 100)


def net(*init_cfg: dict) -> Net:
    torch.manual_seed(0)
    module = Net(init_cfg[0] if len(init_cfg) == 1 else list(init_cfg))
    module.init_weights()
    return module


@pytest.mark.parametrize(
    ("cfg", "std"),
    [
        ({"type": "Normal", "std": 0.3}, 0.3),
        ({"type": "TruncNormal", "std": 0.2}, 0.2),
        ({"type": "TruncNormal", "std": 1.0, "a": -0.1, "b": 0.1}, 0.2 / math.sqrt(12)),
        ({"type": "Uniform", "a": -1.0, "b": 1.0}, 2 / math.sqrt(12)),
        ({"type": "Kaiming"}, math.sqrt(2 / (64 * 9))),
        ({"type": "Kaiming", "mode": "fan_in", "distribution": "uniform"}, math.sqrt(2 / (32 * 9))),
        ({"type": "Xavier", "gain": 2.0}, 2 * math.sqrt(2 / (96 * 9))),
        ({"type": "Xavier", "distribution": "uniform"}, math.sqrt(2 / (96 * 9))),
        ({"type": "Caffe2Xavier"}, math.sqrt(1 / (32 * 9))),
        ({"type": "Constant", "val": 0.7}, 0.0),
    ],
)
def test_spread_of_each_type(cfg: dict, std: float) -> None:
    before = Net().fc.weight.std().item()
    module = net({**cfg, "layer": "Conv2d", "bias": 0.25})
    assert module.conv.weight.std().item() == pytest.approx(std, rel=0.03, abs=1e-6)
    assert (module.conv.bias == 0.25).all()
    assert module.fc.weight.std().item() == pytest.approx(before, rel=0.05)


def test_layers_by_name_and_by_base_class() -> None:
    module = net({"type": "Constant", "val": 3.0, "layer": ["Linear", "_BatchNorm"]})
    assert (module.fc.weight == 3).all()
    assert (module.norm.weight == 3).all()
    assert module.conv.weight.std() > 0


def test_override_with_the_same_and_with_other_arguments() -> None:
    override = [{"name": "fc"}, {"name": "conv", "type": "Constant", "val": 2.0}]
    module = net({"type": "Constant", "val": 1.0, "bias": 4.0, "override": override})
    assert (module.fc.weight == 1).all()
    assert (module.fc.bias == 4).all()
    assert (module.conv.weight == 2).all()


def test_entries_of_a_list_run_in_order() -> None:
    module = net(
        {"type": "Constant", "val": 1.0, "layer": ["Conv2d", "Linear"]},
        {"type": "Constant", "val": 5.0, "layer": "Linear"},
    )
    assert (module.conv.weight == 1).all()
    assert (module.fc.weight == 5).all()


def test_bias_from_a_probability() -> None:
    module = net({"type": "Normal", "std": 0.01, "layer": "Linear", "bias_prob": 0.01})
    torch.testing.assert_close(module.fc.bias.sigmoid(), torch.full((100,), 0.01))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"type": "Norml", "layer": "Linear"}, "did you mean.*Normal"),
        ({"type": "Normal", "layer": "Linear", "sdt": 1}, "did you mean.*std"),
        ({"type": "Normal", "std": 1.0}, "needs `layer` or `override`"),
        ({"type": "Normal", "override": {"name": "fcc"}}, "fcc.*did you mean.*fc"),
        ({"type": "Normal", "override": {"name": "fc", "std": 1}}, "no `type`"),
        ({"type": "Xavier", "layer": "Linear", "distribution": "flat"}, "flat"),
    ],
)
def test_mistakes_are_named(cfg: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        initialize(Net(), cfg)


def test_a_checkpoint_comes_last_and_gaps_keep_their_drawn_values(tmp_path: Path) -> None:
    path = str(tmp_path / "half.pth")
    torch.save({"conv.weight": torch.full((64, 32, 3, 3), 9.0)}, path)
    module = net(
        {"type": "Pretrained", "checkpoint": path},
        {"type": "Constant", "val": 1.0, "layer": ["Conv2d", "Linear"]},
    )
    assert (module.conv.weight == 9).all()
    assert (module.fc.weight == 1).all()


def test_prefix_takes_a_part_out_of_a_checkpoint(tmp_path: Path) -> None:
    path = str(tmp_path / "whole.pth")
    weights = {f"backbone.{k}": v + 1 for k, v in Net().state_dict().items()}
    torch.save({"state_dict": {**weights, "decode_head.x": torch.ones(1)}}, path)
    for prefix in ("backbone", "backbone."):
        module = net({"type": "Pretrained", "checkpoint": path, "prefix": prefix})
        torch.testing.assert_close(module.conv.weight, weights["backbone.conv.weight"])
    with pytest.raises(UserError, match="'neck'.*backbone, decode_head"):
        net({"type": "Pretrained", "checkpoint": path, "prefix": "neck"})


def test_a_pretrained_entry_without_file_or_with_a_wrong_key_is_named() -> None:
    with pytest.raises(UserError, match="`checkpoint`"):
        net({"type": "Pretrained"})
    with pytest.raises(UserError, match="did you mean.*checkpoint"):
        net({"type": "Pretrained", "checkpont": "a.pth"})
