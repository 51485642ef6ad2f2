"""Transforms that change grey levels and leave every pixel where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.common import as_pair, as_range, rng_of
from mmseg.utils.errors import UserError

_LEVELS = np.arange(256, dtype=np.float32)


@PIPELINES.register_module()
class Normalize:
    """Give (image - mean) / std as float32, after turning BGR into RGB if asked.

    Gives ``img_norm_cfg``.

    Args:
        mean: One value for each channel, in the order of the result.
        std: Likewise.
        to_rgb: Swap blue and red first.

    Raises:
        UserError: the lengths differ, a ``std`` is 0, or (when called) the image has other channels.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], to_rgb: bool = True) -> None:
        self.mean = np.array(mean, dtype=np.float32)
        self.std = np.array(std, dtype=np.float32)
        self.to_rgb = to_rgb
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape or not (self.std > 0).all():
            raise UserError(
                f"Normalize: `mean` and `std` need one number for each channel, `std` above 0; "
                f"got mean={mean} and std={std}"
            )
        levels = (_LEVELS[:, None] - np.float64(self.mean)) * (1 / np.float64(self.std))
        self.table = np.ascontiguousarray(levels.astype(np.float32)[None])  # (1, 256, C)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img = results["img"]
        channels = 1 if img.ndim == 2 else img.shape[2]
        if channels != len(self.mean):
            raise UserError(
                f"Normalize has {len(self.mean)} means, but {results.get('filename', 'the image')} has "
                f"{channels} channels; give one for each, or set `color_type` in LoadImageFromFile"
            )
        if img.dtype != np.uint8:
            img = img.astype(np.float32, copy=False)
        if self.to_rgb and channels == 3:
            img = cv2.cvtColor(img, cv2.COLOR_BGR2RGB)
        if img.dtype == np.uint8:
            img = cv2.LUT(img, self.table).reshape(img.shape)
        else:
            img = ((img - self.mean.squeeze()) * (1 / self.std.squeeze())).astype(np.float32, copy=False)
        results["img"] = img
        results["img_norm_cfg"] = self.img_norm_cfg()
        return results

    def img_norm_cfg(self) -> dict[str, Any]:
        """What this transform enters into the sample."""
        return dict(mean=self.mean, std=self.std, to_rgb=self.to_rgb)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std}, to_rgb={self.to_rgb})"


@dataclass(frozen=True)
class Distortion:
    """The draws of ``PhotoMetricDistortion`` for one image; None where a step is left out."""

    brightness: float | None
    contrast: float | None
    contrast_first: bool
    saturation: float | None
    hue: int | None


