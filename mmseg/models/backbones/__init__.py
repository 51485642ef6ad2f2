"""Backbones: an image in, feature maps of falling resolution out."""

from __future__ import annotations

from mmseg.models.backbones.mit import MixVisionTransformer

__all__ = ["MixVisionTransformer"]
