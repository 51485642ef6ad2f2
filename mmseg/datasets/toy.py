"""Drawn street scenes: a data set that needs no download."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mmseg.datasets.builder import DATASETS
from mmseg.datasets.kitti_seg import KittiSegDataset
from mmseg.datasets.toy_scenes.generate import make_toy_dataset
from mmseg.registry import check_arguments
from mmseg.utils.logger import get_root_logger


@DATASETS.register_module()
class ToyStreetDataset(KittiSegDataset):
    """Small drawn street scenes in the 19 classes of Cityscapes (train ids 0 to 18, 255 ignored).

    The files are those of ``tools/make_toy_dataset.py``, named as KITTI's. Where ``data_root`` does not
    exist or is empty, they are drawn there first: some seconds, once. Several processes may find it missing
    at the same time; each draws the same, and the first to finish leaves its own.

    Args:
        pipeline: Transforms, as for ``CustomDataset``.
        img_dir, ann_dir: Folders of images and masks below ``data_root``.
        data_root: Folder of the data set.
        drawing: Arguments of ``make_toy_dataset`` (``num_train``, ``num_val``, ``seed``, ``size``) for a
            data set that is yet to be drawn; one that is there is taken as it is.
        kwargs: Those of ``CustomDataset``.
    """

    def __init__(
        self,
        pipeline: Any,
        img_dir: str = "img_dir/train",
        ann_dir: str | None = "ann_dir/train",
        data_root: str = "data/toy",
        drawing: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        root, drawing = Path(data_root), drawing or {}
        check_arguments(make_toy_dataset, {"root": root, **drawing})
        if not root.exists() or (root.is_dir() and not any(root.iterdir())):
            logger = get_root_logger()
            logger.info("%s is missing: drawing street scenes there", os.fspath(root))
            start = time.perf_counter()
            make_toy_dataset(root, **drawing)
            logger.info("drew %s in %.0f s", os.fspath(root), time.perf_counter() - start)
        super().__init__(pipeline, img_dir, ann_dir=ann_dir, data_root=data_root, **kwargs)