@PIPELINES.register_module()
class PhotoMetricDistortion:
    """Change brightness, contrast, saturation and hue, each with probability one half.

    Brightness comes first; contrast before or after saturation and hue, with equal probability. Each
    step ends in uint8, as in 0.25, so that results agree with it; values are cut to 0..255.
    Liu et al., SSD: Single Shot MultiBox Detector, 2016, section 3.6 (photo-metric distortions).

    Args:
        brightness_delta: Grey levels added, from minus this to this.
        contrast_range: Factor on all channels.
        saturation_range: Factor on the saturation, 0 to 255.
        hue_delta: Added to the hue (0 to 179, in steps of two degrees), from minus this to below this.

    Raises:
        UserError: an argument is out of range, or (when called) the image has not three channels.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: int = 18,
    ) -> None:
        name = type(self).__name__
        as_range(f"{name}: (0, `brightness_delta`)", (0, brightness_delta))
        as_range(f"{name}: (0, `hue_delta`)", (0, hue_delta))
        self.brightness_delta = brightness_delta
        self.contrast_lower, self.contrast_upper = as_range(f"{name}: `contrast_range`", contrast_range)
        self.saturation_lower, self.saturation_upper = as_range(
            f"{name}: `saturation_range`", saturation_range
        )
        self.hue_delta = hue_delta

    def draw(self, rng: np.random.Generator) -> Distortion:
        """Draw what to do to one image."""
        brightness, contrast, contrast_first, saturation, hue = (rng.random(5) < 0.5).tolist()
        delta, hue_delta = self.brightness_delta, int(self.hue_delta)
        return Distortion(
            brightness=rng.uniform(-delta, delta) if brightness else None,
            contrast=rng.uniform(self.contrast_lower, self.contrast_upper) if contrast else None,
            contrast_first=contrast_first,
            saturation=rng.uniform(self.saturation_lower, self.saturation_upper) if saturation else None,
            hue=int(rng.integers(-hue_delta, max(hue_delta, 1 - hue_delta))) if hue else None,
        )

    def tables(
        self, draws: Distortion
    ) -> tuple[np.ndarray | None, list[tuple[int, np.ndarray]], np.ndarray | None]:
        """The draws as look-up tables, uint8 (256,), in the order in which they apply.

        Returns:
            One for all channels or None; (channel, table) in HSV, each a step of its own; and one more for
            all channels or None.
        """
        first = last = None
        if draws.brightness is not None:
            first = _scaled(_LEVELS, beta=draws.brightness)
        if draws.contrast is not None:
            if draws.contrast_first:  # two steps on grey levels are one look-up
                first = _scaled(_LEVELS if first is None else first, alpha=draws.contrast)
            else:
                last = _scaled(_LEVELS, alpha=draws.contrast)
        in_hsv = []
        if draws.saturation is not None:
            in_hsv.append((1, _scaled(_LEVELS, alpha=draws.saturation)))
        if draws.hue is not None:
            in_hsv.append((0, ((np.arange(256) + draws.hue) % 180).astype(np.uint8)))
        return first, in_hsv, last

    def apply(self, img: np.ndarray, draws: Distortion) -> np.ndarray:
        """Distort an image (H, W, 3), BGR uint8; the given one stays as it is."""
        first, in_hsv, last = self.tables(draws)
        if first is not None:
            img = cv2.LUT(img, first)
        for channel, table in in_hsv:
            img = mapped_in_hsv(img, channel, table)
        return img if last is None else cv2.LUT(img, last)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img = results["img"]
        if img.ndim != 3 or img.shape[2] != 3:
            raise UserError(
                f"PhotoMetricDistortion needs an image of three channels, but "
                f"{results.get('filename') or 'this one'} has the shape {img.shape}; "
                "leave it out of the pipeline"
            )
        results["img"] = self.apply(_as_uint8(img, self), self.draw(rng_of(results)))
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(brightness_delta={self.brightness_delta}, "
            f"contrast_range=({self.contrast_lower}, {self.contrast_upper}), "
            f"saturation_range=({self.saturation_lower}, {self.saturation_upper}), "
            f"hue_delta={self.hue_delta})"
        )


@PIPELINES.register_module()
class Rerange:
    """Stretch the image's values to a range, as float32; a constant image becomes ``min_value``.

    Args:
        min_value: Smallest value of the result.
        max_value: Largest value of the result, above ``min_value``.

    Raises:
        UserError: the range is empty.
    """

    def __init__(self, min_value: float = 0, max_value: float = 255) -> None:
        if not min_value < max_value:
            raise UserError(
                f"Rerange: `min_value` must be below `max_value`, not {min_value!r} and {max_value!r}"
            )
        self.min_value = min_value
        self.max_value = max_value

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img = results["img"].astype(np.float32)
        low, high = float(img.min()), float(img.max())
        factor = (self.max_value - self.min_value) / (high - low) if high > low else 0.0
        results["img"] = (img - np.float32(low)) * np.float32(factor) + np.float32(self.min_value)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(min_value={self.min_value}, max_value={self.max_value})"


@PIPELINES.register_module()
class CLAHE:
    """Contrast-limited adaptive histogram equalisation of each channel.

    Zuiderveld, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV, 1994.

    Args:
        clip_limit: Contrast limit, above 0.
        tile_grid_size: Number of tiles, two whole numbers.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(self, clip_limit: float = 40.0, tile_grid_size: tuple[int, int] = (8, 8)) -> None:
        if not isinstance(clip_limit, int | float) or not clip_limit > 0:
            raise UserError(f"CLAHE: `clip_limit` must be a number above 0, not {clip_limit!r}")
        self.clip_limit = clip_limit
        self.tile_grid_size = as_pair("CLAHE: `tile_grid_size`", tile_grid_size)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img = _as_uint8(results["img"], self)
        clahe = cv2.createCLAHE(self.clip_limit, self.tile_grid_size)
        planes = [img] if img.ndim == 2 else [np.ascontiguousarray(img[..., i]) for i in range(img.shape[2])]
        results["img"] = np.dstack([clahe.apply(plane) for plane in planes]).reshape(img.shape)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(clip_limit={self.clip_limit}, tile_grid_size={self.tile_grid_size})"


