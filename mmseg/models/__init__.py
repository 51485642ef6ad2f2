"""Models: backbones, necks, heads, losses, segmentors, and the registries that build them."""

from __future__ import annotations

from mmseg.models.backbones import MixVisionTransformer
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
from mmseg.models.decode_heads import BaseDecodeHead, FCNHead, SegformerHead
from mmseg.models.layers import revert_sync_batchnorm
from mmseg.models.losses import CrossEntropyLoss, OHEMPixelSampler
from mmseg.models.segmentors import BaseSegmentor, EncoderDecoder

__all__ = [
    "BACKBONES",
    "HEADS",
    "LOSSES",
    "NECKS",
    "PIXEL_SAMPLERS",
    "SEGMENTORS",
    "BaseDecodeHead",
    "BaseSegmentor",
    "CrossEntropyLoss",
    "EncoderDecoder",
    "FCNHead",
    "MixVisionTransformer",
    "OHEMPixelSampler",
    "SegformerHead",
    "build_backbone",
    "build_head",
    "build_loss",
    "build_neck",
    "build_segmentor",
    "revert_sync_batchnorm",
]
