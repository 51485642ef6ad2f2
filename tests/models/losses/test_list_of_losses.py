"""Several losses on one head."""

from __future__ import annotations

from typing import Any

import torch

from mmseg.models import build_head, build_loss

LOSSES = [
    {"type": "CrossEntropyLoss"},
    {"type": "DiceLoss", "loss_weight": 3.0},
    {"type": "FocalLoss", "loss_name": "loss_dice"},
    {"type": "LovaszLoss", "per_image": True, "class_weight": [1.0, 2.0, 3.0, 4.0]},
    {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_name": "watched"},
]


def head_with(losses: Any, **settings: Any) -> torch.nn.Module:
    return build_head(
        {
            "type": "FCNHead",
            "in_channels": 2,
            "channels": 2,
            "num_convs": 0,
            "concat_input": False,
            "num_classes": 4,
            "loss_decode": losses,
            **settings,
        }
    )


def test_equal_names_are_added_up_and_each_gradient_arrives() -> None:
    logits = torch.randn(2, 4, 5, 6, requires_grad=True)
    labels = torch.randint(0, 4, (2, 1, 5, 6)).masked_fill(torch.rand(2, 1, 5, 6) < 0.3, 255)
    head = head_with(LOSSES)
    losses = head.losses(logits, labels)
    assert list(losses) == ["loss_ce", "loss_dice", "loss_lovasz", "watched", "acc_seg"]
    ce, dice, focal, lovasz, watched = (
        build_loss(cfg)(logits, labels[:, 0], ignore_index=255) for cfg in LOSSES
    )
    torch.testing.assert_close(losses["loss_ce"], ce)
    torch.testing.assert_close(losses["loss_dice"], dice + focal)
    torch.testing.assert_close(losses["loss_lovasz"], lovasz)
    torch.testing.assert_close(losses["watched"], watched)
    for value in (ce, dice, focal, lovasz):
        assert torch.autograd.grad(value, logits, retain_graph=True)[0].abs().sum() > 0
    assert not any("loss_decode" in name for name in head.state_dict())


def test_all_of_them_for_two_classes_with_one_logit() -> None:
    binary = [{"type": "CrossEntropyLoss", "use_sigmoid": True}, {"type": "DiceLoss"}, {"type": "FocalLoss"}]
    binary.append({"type": "LovaszLoss", "loss_type": "binary", "reduction": "none"})
    head = head_with(binary, num_classes=2, task="binary")
    labels = torch.randint(0, 2, (2, 1, 5, 6))
    sure = 20.0 * (2 * labels - 1)
    right, wrong = head.losses(sure, labels), head.losses(-sure, labels)
    for name in ("loss_ce", "loss_dice", "loss_focal", "loss_lovasz"):
        assert right[name].item() < 0.02 < 0.5 < wrong[name].item(), name


def test_pixels_without_a_label_leave_every_loss_finite() -> None:
    logits = torch.randn(2, 4, 5, 6, requires_grad=True)
    losses = head_with(LOSSES).losses(logits, torch.full((2, 1, 5, 6), 255))
    total = sum(value for name, value in losses.items() if "loss" in name)
    assert torch.isfinite(total)
    assert torch.isfinite(torch.autograd.grad(total, logits)[0]).all()
