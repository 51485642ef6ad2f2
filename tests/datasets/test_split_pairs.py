"""A ``split`` file of image and mask pairs, for folders in any layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseg.datasets import CustomDataset, build_dataset
from mmseg.datasets.files import columns_of
from mmseg.utils.errors import UserError
from tests.helpers_data import kitti_config, test_pipeline, train_pipeline, write_image, write_pairs


def write(root: Path, *names: tuple[str, str]) -> None:
    for i, (image, mask) in enumerate(names):
        write_image(root / image, np.full((20, 24, 3), i, np.uint8))
        write_image(root / mask, np.full((20, 24), i, np.uint8))


def pairs(root: Path, text: str, **kwargs: Any) -> CustomDataset:
    (root / "pairs.txt").write_text(text)
    settings = dict(
        data_root=str(root), split="pairs.txt", classes=["a", "b", "c"], pipeline=train_pipeline()
    )
    return build_dataset(dict(type="CustomDataset", **{**settings, **kwargs}))


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("a.png b.png", ["a.png", "b.png"]),
        ("a.png   b.png", ["a.png", "b.png"]),
        ("a b.png\tc d,e.png", ["a b.png", "c d,e.png"]),
        ("a b.png, c d.png", ["a b.png", "c d.png"]),
        ("a.png", ["a.png"]),
        ("a,b,c", ["a", "b", "c"]),
    ],
)
def test_columns(line: str, columns: list[str]) -> None:
    assert columns_of(line) == columns


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", "])
def test_any_layout_in_the_order_of_the_file(tmp_path: Path, separator: str) -> None:
    names = [("cam/1/x.png", "labels/x_mask.png"), ("more/y.jpg.png", "more/y.gt.png")]
    write(tmp_path, *names)
    data = pairs(tmp_path, "\n".join(separator.join(pair) for pair in reversed(names)) + "\n\n")
    assert len(data) == 2
    assert [int(data.get_gt_seg_map_by_idx(i)[0, 0]) for i in range(2)] == [1, 0]
    assert data.img_infos[1] == {"filename": "cam/1/x.png", "ann": {"seg_map": "labels/x_mask.png"}}
    sample = data.get_sample(1, np.random.default_rng(0))
    assert sample["img_metas"]["filename"] == str(tmp_path / "cam/1/x.png")
    assert set(np.unique(sample["gt_semantic_seg"])) <= {0, 255}


def test_paths_with_spaces(tmp_path: Path) -> None:
    write(tmp_path, ("my images/a 1.png", "my masks/a 1.png"))
    assert len(pairs(tmp_path, "my images/a 1.png\tmy masks/a 1.png\n")) == 1
    assert len(pairs(tmp_path, "my images/a 1.png,my masks/a 1.png\n")) == 1


def test_absolute_paths_anywhere_keep_results_inside(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", ("i/a.png", "m/a.png"), ("j/a.png", "n/a.png"))
    root, there = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    text = "".join(f"{there}/{i}/a.png\t{there}/{m}/a.png\n" for i, m in ("im", "jn"))
    data = pairs(root, text, pipeline=test_pipeline(), test_mode=True)
    assert [info["filename"] for info in data.img_infos] == ["i/a.png", "j/a.png"]
    assert data.get_gt_seg_map_by_idx(1)[0, 0] == 1
    paths = data.format_results([np.zeros((20, 24), int)] * 2, str(tmp_path / "out"))
    assert [Path(p).relative_to(tmp_path / "out") for p in paths] == [Path("i/a.png"), Path("j/a.png")]
    assert len(pairs(root, "../elsewhere/i/a.png ../elsewhere/m/a.png\n")) == 1


def test_with_the_data_set_of_another_layout(tmp_path: Path) -> None:
    write(tmp_path, ("x.png", "y.png"))
    (tmp_path / "s.txt").write_text("x.png y.png\n")
    cfg = kitti_config(tmp_path, split="s.txt")
    assert len(build_dataset(cfg)) == 1
    del cfg["img_dir"], cfg["ann_dir"]
    assert len(build_dataset(cfg)) == 1


def test_names_of_0_25_stay_names(tmp_path: Path) -> None:
    root = write_pairs(tmp_path, count=2)
    write_image(root / "img_dir/a b_10.png", np.zeros((4, 4, 3), np.uint8))
    write_image(root / "ann_dir/a b_10.png", np.zeros((4, 4), np.uint8))
    (root / "s.txt").write_text("a b\n000001\n")
    data = build_dataset(kitti_config(root, split="s.txt"))
    assert [info["filename"] for info in data.img_infos] == ["a b_10.png", "000001_10.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png b.png\n\nc.png d.png\n", r"line 3 of the `split` file .*pairs.txt names the image .*c.png"),
        ("a.png d.png\n", r"line 1 .*pairs.txt names the mask .*d.png, which does not exist; .*`data_root`"),
        ("a.png b.png\na.png\n", r"line 2 .*has 1 column, but needs two.*'a.png'"),
        (
            "a.png b.png\na.png b.png c.png\n",
            r"line 2 .*has 3 columns, but needs two.*separate them by a tab",
        ),
        ("a.png b.png\na.png,\n", r"line 2 .*has 2 columns, but needs two"),
        ("\n", "names no image"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, ("a.png", "b.png"))
    with pytest.raises(UserError, match=message):
        pairs(tmp_path, text)


def test_neither_folder_nor_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="CustomDataset needs `img_dir`.*or a `split` file"):
        CustomDataset([], data_root=str(tmp_path))
    with pytest.raises(UserError, match="cannot read the `split` file .*none.txt"):
        CustomDataset([], data_root=str(tmp_path), split="none.txt")
