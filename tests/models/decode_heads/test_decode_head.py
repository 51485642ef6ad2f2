from __future__ import annotations

import pytest
import torch

from mmseg.models import HEADS, BaseDecodeHead, build_head
from mmseg.utils.errors import UserError

CONFIG = {"type": "FCNHead", "in_channels": 4, "channels": 4, "num_convs": 0, "concat_input": False}


def head(**changes: object) -> BaseDecodeHead:
    return build_head({**CONFIG, "num_classes": 3, **changes})


def test_losses_of_one_name_add_up_and_others_stand_apart() -> None:
    ce = {"type": "CrossEntropyLoss"}
    double = {"type": "CrossEntropyLoss", "loss_weight": 2.0}
    other = {"type": "CrossEntropyLoss", "loss_name": "loss_other", "use_sigmoid": True}
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 1, 8, 8))
    alone = head(loss_decode=ce).losses(logits, labels)["loss_ce"]
    losses = head(loss_decode=[ce, double, other]).losses(logits, labels)
    assert set(losses) == {"loss_ce", "loss_other", "acc_seg"}
    torch.testing.assert_close(losses["loss_ce"], 3 * alone)


def test_logits_are_resized_to_the_labels() -> None:
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 1, :, 0] = 9
    logits[0, 2, :, 1] = 9
    labels = torch.tensor([[1, 1, 2, 2]]).expand(1, 1, 4, 4)
    assert head().losses(logits, labels)["acc_seg"].item() == pytest.approx(100)


def test_the_last_map_is_the_default_input() -> None:
    module, feats = head().eval(), [torch.randn(1, 9, 8, 8), torch.randn(1, 4, 4, 4)]
    assert module(feats).shape == (1, 3, 4, 4)


def test_a_new_head_needs_its_forward_only() -> None:
    @HEADS.register_module("TestOnlyHead", force=True)
    class TestOnlyHead(BaseDecodeHead):
        def __init__(self, scale: float = 2.0, **kwargs: object) -> None:
            super().__init__(**kwargs)
            self.scale = scale

        def forward(self, feats: list[torch.Tensor]) -> torch.Tensor:
            return self.scale * self.cls_seg(self._transform_inputs(feats))

    try:
        settings = {"type": "TestOnlyHead", "in_channels": 4, "channels": 4, "num_classes": 3}
        logits = build_head({**settings, "scale": 0.0})([torch.randn(1, 4, 4, 4)])
        assert logits.shape == (1, 3, 4, 4)
        assert logits.abs().max() == 0
        with pytest.raises(UserError, match="scael.*did you mean.*scale"):
            build_head({**settings, "scael": 0.0})
    finally:
        del HEADS.module_dict["TestOnlyHead"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_channels": 1}, "out_channels=1 must equal num_classes=3"),
        ({"in_index": [0, 1]}, "must be single numbers"),
        ({"input_transform": "concat"}, "input_transform is one of"),
        ({"loss_decode": []}, "loss_decode"),
        ({"loss_decode": {"type": "CrossEntropy"}}, "did you mean.*CrossEntropyLoss"),
        ({"sampler": {"type": "OHEM"}}, "unknown pixel sampler `OHEM`"),
        ({"channels": 0}, "channels=0 must be whole numbers above 0"),
        ({"in_channels": "8"}, "in_channels='8'"),
        ({"dropout_ratio": 2}, "dropout_ratio is a share from 0 to 1, not 2"),
        ({"num_classes": "three"}, "num_classes is the number of classes, not 'three'"),
        ({"num_clases": 3}, "did you mean.*num_classes"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        head(**changes)
