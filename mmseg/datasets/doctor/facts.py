"""What one image or mask file holds, whatever a config says of it: as dictionaries that JSON can keep."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.doctor.integrity import damage
from mmseg.utils.errors import UserError

Facts = dict[str, Any]

MISSING, UNREADABLE, TRUNCATED = "missing", "unreadable", "truncated"
_MOST_VALUES = 1000  # distinct values of one mask that are kept
_ORIENTATION = 0x0112  # the EXIF tag


class ImageReader:
    """Reads images as a training pipeline does.

    Args:
        step: The pipeline's first transform, such as ``dict(type='LoadImageFromFile')``.
    """

    def __init__(self, step: Mapping[str, Any]) -> None:
        self.load = PIPELINES.build(dict(step))
        self.key = "image " + json.dumps(dict(step), sort_keys=True, default=str)

    def __call__(self, path: str) -> Facts:
        """Return the facts of an image.

        Returns:
            ``size`` [w, h] after EXIF rotation, ``channels``, ``hash`` of the decoded pixels, ``mean``
            and ``std`` of each channel (RGB order for three), ``constant`` (whether all pixels are
            equal), ``orientation`` (EXIF, 1 is upright). Or ``problem`` and ``why``.
        """
        data, problem = _read(path)
        if data is None:
            return problem
        if why := damage(data):
            return {"problem": TRUNCATED, "why": why}
        try:
            image = self.load({"img_info": {"filename": path}, "img_prefix": None})["img"]
        except UserError:
            return {"problem": UNREADABLE, "why": f"{len(data)} bytes that no decoder takes for an image"}
        except Exception as error:  # a decoder may raise anything, and one file must not stop the rest
            return {"problem": UNREADABLE, "why": f"{type(error).__name__}: {error}"}
        mean, std = channel_moments(image)
        return {
            "size": [image.shape[1], image.shape[0]],
            "channels": 1 if image.ndim == 2 else image.shape[2],
            "hash": content_hash(image),
            "mean": mean,
            "std": std,
            "constant": not any(std),
            "orientation": _orientation(data),
        }


class MaskReader:
    """Reads masks, with their values and what kind of file they are.

    Args:
        backend: 'pillow', which gives the indices of palette masks, or 'cv2'.
    """

    def __init__(self, backend: str = "pillow") -> None:
        self.backend = backend
        self.key = f"mask {backend}"

    def __call__(self, path: str) -> Facts:
        """Return the facts of a mask.

        Returns:
            ``size`` [w, h], ``mode`` (Pillow's: L grey, P palette, RGB, ...), ``channels``, ``hash``;
            with one channel of whole numbers also ``values`` (a dictionary from the value, as text, to
            its pixels), with several ``grey`` (whether they are equal). Or ``problem`` and ``why``.
        """
        data, problem = _read(path)
        if data is None:
            return problem
        if why := damage(data):
            return {"problem": TRUNCATED, "why": why}
        try:
            mode, mask = self._decode(data)
        except Exception as error:  # a decoder may raise anything, and one file must not stop the rest
            return {"problem": UNREADABLE, "why": _in_words(error, len(data))}
        if mask.dtype == bool:
            mask = mask.astype(np.uint8)
        if mask.ndim == 3 and mask.shape[2] == 1:
            mask = mask[..., 0]
        facts: Facts = {
            "size": [mask.shape[1], mask.shape[0]],
            "mode": mode,
            "channels": 1 if mask.ndim == 2 else mask.shape[2],
            "hash": content_hash(mask),
        }
        if mask.ndim == 3:
            facts["grey"] = bool((mask[..., :1] == mask[..., : min(3, mask.shape[2])]).all())
        elif mask.dtype.kind in "iu":
            facts["values"] = _value_counts(mask)
        return facts

    def _decode(self, data: bytes) -> tuple[str, np.ndarray]:
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
            if self.backend == "pillow":
                return mode, np.array(image)
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if mask is None:
            raise OSError("OpenCV cannot decode it")
        return mode, mask


def channel_moments(image: np.ndarray) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel; three channels in RGB order."""
    flat = image.reshape(image.shape[0], image.shape[1], -1)
    if flat.shape[2] <= 4:
        mean, std = (part.ravel() for part in cv2.meanStdDev(flat))
    else:
        mean, std = flat.mean((0, 1), dtype=np.float64), flat.std((0, 1), dtype=np.float64)
    if flat.shape[2] >= 3 and flat.shape[2] <= 4:
        mean[[0, 2]], std[[0, 2]] = mean[[2, 0]], std[[2, 0]]
    return mean.tolist(), std.tolist()


def content_hash(array: np.ndarray) -> str:
    """Return a hash of shape and pixels: equal pictures have equal ones in whatever file they are kept."""
    digest = hashlib.sha1(f"{array.shape} {array.dtype}".encode(), usedforsecurity=False)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: str) -> tuple[bytes | None, Facts]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None, {"problem": MISSING, "why": "it does not exist"}
    except OSError as error:
        return None, {"problem": UNREADABLE, "why": error.strerror or str(error)}
    return (data, {}) if data else (None, {"problem": UNREADABLE, "why": "the file is empty (0 bytes)"})


def _in_words(error: Exception, size: int) -> str:
    if "cannot identify" in str(error):  # Pillow's message has the address of a buffer
        return f"{size} bytes that no decoder takes for an image"
    return f"{error}"


def _value_counts(mask: np.ndarray) -> dict[str, int]:
    if mask.dtype == np.uint8:
        counts = np.bincount(mask.ravel(), minlength=256)
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(mask, return_counts=True)
    return {str(int(v)): int(c) for v, c in zip(values[:_MOST_VALUES], counts[:_MOST_VALUES], strict=True)}


def _orientation(data: bytes) -> int:
    if b"Exif" not in data[:65536]:
        return 1
    try:
        with Image.open(io.BytesIO(data)) as image:
            return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data are no reason to refuse a picture
        return 1
