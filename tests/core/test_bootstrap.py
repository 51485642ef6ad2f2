"""The bootstrap against brute force and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmseg.core.evaluation import total_area_to_metrics
from mmseg.core.evaluation.bootstrap import (
    bootstrap_scores,
    draws,
    image_scores,
    paired_bootstrap,
    scores_of_counts,
    two_sided_p,
)
from mmseg.utils.errors import UserError


def counts(images: int = 12, classes: int = 4, seed: int = 0, label: np.ndarray | None = None) -> np.ndarray:
    """Possible counts (N, 3, C): an intersection is no larger than prediction and label."""
    rng = np.random.default_rng(seed)
    label = rng.integers(50, 500, (images, classes)) if label is None else label
    both = rng.integers(0, label + 1)
    return np.stack([both, both + rng.integers(0, 300, both.shape), label], axis=1)


def test_scores_are_those_of_the_evaluator():
    total = counts().sum(0)
    scores = scores_of_counts(total)
    both, predicted, label = total
    expected = total_area_to_metrics(both, predicted + label - both, predicted, label, ["mIoU", "mFscore"])
    for key in ("IoU", "Acc", "Precision", "Fscore"):
        np.testing.assert_allclose(scores[key], expected[key], rtol=1e-12)
    assert scores["aAcc"] == pytest.approx(float(expected["aAcc"]))
    assert scores["mIoU"] == pytest.approx(expected["IoU"].mean())


def test_a_class_that_never_occurs_is_left_out_of_the_mean():
    total = np.array([[5, 0, 0], [10, 0, 0], [5, 0, 10]])
    scores = scores_of_counts(total)
    assert scores["IoU"][0] == 0.5 and math.isnan(scores["IoU"][1]) and scores["IoU"][2] == 0
    assert scores["mIoU"] == 0.25 and scores["aAcc"] == pytest.approx(5 / 15)
    assert math.isnan(scores["Precision"][2])


def test_resampling_equals_scoring_drawn_images_one_by_one():
    per_image, rounds = counts(), 40
    result = bootstrap_scores(per_image, rounds=rounds, level=0.9, seed=3)
    rows = draws(len(per_image), rounds, seed=3)
    assert (rows.sum(1) == len(per_image)).all() and rows.std() > 0.5
    miou, car = [], []
    for row in rows:
        drawn = np.concatenate([[per_image[i]] * int(n) for i, n in enumerate(row) if n]).sum(0)
        both, predicted, label = drawn
        iou = both / (predicted + label - both)
        miou.append(iou.mean())
        car.append(iou[2])
    low, high = np.percentile(miou, [5, 95])
    assert result.summary["mIoU"].low == pytest.approx(low)
    assert result.summary["mIoU"].high == pytest.approx(high)
    assert result.per_class["IoU"][2].low == pytest.approx(np.percentile(car, 5))
    assert result.summary["mIoU"].value == pytest.approx(scores_of_counts(per_image.sum(0))["mIoU"])
    assert low < result.summary["mIoU"].value < high


def test_equal_images_leave_no_doubt():
    per_image = np.repeat(counts(images=1), 20, axis=0)
    interval = bootstrap_scores(per_image, rounds=50).summary["mIoU"]
    assert interval.low == pytest.approx(interval.value) == interval.high


def test_the_width_is_that_of_the_binomial():
    """Images of one pixel each: accuracy is a proportion, with a standard error of sqrt(p (1 - p) / n)."""
    n, p = 400, 0.3
    right = (np.arange(n) < p * n).astype(int)
    per_image = np.stack([np.stack([right, right], 1)[:, :1], np.ones((n, 1)), np.ones((n, 1))], 1)
    interval = bootstrap_scores(per_image.astype(int), rounds=4000).summary["aAcc"]
    assert interval.value == pytest.approx(p)
    error = 1.96 * math.sqrt(p * (1 - p) / n)
    assert interval.low == pytest.approx(p - error, abs=0.1 * error)
    assert interval.high == pytest.approx(p + error, abs=0.1 * error)


def test_scores_of_images():
    per_image = np.array([[[4, 0], [4, 0], [8, 0]], [[0, 0], [0, 0], [0, 0]]])
    iou, acc = image_scores(per_image)
    assert iou[0] == 0.5 and acc[0] == 0.5 and np.isnan(iou[1]) and np.isnan(acc[1])


def test_paired_finds_a_small_difference_that_single_intervals_hide():
    """Images differ much, the runs little but always in the same direction."""
    rng = np.random.default_rng(0)
    label = np.full((60, 1), 1000)
    hard = rng.integers(100, 800, (60, 1))
    a = np.stack([hard + 20, label, label], 1)
    b = np.stack([hard, label, label], 1)
    one, two = bootstrap_scores(a).summary["mIoU"], bootstrap_scores(b).summary["mIoU"]
    assert one.low < two.high  # the intervals overlap
    test = paired_bootstrap(a, b)
    assert 0 < test.summary["mIoU"].low < test.summary["mIoU"].value < test.summary["mIoU"].high
    assert test.summary["mIoU"].value == pytest.approx(one.value - two.value)
    assert test.p_values["mIoU"] == pytest.approx(2 / 2001)


def test_paired_is_antisymmetric_and_zero_against_itself():
    a = counts(seed=1)
    b = counts(seed=2, label=a[:, 2])
    forth, back = paired_bootstrap(a, b, rounds=200), paired_bootstrap(b, a, rounds=200)
    for key in ("mIoU", "mAcc", "aAcc"):
        assert forth.summary[key].value == pytest.approx(-back.summary[key].value)
        assert forth.summary[key].low == pytest.approx(-back.summary[key].high)
        assert forth.p_values[key] == pytest.approx(back.p_values[key])
    assert [i.value for i in forth.per_class] == pytest.approx([-i.value for i in back.per_class])
    same = paired_bootstrap(a, a, rounds=50)
    assert same.summary["mIoU"].value == same.summary["mIoU"].low == 0 and same.p_values["mIoU"] == 1


def test_p_of_chance_is_spread_evenly():
    """Without a true difference p is below 0.1 in about a tenth of the cases."""
    values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        label = np.full((40, 1), 100)
        pair = [np.stack([rng.binomial(100, 0.6, (40, 1)), label, label], 1) for _ in range(2)]
        values.append(paired_bootstrap(*pair, rounds=300, seed=seed).p_values["aAcc"])
    assert 0.04 < np.mean(np.array(values) < 0.1) < 0.2


def test_two_sided_p():
    assert two_sided_p(np.array([1.0, 2, 3, -1])) == pytest.approx(2 * 2 / 5)
    assert two_sided_p(np.array([1.0, 2, 3, np.nan])) == pytest.approx(2 / 4)
    assert two_sided_p(np.zeros(9)) == 1


def test_mistakes():
    a = counts()
    with pytest.raises(UserError, match="12 images of 4 classes against 11 of 4"):
        paired_bootstrap(a, a[1:])
    with pytest.raises(UserError, match="those of 1 of 12 images differ, the first is image 3"):
        other = a.copy()
        other[3, 2, 1] += 1
        paired_bootstrap(a, other)
    with pytest.raises(UserError, match="at least one image"):
        bootstrap_scores(np.zeros((0, 3, 4)))
    with pytest.raises(UserError, match="0 rounds at level 0.95"):
        bootstrap_scores(a, rounds=0)


def test_share_of_the_draws_with_a_ahead():
    a, b = counts(seed=1), counts(seed=2)
    b[:, 2] = a[:, 2]
    b[:, 0], b[:, 1] = np.minimum(b[:, 0], b[:, 2]), np.maximum(b[:, 0], b[:, 1])
    there, back = (paired_bootstrap(*pair, rounds=300, seed=5) for pair in ((a, b), (b, a)))
    rows = draws(len(a), 300, seed=5)
    flat = [scores_of_counts((rows @ x.reshape(len(x), -1)).reshape(-1, 3, 4)) for x in (a, b)]
    assert there.better["mIoU"] == (flat[0]["mIoU"] > flat[1]["mIoU"]).mean()
    assert there.better_per_class[2] == (flat[0]["IoU"][:, 2] > flat[1]["IoU"][:, 2]).mean()
    assert there.better["mIoU"] + back.better["mIoU"] == pytest.approx(1)
    same = paired_bootstrap(a, a, rounds=50)
    assert same.better["mIoU"] == 0 and same.better_per_class == [0.0] * 4
    a[:, :, 1] = 0
    assert math.isnan(paired_bootstrap(a, a, rounds=50).better_per_class[1])
