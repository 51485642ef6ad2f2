"""The last look at a training sample, in the worker that made it: before a CUDA assert, before a NaN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmseg.utils.errors import UserError

_LARGEST = 65504.0  # of float16; an image after Normalize stays below 10, before it below 65536
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)
_TRANSFORM = "look at your own transforms in the pipeline (tools/browse_dataset.py shows what they give)"


def check_sample(sample: Any, dataset: Any, name: str) -> None:
    """Raise where a training sample would stop the run later, on the device, without a name.

    ``img`` must be a tensor (C, H, W) of floats that are finite and below 65504 in size, with pixels;
    ``gt_semantic_seg`` int64 with classes of ``dataset.CLASSES`` and ``dataset.ignore_index``. What is not
    there, and lists over augmentations, go unchecked.

    Args:
        sample: The end of a pipeline.
        dataset: Whose sample it is.
        name: Its file, for messages.

    Raises:
        UserError: what is wrong with which file.
    """
    if not isinstance(sample, dict):
        return
    img, label = sample.get("img"), sample.get("gt_semantic_seg")
    if isinstance(img, Tensor):
        _check_image(img, name)
    if isinstance(label, Tensor):
        classes = getattr(dataset, "CLASSES", None)
        ignored = getattr(dataset, "ignore_index", 255)
        _check_labels(label, None if classes is None else len(classes), int(ignored), name)


def _check_image(img: Tensor, name: str) -> None:
    if not img.numel():
        raise UserError(f"the image of {name} is empty after the pipeline, {_size(img)}; {_TRANSFORM}")
    if img.dtype not in _FLOATS:
        raise UserError(
            f"the image of {name} is {_dtype(img)} after the pipeline, and the model takes float32; "
            "is Normalize missing, or does a transform after it change the type?"
        )
    low, high = (float(v) for v in torch.aminmax(img))  # NaN where there is one
    if not (low >= -_LARGEST and high <= _LARGEST):
        bad = int((~torch.isfinite(img)).sum())
        if bad:
            raise UserError(
                f"the image of {name} has {bad} values that are NaN or infinite after the pipeline; is a "
                f"`std` of Normalize 0? Else {_TRANSFORM}"
            )
        raise UserError(
            f"the image of {name} has values from {low:.6g} to {high:.6g} after the pipeline, which is out "
            f"of range; {_TRANSFORM}"
        )


def _check_labels(label: Tensor, classes: int | None, ignored: int, name: str) -> None:
    if not label.numel():
        raise UserError(f"the mask of {name} is empty after the pipeline, {_size(label)}; {_TRANSFORM}")
    if label.dtype is not torch.int64:
        raise UserError(
            f"the mask of {name} is {_dtype(label)} after the pipeline, and the loss takes int64; end the "
            "pipeline with DefaultFormatBundle"
        )
    if classes is None:
        return
    low, high = (int(v) for v in torch.aminmax(label))
    if low >= 0 and high < classes:
        return
    if low >= 0 and high <= 255:  # the usual case: ignored pixels. One byte each is a fast pass.
        small = label.to(torch.uint8)
        high = int(small.masked_fill_(small == ignored, 0).amax()) if 0 <= ignored <= 255 else high
        if high < classes:
            return
    wrong = torch.unique(label[(label != ignored) & ((label < 0) | (label >= classes))]).tolist()
    if wrong:
        shown = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
        raise UserError(
            f"the mask of {name} holds {shown} after the pipeline, which is neither a class (0 to "
            f"{classes - 1}) nor ignore_index ({ignored}); does a transform change the labels, or does Pad "
            "fill with another `seg_pad_val`?"
        )


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
