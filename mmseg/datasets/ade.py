"""ADE20K."""

from __future__ import annotations

from typing import Any

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.datasets.builder import DATASETS
from mmseg.datasets.custom import CustomDataset


@DATASETS.register_module()
class ADE20KDataset(CustomDataset):
    """ADE20K in 150 classes, ``.jpg`` images and ``.png`` masks, in which 0 is ignored and 1 to 150 are the
    classes.

    Zhou et al., Scene Parsing through ADE20K Dataset, 2017.
    """

    CLASSES = get_classes("ade20k")
    PALETTE = get_palette("ade20k")

    def __init__(
        self,
        pipeline: Any,
        img_dir: str,
        img_suffix: str = ".jpg",
        seg_map_suffix: str = ".png",
        reduce_zero_label: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pipeline,
            img_dir,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=reduce_zero_label,
            **kwargs,
        )
