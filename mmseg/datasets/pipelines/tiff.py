"""Reading TIFF images of any number of channels and any depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.loading import check_disk, joined, loaded
from mmseg.utils.errors import UserError

# What OpenCV can resize; everything else becomes float32.
_KEPT = (np.uint8, np.uint16, np.int16, np.float32)


@PIPELINES.register_module()
class LoadTiffImageFromFile:
    """Read a TIFF image (H, W, C) with tifffile, in the channel order of the file.

    Stands in place of ``LoadImageFromFile`` and gives the same entries. ``Normalize`` then takes one mean
    and one std for each channel with ``to_rgb=False``, and the backbone ``in_channels=C``.

    Args:
        to_float32: Convert to float32. Without it uint8, uint16, int16 and float32 stay as they are and
            any other type becomes float32.
        channels_first: Whether the file has (C, H, W). None goes by what the file says of its axes, and
            where that is nothing, takes the first of three dimensions for the channels if it is the
            smallest.
        channels: Which channels to keep, in this order; None means all.
        file_client_args: Only ``dict(backend='disk')``.

    Raises:
        UserError: an argument is out of range, tifffile is not installed, or (when called) the file is
            missing, is unreadable, has not two or three dimensions or lacks a channel.
    """

    def __init__(
        self,
        to_float32: bool = False,
        channels_first: bool | None = None,
        channels: list[int] | tuple[int, ...] | None = None,
        file_client_args: dict[str, Any] | None = None,
    ) -> None:
        check_disk("LoadTiffImageFromFile", file_client_args)
        if channels is not None and not (channels and all(isinstance(c, int) and c >= 0 for c in channels)):
            raise UserError(
                f"LoadTiffImageFromFile: `channels` are numbers of channels from 0, not {channels!r}"
            )
        _tifffile()
        self.to_float32 = to_float32
        self.channels_first = channels_first
        self.channels = None if channels is None else list(channels)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        name = results["img_info"]["filename"]
        path = joined(results.get("img_prefix"), name)
        img = self.arranged(*read_tiff(path), path)
        if self.to_float32 or img.dtype not in _KEPT:
            img = img.astype(np.uint8 if img.dtype == bool and not self.to_float32 else np.float32)
        return loaded(results, path, name, np.ascontiguousarray(img))

    def arranged(self, array: np.ndarray, axes: str, path: str) -> np.ndarray:
        """Bring what a file holds to (H, W, C), with the channels that were asked for."""
        shape = array.shape
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3:
            raise UserError(
                f"the image {path} has the shape {shape}, but an image has two or three dimensions; "
                "write one image to a file"
            )
        first = self.channels_first
        if first is None:
            says = {"YXS": False, "YXC": False, "SYX": True, "CYX": True}.get(axes)
            first = shape[0] < min(shape[1:]) if says is None and len(shape) == 3 else says
        if first and len(shape) == 3:
            array = array.transpose(1, 2, 0)
        if self.channels is not None:
            if max(self.channels) >= array.shape[2]:
                raise UserError(
                    f"LoadTiffImageFromFile is to keep the channel {max(self.channels)}, but {path} has "
                    f"{array.shape[2]} (from 0 to {array.shape[2] - 1}); correct `channels`"
                )
            array = array[..., self.channels]
        return array

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(to_float32={self.to_float32}, channels_first={self.channels_first}, "
            f"channels={self.channels})"
        )


def read_tiff(path: str) -> tuple[np.ndarray, str]:
    """Read the first image of a TIFF file as it lies there, and its axes in tifffile's letters.

    Raises:
        UserError: the file is missing or unreadable.
    """
    tifffile = _tifffile()
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            return series.asarray(), series.axes
    except FileNotFoundError:
        raise UserError(
            f"the image {path} does not exist; check `data_root`, `img_dir` and `img_suffix`"
        ) from None
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        remedy = "it is damaged or no TIFF: copy it again or remove it"
        if "imagecodecs" in str(error):
            remedy = "pip install imagecodecs"
        raise UserError(f"cannot read the image {path} as TIFF: {error}; {remedy}") from None


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError:
        raise UserError(
            "LoadTiffImageFromFile needs tifffile, which is not installed: pip install tifffile imagecodecs"
        ) from None
    return tifffile
