"""Necks: feature maps in, feature maps out."""

from __future__ import annotations

from mmseg.models.necks.fpn import FPN

__all__ = ["FPN"]
