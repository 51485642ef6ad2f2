from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.datasets import PascalVOCDataset, build_dataset
from mmseg.utils.errors import UserError
from tests.helpers_data import write_image, write_palette_mask

CONFIG = dict(type="PascalVOCDataset", img_dir="JPEGImages", ann_dir="SegmentationClass", pipeline=[])


def test_split_classes_and_palette_masks(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 20], [255, 255, 15]], np.uint8)
    for name in ("2007_000032", "2007_000033"):
        write_image(tmp_path / f"JPEGImages/{name}.jpg", np.zeros((2, 3, 3), np.uint8))
        write_palette_mask(tmp_path / f"SegmentationClass/{name}.png", mask)
    (tmp_path / "train.txt").write_text("2007_000033\n")
    data = build_dataset(dict(CONFIG, data_root=str(tmp_path), split="train.txt", test_mode=True))
    assert isinstance(data, PascalVOCDataset) and len(data) == 1
    assert data.img_infos[0] == {"filename": "2007_000033.jpg", "ann": {"seg_map": "2007_000033.png"}}
    assert (list(data.CLASSES), list(data.PALETTE)) == (get_classes("voc"), get_palette("voc"))
    assert len(data.CLASSES) == 21 and data.CLASSES[15] == "person"
    assert data.get_gt_seg_map_by_idx(0).tolist() == mask.tolist()


def test_split_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="PascalVOCDataset needs `split`"):
        build_dataset(dict(CONFIG, data_root=str(tmp_path)))
