"""Transforms: each takes the dictionary of a sample, changes it and returns it."""

from mmseg.datasets.pipelines.albu import Albu
from mmseg.datasets.pipelines.compose import Compose
from mmseg.datasets.pipelines.formatting import (
    Collect,
    DefaultFormatBundle,
    ImageToTensor,
    ToTensor,
    Transpose,
    to_tensor,
)
from mmseg.datasets.pipelines.geometric import Pad, RandomCrop, RandomCutOut, RandomFlip, RandomRotate
from mmseg.datasets.pipelines.loading import LoadAnnotations, LoadImageFromFile
from mmseg.datasets.pipelines.mosaic import RandomMosaic
from mmseg.datasets.pipelines.photometric import (
    CLAHE,
    AdjustGamma,
    Normalize,
    PhotoMetricDistortion,
    Rerange,
    RGB2Gray,
)
from mmseg.datasets.pipelines.resizing import Resize, ResizeToMultiple, SegRescale
from mmseg.datasets.pipelines.test_time_aug import MultiScaleFlipAug
from mmseg.datasets.pipelines.tiff import LoadTiffImageFromFile

__all__ = [
    "CLAHE",
    "AdjustGamma",
    "Albu",
    "Collect",
    "Compose",
    "DefaultFormatBundle",
    "ImageToTensor",
    "LoadAnnotations",
    "LoadImageFromFile",
    "LoadTiffImageFromFile",
    "MultiScaleFlipAug",
    "Normalize",
    "Pad",
    "PhotoMetricDistortion",
    "RGB2Gray",
    "RandomCrop",
    "RandomCutOut",
    "RandomFlip",
    "RandomMosaic",
    "RandomRotate",
    "Rerange",
    "Resize",
    "ResizeToMultiple",
    "SegRescale",
    "ToTensor",
    "Transpose",
    "to_tensor",
]
