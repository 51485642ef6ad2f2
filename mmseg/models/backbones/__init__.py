"""Backbones: an image in, feature maps of falling resolution out."""

from __future__ import annotations

from mmseg.models.backbones.basic_seg_net import BasicSegNet
from mmseg.models.backbones.mit import MixVisionTransformer
from mmseg.models.backbones.resnet import ResNet, ResNetV1c, ResNetV1d
from mmseg.models.backbones.swin import SwinTransformer
from mmseg.models.backbones.timm_backbone import TIMMBackbone
from mmseg.models.backbones.unet import UNet

__all__ = [
    "BasicSegNet",
    "MixVisionTransformer",
    "ResNet",
    "ResNetV1c",
    "ResNetV1d",
    "SwinTransformer",
    "TIMMBackbone",
    "UNet",
]
