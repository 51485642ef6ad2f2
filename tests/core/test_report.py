"""Scores as dictionaries, tables and JSON."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch

from mmseg.core.evaluation import class_table, eval_results, json_ready
from mmseg.utils.errors import UserError

METRICS = {
    "aAcc": np.float64(0.875),
    "IoU": np.array([0.5, 0.25, np.nan]),
    "Acc": np.array([1.0, 0.123456789, np.nan]),
}
NAMES = ["road", "traffic [bold]light", "train"]


def test_eval_results_has_the_keys_of_0_25_at_full_precision() -> None:
    results = eval_results(METRICS, NAMES)
    assert list(results) == [
        *("aAcc", "mIoU", "mAcc"),
        *("IoU.road", "IoU.traffic [bold]light", "IoU.train"),
        *("Acc.road", "Acc.traffic [bold]light", "Acc.train"),
    ]
    assert results["mIoU"] == 0.375
    assert results["mAcc"] == (1.0 + 0.123456789) / 2
    assert math.isnan(results["IoU.train"])
    assert all(type(value) is float for value in results.values())


def test_the_mean_of_nothing_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = eval_results({"aAcc": np.float64(np.nan), "IoU": np.array([np.nan])}, ["a"])
    assert math.isnan(results["mIoU"])


def test_the_table_shows_percent_in_plain_aligned_text() -> None:
    table = class_table(METRICS, NAMES)
    lines = table.splitlines()
    assert any("traffic [bold]light" in line and "25.00" in line and "12.35" in line for line in lines)
    assert any("train" in line and line.count("nan") == 2 for line in lines)
    assert "\x1b" not in table and table.isascii()
    boxes = [line for line in lines if line.startswith(("|", "+"))]
    assert len({len(line) for line in boxes[:7]}) == 1  # header, rules and three rows are equally long
    summary = lines[lines.index("Summary:") :]
    assert [cell.strip() for cell in summary[3].strip("|").split("|")] == ["aAcc", "mIoU", "mAcc"]
    assert [cell.strip() for cell in summary[5].strip("|").split("|")] == ["87.50", "37.50", "56.17"]


def test_a_wrong_number_of_names_is_refused() -> None:
    with pytest.raises(UserError, match="IoU was computed for 3 classes, but the data set names 2"):
        eval_results(METRICS, NAMES[:2])
    with pytest.raises(UserError, match="for 3 classes"):
        class_table(METRICS, [*NAMES, "more"])


def test_json_ready_is_strict_json() -> None:
    ready = json_ready(
        {
            "a": float("nan"),
            "b": [1.5, float("inf")],
            "c": np.array([1.0, np.nan]),
            "d": np.int64(3),
            "e": torch.tensor([1, 2]),
            4: (True, None, "x"),
        }
    )
    assert ready == {
        "a": None,
        "b": [1.5, None],
        "c": [1.0, None],
        "d": 3,
        "e": [1, 2],
        "4": [True, None, "x"],
    }
    assert json.loads(json.dumps(ready, allow_nan=False)) == ready
