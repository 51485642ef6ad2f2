"""KITTI's semantic benchmark."""

from __future__ import annotations

from typing import Any

from mmseg.datasets.builder import DATASETS
from mmseg.datasets.cityscapes import CityscapesDataset


@DATASETS.register_module()
class KittiSegDataset(CityscapesDataset):
    """KITTI frames in the 19 classes of Cityscapes (train ids 0 to 18, 255 ignored).

    Alhaija et al., Augmented Reality Meets Computer Vision, 2018. Both images and masks are named
    ``000000_10.png``. The benchmark's own masks hold label ids 0 to 33 and must be converted
    (``tools/convert_datasets/kitti.py``); results are written as its server wants them, with label ids.
    """

    def __init__(
        self,
        pipeline: Any,
        img_dir: str | None = None,
        img_suffix: str = "_10.png",
        seg_map_suffix: str = "_10.png",
        **kwargs: Any,
    ) -> None:
        super().__init__(pipeline, img_dir, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
