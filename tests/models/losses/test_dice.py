from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmseg.models import build_head, build_loss
from mmseg.models.losses import dice_loss
from mmseg.utils.errors import UserError


def batch(classes: int = 4, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    logits, labels = torch.randn(2, classes, 5, 6), torch.randint(0, classes, (2, 5, 6))
    return logits, labels.masked_fill(torch.rand(2, 5, 6) < ignored, 255)


def one_class(p: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor, smooth: float, exponent: float):
    """The loss of one class of one image, written as the formula."""
    above = 2 * (p * truth * valid).sum() + smooth
    below = (p**exponent + truth**exponent).sum() + smooth
    return 1 - above / below


@pytest.mark.parametrize(("smooth", "exponent"), [(1, 2), (0.5, 1), (2.0, 3)])
def test_is_the_formula(smooth: float, exponent: float) -> None:
    logits, labels = batch()
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5])
    p, valid = logits.softmax(1), labels != 255
    truth = F.one_hot(labels.clamp(0, 3), 4)  # ignored pixels are of the last class below the line
    terms = [
        weights[c] * one_class(p[n, c], truth[n, ..., c], valid[n], smooth, exponent)
        for n in range(2)
        for c in range(4)
    ]
    loss = build_loss(
        {
            "type": "DiceLoss",
            "smooth": smooth,
            "exponent": exponent,
            "class_weight": weights.tolist(),
            "loss_weight": 3.0,
        }
    )
    torch.testing.assert_close(loss(logits, labels), 3 * sum(terms) / 8)


def test_an_ignored_class_has_no_loss_but_is_counted() -> None:
    logits, labels = batch(ignored=0)
    p = logits.softmax(1)
    terms = [
        one_class(p[n, c], (labels[n] == c).float(), labels[n] != 0, 1, 2)
        for n in range(2)
        for c in (1, 2, 3)
    ]
    torch.testing.assert_close(dice_loss(logits, labels, ignore_index=0), sum(terms) / 8)


def test_one_channel_is_the_foreground() -> None:
    logits, labels = torch.randn(2, 1, 5, 6), torch.randint(0, 2, (2, 5, 6))
    labels[:, 0] = 255
    p, truth = logits.sigmoid()[:, 0], (labels > 0).float()
    terms = [one_class(p[n], truth[n], labels[n] != 255, 1, 2) for n in range(2)]
    torch.testing.assert_close(dice_loss(logits, labels), sum(terms) / 2)
    settings = {"type": "FCNHead", "in_channels": 2, "channels": 2, "num_convs": 0, "concat_input": False}
    head = build_head({**settings, "task": "binary", "loss_decode": {"type": "DiceLoss"}})
    losses = head.losses(logits, labels[:, None])
    torch.testing.assert_close(losses["loss_dice"], sum(terms) / 2)


def test_perfect_and_opposite_predictions() -> None:
    labels = torch.randint(0, 3, (1, 8, 8))
    sure = 50.0 * F.one_hot(labels, 3).permute(0, 3, 1, 2)
    assert dice_loss(sure, labels).item() == pytest.approx(0, abs=1e-5)
    assert dice_loss(-sure, labels).item() > 0.8


def test_the_ignored_label_is_the_loss_s_own_and_reduction_changes_nothing() -> None:
    logits, labels = batch()
    loss = build_loss({"type": "DiceLoss"})
    value = loss(logits, labels, weight=torch.zeros(2, 5, 6), ignore_index=2)
    torch.testing.assert_close(value, loss(logits, labels))
    torch.testing.assert_close(loss(logits, labels, reduction_override="none"), value)
    torch.testing.assert_close(loss(logits, labels, avg_factor=4), value / 4)
    with pytest.raises(UserError, match="avg_factor"):
        loss(logits, labels, avg_factor=4, reduction_override="sum")


@pytest.mark.parametrize("channels", [1, 3])
def test_gradient(channels: int) -> None:
    logits = torch.randn(2, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, max(2, channels), (2, 3, 3))
    labels[0, 0] = 255
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, labels), logits)


def test_nothing_but_ignored_pixels_is_finite() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = dice_loss(logits, torch.full((1, 4, 4), 255), smooth=0)
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


def test_is_float32_in_half_precision() -> None:
    logits, labels = batch()
    half = logits.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        value = dice_loss(half, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, dice_loss(half.float(), labels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"smooth": -1}, "smooth"), ({"exponent": 0}, "exponent"), ({"reduction": "avg"}, "reduction")],
)
def test_settings_out_of_range_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_loss({"type": "DiceLoss", **changes})


def test_a_wrong_number_of_class_weights_is_named() -> None:
    with pytest.raises(UserError, match="2 entries.*4 channels"):
        build_loss({"type": "DiceLoss", "class_weight": [1.0, 2.0]})(*batch())
