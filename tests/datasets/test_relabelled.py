"""A data set whose masks hold other values than the classes."""

from __future__ import annotations

import numpy as np
import pytest

from mmseg.datasets.relabelled import RelabelledDataset
from mmseg.utils.errors import UserError
from tests.helpers_doctor import put


@pytest.fixture
def build(tmp_path):
    mask = np.array([[0, 7, 7, 8], [255, 8, 33, 20]], np.uint8)
    put(tmp_path, "train", "a", np.zeros((2, 4, 3), np.uint8), mask)

    def call(label_map, **kwargs):
        loaders = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
        folders = dict(data_root=str(tmp_path), img_dir="img_dir/train", ann_dir="ann_dir/train")
        settings = {"classes": ["road", "sky"], **folders, **kwargs}
        return RelabelledDataset(loaders, label_map=label_map, **settings)

    return call


def test_values_become_classes_in_training_and_evaluation(build):
    dataset = build({7: 0, 8: 1, 33: 1})
    expected = [[255, 0, 0, 1], [255, 1, 1, 255]]  # 0 and 20 are not named: ignored
    np.testing.assert_array_equal(dataset[0]["gt_semantic_seg"], expected)
    np.testing.assert_array_equal(dataset.get_gt_seg_map_by_idx(0), expected)
    scores = dataset.evaluate([np.array([[0, 0, 0, 1], [0, 1, 1, 0]])], logger="silent")
    assert scores["mIoU"] == 1


def test_results_have_the_values_of_the_masks(build):
    assert build({7: 0, 8: 1, 33: 1}).label_ids() == [7, 8]


def test_a_value_above_the_last_is_refused(build):
    with pytest.raises(UserError, match=r"holds the values? .*33"):
        build({7: 0, 8: 1})[0]


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({}, "is a dictionary from mask value to class"),
        ([1, 2], "is a dictionary from mask value to class"),
        ({7: 2}, "turns 7 into 2"),
        ({300: 0}, "turns 300 into 0"),
        ({"a": 0}, "turns 'a' into 0"),
        ({255: 0}, "`ignore_index` is 255 too"),
    ],
)
def test_mistakes(build, label_map, message):
    with pytest.raises(UserError, match=message):
        build(label_map)


def test_it_needs_classes(build):
    with pytest.raises(UserError, match="has no classes"):
        build({7: 0}, classes=None)
