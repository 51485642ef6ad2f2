from __future__ import annotations

import inspect

import torch
from torch import nn

from mmseg.models.layers import ConvModule
from mmseg.models.module import BaseModule


class Leaf(BaseModule):
    def __init__(self, size: int = 3, init_cfg: object = None) -> None:
        super().__init__(init_cfg)
        self.fc = nn.Linear(size, size)

    def default_init(self) -> None:
        nn.init.constant_(self.fc.weight, 2.0)


class Branch(Leaf):
    def __init__(self, extra: bool = True, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.extra = extra
        self.leaves = nn.ModuleList([Leaf(), nn.Sequential(Leaf())])


def test_init_weights_reaches_children_in_containers() -> None:
    branch = Branch()
    branch.init_weights()
    leaves = [m for m in branch.modules() if isinstance(m, Leaf)]
    assert len(leaves) == 3
    assert all((leaf.fc.weight == 2).all() for leaf in leaves)
    assert all(leaf.is_init for leaf in leaves)


def test_children_have_the_last_word_over_drawn_values() -> None:
    branch = Branch(init_cfg={"type": "Constant", "val": 7.0, "layer": "Linear"})
    branch.init_weights()
    assert (branch.fc.weight == 7).all()
    assert (branch.leaves[0].fc.weight == 2).all()


def test_blocks_in_a_list_keep_what_was_drawn_around_them() -> None:
    branch = Branch(init_cfg={"type": "Constant", "val": 7.0, "layer": "Conv2d"})
    branch.blocks = nn.ModuleList([ConvModule(3, 4, 1)])
    branch.alone = ConvModule(3, 4, 1)
    branch.init_weights()
    assert (branch.blocks[0].conv.weight == 7).all()
    assert not (branch.alone.conv.weight == 7).any()


def test_blocks_in_a_list_keep_what_their_constructor_drew() -> None:
    branch = Branch()
    branch.blocks = nn.Sequential(ConvModule(3, 4, 1))
    before = branch.blocks[0].conv.weight.clone()
    branch.init_weights()
    assert torch.equal(branch.blocks[0].conv.weight, before)


def test_the_second_call_changes_nothing() -> None:
    leaf = Leaf()
    leaf.init_weights()
    nn.init.constant_(leaf.fc.weight, 5.0)
    leaf.init_weights()
    assert (leaf.fc.weight == 5).all()


def test_building_leaves_the_layers_as_torch_made_them() -> None:
    torch.manual_seed(0)
    leaf = Leaf(init_cfg={"type": "Pretrained", "checkpoint": "/nowhere.pth"})
    torch.manual_seed(0)
    assert torch.equal(leaf.fc.weight, nn.Linear(3, 3).weight)
    assert not leaf.is_init


def test_the_signature_shows_what_goes_on_to_the_base_class() -> None:
    assert list(inspect.signature(Branch).parameters) == ["extra", "size", "init_cfg"]
    assert list(inspect.signature(Leaf).parameters) == ["size", "init_cfg"]
