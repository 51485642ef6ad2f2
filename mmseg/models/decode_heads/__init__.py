"""Decode heads: feature maps in, logits out; each carries its losses."""

from __future__ import annotations

from mmseg.models.decode_heads.aspp_head import ASPPHead
from mmseg.models.decode_heads.basic_decoder import BasicDecoder
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.fcn_head import FCNHead
from mmseg.models.decode_heads.fpn_head import FPNHead
from mmseg.models.decode_heads.psp_head import PSPHead
from mmseg.models.decode_heads.segformer_head import SegformerHead
from mmseg.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPHead
from mmseg.models.decode_heads.sep_fcn_head import DepthwiseSeparableFCNHead
from mmseg.models.decode_heads.uper_head import UPerHead

__all__ = [
    "ASPPHead",
    "BaseDecodeHead",
    "BasicDecoder",
    "DepthwiseSeparableASPPHead",
    "DepthwiseSeparableFCNHead",
    "FCNHead",
    "FPNHead",
    "PSPHead",
    "SegformerHead",
    "UPerHead",
]
