"""Counting the pixels of every (true class, predicted class) pair, the base of all scores.

On the CPU, maps of up to 256 classes are counted as bytes by OpenCV's two-dimensional histogram, block by
block, so that no copy of a whole map is made. Everything else goes through one index per pixel, on the device
where the prediction stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mmseg.utils.errors import UserError

# Elements counted at once: they stay in the cache, and no bin can pass 2**24, up to which the
# histogram's float32 counts are exact.
BLOCK = 2**18
_NARROW = (
    2**16
)  # elements turned into bytes at once: small enough that the second look finds them in the cache
_ROWS = 64  # a block is read as so many rows, column by column


def confusion_matrix(
    pred: np.ndarray | torch.Tensor,
    label: np.ndarray | torch.Tensor,
    num_classes: int,
    ignore_index: int | None = 255,
) -> torch.Tensor:
    """Count the pixels of every (true class, predicted class) pair, on the device of ``pred``.

    Maps of bytes (uint8) are counted fastest.

    Args:
        pred: Predicted classes, any shape, integers from 0 to ``num_classes - 1``. Where ``label`` is
            ``ignore_index`` any value is accepted.
        label: True classes, of the same shape.
        num_classes: Number of classes ``C``.
        ignore_index: Value of ``label`` whose pixels are left out; None leaves out nothing.

    Returns:
        int64 tensor (C, C); rows are the truth, columns the prediction.

    Raises:
        UserError: shapes differ, values are not integers, or a counted pixel holds no class.
    """
    pred, label = as_integers(pred, "prediction"), as_integers(label, "label")
    if pred.shape != label.shape:
        raise UserError(
            f"prediction and label differ in size: {tuple(pred.shape)} against {tuple(label.shape)};"
            " resize the prediction to the label's size before scoring it"
        )
    label = label.to(pred.device)
    pred, label = pred.reshape(-1), label.reshape(-1)
    counts = None
    if pred.device.type == "cpu" and num_classes <= 256:
        counts = _count_bytes(pred.numpy(), label.numpy(), num_classes, ignore_index)
    if counts is None:  # also where a value fits no byte: this way tells which
        counts = _count_pairs(pred, label, num_classes, ignore_index)
    return counts


def as_integers(values: Any, what: str) -> torch.Tensor:
    """Return a label map as a tensor of integers, without a copy where that is possible.

    Args:
        values: Array, tensor or nested lists.
        what: What it is, for the message: ``label`` or ``prediction``.

    Raises:
        UserError: it is no array of integers.
    """
    if isinstance(values, torch.Tensor):
        tensor = values
    else:
        array = np.asarray(values)
        if array.dtype in (np.uint16, np.uint32, np.uint64):  # torch can hardly compute with them
            array = array.astype(np.int64)
        if array.dtype.kind not in "biuf":
            raise UserError(f"a {what} is an array of class indices, not {type(values).__name__}")
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if tensor.is_floating_point():
        raise UserError(
            f"a {what} holds class indices, not {tensor.dtype} values; take the argmax of scores first"
        )
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


def _count_bytes(
    pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int | None
) -> torch.Tensor | None:
    """Counts (C, C) of two flat maps; None where a counted pixel holds no class, or a value fits no byte."""
    if num_classes == 256 and _fits_no_byte(ignore_index):
        return None  # all 256 values are classes: none is left for the ignored pixels
    counts = np.zeros((num_classes, num_classes), np.int64)
    for start in range(0, len(pred), BLOCK):
        truth = label[start : start + BLOCK]
        true_bytes, guessed = _as_bytes(truth, ignore_index), _as_bytes(pred[start : start + BLOCK], None)
        if true_bytes is None or guessed is None:
            return None
        block = _histogram(true_bytes, guessed, num_classes)
        if ignore_index is not None and 0 <= ignore_index < num_classes:
            block[ignore_index] = 0
        counted, ignored = int(block.sum()), 0
        if counted < len(truth) and ignore_index is not None:
            ignored = _number_of(truth if _fits_no_byte(ignore_index) else true_bytes, ignore_index)
        if counted + ignored != len(truth):  # values without a class fall into no bin
            return None
        counts += block
    return torch.from_numpy(counts)


def _histogram(label: np.ndarray, pred: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 (C, C) counts of two flat uint8 blocks; pixels with a value of C or more are in none of them."""
    import cv2

    sizes, ranges = [num_classes, num_classes], [0, num_classes, 0, num_classes]
    counts = np.zeros(sizes, np.int64)
    # Neighbours mostly fall into the same bin, and adding to a bin waits until the addition before is
    # written. So the pixels are taken in an order in which neighbours stand far apart.
    spread = len(label) - len(label) % _ROWS
    for pixels, order in ((slice(spread), True), (slice(spread, None), False)):
        pair = [label[pixels], pred[pixels]]
        if order:
            pair = [cv2.transpose(values.reshape(_ROWS, -1)) for values in pair if len(values)]
        if pair and pair[0].size:
            counts += cv2.calcHist(pair, [0, 1], None, sizes, ranges).astype(np.int64)
    return counts


