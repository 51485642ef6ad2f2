"""The mistakes that docs/your_own_data.md shows are made here, and give what the page says one sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmseg.apis.train import check_classes
from mmseg.datasets import build_dataset
from mmseg.models import build_segmentor
from mmseg.utils.errors import UserError
from tests.docs.markdown import ROOT
from tests.docs.test_messages import cells_of
from tests.helpers_run import tiny_model

PIPELINE = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
SHAPE = (6, 8)


def mistakes() -> dict[str, str]:
    """What one sees, by the mistake, from the table of the page."""
    table = (ROOT / "docs" / "your_own_data.md").read_text(encoding="utf-8").partition("| mistake |")[2]
    rows = [cells_of(line) for line in table.partition("\n\n")[0].splitlines()[2:]]
    return {row[0]: re.match(r"`(.+?)`", row[1])[1] for row in rows}


def halves(low: int, high: int) -> np.ndarray:
    """A mask of two values, 24 pixels each."""
    mask = np.full(SHAPE, low, np.uint8)
    mask[:, 4:] = high
    return mask


def dataset(root: Path, mask: np.ndarray | None, classes: int = 3, **settings: Any) -> Any:
    """A data set of two images whose second has ``mask``, or none."""
    for i, content in enumerate((halves(0, 0), mask)):
        for folder, array in (("images", np.zeros((*SHAPE, 3), np.uint8)), ("masks", content)):
            (root / folder).mkdir(exist_ok=True)
            if array is not None:
                cv2.imwrite(str(root / folder / f"{i}.png"), array)
    folders = dict(data_root=str(root), img_dir="images", ann_dir="masks", img_suffix=".png")
    names = [f"class {i}" for i in range(classes)]
    return build_dataset(dict(type="CustomDataset", pipeline=PIPELINE, classes=names, **folders, **settings))


def read(mask: np.ndarray, classes: int = 3) -> Callable[[Path], Any]:
    return lambda root: dataset(root, mask, classes)[1]


CASES: dict[str, Callable[[Path], Any]] = {
    "masks saved in colour": read(np.dstack([halves(0, 1), halves(0, 9), halves(0, 5)])),
    "classes counted from 1": read(halves(1, 3)),
    "a value that is no class": read(halves(0, 200)),
    "label ids of Cityscapes or KITTI": read(halves(7, 26), classes=19),
    "black and white masks, two classes": read(halves(0, 255), classes=2),
    "image and mask of different size": read(halves(0, 1).T.copy()),
    "a mask is missing": lambda root: dataset(root, None),
    "another number of classes in the model": lambda root: check_classes(
        build_segmentor(tiny_model(num_classes=19)), dataset(root, halves(0, 1))
    ),
}


def test_every_row_has_a_case() -> None:
    assert set(mistakes()) == set(CASES)


@pytest.mark.parametrize("mistake", CASES)
def test_what_one_sees(mistake: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        CASES[mistake](tmp_path)
    pattern = ".*".join(map(re.escape, mistakes()[mistake].split("...")))
    assert re.search(pattern, str(caught.value)), str(caught.value)


def test_the_remedies_work(tmp_path: Path) -> None:
    mask = halves(1, 3)
    loader = [PIPELINE[0], dict(type="LoadAnnotations", reduce_zero_label=True)]
    reduced = dataset(tmp_path, mask, reduce_zero_label=True)
    reduced.pipeline = type(reduced.pipeline)(loader)
    assert set(np.unique(reduced[1]["gt_semantic_seg"])) == {0, 2}
    np.testing.assert_array_equal(reduced.get_gt_seg_map_by_idx(1), mask - 1)
