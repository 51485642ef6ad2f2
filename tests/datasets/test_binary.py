"""``task='binary'`` on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseg.datasets import CustomDataset, build_dataset
from mmseg.datasets.pipelines.masks import to_binary
from mmseg.utils.errors import UserError
from tests.helpers_data import kitti_config, train_pipeline, write_image


def write_binary(root: Path, values: tuple[int, ...] = (0, 255), count: int = 3) -> Path:
    for i in range(count):
        rng = np.random.default_rng(i)
        write_image(root / f"img_dir/{i}.png", rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))
        write_image(root / f"ann_dir/{i}.png", rng.choice(np.array(values, np.uint8), (20, 24)))
    return root


def binary(root: Path, **kwargs: Any) -> CustomDataset:
    settings = dict(type="CustomDataset", data_root=str(root), img_dir="img_dir", ann_dir="ann_dir")
    settings |= dict(img_suffix=".png", pipeline=train_pipeline(), task="binary")
    return build_dataset({**settings, **kwargs})


@pytest.mark.parametrize("foreground", [1, 255])
def test_masks_of_0_and_255_or_1_are_two_classes(tmp_path: Path, foreground: int) -> None:
    data = binary(write_binary(tmp_path, (0, foreground)))
    assert list(data.CLASSES) == ["background", "foreground"] and len(data.PALETTE) == 2
    truth = data.get_gt_seg_map_by_idx(0)
    raw = np.random.default_rng(0)
    raw.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    assert np.array_equal(truth, raw.choice(np.array([0, 1], np.uint8), (20, 24)))
    sample = data.get_sample(0, np.random.default_rng(0))
    assert set(np.unique(sample["gt_semantic_seg"])) <= {0, 1, 255}  # 255 where Pad filled
    assert (sample["gt_semantic_seg"] == 1).any()


def test_an_ignored_value_of_its_own(tmp_path: Path) -> None:
    data = binary(write_binary(tmp_path, (0, 128, 255)), ignore_index=128, classes=["road", "crack"])
    assert list(data.CLASSES) == ["road", "crack"] and data.ignore_index == 255
    assert np.unique(data.get_gt_seg_map_by_idx(0)).tolist() == [0, 1, 255]
    guess = [np.ones((20, 24), int)] * 3
    scores = data.evaluate(guess, metric="mIoU", logger="silent")
    assert scores["IoU.road"] == 0 and scores["mIoU"] == scores["IoU.crack"] / 2
    share = np.concatenate([t[t != 255] for t in data.get_gt_seg_maps()]).mean()
    assert scores["IoU.crack"] == pytest.approx(share)


def test_other_values_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "ann_dir/0.png", np.array([[0, 255, 7, 7]], np.uint8))
    write_image(tmp_path / "img_dir/0.png", np.zeros((1, 4, 3), np.uint8))
    with pytest.raises(
        UserError, match=r"0.png holds the value 7 \(2 pixels\).*task='binary'.*`ignore_index`"
    ):
        binary(tmp_path).get_gt_seg_map_by_idx(0)
    assert binary(tmp_path, ignore_index=7).get_gt_seg_map_by_idx(0).tolist() == [[0, 1, 255, 255]]
    write_image(tmp_path / "ann_dir/0.png", np.array([[0, 255, 1, 1]], np.uint8))
    with pytest.raises(
        UserError, match=r"both 1 \(2 pixels\) and 255 \(1 pixels\).*set `ignore_index` to it"
    ):
        binary(tmp_path).get_sample(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_wide_masks(dtype: Any) -> None:
    mask = np.array([[0, 255, 2]], dtype)
    assert to_binary(mask, "m.png", ignore_index=2).tolist() == [[0, 1, 255]]
    assert to_binary(mask[:, :2] // 255, "m.png").dtype == np.uint8
    if dtype != np.uint8:
        with pytest.raises(UserError, match="the value 300 "):
            to_binary(np.array([[300]], dtype), "m.png")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(task="multi"), "`task` is 'binary' or left out, not 'multi'"),
        (dict(classes=["a", "b", "c"]), r"two classes.*`classes` names 3 \(a, b, c\); give two"),
        (dict(classes=["crack"]), "`classes` names 1"),
        (dict(reduce_zero_label=True), "reduce_zero_label=True as ignored; leave one out"),
        (dict(ignore_index=0), "takes 0 as a class, ignore_index=0 as ignored"),
        (dict(type="KittiSegDataset"), "has 19 .*use `CustomDataset`"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        binary(write_binary(tmp_path), **settings)


def test_a_contradiction_in_the_pipeline_is_refused(tmp_path: Path) -> None:
    steps = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", reduce_zero_label=True)]
    with pytest.raises(UserError, match="reduce_zero_label=True takes 0 as ignored.*leave one"):
        binary(write_binary(tmp_path), pipeline=steps).get_sample(0)


@pytest.mark.parametrize(
    "settings",
    [
        dict(classes=["a", "b"]),
        dict(classes=["a", "b"], ignore_index=254),
        dict(classes=["a", "b"], reduce_zero_label=True),
        dict(classes=["a"]),
    ],
    ids=str,
)
def test_without_the_task_the_line_is_the_remedy(tmp_path: Path, settings: dict[str, Any]) -> None:
    data = binary(write_binary(tmp_path), task=None, **settings)
    with pytest.raises(UserError, match="add the line task = 'binary' to the config"):
        data.get_gt_seg_map_by_idx(0)


def test_data_sets_of_more_classes_are_left_alone(tmp_path: Path) -> None:
    for i in range(2):
        write_image(tmp_path / f"img_dir/{i}_10.png", np.zeros((4, 4, 3), np.uint8))
        write_image(tmp_path / f"ann_dir/{i}_10.png", np.full((4, 4), 255 * i, np.uint8))
    assert build_dataset(kitti_config(tmp_path)).get_gt_seg_map_by_idx(1).min() == 255
