"""Layer-wise decay of the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmseg.engine import build_optimizer
from mmseg.engine.layer_decay import layers_of
from mmseg.models import build_segmentor
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, tiny_model, write_dataset
from tests.helpers_train import train


def named(names):
    """A model with parameters of these names: weights are matrices, biases vectors."""
    model = nn.Module()
    for name in names:
        *path, own = name.split(".")
        here = model
        for part in path:
            if not hasattr(here, part):
                here.add_module(part, nn.Module())
            here = getattr(here, part)
        here.register_parameter(own, nn.Parameter(torch.zeros(2) if own == "bias" else torch.zeros(2, 2)))
    return model


MIT = {
    "backbone.layers.0.0.projection.weight": (0, 0),
    "backbone.layers.0.0.norm.bias": (0, 0),
    "backbone.layers.0.1.0.attn.attn.in_proj_weight": (1, 1),
    "backbone.layers.0.1.1.ffn.layers.0.weight": (2, 1),
    "backbone.layers.0.2.weight": (2, 1),
    "backbone.layers.1.0.projection.weight": (3, 2),
    "backbone.layers.1.1.0.norm1.bias": (3, 2),
    "backbone.layers.1.1.10.attn.sr.weight": (4, 2),
    "backbone.layers.1.2.bias": (4, 2),
    "decode_head.convs.0.conv.weight": (5, 3),
}
SWIN = {
    "backbone.patch_embed.projection.weight": (0, 0),
    "backbone.absolute_pos_embed": (0, 0),
    "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight": (1, 1),
    "backbone.stages.0.blocks.1.ffn.layers.0.0.weight": (2, 1),
    "backbone.stages.0.downsample.reduction.weight": (2, 1),
    "backbone.stages.1.blocks.0.norm1.bias": (3, 2),
    "backbone.norm0.weight": (2, 1),
    "backbone.norm1.weight": (3, 2),
    "decode_head.conv_seg.weight": (4, 3),
    "auxiliary_head.conv_seg.bias": (4, 3),
}
RESNET = {
    "backbone.conv1.weight": (0, 0),
    "backbone.layer1.0.conv1.weight": (1, 1),
    "backbone.layer1.1.bn1.bias": (2, 1),
    "backbone.layer2.0.downsample.0.weight": (3, 2),
    "decode_head.conv_seg.weight": (4, 3),
}
VIT = {
    "backbone.patch_embed.projection.weight": (0, None),
    "backbone.cls_token": (0, None),
    "backbone.layers.0.attn.attn.in_proj_weight": (1, None),
    "backbone.layers.1.ffn.layers.0.0.weight": (2, None),
    "decode_head.conv_seg.weight": (3, None),
}


@pytest.mark.parametrize("table", [MIT, SWIN, RESNET, VIT], ids=["mit", "swin", "resnet", "vit"])
def test_layers_and_rates(table):
    model = named(table)
    depth = max(layer for layer, _ in table.values()) - 1
    cfg = dict(
        type="AdamW",
        lr=1.0,
        weight_decay=0.1,
        constructor="LearningRateDecayOptimizerConstructor",
        paramwise_cfg=dict(num_layers=depth, decay_rate=0.5, decay_type="layer_wise"),
    )
    found = {
        n: (g["lr"], g["weight_decay"])
        for g in build_optimizer(model, cfg).param_groups
        for n in g["param_names"]
    }
    for name, (layer, _) in table.items():
        decay = 0.0 if name.endswith("bias") else 0.1
        assert found[name] == pytest.approx((0.5 ** (depth + 1 - layer), decay)), name


@pytest.mark.parametrize("table", [MIT, SWIN, RESNET], ids=["mit", "swin", "resnet"])
def test_stages(table):
    layers, depth = layers_of(named(table), by_stage=True)
    assert depth == 2
    for name, (_, stage) in table.items():
        assert layers.get(name, 3) == stage, name


def test_a_larger_number_damps_more():
    paramwise = dict(num_layers=6, decay_rate=0.5, decay_type="stage_wise")
    cfg = dict(
        type="SGD", lr=1.0, constructor="LearningRateDecayOptimizerConstructor", paramwise_cfg=paramwise
    )
    rates = {n: g["lr"] for g in build_optimizer(named(SWIN), cfg).param_groups for n in g["param_names"]}
    assert rates["decode_head.conv_seg.weight"] == 1.0
    assert rates["backbone.norm1.weight"] == 0.5**5  # 6 + 1 - 2, as 0.25 counts


def test_a_real_mit_trains_with_it(tmp_path):
    optimizer = dict(
        type="AdamW",
        lr=1e-3,
        weight_decay=0.05,
        constructor="LayerDecayOptimizerConstructor",
        paramwise_cfg=dict(num_layers=4, layer_decay_rate=0.9),
    )
    model = build_segmentor(tiny_model())
    layers, depth = layers_of(model)
    assert depth == 4 and set(layers.values()) == {0, 1, 2, 3, 4}
    root = write_dataset(tmp_path / "data")
    config = tiny_config(root, max_iters=3, optimizer=optimizer)
    trainer = train(config, tmp_path / "run")
    rates = {n: g["initial_lr"] for g in trainer.optimizer.param_groups for n in g["param_names"]}
    assert rates["backbone.layers.0.0.projection.weight"] == pytest.approx(1e-3 * 0.9**5)
    assert rates["decode_head.conv_seg.weight"] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("paramwise", "words"),
    [
        (dict(decay_rate=0.9, num_layers=2), "has 4 blocks; set num_layers=4"),
        (dict(decay_rate=1.5), r"must lie in \(0, 1\], not 1.5"),
        (dict(num_layers=4), "decay_rate must lie"),
        (dict(decay_rate=0.9, decay_type="layerwise"), "did you mean `layer_wise`"),
        (dict(decay_rate=0.9, custom_keys={}), "unknown key `custom_keys`"),
    ],
)
def test_mistakes_are_named(paramwise, words):
    cfg = dict(type="SGD", lr=1.0, constructor="LayerDecayOptimizerConstructor", paramwise_cfg=paramwise)
    with pytest.raises(UserError, match=words):
        build_optimizer(build_segmentor(tiny_model()), cfg)


def test_a_backbone_without_layers_is_named():
    cfg = dict(
        type="SGD", lr=1.0, constructor="LayerDecayOptimizerConstructor", paramwise_cfg=dict(decay_rate=0.9)
    )
    with pytest.raises(UserError, match="tell no blocks"):
        build_optimizer(named(["backbone.conv.weight", "head.weight"]), cfg)
