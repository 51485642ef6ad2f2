"""Totals of the models of the results table, and what happens where something cannot be counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmseg.apis.cost import build_for_cost, count_cost, image_for, model_section, parse_shape, torch_flops
from mmseg.models import BACKBONES, build_segmentor
from mmseg.models.module import BaseModule
from mmseg.utils.errors import UserError
from tests.helpers_models import tiny_segformer

ROOT = Path(__file__).resolve().parents[2]
TABLE = json.loads((ROOT / "tests" / "data" / "recorded" / "flops.json").read_text())


@pytest.mark.parametrize("row", TABLE, ids=lambda row: Path(row["config"]).stem)
def test_totals_recorded_with_mmsegmentation(row):
    cost = count_cost(model_section(str(ROOT / row["config"])), tuple(row["hw"]))
    assert cost.device.type == "meta"
    assert f"{cost.macs / 1e9:.3f}" == f"{row['fvcore_G']:.3f}"
    assert f"{cost.params / 1e6:.3f}" == f"{row['params_M']:.3f}"


def test_exact_counts_the_old_sequence():
    config = tiny_segformer()
    exact, fast = count_cost(config, (64, 96)), count_cost(config, (64, 96), exact=False)
    assert exact.model.exact and not fast.model.exact
    assert fast.macs < exact.macs and fast.params == exact.params
    assert count_cost({**config, "exact": True}, (64, 96), exact=False).macs == fast.macs


def test_torchs_counter_agrees_on_products():
    cost = count_cost(tiny_segformer(), (64, 96))
    by_operator = cost.analysis.by_operator()
    products = sum(by_operator[name] for name in ("conv", "linear", "scaled_dot_product_attention"))
    image = image_for(cost.model, (64, 96), torch.device("meta"))
    assert torch_flops(lambda: cost.model.forward_dummy(image)) == 2 * products
    assert torch_flops(lambda: [][1]) == "list index out of range"


def test_the_cost_follows_the_shape():
    small, large = (count_cost(tiny_segformer(), hw).macs for hw in ((64, 64), (128, 64)))
    assert 1.9 * small < large < 4 * small


def test_other_channels_and_class_numbers():
    config = tiny_segformer()
    config["backbone"] = {**config["backbone"], "in_channels": 4}
    cost = count_cost(config, (64, 64))
    assert image_for(cost.model, (2, 2), torch.device("meta")).shape == (1, 4, 2, 2)
    assert cost.macs > count_cost(tiny_segformer(), (64, 64)).macs


@BACKBONES.register_module(force=True)
class LooksAtNumbers(BaseModule):
    """A backbone that cannot run, or cannot be built, on the meta device: it needs a value."""

    def __init__(self, in_constructor: bool = False, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=padding)
        self.in_constructor = in_constructor
        if in_constructor:
            assert torch.ones(3).sum().item() == 3

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.conv(x)
        return [x if self.in_constructor or x.sum().item() < 1e9 else -x]


def one_map(**backbone):
    head = dict(type="FCNHead", in_channels=8, in_index=0, channels=8, num_convs=1, concat_input=False)
    head |= dict(num_classes=3, norm_cfg=dict(type="BN"))
    return dict(type="EncoderDecoder", backbone=dict(type="LooksAtNumbers", **backbone), decode_head=head)


def test_what_does_not_run_on_meta_runs_on_the_cpu():
    cost = count_cost(one_map(), (8, 8))
    assert cost.device.type == "cpu"
    assert cost.macs == 64 * (27 * 8 + 72 * 8 + 2 * 8 + 8 * 3 + 4 * 3)


def test_a_constructor_that_computes_is_built_on_the_cpu():
    cost = count_cost(one_map(in_constructor=True), (8, 8))
    assert cost.device.type == "meta"
    assert cost.macs == count_cost(one_map(), (8, 8)).macs


def test_a_shape_that_does_not_fit_is_a_mistake():
    with pytest.raises(UserError, match=r"EncoderDecoder cannot process an image of 1x2: .*; choose another"):
        count_cost(one_map(padding=0), (1, 2))
    with pytest.raises(UserError, match="too small for MixVisionTransformer.*choose another --shape"):
        count_cost(tiny_segformer(), (10, 10))


def test_a_mistake_in_the_model_stays_one_line():
    with pytest.raises(UserError, match="unknown backbone"):
        count_cost({"type": "EncoderDecoder", "backbone": {"type": "Nothing"}, "decode_head": {}}, (64, 64))


def test_weights_are_neither_read_nor_initialised():
    config = tiny_segformer(pretrained="no/such/file.pth")
    model = build_for_cost(config, torch.device("meta"), exact=False)
    assert all(p.is_meta for p in model.parameters()) and not model.training
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in model.modules())
    assert list(model.state_dict()) == list(build_segmentor(tiny_segformer()).state_dict())


def test_shape():
    assert parse_shape(["375", "1242"]) == (375, 1242)
    assert parse_shape(["512"]) == (512, 512)
    for wrong in (["1", "2", "3"], ["0", "5"], ["-1"], ["a", "2"], ["1.5"]):
        with pytest.raises(UserError, match="--shape is H W or one number"):
            parse_shape(wrong)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "mmseg.core.cost.fvcore_count", raising=False)
    monkeypatch.setitem(sys.modules, "fvcore", None)
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    with pytest.raises(UserError, match="fvcore cannot be imported .*pip install fvcore"):
        count_cost(tiny_segformer(), (64, 64))
