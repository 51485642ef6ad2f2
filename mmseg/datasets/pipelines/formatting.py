"""The end of a pipeline: tensors, and a dictionary with what the model needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.common import mask_keys
from mmseg.utils.errors import UserError

META_KEYS = (
    "filename",
    "ori_filename",
    "ori_shape",
    "img_shape",
    "pad_shape",
    "scale_factor",
    "flip",
    "flip_direction",
    "img_norm_cfg",
)
# What a pipeline without RandomFlip means; the model asks for both when it undoes a flip.
_META_DEFAULTS = {"flip": False, "flip_direction": "horizontal"}


def to_tensor(data: Any) -> torch.Tensor:
    """Turn an array, a tensor, a list of numbers or a number into a tensor.

    Raises:
        UserError: ``data`` is something else.
    """
    if isinstance(data, torch.Tensor):
        return data
    if isinstance(data, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(data))
    if isinstance(data, Sequence) and not isinstance(data, str):
        return torch.tensor(data)
    if isinstance(data, int):
        return torch.LongTensor([data])
    if isinstance(data, float):
        return torch.FloatTensor([data])
    raise UserError(f"cannot turn {type(data).__name__} into a tensor")


def image_to_tensor(img: np.ndarray) -> torch.Tensor:
    """Turn an image (H, W) or (H, W, C) into a contiguous tensor (C, H, W) of the same type."""
    if img.ndim == 2:
        img = img[..., None]
    return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1)))


@PIPELINES.register_module()
class ToTensor:
    """Turn the entries ``keys`` into tensors, as they are."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        for key in self.keys:
            results[key] = to_tensor(results[key])
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={self.keys})"


@PIPELINES.register_module()
class ImageToTensor:
    """Turn the images ``keys``, (H, W) or (H, W, C), into tensors (C, H, W)."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        for key in self.keys:
            results[key] = image_to_tensor(results[key])
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={self.keys})"


@PIPELINES.register_module()
class Transpose:
    """Permute the axes of the entries ``keys`` into ``order``."""

    def __init__(self, keys: Sequence[str], order: Sequence[int]) -> None:
        self.keys = keys
        self.order = order

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        for key in self.keys:
            results[key] = results[key].transpose(self.order)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={self.keys}, order={self.order})"


@PIPELINES.register_module()
class DefaultFormatBundle:
    """Turn ``img`` into a tensor (C, H, W) and every mask into an int64 tensor (1, H, W)."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        if "img" in results:
            results["img"] = image_to_tensor(results["img"])
        for key in mask_keys(results):
            results[key] = torch.from_numpy(np.ascontiguousarray(results[key][None], dtype=np.int64))
        return results

    def __repr__(self) -> str:
        return type(self).__name__


@PIPELINES.register_module()
class Collect:
    """Keep the entries ``keys``, and what describes the image as ``img_metas``.

    Args:
        keys: Entries to keep, such as ``['img', 'gt_semantic_seg']``.
        meta_keys: Entries of ``img_metas``; those that no transform has given are left out, but for
            ``flip`` (then False) and ``flip_direction``.

    Raises:
        UserError: (when called) an entry of ``keys`` is missing.
    """

    def __init__(self, keys: Sequence[str], meta_keys: Sequence[str] = META_KEYS) -> None:
        self.keys = keys
        self.meta_keys = meta_keys

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        metas = {}
        for key in self.meta_keys:
            if key in results:
                metas[key] = results[key]
            elif key in _META_DEFAULTS:
                metas[key] = _META_DEFAULTS[key]
        data: dict[str, Any] = {"img_metas": metas}
        for key in self.keys:
            if key not in results:
                raise UserError(
                    f"Collect is to keep `{key}`, but no transform before it gives that (there are: "
                    f"{', '.join(map(str, results))}); is LoadAnnotations missing from the pipeline?"
                )
            data[key] = results[key]
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={self.keys}, meta_keys={self.meta_keys})"
