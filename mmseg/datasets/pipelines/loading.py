"""Reading images and masks from files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.masks import check_size, read_mask, to_binary, to_classes
from mmseg.utils.errors import UserError, near_matches

_FLAGS = {
    "color": cv2.IMREAD_COLOR,
    "grayscale": cv2.IMREAD_GRAYSCALE,
    "unchanged": cv2.IMREAD_UNCHANGED,
    "color_ignore_orientation": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "grayscale_ignore_orientation": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
}


@PIPELINES.register_module()
class LoadImageFromFile:
    """Read an image, BGR uint8 (H, W, 3).

    Takes ``img_prefix`` and ``img_info['filename']``; gives ``img``, ``filename``, ``ori_filename``,
    ``img_shape``, ``ori_shape``, ``pad_shape``, ``scale_factor`` (1.0) and ``img_norm_cfg`` (identity).

    Args:
        to_float32: Convert to float32, still 0 to 255.
        color_type: 'color', 'grayscale' (gives (H, W)), 'unchanged'; 'color_ignore_orientation' and
            'grayscale_ignore_orientation' do not turn the image as its EXIF data asks.
        file_client_args: Only ``dict(backend='disk')``.
        imdecode_backend: 'cv2' or 'pillow'.

    Raises:
        UserError: an argument is unknown, or (when called) the file is missing or unreadable.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = "color",
        file_client_args: dict[str, Any] | None = None,
        imdecode_backend: str = "cv2",
    ) -> None:
        _check_choice("LoadImageFromFile", "color_type", color_type, _FLAGS)
        _check_choice("LoadImageFromFile", "imdecode_backend", imdecode_backend, ("cv2", "pillow"))
        check_disk("LoadImageFromFile", file_client_args)
        self.to_float32 = to_float32
        self.color_type = color_type
        self.imdecode_backend = imdecode_backend

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        name = results["img_info"]["filename"]
        path = joined(results.get("img_prefix"), name)
        read = partial(read_image, path, self.color_type, self.imdecode_backend)
        img = through_cache(results, f"image:{self.color_type}:{self.imdecode_backend}", path, read)
        if not img.flags.writeable:
            img = img.copy()  # the cache's own; a transform of the user's may write to what it gets
        if self.to_float32:
            img = img.astype(np.float32)
        return loaded(results, path, name, img)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(to_float32={self.to_float32},color_type='{self.color_type}',"
            f"imdecode_backend='{self.imdecode_backend}')"
        )


