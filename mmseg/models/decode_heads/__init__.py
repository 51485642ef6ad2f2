"""Decode heads: feature maps in, logits out; each carries its losses."""

from __future__ import annotations

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.fcn_head import FCNHead
from mmseg.models.decode_heads.segformer_head import SegformerHead

__all__ = ["BaseDecodeHead", "FCNHead", "SegformerHead"]
