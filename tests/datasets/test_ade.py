from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.datasets import ADE20KDataset, build_dataset
from tests.helpers_data import write_image


def test_classes_and_suffixes(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.jpg", np.zeros((2, 3, 3), np.uint8))
    write_image(tmp_path / "annotations/a.png", np.array([[0, 1, 2], [149, 150, 150]], np.uint8))
    data = build_dataset(
        dict(
            type="ADE20KDataset",
            data_root=str(tmp_path),
            img_dir="images",
            ann_dir="annotations",
            pipeline=[],
            test_mode=True,
        )
    )
    assert isinstance(data, ADE20KDataset)
    assert data.img_infos == [{"filename": "a.jpg", "ann": {"seg_map": "a.png"}}]
    assert (list(data.CLASSES), list(data.PALETTE)) == (get_classes("ade20k"), get_palette("ade20k"))
    assert len(data.CLASSES) == 150 and (data.CLASSES[0], data.CLASSES[-1]) == ("wall", "flag")
    assert data.get_gt_seg_map_by_idx(0).tolist() == [[255, 0, 1], [148, 149, 149]]


def test_results_count_from_one_as_the_server_wants_them(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", np.zeros((2, 3, 3), np.uint8))
    data = ADE20KDataset([], str(tmp_path), test_mode=True)
    result = np.array([[0, 1, 149], [255, 7, 0]])
    (path,) = data.format_results([result], str(tmp_path / "out"))
    assert path == str(tmp_path / "out/a.png")
    assert np.array(Image.open(path)).tolist() == [[1, 2, 150], [0, 8, 1]]
    (path,) = data.format_results([result], str(tmp_path / "out"), to_label_id=False)
    assert np.array(Image.open(path)).tolist() == result.tolist()
    some = ADE20KDataset([], str(tmp_path), test_mode=True, classes=["sky", "wall"])
    (path,) = some.format_results([np.array([[0, 1]])], str(tmp_path / "out"))
    assert np.array(Image.open(path)).tolist() == [[3, 1]]