@PIPELINES.register_module()
class LoadAnnotations:
    """Read a mask, uint8 (H, W), and check it against the image and the classes.

    Takes ``seg_prefix`` and ``ann_info['seg_map']``; gives ``gt_semantic_seg`` and adds its name to
    ``seg_fields``. A data set also puts in what the check needs: ``num_classes``, ``ignore_index``,
    ``label_map`` (custom classes) and ``peer_masks``; without ``num_classes`` values go unchecked. With
    ``task='binary'`` 0 stays 0, and 255 or 1 becomes 1.

    Args:
        reduce_zero_label: 0 becomes ``ignore_index`` and every other value one less, before
            ``label_map``.
        file_client_args: Only ``dict(backend='disk')``.
        imdecode_backend: 'pillow', which gives the indices of palette masks, or 'cv2'.

    Raises:
        UserError: an argument is unknown, or (when called) the file is missing or unreadable, has
            several channels or another size than the image, or holds a value that is no class.
    """

    def __init__(
        self,
        reduce_zero_label: bool = False,
        file_client_args: dict[str, Any] | None = None,
        imdecode_backend: str = "pillow",
    ) -> None:
        _check_choice("LoadAnnotations", "imdecode_backend", imdecode_backend, ("cv2", "pillow"))
        check_disk("LoadAnnotations", file_client_args)
        self.reduce_zero_label = reduce_zero_label
        self.imdecode_backend = imdecode_backend

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        return self.load(results, read_mask)

    def load(
        self,
        results: dict[str, Any],
        read: Callable[[str, str], np.ndarray],
        copy: bool = True,
    ) -> dict[str, Any]:
        """Load as ``__call__`` does.

        Args:
            results: The sample's dictionary.
            read: Decodes a file with a backend, as ``read_mask`` does.
            copy: False may put an array in that is read-only, because it belongs to a cache.
        """
        path = joined(results.get("seg_prefix"), results["ann_info"]["seg_map"])
        label_map = results.get("label_map")
        settings = (
            self.imdecode_backend,
            self.reduce_zero_label,
            results.get("task"),
            results.get("num_classes"),
            results.get("ignore_index", 255),
            sorted(label_map.items()) if label_map else None,
        )
        read_classes = partial(self._read_classes, path, results, read)
        mask = through_cache(results, f"mask:{settings}", path, read_classes)
        if "img" in results:  # an image from a cache, say, that was paired with another mask before
            check_size(mask, path, results["img"], results.get("filename"))
        results["gt_semantic_seg"] = mask.copy() if copy and not mask.flags.writeable else mask
        results.setdefault("seg_fields", []).append("gt_semantic_seg")
        return results

    def _read_classes(
        self, path: str, results: dict[str, Any], read: Callable[[str, str], np.ndarray]
    ) -> np.ndarray:
        mask = read(path, self.imdecode_backend)
        if "img" in results:
            check_size(mask, path, results["img"], results.get("filename"))
        ignore_index = results.get("ignore_index", 255)
        if results.get("task") == "binary":
            if self.reduce_zero_label:
                raise UserError(
                    "LoadAnnotations: reduce_zero_label=True takes 0 as ignored, but task='binary' as "
                    "background; leave one of them out"
                )
            return to_binary(mask, path, ignore_index)
        return to_classes(
            mask,
            path,
            num_classes=results.get("num_classes"),
            ignore_index=ignore_index,
            reduce_zero_label=self.reduce_zero_label,
            label_map=results.get("label_map"),
            peer_masks=results.get("peer_masks"),
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(reduce_zero_label={self.reduce_zero_label},"
            f"imdecode_backend='{self.imdecode_backend}')"
        )


def loaded(results: dict[str, Any], path: str, name: str, img: np.ndarray) -> dict[str, Any]:
    """Put an image and what describes it into ``results``."""
    channels = 1 if img.ndim == 2 else img.shape[2]
    results["filename"] = path
    results["ori_filename"] = name
    results["img"] = img
    results["img_shape"] = results["ori_shape"] = results["pad_shape"] = img.shape
    results["scale_factor"] = 1.0
    results["img_norm_cfg"] = dict(
        mean=np.zeros(channels, dtype=np.float32), std=np.ones(channels, dtype=np.float32), to_rgb=False
    )
    return results


def through_cache(
    results: dict[str, Any], kind: str, path: str, read: Callable[[], np.ndarray]
) -> np.ndarray:
    """What ``read`` gives, or the read-only array that ``results['cache']`` keeps of it.

    Args:
        results: A sample's dictionary; a cache in it has ``get(kind, path, read)``.
        kind: What is kept of the file, and everything that it depends on but the file.
        path: The file.
        read: Reads and decodes it.
    """
    cache = results.get("cache")
    return read() if cache is None else cache.get(kind, path, read)


def read_image(path: str, color_type: str = "color", backend: str = "cv2") -> np.ndarray:
    """Read an image file: BGR (H, W, 3), or (H, W) for 'grayscale'; uint8 but for 'unchanged'.

    Raises:
        UserError: the file is missing or unreadable.
    """
    return decoded(read_bytes(path), path, color_type, backend)


def read_bytes(path: str) -> bytes:
    """Read an image file without decoding it.

    Raises:
        UserError: the file is missing or unreadable.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(
            f"the image {path} does not exist; check `data_root`, `img_dir` and `img_suffix`"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror}; check its permissions") from None


def decoded(data: bytes, path: str, color_type: str = "color", backend: str = "cv2") -> np.ndarray:
    """Decode the content of an image file, as ``read_image`` does.

    Raises:
        UserError: it is damaged or no image; ``path`` is for the message.
    """
    decode = _decode_pillow if backend == "pillow" else _decode_cv2
    img = decode(data, color_type) if data else None
    if img is None:
        raise UserError(
            f"cannot decode the image {path} ({len(data)} bytes); it is damaged or no image: "
            "copy it again or remove it"
        )
    return img


def _decode_cv2(data: bytes, color_type: str) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[color_type])
    except cv2.error:
        return None


def _decode_pillow(data: bytes, color_type: str) -> np.ndarray | None:
    import io

    try:
        image = Image.open(io.BytesIO(data))
        if color_type == "unchanged":
            array = np.array(image)
            return array if array.ndim == 2 else _swap_red_and_blue(array)
        if not color_type.endswith("ignore_orientation"):
            image = ImageOps.exif_transpose(image)
        if color_type.startswith("grayscale"):
            return np.array(image.convert("L"))
        return _swap_red_and_blue(np.array(image.convert("RGB")))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _swap_red_and_blue(array: np.ndarray) -> np.ndarray:
    if array.shape[2] < 3:
        return array
    return cv2.cvtColor(array, cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR)


def joined(prefix: str | None, name: str) -> str:
    """The path of the file ``name`` below ``prefix``."""
    return name if prefix is None else os.path.join(prefix, name)


def _check_choice(owner: str, argument: str, value: str, choices: Any) -> None:
    if value not in choices:
        raise UserError(
            f"{owner}: unknown `{argument}` {value!r}{near_matches(value, choices)} "
            f"(known: {', '.join(choices)})"
        )


def check_disk(owner: str, file_client_args: dict[str, Any] | None) -> None:
    """Raise ``UserError`` where files are to come from elsewhere than the disk."""
    backend = (file_client_args or {}).get("backend", "disk")
    if backend != "disk":
        raise UserError(f"{owner} reads from disk only; `file_client_args` asks for {backend!r}")