@PIPELINES.register_module()
class RGB2Gray:
    """Replace the channels by copies of their weighted sum, float32.

    Args:
        out_channels: Number of copies; None keeps the number of channels.
        weights: One for each channel, in the order in which the image has them.

    Raises:
        UserError: an argument is out of range, or (when called) the image has other channels.
    """

    def __init__(
        self, out_channels: int | None = None, weights: Sequence[float] = (0.299, 0.587, 0.114)
    ) -> None:
        if out_channels is not None and not (isinstance(out_channels, int) and out_channels > 0):
            raise UserError(f"RGB2Gray: `out_channels` must be a whole number above 0, not {out_channels!r}")
        self.out_channels = out_channels
        self.weights = tuple(weights)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img = results["img"]
        if img.ndim != 3 or img.shape[2] != len(self.weights):
            raise UserError(
                f"RGB2Gray has {len(self.weights)} weights, but the image has the shape {img.shape}; "
                "give one for each channel"
            )
        grey = img.astype(np.float32) @ np.array(self.weights, np.float32)
        results["img"] = np.repeat(grey[..., None], self.out_channels or len(self.weights), axis=2)
        results["img_shape"] = results["pad_shape"] = results["img"].shape
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(out_channels={self.out_channels}, weights={self.weights})"


@PIPELINES.register_module()
class AdjustGamma:
    """Raise the grey levels, as shares of 255, to the power ``1 / gamma``.

    Args:
        gamma: Above 0; above 1 brightens.

    Raises:
        UserError: ``gamma`` is not above 0.
    """

    def __init__(self, gamma: float = 1.0) -> None:
        if not isinstance(gamma, int | float) or not gamma > 0:
            raise UserError(f"AdjustGamma: `gamma` must be a number above 0, not {gamma!r}")
        self.gamma = gamma
        self.table = ((np.arange(256) / 255.0) ** (1.0 / gamma) * 255).astype(np.uint8)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img = _as_uint8(results["img"], self)
        results["img"] = cv2.LUT(img, self.table).reshape(img.shape)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(gamma={self.gamma})"


def _scaled(levels: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
    """``levels * alpha + beta`` cut to 0..255 and truncated to uint8, in float32 arithmetic as in 0.25."""
    return np.clip(levels.astype(np.float32) * np.float32(alpha) + np.float32(beta), 0, 255).astype(np.uint8)


def mapped_in_hsv(img: np.ndarray, channel: int, table: np.ndarray, is_rgb: bool = False) -> np.ndarray:
    """Look up one channel of an image (H, W, 3), BGR or RGB uint8, in HSV; the given one stays."""
    hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV if is_rgb else cv2.COLOR_BGR2HSV)
    plane = cv2.LUT(cv2.extractChannel(hsv, channel), table)  # faster than a table for three channels
    cv2.insertChannel(plane, hsv, channel)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB if is_rgb else cv2.COLOR_HSV2BGR, dst=hsv)


def _as_uint8(img: np.ndarray, owner: object) -> np.ndarray:
    if img.dtype.kind in "iu" and img.dtype != np.uint8:
        raise UserError(
            f"{type(owner).__name__} works on grey levels from 0 to 255, but the image is {img.dtype} and "
            f"goes up to {img.max(initial=0)}; put `Rerange` before it, or leave it out"
        )
    return img if img.dtype == np.uint8 else np.clip(img, 0, 255).astype(np.uint8)
