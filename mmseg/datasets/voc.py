"""Pascal VOC."""

from __future__ import annotations

from typing import Any

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.datasets.builder import DATASETS
from mmseg.datasets.custom import CustomDataset
from mmseg.utils.errors import UserError


@DATASETS.register_module()
class PascalVOCDataset(CustomDataset):
    """Pascal VOC in 21 classes (0 background to 20, 255 ignored), ``.jpg`` images and ``.png`` masks.

    Everingham et al., The Pascal Visual Object Classes Challenge, 2010. All images stand in one folder, so
    ``split`` says which are meant.
    """

    CLASSES = get_classes("voc")
    PALETTE = get_palette("voc")

    def __init__(
        self,
        pipeline: Any,
        img_dir: str,
        split: str | None = None,
        img_suffix: str = ".jpg",
        seg_map_suffix: str = ".png",
        **kwargs: Any,
    ) -> None:
        if split is None:
            raise UserError(
                "PascalVOCDataset needs `split`, a list of the images to use, such as "
                "`ImageSets/Segmentation/train.txt`"
            )
        super().__init__(
            pipeline, img_dir, split=split, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )
