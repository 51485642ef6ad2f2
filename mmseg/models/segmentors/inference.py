"""From images to label maps: whole and sliding windows, flips, several scales.

Logits are brought to the original size, soft-max scores are averaged there over the augmentations
of an image, and the class of the highest score is taken, all on the model's device. With one logit per
pixel (``task='binary'``) the scores are sigmoids, and the threshold decides.

With ``model.exact`` every augmentation goes through the model by itself, and every step gives a map of full
size. Without it images of equal size go through together, and on the CPU the way from the logits of whole
images to the label map is that of :mod:`mmseg.models.segmentors.strips`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmseg.models.layers.resize import resize_unless_same
from mmseg.models.segmentors.strips import FLIPS, View, label_map, view_of
from mmseg.utils.errors import UserError

if TYPE_CHECKING:
    from mmseg.models.segmentors.base import BaseSegmentor

Metas = Sequence[Mapping[str, Any]]

# Windows of one image run together as long as they hold no more pixels than this.
PIXELS_AT_ONCE = 2**21


def scores_of(logits: Tensor) -> Tensor:
    """Class scores (N, C, H, W), each in [0, 1], of logits of the same shape.

    One channel (``task='binary'``) becomes the probability of the foreground.
    """
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def labels_of(scores: Tensor, threshold: float | None = None) -> Tensor:
    """Label maps (N, H, W), int64.

    Args:
        scores: Scores or logits (N, C, H, W); with ``threshold`` probabilities of the foreground
            (N, 1, H, W).
        threshold: Probability above which a pixel is foreground; None takes the class of the highest
            score.
    """
    if threshold is not None:
        return (scores[:, 0] > threshold).long()
    return scores.max(dim=1).indices  # argmax, but several times as fast on the CPU


def threshold_of(model: BaseSegmentor) -> float | None:
    """The threshold of a model with ``task='binary'``: that of its (last) decode head; else None."""
    head = getattr(model, "decode_head", None)
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return getattr(head, "threshold", None)


@torch.no_grad()
def predict(
    model: BaseSegmentor, imgs: Sequence[Tensor], img_metas: Sequence[Metas], rescale: bool = True
) -> list[Tensor]:
    """Label maps (H, W), int64, of N images seen through several augmentations.

    Args:
        imgs: Per augmentation one batch (N, C, h, w).
        img_metas: Per augmentation N dictionaries.
        rescale: Label maps of the original size.

    Raises:
        UserError: several augmentations without ``rescale``.
    """
    if len(imgs) > 1 and not rescale:
        raise UserError("scores of several augmentations are averaged at the original size: use rescale=True")
    exact = getattr(model, "exact", False)
    whole = (model.test_cfg or {}).get("mode", "whole") == "whole"  # windows have logits of full size
    if imgs[0].device.type == "cpu" and whole and not exact:
        return _predict_in_strips(model, imgs, img_metas, rescale)
    threshold = threshold_of(model)
    if len(imgs) == 1:
        logits = logits_of(model, imgs[0], img_metas[0])
        metas = img_metas[0]
        parts = _at_original_size(logits, metas, model.align_corners) if rescale else logits.split(1)
        if threshold is not None:
            parts = (scores_of(part) for part in parts)  # the highest logit has the highest soft-max, too
        return [labels_of(unflip(p, m), threshold)[0] for p, m in zip(parts, metas, strict=True)]
    sums: list[Tensor | None] = [None] * len(imgs[0])
    for group in [[i] for i in range(len(imgs))] if exact else same_size(imgs):
        batch = joined([imgs[i] for i in group])
        metas = [meta for i in group for meta in img_metas[i]]
        logits = logits_of(model, batch, metas)
        for k, part in enumerate(_at_original_size(logits, metas, model.align_corners)):
            scores, image = unflip(scores_of(part), metas[k]), k % len(sums)
            sums[image] = scores if sums[image] is None else sums[image].add_(scores)
    if threshold is not None:
        sums = [total.div_(len(imgs)) for total in sums]
    return [labels_of(total, threshold)[0] for total in sums]


def _predict_in_strips(
    model: BaseSegmentor, imgs: Sequence[Tensor], img_metas: Sequence[Metas], rescale: bool
) -> list[Tensor]:
    """:func:`predict` on the CPU: all forward passes first, then each image strip by strip."""
    threshold, several = threshold_of(model), len(imgs) > 1
    views: list[list[View]] = [[] for _ in imgs[0]]
    sizes = []
    for group in same_size(imgs):
        batch = joined([imgs[i] for i in group])
        metas = [meta for i in group for meta in img_metas[i]]
        logits = model.small_logits(batch, metas).float()
        for k, (own, meta) in enumerate(zip(logits, metas, strict=True)):
            views[k % len(views)].append(
                view_of(own, batch.shape[2:], meta if rescale else None, flip_of(meta))
            )
    for first, meta in zip(views, img_metas[0], strict=True):
        sizes.append(tuple(meta["ori_shape"][:2]) if rescale else first[0].input_size)

    def decide(scores: Tensor) -> Tensor:
        return labels_of(scores if threshold is None else scores.div_(len(imgs)), threshold)

    score = scores_of if several or threshold is not None else None  # see predict
    align_corners = model.align_corners
    return [label_map(v, size, align_corners, decide, score) for v, size in zip(views, sizes, strict=True)]


def inference(model: BaseSegmentor, img: Tensor, img_metas: Metas, rescale: bool) -> Tensor:
    """Scores (N, C, H, W) of one batch whose images have one original size, flipped back."""
    if rescale and len({tuple(m["ori_shape"][:2]) for m in img_metas}) > 1:
        raise UserError("the images of this batch have different original sizes; use forward_test")
    logits = logits_of(model, img, img_metas)
    if rescale:
        logits = torch.cat(list(_at_original_size(logits, img_metas, model.align_corners)))
    scores = scores_of(logits)
    return torch.cat([unflip(s, m) for s, m in zip(scores.split(1), img_metas, strict=True)])


def logits_of(model: BaseSegmentor, img: Tensor, img_metas: Metas | None) -> Tensor:
    """Logits (N, C, H, W) at the input's size, by the mode of ``model.test_cfg``."""
    test_cfg = model.test_cfg or {}
    mode = test_cfg.get("mode", "whole")
    if mode == "whole":
        return model.encode_decode(img, img_metas)
    if mode != "slide":
        raise UserError(f"test_cfg.mode is 'whole' or 'slide', not {mode!r}")
    return slide_logits(model, img, img_metas, _pair(test_cfg, "crop_size"), _pair(test_cfg, "stride"))


def slide_logits(
    model: BaseSegmentor,
    img: Tensor,
    img_metas: Metas | None,
    crop_size: tuple[int, int],
    stride: tuple[int, int],
) -> Tensor:
    """Logits averaged over windows of ``crop_size`` (h, w), ``stride`` apart.

    The last windows are moved back to end at the image's border; an image smaller than a window is
    one window.
    """
    n, _, height, width = img.shape
    h, w = min(crop_size[0], height), min(crop_size[1], width)
    corners = [
        (y, x)
        for y in window_starts(height, crop_size[0], stride[0])
        for x in window_starts(width, crop_size[1], stride[1])
    ]
    at_once = max(1, PIXELS_AT_ONCE // (n * h * w))
    total, count = None, img.new_zeros((1, 1, height, width))
    for first in range(0, len(corners), at_once):
        chosen = corners[first : first + at_once]
        windows = torch.cat([img[:, :, y : y + h, x : x + w] for y, x in chosen])
        metas = None if img_metas is None else list(img_metas) * len(chosen)
        logits = model.encode_decode(windows, metas)
        if total is None:
            total = logits.new_zeros((n, logits.shape[1], height, width))
        for (y, x), part in zip(chosen, logits.split(n), strict=True):
            total[:, :, y : y + h, x : x + w] += part
            count[:, :, y : y + h, x : x + w] += 1
    return total.div_(count)


def window_starts(length: int, crop: int, stride: int) -> list[int]:
    """First positions of windows of ``crop`` that cover ``length``, ``stride`` apart."""
    number = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride + crop, length) - crop, 0) for i in range(number)]


def to_original(logits: Tensor, meta: Mapping[str, Any], align_corners: bool) -> Tensor:
    """Cut the padding off and resize (N, C, h, w) to the image's original size."""
    height, width = meta["img_shape"][:2]
    size = meta["ori_shape"][:2]
    return resize_unless_same(logits[:, :, :height, :width], size, "bilinear", align_corners)


def unflip(x: Tensor, meta: Mapping[str, Any]) -> Tensor:
    """Undo the flip that ``meta`` tells of; x is (N, C, H, W)."""
    direction = flip_of(meta)
    dims = {"horizontal": (3,), "vertical": (2,), "diagonal": (2, 3)}
    return x if direction is None else x.flip(dims[direction])


def flip_of(meta: Mapping[str, Any]) -> str | None:
    """The direction of the flip that ``meta`` tells of; None without a flip."""
    if not meta.get("flip"):
        return None
    direction = meta.get("flip_direction") or "horizontal"
    if direction not in FLIPS:
        raise UserError(f"flip_direction is one of {', '.join(FLIPS)}, not {direction!r}")
    return direction


def joined(batches: Sequence[Tensor]) -> Tensor:
    """The batches (N, C, H, W) as one; without a copy where they lie one behind the other in memory."""
    first = batches[0]
    if len(batches) == 1:
        return first
    behind = first.storage_offset()
    for batch in batches:
        beside = batch.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not beside or not batch.is_contiguous() or batch.storage_offset() != behind:
            return torch.cat(list(batches))
        behind += batch.numel()
    size = (sum(map(len, batches)), *first.shape[1:])
    return first.as_strided(size, (size[1] * size[2] * size[3], size[2] * size[3], size[3], 1))


def same_size(imgs: Sequence[Tensor]) -> list[list[int]]:
    """Indices of ``imgs``, those of equal size together, in order of their first."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, img in enumerate(imgs):
        groups.setdefault(tuple(img.shape[1:]), []).append(i)
    return list(groups.values())


def _at_original_size(logits: Tensor, metas: Metas, align_corners: bool) -> Iterator[Tensor]:
    """One (1, C, H, W) per image, one at a time, so that few of full size exist together."""
    for k, meta in enumerate(metas):
        yield to_original(logits[k : k + 1], meta, align_corners)


def _pair(test_cfg: Mapping[str, Any], key: str) -> tuple[int, int]:
    value = test_cfg.get(key)
    if isinstance(value, int):
        value = (value, value)
    if not isinstance(value, list | tuple) or len(value) != 2 or min(value) < 1:
        raise UserError(f"test_cfg.{key} must be (height, width) in pixels for mode='slide', not {value!r}")
    return int(value[0]), int(value[1])
