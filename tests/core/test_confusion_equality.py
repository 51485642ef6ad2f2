"""Counts of the public functions and of the evaluator, integer for integer: against a plain count, and (slow)
against scikit-learn; cityscapesScripts has its own in tests/tools/test_official_scores.py."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmseg.core.evaluation import confusion_matrix, eval_metrics, intersect_and_union
from tests.helpers_scores import evaluate_maps

TYPES = (np.uint8, np.int64, np.int32, np.uint16)


def plain_count(guess: np.ndarray, truth: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    """(C, C): one pixel after the other."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for p, t in zip(guess.ravel().tolist(), truth.ravel().tolist(), strict=True):
        if t != ignore_index:
            matrix[t, p] += 1
    return matrix


def check(
    guess: np.ndarray, truth: np.ndarray, num_classes: int, matrix: np.ndarray, ignore_index: int = 255
):
    """What the public functions say of one image is what ``matrix`` (C, C) says."""
    ours = confusion_matrix(guess, truth, num_classes, ignore_index)
    assert ours.numpy().dtype == np.int64 and np.array_equal(ours.numpy(), matrix)
    both, predicted, labelled = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    areas = intersect_and_union(guess, truth, num_classes, ignore_index)
    for area, expected in zip(areas, (both, predicted + labelled - both, predicted, labelled), strict=True):
        assert np.array_equal(area.numpy(), expected)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        scores = eval_metrics([guess], [truth], num_classes, ignore_index)
        np.testing.assert_array_equal(scores["IoU"], both / (predicted + labelled - both))
        np.testing.assert_array_equal(scores["Acc"], both / labelled)
        np.testing.assert_array_equal(scores["aAcc"], both.sum() / labelled.sum())


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Guess, truth and number of classes; sizes, types, classes that occur and ignored share vary."""
    num_classes = draw(st.integers(1, 20))
    shape = draw(st.one_of(st.sampled_from([(1, 1), (1, 7), (9, 1)]), st.tuples(*[st.integers(1, 12)] * 2)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    held = rng.permutation(num_classes)[: draw(st.integers(1, num_classes))]
    truth, guess = rng.choice(held, shape), rng.choice(num_classes, shape)
    ignored = rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    truth = np.where(ignored, 255, truth)
    return guess.astype(draw(st.sampled_from(TYPES))), truth.astype(draw(st.sampled_from(TYPES))), num_classes


ONE = np.zeros((1, 1), np.uint8)


@settings(deadline=None, max_examples=150)
@given(pairs())
@example((ONE, ONE, 1))
@example((ONE, ONE + 255, 1))  # nothing counts
@example((ONE.astype(np.int64), ONE + 18, 19))  # a class without a right pixel
def test_counts_are_those_of_a_plain_count(pair) -> None:
    guess, truth, num_classes = pair
    check(guess, truth, num_classes, plain_count(guess, truth, num_classes, 255))


@settings(deadline=None, max_examples=25)
@given(st.lists(pairs(), min_size=1, max_size=5))
def test_the_evaluator_counts_each_image(drawn) -> None:
    guesses, truths = [p[0] for p in drawn], [p[1] for p in drawn]
    num_classes = max(p[2] for p in drawn)
    result = evaluate_maps(guesses, truths, num_classes)
    matrices = [plain_count(g, t, num_classes, 255) for g, t in zip(guesses, truths, strict=True)]
    assert np.array_equal(result.confusion, sum(matrices))
    rows = [np.stack([m.diagonal(), m.sum(0), m.sum(1)]) for m in matrices]
    assert np.array_equal(result.per_image, np.stack(rows))


def test_values_past_the_classes_count_nowhere_but_where_ignored() -> None:
    guess, truth = np.array([[0, 200, 1]], np.uint8), np.array([[0, 255, 1]], np.uint8)
    check(guess, truth, 2, np.eye(2, dtype=np.int64))
    result = evaluate_maps([guess], [truth], 2)
    assert np.array_equal(result.confusion, np.eye(2, dtype=np.int64))


def adversarial() -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Inputs that a count gets wrong which is careless about types, sizes or absent classes."""
    rng = np.random.default_rng(0)
    cases = []
    for kind in TYPES:
        for shape in ((1, 1), (1, 997), (997, 1), (375, 1242), (31, 33)):
            full, last = rng.integers(0, 19, shape).astype(kind), np.full(shape, 18, kind)
            cases += [
                (full, np.full(shape, 255, kind), 19),  # all ignored
                (last, last, 19),  # one class, the last
                (np.zeros(shape, kind), last, 19),  # nothing right
                (full, full, 19),  # everything right
                (full, np.where(full == 7, 8, full).astype(kind), 19),  # a class that no label holds
                (np.where(full == 7, 8, full).astype(kind), full, 19),  # a class that is never predicted
                (np.zeros(shape, kind), np.zeros(shape, kind), 1),
                (rng.integers(0, 150, shape).astype(kind), rng.integers(0, 150, shape).astype(kind), 150),
                (rng.integers(0, 255, shape).astype(kind), rng.integers(0, 256, shape).astype(kind), 255),
            ]
    return cases


@pytest.mark.slow  # `make test-slow` installs scikit-learn
class TestWithScikitLearn:
    @staticmethod
    def matrix(guess: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
        from sklearn import metrics

        counted = truth != 255
        if not counted.any():  # which scikit-learn refuses
            return np.zeros((num_classes, num_classes), np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a single label
            return metrics.confusion_matrix(truth[counted], guess[counted], labels=np.arange(num_classes))

    def test_adversarial_inputs(self) -> None:
        cases = adversarial()
        for guess, truth, num_classes in cases:
            check(guess, truth, num_classes, self.matrix(guess, truth, num_classes))
        assert len(cases) == 4 * 5 * 9

    @settings(deadline=None, max_examples=2000)
    @given(pairs())
    def test_random_inputs(self, pair) -> None:
        check(*pair, self.matrix(*pair))

    def test_the_evaluator_on_many_images(self) -> None:
        rng = np.random.default_rng(1)
        shapes = [tuple(rng.integers(1, 40, 2)) for _ in range(500)]
        guesses = [rng.integers(0, 19, shape).astype(np.uint8) for shape in shapes]
        truths = [rng.choice([*range(19), 255], shape).astype(np.int64) for shape in shapes]
        result = evaluate_maps(guesses, truths, 19)
        matrices = [self.matrix(g, t, 19) for g, t in zip(guesses, truths, strict=True)]
        assert np.array_equal(result.confusion, sum(matrices))
        assert np.array_equal(result.per_image[:, 0], [m.diagonal() for m in matrices])
        from sklearn import metrics

        counted = np.concatenate([t.ravel() for t in truths]) != 255
        t, g = np.concatenate([t.ravel() for t in truths]), np.concatenate([g.ravel() for g in guesses])
        expected = metrics.jaccard_score(t[counted], g[counted], average="macro")
        assert math.isclose(result.scores["mIoU"], expected, rel_tol=1e-12)
