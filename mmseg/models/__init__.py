"""Models: backbones, necks, heads, losses, segmentors, and the registries that build them."""

from __future__ import annotations

from mmseg.models.backbones import (
    BasicSegNet,
    MixVisionTransformer,
    ResNet,
    ResNetV1c,
    ResNetV1d,
    SwinTransformer,
    TIMMBackbone,
    UNet,
)
from mmseg.models.builder import (
    BACKBONES,
    HEADS,
    LOSSES,
    NECKS,
    PIXEL_SAMPLERS,
    SEGMENTORS,
    build_backbone,
    build_head,
    build_loss,
    build_neck,
    build_segmentor,
)
from mmseg.models.decode_heads import (
    ASPPHead,
    BaseDecodeHead,
    BasicDecoder,
    DepthwiseSeparableASPPHead,
    DepthwiseSeparableFCNHead,
    FCNHead,
    FPNHead,
    PSPHead,
    SegformerHead,
    UPerHead,
)
from mmseg.models.distillers import ChannelWiseDistiller
from mmseg.models.layers import revert_sync_batchnorm
from mmseg.models.losses import CrossEntropyLoss, DiceLoss, FocalLoss, LovaszLoss, OHEMPixelSampler
from mmseg.models.necks import FPN
from mmseg.models.segmentors import BaseSegmentor, EncoderDecoder

__all__ = [
    "BACKBONES",
    "FPN",
    "HEADS",
    "LOSSES",
    "NECKS",
    "PIXEL_SAMPLERS",
    "SEGMENTORS",
    "ASPPHead",
    "BaseDecodeHead",
    "BaseSegmentor",
    "BasicDecoder",
    "BasicSegNet",
    "ChannelWiseDistiller",
    "CrossEntropyLoss",
    "EncoderDecoder",
    "DepthwiseSeparableASPPHead",
    "DepthwiseSeparableFCNHead",
    "DiceLoss",
    "FCNHead",
    "FPNHead",
    "FocalLoss",
    "LovaszLoss",
    "MixVisionTransformer",
    "OHEMPixelSampler",
    "PSPHead",
    "ResNet",
    "ResNetV1c",
    "ResNetV1d",
    "SegformerHead",
    "SwinTransformer",
    "TIMMBackbone",
    "UNet",
    "UPerHead",
    "build_backbone",
    "build_head",
    "build_loss",
    "build_neck",
    "build_segmentor",
    "revert_sync_batchnorm",
]
