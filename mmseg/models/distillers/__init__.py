"""Distillers: a student that learns from a frozen teacher too."""

from __future__ import annotations

from mmseg.models.distillers.channel_wise import ChannelWiseDistiller

__all__ = ["ChannelWiseDistiller"]
