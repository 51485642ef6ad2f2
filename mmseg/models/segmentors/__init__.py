"""Segmentors: whole models, from image to losses or label maps."""

from __future__ import annotations

from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.models.segmentors.encoder_decoder import EncoderDecoder

__all__ = ["BaseSegmentor", "EncoderDecoder"]
