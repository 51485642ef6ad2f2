"""Transforms that change the size of image and mask: bilinear for the image, nearest for the mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.common import as_pair, as_range, as_scales, mask_keys, resized, rng_of
from mmseg.utils.errors import UserError

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


@PIPELINES.register_module()
class Resize:
    """Resize image and masks to a scale (w, h), fixed or drawn.

    The scale is ``results['scale']`` where it is given (``MultiScaleFlipAug`` does), else drawn:

    * ``ratio_range``: ``img_scale`` (by default the image's own size) times a ratio from the range;
    * one ``img_scale``: that;
    * several, 'value': one of them; 'range': the long edge between the long edges of two, the short edge
      between their short edges.

    Gives ``scale``, ``scale_idx``, ``img_shape``, ``pad_shape``, ``scale_factor`` (w, h, w, h; float32)
    and ``keep_ratio``.

    Args:
        img_scale: (w, h), a list of them, or None.
        multiscale_mode: 'range' or 'value'.
        ratio_range: (smallest, largest) ratio.
        keep_ratio: Take the scale as the largest long and short edge, and keep the image's proportions.
        min_size: With ``keep_ratio``, the short edge becomes the larger of this and the scale's.

    Raises:
        UserError: the arguments contradict each other, or (when called) no scale is known.
    """

    def __init__(
        self,
        img_scale: Any = None,
        multiscale_mode: str = "range",
        ratio_range: tuple[float, float] | None = None,
        keep_ratio: bool = True,
        min_size: int | None = None,
    ) -> None:
        self.img_scale = as_scales("Resize: `img_scale` (w, h)", img_scale)
        self.multiscale_mode = multiscale_mode
        self.ratio_range = None if ratio_range is None else as_range("Resize: `ratio_range`", ratio_range)
        self.keep_ratio = keep_ratio
        self.min_size = min_size
        count = len(self.img_scale or ())
        if multiscale_mode not in ("value", "range"):
            raise UserError(f"Resize: `multiscale_mode` is 'value' or 'range', not {multiscale_mode!r}")
        if self.ratio_range is not None and (count > 1 or self.ratio_range[0] <= 0):
            raise UserError(
                f"Resize: `ratio_range` {self.ratio_range} must be above 0 and goes with one `img_scale`, "
                f"not {count}"
            )
        if self.ratio_range is None and multiscale_mode == "range" and count > 2:
            raise UserError(
                f"Resize: `multiscale_mode='range'` goes with two scales, not {count}; "
                "set 'value' to draw one of them"
            )

    def draw_scale(
        self, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[tuple[int, int], int | None]:
        """Draw a scale (w, h) for an image of ``shape`` (h, w, ...), and its index in ``img_scale``."""
        scales = self.img_scale
        if self.ratio_range is not None:
            low, high = self.ratio_range
            ratio = rng.random() * (high - low) + low
            w, h = scales[0] if scales else (shape[1], shape[0])
            return (max(1, int(w * ratio)), max(1, int(h * ratio))), None
        if not scales:
            raise UserError(
                "Resize needs `img_scale` or `ratio_range` where no MultiScaleFlipAug gives a scale"
            )
        if len(scales) == 1:
            return scales[0], 0
        if self.multiscale_mode == "value":
            index = int(rng.integers(len(scales)))
            return scales[index], index
        longs, shorts = [max(s) for s in scales], [min(s) for s in scales]
        long_edge = int(rng.integers(min(longs), max(longs) + 1))
        short_edge = int(rng.integers(min(shorts), max(shorts) + 1))
        return (long_edge, short_edge), None

    def new_size(self, shape: tuple[int, ...], scale: tuple[float, float]) -> tuple[int, int]:
        """The size (w, h) that an image of ``shape`` (h, w, ...) gets for ``scale``."""
        if not self.keep_ratio:
            return max(1, int(scale[0])), max(1, int(scale[1]))
        h, w = shape[:2]
        factor = min(max(scale) / max(h, w), min(scale) / min(h, w))
        return max(1, int(w * factor + 0.5)), max(1, int(h * factor + 0.5))

    def place(self, results: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, int]:
        """Draw what is to be drawn and enter what describes the new size, but touch no pixel.

        Args:
            results: The sample's dictionary; gets every entry of this transform but image and masks.
            shape: (h, w, ...) of the image.

        Returns:
            The new size (w, h).
        """
        h, w = shape[:2]
        if "scale" not in results:
            results["scale"], results["scale_idx"] = self.draw_scale(shape, rng_of(results))
        if self.keep_ratio and self.min_size is not None:
            short = max(self.min_size, min(results["scale"]))
            results["scale"] = (short * h / w, short) if h > w else (short, short * w / h)
        size = self.new_size(shape, results["scale"])
        w_scale, h_scale = size[0] / w, size[1] / h
        results["img_shape"] = results["pad_shape"] = (size[1], size[0], *shape[2:])
        results["scale_factor"] = np.array([w_scale, h_scale, w_scale, h_scale], dtype=np.float32)
        results["keep_ratio"] = self.keep_ratio
        return size

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        size = self.place(results, results["img"].shape)
        results["img"] = resized(results["img"], size)
        for key in mask_keys(results):
            results[key] = resized(results[key], size, cv2.INTER_NEAREST)
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(img_scale={self.img_scale}, multiscale_mode={self.multiscale_mode}, "
            f"ratio_range={self.ratio_range}, keep_ratio={self.keep_ratio})"
        )


@PIPELINES.register_module()
class ResizeToMultiple:
    """Resize image and masks up to the next multiple of ``size_divisor``, without keeping proportions.

    Args:
        size_divisor: One number, or (w, h).
        interpolation: Of the image; None means 'bilinear'.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(self, size_divisor: int | tuple[int, int] = 32, interpolation: str | None = None) -> None:
        divisors = [size_divisor] * 2 if isinstance(size_divisor, int) else size_divisor
        self._divisors = as_pair("ResizeToMultiple: `size_divisor`", divisors)
        if interpolation is not None and interpolation not in _INTERPOLATIONS:
            raise UserError(
                f"ResizeToMultiple: unknown `interpolation` {interpolation!r} "
                f"(known: {', '.join(_INTERPOLATIONS)})"
            )
        self.size_divisor = size_divisor
        self.interpolation = interpolation

    def new_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size (w, h) that an image of ``size`` (w, h) gets."""
        across, down = self._divisors
        return -(-size[0] // across) * across, -(-size[1] // down) * down

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img = results["img"]
        size = self.new_size((img.shape[1], img.shape[0]))
        img = resized(img, size, _INTERPOLATIONS[self.interpolation or "bilinear"])
        for key in mask_keys(results):
            results[key] = resized(results[key], size, cv2.INTER_NEAREST)
        results["img"] = img
        results["img_shape"] = results["pad_shape"] = img.shape
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size_divisor={self.size_divisor}, interpolation={self.interpolation})"


@PIPELINES.register_module()
class SegRescale:
    """Resize the masks alone, for losses at a lower resolution.

    Args:
        scale_factor: New size over old size, above 0.

    Raises:
        UserError: ``scale_factor`` is not above 0.
    """

    def __init__(self, scale_factor: float = 1) -> None:
        if not scale_factor > 0:
            raise UserError(f"SegRescale: `scale_factor` must be above 0, not {scale_factor!r}")
        self.scale_factor = scale_factor

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        if self.scale_factor != 1:
            for key in mask_keys(results):
                h, w = results[key].shape[:2]
                size = max(1, int(w * self.scale_factor + 0.5)), max(1, int(h * self.scale_factor + 0.5))
                results[key] = resized(results[key], size, cv2.INTER_NEAREST)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale_factor={self.scale_factor})"
