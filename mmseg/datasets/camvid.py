"""CamVid."""

from __future__ import annotations

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.datasets.builder import DATASETS
from mmseg.datasets.custom import CustomDataset


@DATASETS.register_module()
class CamVidDataset(CustomDataset):
    """CamVid in 11 classes (0 sky to 10 bicyclist, 255 ignored), ``.jpg`` images and ``.png`` masks.

    Brostow et al., Semantic Object Classes in Video, 2009; the 11 classes are those of Badrinarayanan
    et al., SegNet, 2017.
    """

    CLASSES = get_classes("camvid")
    PALETTE = get_palette("camvid")
