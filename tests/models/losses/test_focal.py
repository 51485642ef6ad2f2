from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmseg.models import build_head, build_loss
from mmseg.models.losses import sigmoid_focal_loss
from mmseg.utils.errors import UserError


def batch(classes: int = 4, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    logits, labels = torch.randn(2, classes, 5, 6), torch.randint(0, classes, (2, 5, 6))
    return logits, labels.masked_fill(torch.rand(2, 5, 6) < ignored, 255)


def truth_of(labels: torch.Tensor, classes: int) -> torch.Tensor:
    return F.one_hot(labels.masked_fill(labels == 255, 0), classes).permute(0, 3, 1, 2).float()


def formula(logits: torch.Tensor, truth: torch.Tensor, gamma: float, alpha: torch.Tensor | float):
    """-(alpha_t) (1 - p_t)^gamma log(p_t), elementwise."""
    p = logits.sigmoid()
    positive = -alpha * (1 - p) ** gamma * p.log()
    negative = -(1 - alpha) * p**gamma * (1 - p).log()
    return truth * positive + (1 - truth) * negative


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2])
@pytest.mark.parametrize("alpha", [0.25, [0.1, 0.2, 0.7, 1.0]])
def test_is_the_formula_averaged_over_all_elements(gamma: float, alpha: float | list[float]) -> None:
    logits, labels = batch()
    weights, pixels = torch.rand(4) + 0.5, torch.rand(2, 5, 6)
    a = alpha if isinstance(alpha, float) else torch.tensor(alpha)[:, None, None]
    each = formula(logits, truth_of(labels, 4), gamma, a) * weights[:, None, None]
    each = each * pixels[:, None] * (labels != 255)[:, None]
    settings = {"type": "FocalLoss", "gamma": gamma, "alpha": alpha, "class_weight": weights.tolist()}
    loss = build_loss({**settings, "loss_weight": 2.0})
    torch.testing.assert_close(loss(logits, labels, pixels), 2 * each.mean())
    torch.testing.assert_close(loss(logits, labels, pixels, reduction_override="none"), 2 * each)
    torch.testing.assert_close(loss(logits, labels, pixels, reduction_override="sum"), 2 * each.sum())
    torch.testing.assert_close(loss(logits, labels, pixels, avg_factor=7), 2 * each.sum() / 7)
    assert loss.state_dict() == {}


def test_gamma_0_is_half_the_cross_entropy() -> None:
    logits, labels = batch(ignored=0)
    expected = F.binary_cross_entropy_with_logits(logits, truth_of(labels, 4)) / 2
    torch.testing.assert_close(sigmoid_focal_loss(logits, labels, gamma=0.0), expected)


def test_probabilities_in_the_shape_of_the_logits() -> None:
    logits, labels = batch(ignored=0)
    soft = truth_of(labels, 4)
    torch.testing.assert_close(sigmoid_focal_loss(logits, soft), sigmoid_focal_loss(logits, labels))
    ignored = sigmoid_focal_loss(logits, soft, reduction="none", ignore_index=2)
    assert ignored.sum(1)[labels == 2].sum() == 0 and (ignored.sum(1)[labels != 2] > 0).all()


def test_rows_of_scores() -> None:
    logits, labels = torch.randn(7, 3), torch.randint(0, 3, (7,))
    expected = formula(logits, F.one_hot(labels, 3).float(), 2.0, 0.5).mean()
    torch.testing.assert_close(sigmoid_focal_loss(logits, labels), expected)


def test_one_channel_is_the_foreground() -> None:
    logits, labels = torch.randn(2, 1, 5, 6), torch.randint(0, 2, (2, 5, 6))
    labels[:, 0] = 255
    each = formula(logits, (labels == 1).float()[:, None], 2.0, 0.5) * (labels != 255)[:, None]
    settings = {"type": "FCNHead", "in_channels": 2, "channels": 2, "num_convs": 0, "concat_input": False}
    head = build_head({**settings, "task": "binary", "loss_decode": {"type": "FocalLoss"}})
    torch.testing.assert_close(head.losses(logits, labels[:, None])["loss_focal"], each.mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_gradient(channels: int) -> None:
    logits = torch.randn(2, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, max(2, channels), (2, 3, 3))
    labels[0, 0] = 255
    assert torch.autograd.gradcheck(lambda x: sigmoid_focal_loss(x, labels, gamma=1.5, alpha=0.3), logits)


def test_very_sure_predictions_have_a_finite_gradient() -> None:
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    for labels in ([0, 1], [1, 0]):
        loss = sigmoid_focal_loss(logits, torch.tensor(labels), gamma=0.5)
        assert torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


def test_a_batch_without_labels_costs_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.full((1, 4, 4), 255))
    assert loss.item() == 0
    assert torch.autograd.grad(loss, logits)[0].abs().sum() == 0


def test_is_float32_in_half_precision() -> None:
    logits, labels = batch()
    half = logits.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        value = sigmoid_focal_loss(half, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, sigmoid_focal_loss(half.float(), labels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_sigmoid": False}, "use_sigmoid"),
        ({"gamma": -1}, "gamma"),
        ({"alpha": 2.0}, "alpha"),
        ({"alpha": "half"}, "alpha"),
        ({"alpha": [0.5, -1]}, "alpha"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_loss({"type": "FocalLoss", **changes})


def test_a_wrong_number_of_alphas_is_named() -> None:
    with pytest.raises(UserError, match="alpha has 2 entries.*4 channels"):
        build_loss({"type": "FocalLoss", "alpha": [0.5, 0.5]})(*batch())
