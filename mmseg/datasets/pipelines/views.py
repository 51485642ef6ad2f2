"""All versions of a test image at once: the same tensors and metas as by transforms called one by one.

Each size is made once, one colour plane after another, in uint8, and flips are made there too. The look-up
that normalises then writes each plane where it belongs in one float32 tensor (V, 3, H, W) for all versions of
that size. The list over versions holds views of it, so that the model can take them as one batch without a
copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch

from mmseg.datasets.pipelines.common import mask_keys
from mmseg.datasets.pipelines.formatting import Collect, ImageToTensor
from mmseg.datasets.pipelines.geometric import RandomFlip
from mmseg.datasets.pipelines.photometric import Normalize
from mmseg.datasets.pipelines.resizing import Resize, ResizeToMultiple

Size = tuple[int, int]  # (w, h)

_ORDER = (Resize, ResizeToMultiple, RandomFlip, Normalize, ImageToTensor, Collect)
_NEEDED = (Normalize, ImageToTensor, Collect)


class Views:
    """The transforms of ``MultiScaleFlipAug`` for all versions of an image together.

    Args:
        transforms: Of the types ``Resize``, ``ResizeToMultiple``, ``RandomFlip`` (these three may be
            missing), ``Normalize``, ``ImageToTensor``, ``Collect``, in this order.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        by_kind = {type(transform): transform for transform in transforms}
        self.resize, self.multiple, self.flip, self.normalize, self.bundle, self.collect = (
            by_kind.get(kind) for kind in _ORDER
        )

    @staticmethod
    def known(transforms: Sequence[Callable[..., Any]]) -> bool:
        """Whether these are such transforms; subclasses are not, for they may do anything."""
        kinds = [type(transform) for transform in transforms]
        if kinds != [kind for kind in _ORDER if kind in kinds] or not set(_NEEDED) <= set(kinds):
            return False
        by_kind = dict(zip(kinds, transforms, strict=True))
        multiple = by_kind.get(ResizeToMultiple)
        return (
            list(by_kind[ImageToTensor].keys) == ["img"]
            and len(by_kind[Normalize].mean) == 3
            and (multiple is None or multiple.interpolation in (None, "bilinear"))
        )

    @staticmethod
    def fit(results: dict[str, Any]) -> bool:
        """Whether the sample is one colour image of grey levels and nothing else."""
        img = results.get("img")
        is_image = isinstance(img, np.ndarray) and img.dtype == np.uint8 and img.ndim == 3
        return is_image and img.shape[2] == 3 and img.size > 0 and not mask_keys(results)

    def __call__(self, img: np.ndarray, versions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the transforms give for each of ``versions``.

        Args:
            img: BGR uint8 (H, W, 3).
            versions: Samples that differ in ``scale``, ``flip`` and ``flip_direction``; they are changed.
        """
        versions = list(versions)
        groups: dict[tuple[Size, ...], list[tuple[dict[str, Any], int | None]]] = {}
        for version in versions:
            sizes = self._sizes(version, img.shape)
            code = None if self.flip is None else self.flip.place(version)
            version["img_norm_cfg"] = self.normalize.img_norm_cfg()
            groups.setdefault(sizes, []).append((version, code))
        planes = cv2.split(img)
        if self.normalize.to_rgb:
            planes = planes[::-1]
        most = max(w * h for sizes in groups for w, h in sizes)
        scratch = [np.empty(most, np.uint8) for _ in range(2)]
        for sizes, group in groups.items():
            images = self._images(planes, sizes, [code for _, code in group], scratch)
            for (version, _), image in zip(group, images, strict=True):
                version["img"] = image
        return [self.collect(version) for version in versions]

    def _sizes(self, version: dict[str, Any], shape: tuple[int, ...]) -> tuple[Size, ...]:
        """Enter what the resizing transforms enter; the sizes that the image goes through."""
        sizes = [(shape[1], shape[0])]
        if self.resize is not None:
            sizes.append(self.resize.place(version, shape))
        if self.multiple is not None:
            sizes.append(self.multiple.new_size(sizes[-1]))
            version["img_shape"] = version["pad_shape"] = (sizes[-1][1], sizes[-1][0], shape[2])
        return tuple(size for i, size in enumerate(sizes) if i == 0 or size != sizes[i - 1])

    def _images(
        self,
        planes: Sequence[np.ndarray],
        sizes: Sequence[Size],
        codes: Sequence[int | None],
        scratch: Sequence[np.ndarray],
    ) -> torch.Tensor:
        """(V, 3, H, W), float32: the image resized through ``sizes``, flipped as each of ``codes`` says."""
        width, height = sizes[-1]
        # By numpy, which asks the system for huge pages: filling the first time is twice as fast.
        arrays = np.empty((len(codes), len(planes), height, width), np.float32)
        for channel, plane in enumerate(planes):
            table = np.ascontiguousarray(self.normalize.table[0, :, channel])
            for i, size in enumerate(sizes[1:]):
                plane = cv2.resize(plane, size, dst=_part(scratch[i % 2], size))
            spare = _part(scratch[(len(sizes) - 1) % 2], sizes[-1])
            for k, code in enumerate(codes):
                turned = plane if code is None else cv2.flip(plane, code, dst=spare)
                place = arrays[k, channel]
                filled = cv2.LUT(turned, table, dst=place)
                if filled is not place:  # OpenCV took another array
                    place[...] = filled
        return torch.from_numpy(arrays)


def _part(scratch: np.ndarray, size: Size) -> np.ndarray:
    return scratch[: size[0] * size[1]].reshape(size[1], size[0])
