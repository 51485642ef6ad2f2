"""Reading a mask file, and finding out what is wrong with it while its name is still known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from PIL import Image

from mmseg.datasets.pipelines.common import value_counts
from mmseg.utils.errors import UserError

_BINARY = (
    "if 255 is the foreground, add the line task = 'binary' to the config (classes, loss, threshold and "
    "scores follow), or write the masks with 0 and 1 (mask // 255)"
)


def read_mask(path: str, backend: str = "pillow") -> np.ndarray:
    """Read a mask (H, W); palette masks give their indices.

    Returns:
        uint8, or a wider type where the file has one.

    Raises:
        UserError: the file is missing, unreadable or has several channels.
    """
    try:
        if backend == "pillow":
            with Image.open(path) as image:
                mask = np.array(image)
        else:
            with open(path, "rb") as file:
                mask = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
            if mask is None:
                raise OSError("OpenCV cannot decode it")
    except FileNotFoundError:
        raise UserError(
            f"the mask {path} does not exist; check `ann_dir` and `seg_map_suffix`, or remove its image"
        ) from None
    except (OSError, ValueError, SyntaxError, cv2.error, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the mask {path}: {error}; write it again as a PNG") from None
    if mask.dtype == bool:
        mask = mask.astype(np.uint8)
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise UserError(_several_channels(path, mask, backend))
    if mask.dtype.kind not in "iu":
        raise UserError(
            f"the mask {path} holds {mask.dtype} values; a mask holds whole numbers, one class each"
        )
    return mask


def to_classes(
    mask: np.ndarray,
    path: str,
    num_classes: int | None,
    ignore_index: int = 255,
    reduce_zero_label: bool = False,
    label_map: dict[int, int] | None = None,
    peer_masks: Callable[[], Iterable[str]] | None = None,
) -> np.ndarray:
    """Turn the values of a mask file into classes, and refuse values that are none.

    Args:
        mask: Integers (H, W).
        path: Its file, for messages.
        num_classes: The mask's values are 0 to ``num_classes - 1`` or ``ignore_index``, after
            ``reduce_zero_label``; None leaves them unchecked. With ``label_map`` its size counts.
        ignore_index: Pixels that do not count.
        reduce_zero_label: 0 becomes ``ignore_index`` and every other value one less.
        label_map: From the value in the mask to the class, or -1 for a class left out, whose pixels
            become ``ignore_index``.
        peer_masks: Gives files of other masks of the data set. A mask of 0 and 255 in a data set of two
            classes is refused only where all of them are such.

    Returns:
        uint8 (H, W), or int32 where ``ignore_index`` needs it.

    Raises:
        UserError: a value is neither a class nor ``ignore_index``.
    """
    raw_classes = len(label_map) if label_map and num_classes is not None else num_classes
    if mask.dtype != np.uint8:
        for value in (int(mask.min(initial=0)), int(mask.max(initial=0))):
            if not 0 <= value <= 255:
                raise UserError(
                    _bad_values(path, mask, [value], raw_classes, ignore_index, reduce_zero_label)
                )
        mask = mask.astype(np.uint8)

    table = np.arange(256)
    if reduce_zero_label:
        table -= 1
        table[[0, 255]] = ignore_index
    if raw_classes is not None and not _surely_classes(mask, raw_classes, ignore_index, reduce_zero_label):
        counts = value_counts(mask)
        present = np.flatnonzero(counts)
        bad = [int(v) for v in present if table[v] != ignore_index and table[v] >= raw_classes]
        if bad:
            raise UserError(_bad_values(path, mask, bad, raw_classes, ignore_index, reduce_zero_label))
        if peer_masks is not None and raw_classes <= 2 and set(present.tolist()) <= {0, 255}:
            _refuse_binary(path, mask, ignore_index, peer_masks)
    if label_map:
        classes = table.copy()
        for old, new in label_map.items():
            classes[table == old] = ignore_index if new < 0 else new
        classes[table == ignore_index] = ignore_index
        table = classes
    elif not reduce_zero_label:
        return mask
    if table.min() >= 0 and table.max() <= 255:
        return cv2.LUT(mask, table.astype(np.uint8))
    return table.astype(np.int32)[mask]


def _surely_classes(mask: np.ndarray, raw_classes: int, ignore_index: int, reduce_zero_label: bool) -> bool:
    """Whether a uint8 mask holds classes and 255 for ignored only; False may also mean 'look closer'."""
    if mask.max(initial=0) < raw_classes + reduce_zero_label:
        return True
    if ignore_index != 255 or raw_classes <= 2:
        return False  # 0 and 255 may be a binary mask; other ignored values are rare
    return bool((mask + np.uint8(1)).max() <= raw_classes + reduce_zero_label)  # 255 becomes 0


def to_binary(mask: np.ndarray, path: str, ignore_index: int = 255) -> np.ndarray:
    """Turn a mask of background (0) and foreground (255 or 1) into the classes 0 and 1.

    Args:
        mask: Integers (H, W).
        path: Its file, for messages.
        ignore_index: Value of pixels that do not count, where it is not 255.

    Returns:
        uint8 (H, W): 0, 1, or 255 for pixels that do not count.

    Raises:
        UserError: another value, or both 1 and 255.
    """
    values = (np.flatnonzero(value_counts(mask)) if mask.dtype == np.uint8 else np.unique(mask)).tolist()
    extra = set() if ignore_index == 255 else {ignore_index}
    bad = [value for value in values if value not in {0, 1, 255} | extra]
    if bad:
        shown = ", ".join(f"{value} ({np.count_nonzero(mask == value)} pixels)" for value in bad[:6])
        shown += f" and {len(bad) - 6} more" if len(bad) > 6 else ""
        ignored = f", or {ignore_index} for ignored" if extra else ""
        raise UserError(
            f"the mask {path} holds the value{'s' * (len(bad) > 1)} {shown}, but with task='binary' a value "
            f"is 0 (background) or 255 or 1 (foreground){ignored}; correct the mask, set `ignore_index` to "
            "the value that does not count, or leave task='binary' out and name the classes"
        )
    if {1, 255} <= set(values):
        raise UserError(
            f"the mask {path} holds both 1 ({np.count_nonzero(mask == 1)} pixels) and 255 "
            f"({np.count_nonzero(mask == 255)} pixels), and with task='binary' each means foreground; if 255 "
            "means 'ignored' here, write another value (such as 2) there and set `ignore_index` to it"
        )
    classes = (mask != 0).astype(np.uint8)
    if extra:
        classes[mask == ignore_index] = 255
    return classes


def check_size(mask: np.ndarray, mask_path: str, image: np.ndarray, image_path: str | None) -> None:
    """Raise ``UserError`` with both sizes where a mask does not fit its image."""
    if mask.shape != image.shape[:2]:
        raise UserError(
            f"the mask {mask_path} is {mask.shape[1]}x{mask.shape[0]} (width x height), but its image"
            f"{f' {image_path}' if image_path else ''} is {image.shape[1]}x{image.shape[0]}; "
            "pair each image with a mask of the same scene and size"
        )


def _several_channels(path: str, mask: np.ndarray, backend: str) -> str:
    channels = mask.shape[-1]
    message = f"the mask {path} has {channels} channels (a colour picture), but a mask has one, of classes"
    if backend == "cv2":
        return f"{message}; if it is a palette PNG, set `imdecode_backend='pillow'` in LoadAnnotations"
    if channels >= 3 and (mask[..., 0] == mask[..., 1]).all() and (mask[..., 0] == mask[..., 2]).all():
        return f"{message}; its channels are equal: save one of them as an 8-bit grey PNG"
    return f"{message}; convert each colour to its class and save an 8-bit grey or palette PNG"


def _refuse_binary(
    path: str,
    mask: np.ndarray,
    ignore_index: int,
    peer_masks: Callable[[], Iterable[str]],
) -> None:
    """0/255 masks of two classes pass as 'background and ignored', and the second class never occurs."""
    if ignore_index != 255:
        return
    for peer in peer_masks():
        try:
            if np.setdiff1d(read_mask(peer), (0, 255)).size:
                return
        except UserError:
            continue  # that mask will speak for itself
    raise UserError(
        f"the mask {path} holds only 0 and 255 ({np.count_nonzero(mask == 255)} pixels), and no mask of this "
        f"data set holds anything else: 255 means 'ignored', so one class would never occur; {_BINARY}"
    )


def _bad_values(
    path: str,
    mask: np.ndarray,
    bad: list[int],
    num_classes: int | None,
    ignore_index: int,
    reduce_zero_label: bool,
) -> str:
    counts = [(value, int(np.count_nonzero(mask == value))) for value in bad]
    shown = ", ".join(f"{value} ({count} pixels)" for value, count in counts[:6])
    shown += f" and {len(counts) - 6} more" if len(counts) > 6 else ""
    plural = "s" if len(counts) > 1 else ""
    if num_classes is None:
        return f"the mask {path} holds the value {shown}; masks hold 0 to 255"
    first = 1 if reduce_zero_label else 0
    expected = f"0 to {num_classes - 1}" if not first else f"1 to {num_classes} (with `reduce_zero_label`)"
    message = (
        f"the mask {path} holds the value{plural} {shown}, but with {num_classes} classes a value is "
        f"{expected}, or {ignore_index} for ignored"
    )
    return f"{message}; {_remedy(mask, bad, num_classes, ignore_index, reduce_zero_label)}"


def _remedy(
    mask: np.ndarray, bad: list[int], num_classes: int, ignore_index: int, reduce_zero_label: bool
) -> str:
    values = set(np.unique(mask).tolist())
    if num_classes <= 2 and values <= {0, 255}:
        return f"this looks like a binary mask: {_BINARY}"
    if num_classes == 19 and values <= {*range(34), 255}:
        return (
            "these look like Cityscapes or KITTI label ids (0 to 33): convert the masks to train ids "
            "(0 to 18, everything else 255)"
        )
    if bad == [num_classes] and not reduce_zero_label:
        return (
            f"if {num_classes} means 'unlabelled', write {ignore_index} there; if the classes count from 1, "
            "set `reduce_zero_label=True` in the data set and in LoadAnnotations"
        )
    return f"correct the masks or `classes`, and write {ignore_index} into pixels that should not count"
