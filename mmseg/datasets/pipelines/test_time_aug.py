"""Several versions of one test image: scales and flips."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.common import as_scales
from mmseg.datasets.pipelines.compose import Compose
from mmseg.datasets.pipelines.views import Views
from mmseg.utils.errors import UserError


@PIPELINES.register_module()
class MultiScaleFlipAug:
    """Run transforms once for each scale, unflipped and (if asked) flipped.

    The scales are ``img_scale`` times each of ``img_ratios`` (rounded down), or ``img_scale`` itself
    where there are no ratios; without ``img_scale`` the ratios multiply the image's own size.

    Args:
        transforms: The pipeline of each version; ``Resize`` and ``RandomFlip`` in it take ``scale``,
            ``flip`` and ``flip_direction`` from here.
        img_scale: (w, h), or a list of them, which goes without ``img_ratios``.
        img_ratios: A number or a list of numbers above 0.
        flip: Also flipped.
        flip_direction: 'horizontal', 'vertical', or a list of directions, each of which is run.

    Returns:
        (When called) a dictionary of lists, one item for each version: scales in the outer order,
        then unflipped before flipped, then directions.

    Raises:
        UserError: neither scale nor ratios are given, or they contradict each other.
    """

    def __init__(
        self,
        transforms: Sequence[Any],
        img_scale: Any = None,
        img_ratios: float | Sequence[float] | None = None,
        flip: bool = False,
        flip_direction: str | Sequence[str] = "horizontal",
    ) -> None:
        self.transforms = Compose(transforms, exact=True)
        if isinstance(img_ratios, int | float):
            img_ratios = [img_ratios]
        for ratio in img_ratios or ():
            if not isinstance(ratio, int | float) or ratio <= 0:
                raise UserError(
                    f"MultiScaleFlipAug: `img_ratios` must be numbers above 0, not {img_ratios!r}"
                )
        scales = as_scales("MultiScaleFlipAug: `img_scale` (w, h)", img_scale)
        if scales is None and not img_ratios:
            raise UserError("MultiScaleFlipAug needs `img_scale` (w, h) or `img_ratios`")
        if scales and img_ratios:
            if len(scales) > 1:
                raise UserError(
                    f"MultiScaleFlipAug: `img_ratios` goes with one `img_scale`, not with {len(scales)}"
                )
            scales = _times(scales[0], img_ratios)
        self.img_scale = scales
        self.img_ratios = img_ratios
        self.flip = flip
        self.flip_direction = [flip_direction] if isinstance(flip_direction, str) else list(flip_direction)
        has_flip = any(type(t).__name__ == "RandomFlip" for t in self.transforms.transforms)
        if flip and not has_flip:
            warnings.warn(
                "MultiScaleFlipAug: `flip=True` does nothing without RandomFlip in `transforms`", stacklevel=2
            )
        if not flip and self.flip_direction != ["horizontal"]:
            warnings.warn("MultiScaleFlipAug: `flip_direction` does nothing with `flip=False`", stacklevel=2)

    def __call__(self, results: dict[str, Any]) -> dict[str, list[Any]]:
        return _lists([self.transforms(version) for version in self._versions(results)])

    def in_one_step(self, results: dict[str, Any]) -> dict[str, list[Any]]:
        """The same as a call, all versions together where the transforms are known (see ``views``).

        ``Compose`` calls this one unless it is exact.
        """
        transforms = self.transforms.transforms
        if type(self) is not MultiScaleFlipAug or not Views.known(transforms) or not Views.fit(results):
            return self(results)
        return _lists(Views(transforms)(results["img"], self._versions(results)))

    def _versions(self, results: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The samples that the transforms are to take, one for each version."""
        scales = self.img_scale
        if scales is None:
            h, w = results["img"].shape[:2]
            scales = _times((w, h), self.img_ratios)
        for scale in scales:
            for flip in (False, True) if self.flip else (False,):
                for direction in self.flip_direction:
                    version = {**results, "scale": scale, "flip": flip, "flip_direction": direction}
                    if "seg_fields" in results:
                        version["seg_fields"] = list(results["seg_fields"])
                    yield version

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(transforms={self.transforms}, img_scale={self.img_scale}, "
            f"flip={self.flip})flip_direction={self.flip_direction}"
        )


def _times(scale: tuple[int, int], ratios: Sequence[float]) -> list[tuple[int, int]]:
    return [(max(1, int(scale[0] * ratio)), max(1, int(scale[1] * ratio))) for ratio in ratios]


def _lists(versions: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [version[key] for version in versions] for key in versions[0]}