def _as_bytes(values: np.ndarray, ignore_index: int | None) -> np.ndarray | None:
    """A flat block as uint8, or None where a value fits no byte.

    An ``ignore_index`` that fits no byte becomes 255: the caller counts its pixels by itself.
    """
    if values.dtype == np.uint8:
        return values
    moved = _fits_no_byte(ignore_index)
    out = np.empty(len(values), np.uint8)
    bits = 0
    for start in range(0, len(values), _NARROW):
        part = values[start : start + _NARROW]
        if moved:
            part = np.where(part == ignore_index, np.array(255).astype(part.dtype), part)
        bits |= int(np.bitwise_or.reduce(part))  # stays below 256 only if every value does; < 0 with a sign
        np.copyto(out[start : start + _NARROW], part, casting="unsafe")
    return out if 0 <= bits <= 255 else None


def _fits_no_byte(ignore_index: int | None) -> bool:
    return ignore_index is not None and not 0 <= ignore_index <= 255


def _number_of(values: np.ndarray, wanted: int) -> int:
    info = np.iinfo(values.dtype)
    return int(np.count_nonzero(values == wanted)) if info.min <= wanted <= info.max else 0


def _count_pairs(
    pred: torch.Tensor, label: torch.Tensor, num_classes: int, ignore_index: int | None
) -> torch.Tensor:
    """Counts (C, C) of two flat maps, on their device.

    Raises:
        UserError: a counted pixel holds no class.
    """
    # Two bins after the C*C of the matrix take the ignored pixels and the impossible ones, so that one
    # pass counts and checks (a boolean selection would copy, and wait for the device, once more).
    bins = num_classes**2 + 2
    kind = torch.int32 if bins < 2**31 else torch.int64
    pair = label.to(kind) * num_classes + pred.to(kind)
    for values in (label, pred):
        wrong = _outside(values, num_classes)
        if wrong is not None:
            pair.masked_fill_(wrong, bins - 1)
    ignored = _equals(label, ignore_index)
    if ignored is not None:
        pair.masked_fill_(ignored, bins - 2)
    counts = torch.bincount(pair, minlength=bins)
    if counts[-1] > 0:
        _report_values(pred, label, ignored, num_classes, ignore_index)
    return counts[: num_classes**2].reshape(num_classes, num_classes)


def _outside(values: torch.Tensor, num_classes: int) -> torch.Tensor | None:
    """Where ``values`` are below 0 or above C - 1; None where their type has no such values."""
    info = torch.iinfo(values.dtype)
    below = values < 0 if info.min < 0 else None
    above = values >= num_classes if info.max >= num_classes else None
    if below is None or above is None:
        return above if below is None else below
    return below.logical_or_(above)


def _equals(label: torch.Tensor, ignore_index: int | None) -> torch.Tensor | None:
    """Where ``label`` is ``ignore_index``; None where its type has no such value."""
    info = torch.iinfo(label.dtype)
    if ignore_index is None or not info.min <= ignore_index <= info.max:
        return None
    return label == ignore_index


def _report_values(
    pred: torch.Tensor,
    label: torch.Tensor,
    ignored: torch.Tensor | None,
    num_classes: int,
    ignore_index: int | None,
) -> None:
    for what, values in (("label", label), ("prediction", pred)):
        values = values.long() if ignored is None else values[~ignored].long()
        wrong = values[(values < 0) | (values >= num_classes)]
        if len(wrong):
            shown = ", ".join(str(int(v)) for v in wrong.unique()[:8])
            also = "" if ignore_index is None else f" or {ignore_index} (ignored)" * (what == "label")
            raise UserError(
                f"a {what} holds {shown} in {len(wrong)} pixels, but its values are 0 to {num_classes - 1}"
                f"{also}; map the values to classes, or correct num_classes"
            )
    raise AssertionError("the counts found a value outside the classes that the values do not hold")
