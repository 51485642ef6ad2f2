"""Scores: recorded figures, the definition pixel by pixel, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmseg.core.evaluation import (
    areas_from_confusion,
    confusion_matrix,
    eval_metrics,
    intersect_and_union,
    mean_dice,
    mean_fscore,
    mean_iou,
    pre_eval_to_metrics,
    total_area_to_metrics,
    total_intersect_and_union,
)
from mmseg.utils.errors import UserError

DATA = Path(__file__).parent.parent / "data" / "metrics"


def recorded() -> tuple[np.ndarray, np.ndarray, dict[str, dict]]:
    inputs = np.load(DATA / "metric_inputs.npz")
    return inputs["pred"], inputs["gt"], json.loads((DATA / "metrics.json").read_text())


def by_hand(pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for p, t in zip(pred.ravel().tolist(), label.ravel().tolist(), strict=True):
        if t != ignore_index:
            matrix[t, p] += 1
    return matrix


@pytest.mark.parametrize("metrics", [["mIoU"], ["mIoU", "mDice", "mFscore"]])
def test_figures_recorded_with_mmsegmentation_0_25(metrics: list[str]) -> None:
    pred, label, figures = recorded()
    result = eval_metrics(pred, label, 19, 255, metrics)
    expected = figures["+".join(metrics)]
    assert list(result) == list(expected)
    for key, values in expected.items():
        np.testing.assert_allclose(result[key], values, rtol=1e-6, err_msg=key)
    assert np.isnan(result["Acc"][16])  # the class never occurs in the truth


def test_the_single_metrics_agree_with_the_joined_ones() -> None:
    pred, label, figures = recorded()
    expected = figures["mIoU+mDice+mFscore"]
    for function, keys in (
        (mean_iou, ["aAcc", "IoU", "Acc"]),
        (mean_dice, ["aAcc", "Dice", "Acc"]),
        (mean_fscore, ["aAcc", "Fscore", "Precision", "Recall"]),
    ):
        result = function(pred, label, 19, 255)
        assert list(result) == keys
        for key in keys:
            np.testing.assert_allclose(result[key], expected[key], rtol=1e-6)


def test_per_image_results_add_up_to_the_same_scores() -> None:
    pred, label, _ = recorded()
    parts = [intersect_and_union(p, t, 19, 255) for p, t in zip(pred, label, strict=True)]
    whole = eval_metrics(pred, label, 19, 255, ["mIoU", "mFscore"], nan_to_num=-1)
    joined = pre_eval_to_metrics(parts, ["mIoU", "mFscore"], nan_to_num=-1)
    assert list(whole) == list(joined)
    for key in whole:
        np.testing.assert_array_equal(whole[key], joined[key])


@given(
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.int64, np.int32, np.uint16]),
    st.sampled_from([255, -1, 0, 2]),
)
def test_confusion_matrix_counts_every_pixel(num_classes: int, seed: int, dtype: type, ignore: int) -> None:
    rng = np.random.default_rng(seed)
    dtype = np.int64 if ignore < 0 else dtype
    shape = tuple(rng.integers(1, 9, 2))
    pred = rng.integers(0, num_classes, shape).astype(dtype)
    label = rng.integers(0, num_classes, shape).astype(dtype)
    label[rng.random(shape) < 0.3] = ignore
    matrix = confusion_matrix(pred, label, num_classes, ignore)
    assert matrix.dtype == torch.int64
    np.testing.assert_array_equal(matrix.numpy(), by_hand(pred, label, num_classes, ignore))
    intersect, union, area_pred, area_label = areas_from_confusion(matrix)
    counted = label != ignore
    for c in range(num_classes):
        is_pred, is_label = (pred == c) & counted, (label == c) & counted
        assert intersect[c] == (is_pred & is_label).sum()
        assert union[c] == (is_pred | is_label).sum()
        assert area_pred[c] == is_pred.sum()
        assert area_label[c] == is_label.sum()


def test_without_an_ignored_value_every_pixel_counts() -> None:
    matrix = confusion_matrix(np.array([0, 1]), np.array([0, 0]), 2, ignore_index=None)
    assert matrix.tolist() == [[1, 1], [0, 0]]


def test_a_prediction_at_an_ignored_pixel_may_be_anything() -> None:
    matrix = confusion_matrix(np.array([[0, 255]], np.uint8), np.array([[0, 255]], np.uint8), 2)
    assert matrix.tolist() == [[1, 0], [0, 0]]


def test_all_ignored_gives_nan_and_nan_to_num_replaces_it() -> None:
    label = np.full((4, 4), 255, np.uint8)
    result = eval_metrics([np.zeros((4, 4), np.uint8)], [label], 3, 255, ["mIoU", "mFscore"])
    assert all(np.isnan(values).all() for values in result.values())
    replaced = eval_metrics([np.zeros((4, 4), np.uint8)], [label], 3, 255, ["mIoU"], nan_to_num=-1)
    assert replaced["aAcc"] == -1 and (replaced["IoU"] == -1).all()


def test_counts_stay_exact_beyond_what_floats_hold() -> None:
    areas = [torch.tensor([2**40 + 1, 3]) for _ in range(4)]
    result = total_area_to_metrics(*areas)
    assert result["IoU"].tolist() == [1.0, 1.0]
    pred = [np.zeros((5, 5), np.uint8)] * 3
    totals = total_intersect_and_union(pred, pred, 2, 255)
    assert [t.dtype for t in totals] == [torch.int64] * 4
    assert totals[0].tolist() == [75, 0]


def test_beta_weighs_recall() -> None:
    areas = (torch.tensor([6.0]), torch.tensor([14.0]), torch.tensor([8.0]), torch.tensor([12.0]))
    precision, recall = 6 / 8, 6 / 12
    result = total_area_to_metrics(*areas, metrics="mFscore", beta=2)
    assert result["Fscore"][0] == pytest.approx(5 * precision * recall / (4 * precision + recall))


def test_label_map_is_applied_at_once() -> None:
    label = np.array([[0, 1, 2, 1]], np.uint8)
    pred = np.array([[1, 0, 0, 0]], np.uint8)
    intersect, union, _, area = intersect_and_union(pred, label, 2, 255, label_map={0: 1, 1: 0, 2: -1})
    assert (intersect.tolist(), union.tolist(), area.tolist()) == ([2, 1], [2, 1], [2, 1])
    assert label.tolist() == [[0, 1, 2, 1]]  # the caller's array stays as it was


def test_reduce_zero_label_keeps_255_ignored() -> None:
    label = np.array([[0, 1, 2, 255]], np.uint8)
    pred = np.array([[1, 0, 1, 0]], np.uint8)
    areas = intersect_and_union(pred, label, 2, 255, reduce_zero_label=True)
    assert [area.tolist() for area in areas] == [[1, 1], [1, 1], [1, 1], [1, 1]]


def test_files_are_read(tmp_path: Path) -> None:
    pred, label = np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8)
    np.save(tmp_path / "pred.npy", pred)
    image = Image.fromarray(label)
    image.putpalette([200, 100, 50] * 4)
    image.save(tmp_path / "label.png")
    areas = intersect_and_union(str(tmp_path / "pred.npy"), tmp_path / "label.png", 2, 255)
    assert [area.tolist() for area in areas] == [[1, 0], [2, 1], [1, 1], [2, 0]]
    with pytest.raises(UserError, match="cannot read the label map .*missing.npy"):
        intersect_and_union(str(tmp_path / "missing.npy"), label, 2, 255)
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match="cannot read the label map"):
        intersect_and_union(str(tmp_path / "object.npy"), label, 2, 255)


@pytest.mark.parametrize(
    ("pred", "label", "message"),
    [
        ([[0, 1]], [[0, 7]], r"a label holds 7 in 1 pixels, but its values are 0 to 2 or 255 \(ignored\)"),
        ([[0, 3]], [[0, 1]], "a prediction holds 3 in 1 pixels, but its values are 0 to 2;"),
        ([[0, -1]], [[0, 1]], "a prediction holds -1"),
        ([[0, 1]], [[0, 2**32]], "a label holds 4294967296"),
        ([[0, 1]], [[0], [1]], r"differ in size: \(1, 2\) against \(2, 1\)"),
        ([[0.2, 1.0]], [[0, 1]], "holds class indices, not torch.float64 values; take the argmax"),
        ([["a", "b"]], [[0, 1]], "a prediction is an array of class indices"),
    ],
)
def test_impossible_inputs_are_named(pred: list, label: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        confusion_matrix(np.array(pred), np.array(label), 3)


def test_lists_of_different_length_are_refused() -> None:
    one = np.zeros((2, 2), np.uint8)
    with pytest.raises(UserError, match="only 1 labels"):
        eval_metrics([one, one], [one], 2, 255)
    with pytest.raises(UserError, match="only 1 predictions"):
        eval_metrics([one], (one for _ in range(2)), 2, 255)
    with pytest.raises(UserError, match="empty"):
        pre_eval_to_metrics([])


def test_unknown_metrics_are_named() -> None:
    with pytest.raises(UserError, match="unknown metric `mIOU`; did you mean `mIoU`"):
        eval_metrics([], [], 2, 255, "mIOU")
