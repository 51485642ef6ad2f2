"""Decoded images and masks, kept in memory that workers and the ranks of one machine share."""

from mmseg.datasets.cache.cache import Cache, caches_of, open_cache

__all__ = ["Cache", "caches_of", "open_cache"]
