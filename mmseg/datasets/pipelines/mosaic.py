"""Four images in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.common import (
    as_pair,
    as_probability,
    as_range,
    channel_values,
    mask_keys,
    resized,
    rng_of,
)
from mmseg.utils.errors import UserError


@PIPELINES.register_module()
class RandomMosaic:
    """Join this image and three others around a point, with a probability; masks alike.

    Each image is resized to fit into ``img_scale`` (proportions kept) and put with one corner at the
    point; what reaches over the canvas, which is twice ``img_scale``, is cut off, and what stays free is
    filled. Works in the pipeline of a ``MultiImageMixDataset``, which puts the other three samples into
    ``results['mix_results']``. Bochkovskiy et al., YOLOv4: Optimal Speed and Accuracy of Object
    Detection, 2020, section 3.3.

    Gives ``img_shape``, ``ori_shape`` and ``pad_shape``.

    Args:
        prob: Probability, from 0 to 1.
        img_scale: (h, w) of one image; the result is twice as high and wide.
        center_ratio_range: (smallest, largest) of the point's coordinates as shares of ``img_scale``,
            within 0 to 2.
        pad_val: Value of the image's free pixels, or one value for each channel.
        seg_pad_val: Value of the masks' free pixels.

    Raises:
        UserError: an argument is out of range, or (when called) ``mix_results`` does not hold three
            samples like this one.
    """

    def __init__(
        self,
        prob: float,
        img_scale: tuple[int, int] = (640, 640),
        center_ratio_range: tuple[float, float] = (0.5, 1.5),
        pad_val: float | Sequence[float] = 0,
        seg_pad_val: int = 255,
    ) -> None:
        self.prob = as_probability("RandomMosaic: `prob`", prob)
        self.img_scale = as_pair("RandomMosaic: `img_scale` (h, w)", img_scale)
        self.center_ratio_range = as_range("RandomMosaic: `center_ratio_range`", center_ratio_range)
        if self.center_ratio_range[0] < 0 or self.center_ratio_range[1] > 2:
            raise UserError(
                f"RandomMosaic: `center_ratio_range` must lie within 0 to 2, not {center_ratio_range!r}"
            )
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val

    def get_indexes(self, dataset: Any) -> list[int]:
        """Draw the indices of three other samples of ``dataset``."""
        return rng_of({}).integers(len(dataset), size=3).tolist()

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        rng = rng_of(results)
        mosaic, (x, y) = rng.random() < self.prob, rng.uniform(*self.center_ratio_range, size=2)
        if not mosaic:
            return results
        parts = [results, *self._others(results)]
        center = int(y * self.img_scale[0]), int(x * self.img_scale[1])
        fill = channel_values("RandomMosaic: `pad_val`", self.pad_val, results["img"])
        img = self.join([part["img"] for part in parts], center, fill, cv2.INTER_LINEAR)
        for key in mask_keys(results):
            masks = [part[key] for part in parts]
            results[key] = self.join(masks, center, self.seg_pad_val, cv2.INTER_NEAREST)
        results["img"] = img
        results["img_shape"] = results["ori_shape"] = results["pad_shape"] = img.shape
        return results

    def join(
        self, arrays: list[np.ndarray], center: tuple[int, int], fill: Any, interpolation: int
    ) -> np.ndarray:
        """Put four arrays around ``center`` (y, x): above left, above right, below left, below right."""
        h, w = self.img_scale
        y, x = center
        canvas = np.empty((2 * h, 2 * w, *arrays[0].shape[2:]), arrays[0].dtype)
        canvas[:] = fill
        for i, array in enumerate(arrays):
            array = self._fitted(array, interpolation)
            quarter = canvas[:y] if i < 2 else canvas[y:]
            quarter = quarter[:, :x] if i % 2 == 0 else quarter[:, x:]
            rows, columns = (min(a, b) for a, b in zip(array.shape[:2], quarter.shape[:2], strict=True))
            # The corner that touches the centre stays; an empty quarter takes nothing.
            top, left = (array.shape[0] - rows) * (i < 2), (array.shape[1] - columns) * (i % 2 == 0)
            down, right = (quarter.shape[0] - rows) * (i < 2), (quarter.shape[1] - columns) * (i % 2 == 0)
            quarter[down : down + rows, right : right + columns] = array[
                top : top + rows, left : left + columns
            ]
        return canvas

    def _fitted(self, array: np.ndarray, interpolation: int) -> np.ndarray:
        h, w = array.shape[:2]
        ratio = min(self.img_scale[0] / h, self.img_scale[1] / w)
        return resized(array, (max(1, int(w * ratio)), max(1, int(h * ratio))), interpolation)

    def _others(self, results: dict[str, Any]) -> list[dict[str, Any]]:
        others = results.get("mix_results")
        if others is None or len(others) != 3:
            raise UserError(
                "RandomMosaic needs three other samples in `mix_results`; put it into the `pipeline` of a "
                "`MultiImageMixDataset`, whose `dataset` loads the images"
            )
        for other in others:
            for key in ("img", *mask_keys(results)):
                if key not in other or other[key].shape[2:] != results[key].shape[2:]:
                    names = results.get("filename", "one"), other.get("filename", "another")
                    shape = f"the shape {other[key].shape}" if key in other else "none"
                    raise UserError(
                        f"RandomMosaic joins samples of one kind, but `{key}` of {names[0]} has the shape "
                        f"{results[key].shape} and that of {names[1]} {shape}"
                    )
        return list(others)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(prob={self.prob}, img_scale={self.img_scale}, "
            f"center_ratio_range={self.center_ratio_range}, pad_val={self.pad_val}, "
            f"seg_pad_val={self.seg_pad_val})"
        )
