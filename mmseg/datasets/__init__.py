"""Data sets, their transforms, and the loaders that make batches of them."""

from mmseg.datasets.ade import ADE20KDataset
from mmseg.datasets.builder import DATASETS, PIPELINES, build_dataloader, build_dataset
from mmseg.datasets.camvid import CamVidDataset
from mmseg.datasets.cityscapes import CityscapesDataset
from mmseg.datasets.custom import CustomDataset
from mmseg.datasets.kitti_seg import KittiSegDataset
from mmseg.datasets.samplers import EvalSampler, TrainSampler
from mmseg.datasets.toy import ToyStreetDataset
from mmseg.datasets.voc import PascalVOCDataset
from mmseg.datasets.wrappers import ConcatDataset, MultiImageMixDataset, RepeatDataset

__all__ = [
    "DATASETS",
    "PIPELINES",
    "ADE20KDataset",
    "CamVidDataset",
    "CityscapesDataset",
    "ConcatDataset",
    "CustomDataset",
    "EvalSampler",
    "KittiSegDataset",
    "MultiImageMixDataset",
    "PascalVOCDataset",
    "RepeatDataset",
    "ToyStreetDataset",
    "TrainSampler",
    "build_dataloader",
    "build_dataset",
]
