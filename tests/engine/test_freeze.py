"""Frozen parameters, by name and by stage."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmseg.engine.freeze import freeze_parameters
from mmseg.models import build_backbone, build_segmentor
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, tiny_model, write_dataset
from tests.helpers_train import same, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


def frozen_names(entries):
    model = build_segmentor(tiny_model())
    freeze_parameters(model, entries)
    return {n for n, p in model.named_parameters() if not p.requires_grad}


def test_a_name_goes_up_to_a_dot():
    net = nn.ModuleDict(
        {"layers": nn.ModuleList(nn.Linear(1, 1) for _ in range(12)), "layersx": nn.Linear(1, 1)}
    )
    freeze_parameters(net, ["layers.1"])
    assert {n for n, p in net.named_parameters() if not p.requires_grad} == {
        "layers.1.weight",
        "layers.1.bias",
    }
    freeze_parameters(net, "layers")
    assert {n for n, p in net.named_parameters() if p.requires_grad} == {"layersx.weight", "layersx.bias"}


def test_prefixes_names_and_expressions():
    every = {n for n, _ in build_segmentor(tiny_model()).named_parameters()}
    assert frozen_names(["backbone"]) == {n for n in every if n.startswith("backbone.")}
    assert frozen_names(["decode_head.conv_seg.bias"]) == {"decode_head.conv_seg.bias"}
    assert frozen_names([r"backbone\.layers\.[01]", r".*\.norm\d"]) == {
        n
        for n in every
        if n.startswith(("backbone.layers.0.", "backbone.layers.1.")) or ".norm1." in n or ".norm2." in n
    }
    assert frozen_names(None) == frozen_names([]) == set()


def test_what_is_frozen_stays_batch_norm_too(root, tmp_path):
    """Through an evaluation, which switches modes, and a checkpoint."""
    names = ["backbone.layers.0", "decode_head.fusion_conv"]
    config = tiny_config(root, frozen_parameters=names, evaluation=dict(interval=2))
    trainer = train(config, tmp_path, validate=True)
    torch.manual_seed(0)
    fresh = train(tiny_config(root, optimizer=dict(type="SGD", lr=0.0), max_iters=1), tmp_path / "fresh")
    before = {n: p.detach() for n, p in fresh.model.named_parameters()}
    after = trainer.model.state_dict()
    for name in before:
        frozen = name.startswith(tuple(n + "." for n in names))
        assert torch.equal(after[name], before[name]) is frozen, name
    assert after["decode_head.fusion_conv.bn.num_batches_tracked"] == 0
    assert after["decode_head.convs.0.bn.num_batches_tracked"] == 6
    assert (
        not trainer.model.decode_head.fusion_conv.bn.training
        and trainer.model.decode_head.convs[0].bn.training
    )


def test_freezing_renumbers_nothing(root, tmp_path):
    """A run may be resumed with more or fewer frozen parameters."""
    config = tiny_config(root, max_iters=3, checkpoint_config=dict(by_epoch=False, interval=2))
    train(config, tmp_path / "first")
    path = str(tmp_path / "first" / "iter_2.pth")
    resumed = train(config, tmp_path / "second", resume_from=path, seed=None, frozen_parameters=["backbone"])
    saved = torch.load(path, weights_only=True)["state_dict"]
    own = resumed.model.state_dict()
    changed = {n.partition(".")[0] for n in own if not torch.equal(own[n], saved[n])}
    assert changed == {"decode_head"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["backbon"], "`backbon` fits no parameter of the model; did you mean `backbone`"),
        (["decode_head.conv_sg"], "did you mean `decode_head.conv_seg`"),
        (["xyz"], "the model has: backbone, decode_head"),
        (["("], "no regular expression"),
        ([3], "a list of names"),
        (["backbone", "decode_head"], "leaves nothing to train"),
    ],
)
def test_mistakes_are_named(names, words):
    with pytest.raises(UserError, match=words):
        frozen_names(names)


MIT = {**tiny_model()["backbone"], "num_layers": [1, 2, 1, 1]}


@pytest.mark.parametrize("stages", [-1, 0, 1, 3, 4])
def test_frozen_stages_of_mit(stages):
    torch.manual_seed(0)
    backbone = build_backbone({**MIT, "frozen_stages": stages})
    frozen = {n for n, p in backbone.named_parameters() if not p.requires_grad}
    prefixes = ("layers.0.0.",) if stages == 0 else tuple(f"layers.{i}." for i in range(stages))
    assert frozen == {n for n, _ in backbone.named_parameters() if prefixes and n.startswith(prefixes)}
    backbone.train()
    assert [layer.training for layer in backbone.layers] == [
        i >= stages for i in range(4)
    ] and backbone.training
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert [m.requires_grad for m in maps] == [i >= stages for i in range(4)]


@pytest.mark.parametrize("stages", [-2, 5, "2"])
def test_frozen_stages_out_of_range(stages):
    with pytest.raises(UserError, match=f"frozen_stages={stages} must lie between -1 and the 4 stages"):
        build_backbone({**MIT, "frozen_stages": stages})


def test_checkpointed_blocks_train_alike(root, tmp_path):
    """``with_cp`` from a config: the same weights after some steps with dropout, and frozen stages below."""
    config = tiny_config(root, max_iters=3)
    plain = train(config, tmp_path / "plain")
    config["model"]["backbone"]["with_cp"] = True
    checkpointed = train(config, tmp_path / "checkpointed")
    assert same(plain.model.state_dict(), checkpointed.model.state_dict())
    config["model"]["backbone"]["frozen_stages"] = 1
    frozen = train(config, tmp_path / "frozen").model.state_dict()
    assert not same(frozen, plain.model.state_dict())
