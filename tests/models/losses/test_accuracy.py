from __future__ import annotations

import pytest
import torch

from mmseg.models.losses import Accuracy, accuracy

SCORES = torch.tensor([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1]])
LABELS = torch.tensor([1, 1, 2, 0])


def test_share_of_right_pixels() -> None:
    assert accuracy(SCORES, LABELS).item() == pytest.approx(75)
    maps = SCORES.T.reshape(1, 3, 2, 2)
    assert accuracy(maps, LABELS.reshape(1, 2, 2)).item() == pytest.approx(75)


def test_ignored_pixels_are_left_out() -> None:
    assert accuracy(SCORES, LABELS, ignore_index=1).item() == pytest.approx(100)
    assert accuracy(SCORES, LABELS, ignore_index=2).item() == pytest.approx(200 / 3)


def test_nothing_to_count_is_100() -> None:
    assert accuracy(SCORES, torch.full((4,), 255), ignore_index=255).item() == pytest.approx(100)


def test_several_ranks_and_a_threshold() -> None:
    first, second = accuracy(SCORES, LABELS, topk=(1, 2))
    assert (first.item(), second.item()) == (pytest.approx(75), pytest.approx(100))
    assert accuracy(SCORES, LABELS, thresh=0.55).item() == pytest.approx(25)
    assert Accuracy(topk=2, thresh=0.35)(SCORES, LABELS).item() == pytest.approx(75)
