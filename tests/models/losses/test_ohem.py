from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmseg.models import CrossEntropyLoss, DiceLoss, FocalLoss, LovaszLoss, OHEMPixelSampler
from mmseg.utils.errors import UserError


def sample(logits: torch.Tensor, labels: torch.Tensor, **settings: object) -> torch.Tensor:
    context = SimpleNamespace(ignore_index=255, loss_decode=CrossEntropyLoss())
    return OHEMPixelSampler(context, **settings).sample(logits, labels)


def batch(ignored: float) -> tuple[torch.Tensor, torch.Tensor]:
    logits, labels = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 1, 5, 6))
    return logits, labels.masked_fill(torch.rand(2, 1, 5, 6) < ignored, 255)


@given(st.integers(2, 40), st.sampled_from([0.0, 0.4, 0.9, 1.0]))
def test_keeps_the_pixels_of_highest_loss(min_kept: int, ignored: float) -> None:
    logits, labels = batch(ignored)
    weight = sample(logits, labels, min_kept=min_kept)
    valid = labels[:, 0] != 255
    cost = CrossEntropyLoss()(logits, labels[:, 0], ignore_index=255, reduction_override="none")
    assert weight.shape == (2, 5, 6)
    assert weight[~valid].sum() == 0
    assert int(weight.sum()) == min(2 * min_kept, int(valid.sum()))
    kept, left = cost[weight > 0], cost[(weight == 0) & valid]
    assert not len(left) or not len(kept) or kept.min() >= left.max()


@given(st.integers(2, 40), st.sampled_from([0.0, 0.4, 0.9, 1.0]), st.sampled_from([0.05, 0.3, 0.9]))
def test_keeps_the_unlikely_pixels(min_kept: int, ignored: float, thresh: float) -> None:
    logits, labels = batch(ignored)
    weight = sample(logits, labels, thresh=thresh, min_kept=min_kept)
    valid = labels[:, 0] != 255
    own = logits.softmax(1).gather(1, labels.masked_fill(labels == 255, 0))[:, 0]
    ranked = own[valid].sort().values
    limit = max(float(ranked[min(2 * min_kept, len(ranked) - 1)]), thresh) if len(ranked) else thresh
    sure = valid & ((own - limit).abs() > 1e-6)  # which side a pixel at the limit falls on is rounding
    assert torch.equal(weight[sure] > 0, own[sure] < limit)
    assert weight[~valid].sum() == 0


def test_losses_of_a_head_are_added_up() -> None:
    logits, labels = batch(0.2)
    losses = torch.nn.ModuleList([CrossEntropyLoss(class_weight=[9, 0, 0, 0]), CrossEntropyLoss()])
    context = SimpleNamespace(ignore_index=255, loss_decode=losses)
    weight = OHEMPixelSampler(context, min_kept=3).sample(logits, labels)
    only = sample(logits, labels, min_kept=3)
    assert int(weight.sum()) == int(only.sum()) == 6
    assert (labels[:, 0][weight > 0] == 0).sum() > (labels[:, 0][only > 0] == 0).sum()


def test_a_sigmoid_loss_is_summed_over_its_channels() -> None:
    logits, labels = batch(0.2)
    context = SimpleNamespace(ignore_index=255, loss_decode=CrossEntropyLoss(use_sigmoid=True))
    assert int(OHEMPixelSampler(context, min_kept=5).sample(logits, labels).sum()) == 10


@pytest.mark.parametrize("settings", [{"min_kept": 0}, {"thresh": 0.0}, {"thresh": 50}])
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        OHEMPixelSampler(None, **settings)


def test_losses_without_a_value_per_pixel_do_not_decide() -> None:
    logits, labels = batch(0.2)
    mixed = [CrossEntropyLoss(), DiceLoss(), LovaszLoss(per_image=True), FocalLoss(alpha=1.0, gamma=0)]
    context = SimpleNamespace(ignore_index=255, loss_decode=torch.nn.ModuleList(mixed))
    weight = OHEMPixelSampler(context, min_kept=5).sample(logits, labels)
    own = logits.gather(1, labels.masked_fill(labels == 255, 0))[:, 0]
    cost = CrossEntropyLoss()(logits, labels[:, 0], ignore_index=255, reduction_override="none")
    cost = cost - torch.nn.functional.logsigmoid(own)  # alpha=1: the positives alone
    valid = labels[:, 0] != 255
    assert int(weight.sum()) == 10 and cost[weight > 0].min() >= cost[(weight == 0) & valid].max()
    context.loss_decode = DiceLoss()
    with pytest.raises(UserError, match="one per pixel"):
        OHEMPixelSampler(context, min_kept=5).sample(logits, labels)
