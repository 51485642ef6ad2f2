"""Splits for k-fold cross-validation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.datasets import build_dataset
from mmseg.datasets.file_list import file_lists
from mmseg.datasets.kfold import folds_of, samples_of, scored_split, with_split, write_lines
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, write_dataset


@settings(deadline=None)
@given(st.sets(st.text("abc/ 0", min_size=1), min_size=2, max_size=40), st.integers(2, 9), st.integers(0, 99))
def test_each_name_is_in_one_fold_and_sizes_differ_by_one(names, folds, seed) -> None:
    folds = min(folds, len(names))
    parts = folds_of(sorted(names), folds, seed)
    assert sorted(name for part in parts for name in part) == sorted(names)
    sizes = {len(part) for part in parts}
    assert len(parts) == folds and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert folds_of(sorted(names, reverse=True), folds, seed) == parts


def test_splits_stay_what_they_are() -> None:
    """A figure of the tree: whoever splits the 200 frames of KITTI gets these."""
    names = [f"{i:06d}" for i in range(200)]
    parts = folds_of(names, 5, seed=0)
    assert [len(part) for part in parts] == [40] * 5
    assert [part[:3] for part in parts[:2]] == FIRST
    assert folds_of(names, 5, seed=1) != parts


FIRST = [["000006", "000012", "000013"], ["000002", "000008", "000015"]]


@pytest.mark.parametrize("folds", [-1, 0, 1, 4])
def test_impossible_numbers_of_folds(folds) -> None:
    with pytest.raises(UserError, match="a number from 2 to that of the images, which is 3 here"):
        folds_of(["a", "b", "c"], folds)


def split_in_two(cfg: dict, folder: Path, **options: bool) -> tuple[list[str], list[str]]:
    """Images that training and scoring of the first of two folds get to see, by way of data sets."""
    lines = samples_of(cfg, **options)
    held_out = set(folds_of(list(lines), 2)[0])
    write_lines(str(folder / "train.txt"), [line for name, line in lines.items() if name not in held_out])
    write_lines(str(folder / "val.txt"), [line for name, line in lines.items() if name in held_out])
    train = build_dataset(with_split(cfg["data"]["train"], str(folder / "train.txt")))
    scored = build_dataset(scored_split(cfg, str(folder / "val.txt")), {"test_mode": True})
    assert len(scored[0]["img"]) == 1 and scored.get_gt_seg_map_by_idx(0).shape == (48, 64)
    return tuple(sorted(p for f in file_lists(d) for p in f.image_paths()) for d in (train, scored))


def paths(root: Path, split: str, count: int) -> list[str]:
    return [str(root / "img_dir" / split / f"{i:03d}.png") for i in range(count)]


def test_a_folder_of_images(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=5, val=1))
    assert samples_of(cfg) == {f"{i:03d}.png": f"{i:03d}" for i in range(5)}
    train, scored = split_in_two(cfg, tmp_path)
    assert (len(train), len(scored)) == (2, 3) and sorted(train + scored) == paths(
        tmp_path / "data", "train", 5
    )


def test_a_split_file_limits_what_is_dealt(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=5, val=1))
    (tmp_path / "names.txt").write_text("004\n001\n002\n")
    cfg["data"]["train"]["split"] = str(tmp_path / "names.txt")
    train, scored = split_in_two(cfg, tmp_path)
    assert sorted(train + scored) == [paths(tmp_path / "data", "train", 5)[i] for i in (1, 2, 4)]


def test_a_split_file_of_pairs(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=4, val=1))
    pairs = [f"img_dir/train/{i:03d}.png,ann_dir/train/{i:03d}.png" for i in range(4)]
    (tmp_path / "pairs.txt").write_text("\n".join(pairs))
    cfg["data"]["train"]["split"] = str(tmp_path / "pairs.txt")
    train, scored = split_in_two(cfg, tmp_path)
    assert sorted(train + scored) == paths(tmp_path / "data", "train", 4)


def test_validation_images_may_join_in(tmp_path) -> None:
    root = tmp_path / "data"
    cfg = tiny_config(write_dataset(root, train=5, val=3))
    train, scored = split_in_two(cfg, tmp_path, with_val=True)
    assert sorted(train + scored) == sorted(paths(root, "train", 5) + paths(root, "val", 3))
    (tmp_path / "moved").mkdir()
    other = tiny_config(write_dataset(tmp_path / "moved" / "data", train=5, val=3))
    names = list(samples_of(cfg, with_val=True))
    assert names == list(samples_of(other, with_val=True))  # so that the folds are the same anywhere
    cfg["data"]["val"]["img_dir"] = "img_dir/train"
    cfg["data"]["val"]["ann_dir"] = "ann_dir/train"
    with pytest.raises(UserError, match="comes twice in the data"):
        samples_of(cfg, with_val=True)


def test_a_repeated_data_set_keeps_its_wrapper(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=4, val=1))
    cfg["data"]["train"] = dict(type="RepeatDataset", times=3, dataset=cfg["data"]["train"])
    train, scored = split_in_two(cfg, tmp_path)
    assert len(train) == 2 and sorted(train + scored) == paths(tmp_path / "data", "train", 4)
    section = with_split(cfg["data"]["train"], "x.txt")
    assert section["times"] == 3 and "split" not in cfg["data"]["train"]["dataset"]


def test_joined_data_sets_are_refused(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=2, val=1))
    one = cfg["data"]["train"]
    for joined in (
        [one, one],
        dict(type="ConcatDataset", datasets=[one, one]),
        {**one, "img_dir": ["img_dir/train", "img_dir/val"], "ann_dir": ["ann_dir/train", "ann_dir/val"]},
    ):
        cfg["data"]["train"] = joined
        with pytest.raises(UserError, match="data.train joins several data sets, which k-fold cannot split"):
            samples_of(cfg)


def test_a_missing_section_is_named(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=2, val=1))
    cfg["data"].pop("val")
    assert len(samples_of(cfg)) == 2
    with pytest.raises(UserError, match="the config has no data.val, whose images are to be split"):
        samples_of(cfg, with_val=True)


def test_images_without_masks_are_refused(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=2, val=1))
    cfg["data"]["train"]["ann_dir"] = None
    with pytest.raises(UserError, match="has no masks"):
        samples_of(cfg)


def test_lists_of_files_of_joined_and_foreign_data_sets(tmp_path) -> None:
    cfg = tiny_config(write_dataset(tmp_path / "data", train=2, val=1))
    joined = build_dataset([cfg["data"]["train"], cfg["data"]["val"]])
    lists = file_lists(joined)
    assert [f.images for f in lists] == [["000.png", "001.png"], ["000.png"]]
    assert lists[1].mask_paths() == [str(tmp_path / "data" / "ann_dir" / "val" / "000.png")]
    foreign = file_lists([1, 2, 3])
    assert (foreign[0].kind, foreign[0].images, foreign[0].masks) == ("list", [], [])
