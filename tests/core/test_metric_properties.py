"""What scores keep: their range, parts that add up, order of images and classes, a perfect prediction."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.core.evaluation import (
    areas_from_confusion,
    confusion_matrix,
    eval_metrics,
    intersect_and_union,
    pre_eval_to_metrics,
    total_area_to_metrics,
    total_intersect_and_union,
)
from tests.helpers_scores import evaluate_maps

METRICS = ["mIoU", "mDice", "mFscore"]
IGNORED = 255
Maps = tuple[list[np.ndarray], list[np.ndarray], int]


@st.composite
def image_sets(draw: st.DrawFn) -> Maps:
    """Predictions and truths of some images of odd sizes and types, and the number of classes."""
    num_classes = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    guesses, truths = [], []
    for _ in range(draw(st.integers(1, 5))):
        shape = draw(st.sampled_from([(1, 1), (1, 30), (30, 1), (3, 5), (8, 8)]))
        right = draw(st.sampled_from([0.0, 0.5, 0.95]))
        held = rng.permutation(num_classes)[: draw(st.integers(1, num_classes))]
        truth = rng.choice(held, shape)
        guess = np.where(rng.random(shape) < right, truth, rng.integers(0, num_classes, shape))
        truth[rng.random(shape) < draw(st.sampled_from([0.0, 0.4, 1.0]))] = IGNORED
        kind = draw(st.sampled_from([np.uint8, np.int64, np.int32]))
        guesses.append(guess.astype(kind))
        truths.append(truth.astype(draw(st.sampled_from([np.uint8, np.int64]))))
    return guesses, truths, num_classes


def scores_of(guesses: list[np.ndarray], truths: list[np.ndarray], num_classes: int) -> OrderedDict:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return eval_metrics(guesses, truths, num_classes, IGNORED, METRICS)


def assert_equal(one: OrderedDict, other: OrderedDict) -> None:
    assert list(one) == list(other)
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@settings(deadline=None)
@given(image_sets())
def test_scores_lie_between_0_and_1_or_are_nan(maps: Maps) -> None:
    guesses, truths, num_classes = maps
    scores = scores_of(*maps)
    for key, values in scores.items():
        known = values[~np.isnan(values)]
        assert ((known >= 0) & (known <= 1)).all(), key
    labelled = np.bincount(np.concatenate([t[t != IGNORED].ravel() for t in truths]), minlength=num_classes)
    guessed = sum(
        np.bincount(g[t != IGNORED].ravel(), minlength=num_classes)
        for g, t in zip(guesses, truths, strict=True)
    )
    # NaN means that nothing is there to score, and only that.
    assert np.array_equal(np.isnan(scores["IoU"]), labelled + guessed == 0)
    assert np.array_equal(np.isnan(scores["Dice"]), labelled + guessed == 0)
    assert np.array_equal(np.isnan(scores["Acc"]), labelled == 0)
    assert np.array_equal(np.isnan(scores["Precision"]), guessed == 0)
    assert np.isnan(scores["aAcc"]) == (labelled.sum() == 0)
    # Dice and Fscore are the same thing, and both follow from IoU.
    both = ~np.isnan(scores["Fscore"])
    np.testing.assert_allclose(scores["Fscore"][both], scores["Dice"][both], rtol=1e-12)
    np.testing.assert_allclose(scores["Dice"], 2 * scores["IoU"] / (1 + scores["IoU"]), rtol=1e-12)
    assert (np.nan_to_num(scores["IoU"]) <= np.nan_to_num(scores["Acc"], nan=1.0) + 1e-12).all()


@settings(deadline=None)
@given(image_sets(), st.randoms(use_true_random=False))
def test_the_order_of_images_and_pixels_does_not_matter(maps: Maps, random: object) -> None:
    guesses, truths, num_classes = maps
    order = random.sample(range(len(guesses)), len(guesses))
    scores = scores_of(*maps)
    assert_equal(scores_of([guesses[i] for i in order], [truths[i] for i in order], num_classes), scores)
    rng = np.random.default_rng(len(order))
    mixed = [
        (g.ravel()[p], t.ravel()[p])
        for g, t in zip(guesses, truths, strict=True)
        for p in [rng.permutation(g.size)]
    ]
    assert_equal(
        scores_of([g[None] for g, _ in mixed], [t[:, None].T for _, t in mixed], num_classes), scores
    )


@settings(deadline=None)
@given(image_sets(), st.data())
def test_parts_add_up_to_the_whole(maps: Maps, data: st.DataObject) -> None:
    guesses, truths, num_classes = maps
    whole = total_intersect_and_union(guesses, truths, num_classes, IGNORED)
    cut = data.draw(st.integers(0, len(guesses)))
    halves = [
        total_intersect_and_union(guesses[part], truths[part], num_classes, IGNORED)
        for part in (slice(cut), slice(cut, None))
    ]
    per_image = [
        intersect_and_union(g, t, num_classes, IGNORED) for g, t in zip(guesses, truths, strict=True)
    ]
    matrices = [confusion_matrix(g, t, num_classes, IGNORED) for g, t in zip(guesses, truths, strict=True)]
    by_matrix = areas_from_confusion(torch.stack(matrices).sum(0))
    for i, area in enumerate(whole):
        assert torch.equal(area, halves[0][i] + halves[1][i])
        assert torch.equal(area, sum(areas[i] for areas in per_image))
        assert torch.equal(area, by_matrix[i])
    intersect, union, predicted, labelled = whole
    assert predicted.sum() == labelled.sum() == sum(int((t != IGNORED).sum()) for t in truths)
    assert torch.equal(union, predicted + labelled - intersect)
    assert_equal(pre_eval_to_metrics(per_image, METRICS), total_area_to_metrics(*whole, metrics=METRICS))
    # Images cut into tiles are the same images.
    tiles = [
        (g[r : r + 1], t[r : r + 1]) for g, t in zip(guesses, truths, strict=True) for r in range(len(g))
    ]
    tiled = total_intersect_and_union([g for g, _ in tiles], [t for _, t in tiles], num_classes, IGNORED)
    assert all(torch.equal(a, b) for a, b in zip(tiled, whole, strict=True))


@settings(deadline=None)
@given(image_sets())
def test_a_perfect_prediction_scores_1(maps: Maps) -> None:
    _, truths, num_classes = maps
    perfect = [np.where(t == IGNORED, 0, t) for t in truths]
    scores = scores_of(perfect, truths, num_classes)
    there = np.isin(np.arange(num_classes), np.concatenate([t[t != IGNORED].ravel() for t in truths]))
    for key, values in scores.items():
        if values.ndim:
            assert (values[there] == 1).all() and np.isnan(values[~there]).all(), key
    assert scores["aAcc"] == 1 if there.any() else np.isnan(scores["aAcc"])


@settings(deadline=None)
@given(image_sets(), st.randoms(use_true_random=False))
def test_other_numbers_for_the_classes_permute_the_scores(maps: Maps, random: object) -> None:
    guesses, truths, num_classes = maps
    new = np.array([*random.sample(range(num_classes), num_classes), *range(num_classes, 256)])
    renamed = scores_of([new[g] for g in guesses], [new[t] for t in truths], num_classes)
    for key, values in scores_of(*maps).items():
        if values.ndim:
            np.testing.assert_array_equal(renamed[key][new[:num_classes]], values, err_msg=key)
        else:
            np.testing.assert_array_equal(renamed[key], values)
    mapped = eval_metrics(
        [new[g] for g in guesses], truths, num_classes, IGNORED, METRICS,
        label_map={old: int(new[old]) for old in range(num_classes)},
    )  # fmt: skip
    assert_equal(mapped, renamed)


@settings(deadline=None)
@given(image_sets(), st.floats(0.1, 4))
def test_swapping_prediction_and_truth_swaps_precision_and_recall(maps: Maps, beta: float) -> None:
    guesses, truths, num_classes = maps
    guesses = [np.where(t == IGNORED, IGNORED, g) for g, t in zip(guesses, truths, strict=True)]
    truths = [np.where(t == IGNORED, 0, t) for t in truths]  # ignored by the other side now
    kept = [(g[g != IGNORED], t[g != IGNORED]) for g, t in zip(guesses, truths, strict=True)]
    one, other = ([pair[i][None] for pair in kept] for i in (0, 1))
    here, there = scores_of(one, other, num_classes), scores_of(other, one, num_classes)
    np.testing.assert_array_equal(here["Precision"], there["Recall"])
    np.testing.assert_array_equal(here["IoU"], there["IoU"])
    with np.errstate(all="ignore"):
        weighed = eval_metrics(one, other, num_classes, IGNORED, "mFscore", beta=beta)
        back = eval_metrics(other, one, num_classes, IGNORED, "mFscore", beta=1 / beta)
    np.testing.assert_allclose(weighed["Fscore"], back["Fscore"], rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(image_sets(), st.randoms(use_true_random=False))
def test_the_evaluator_keeps_the_same(maps: Maps, random: object) -> None:
    guesses, truths, num_classes = maps
    result = evaluate_maps(guesses, truths, num_classes)
    order = random.sample(range(len(guesses)), len(guesses))
    mixed = evaluate_maps([guesses[i] for i in order], [truths[i] for i in order], num_classes)
    assert np.array_equal(mixed.confusion, result.confusion)
    assert np.array_equal(mixed.per_image, result.per_image[order])
    assert mixed.scores == pytest.approx(result.scores, nan_ok=True, abs=0)
    assert all(np.isnan(score) or 0 <= score <= 1 for score in result.scores.values())
    assert np.array_equal(result.per_image[:, 0].sum(0), result.confusion.diagonal())
