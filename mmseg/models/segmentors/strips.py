"""From small logits to label maps on the CPU, strip by strip.

By the format's sequence the logits of a head (a quarter of the input's size, say) are resized to the input's
size, cut, resized to the image's original size, flipped back, turned into scores, and added up: five passes
over maps of full size with one channel per class, for each augmentation. But all steps before the scores are
linear and treat rows and columns alike, so that together they are one small matrix per axis, in which each
row has two or three neighbouring entries. Here these matrices are applied to some rows of the outcome at a
time, for all augmentations, and the classes of these rows are decided before the next ones are made. No map
of full size exists, and what is worked on stays in the cache. The outcome is the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

STRIP_VALUES = 2**20  # of one augmentation in a strip; 4 MB, about what the caches of a core hold
MOST_ROWS = 64
COLUMNS = 128  # of a block of the matrix that acts on rows

FLIPS = {"horizontal": (False, True), "vertical": (True, False), "diagonal": (True, True)}


@dataclass(frozen=True)
class View:
    """Small logits of one image, and the way from there to its original size.

    Attributes:
        logits: (C, h, w), float32.
        input_size: (h, w) to which they are resized first.
        kept: (h, w) at the top left that is kept of that; the rest is padding.
        flip: None, 'horizontal', 'vertical' or 'diagonal'.
    """

    logits: Tensor
    input_size: tuple[int, int]
    kept: tuple[int, int]
    flip: str | None = None


@dataclass(frozen=True)
class Block:
    """Some neighbouring rows of a matrix: ``out[first:last] = matrix @ x[start:stop]``."""

    first: int
    last: int
    start: int
    stop: int
    matrix: Tensor


def label_map(
    views: Sequence[View],
    size: tuple[int, int],
    align_corners: bool,
    decide: Callable[[Tensor], Tensor],
    score: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Label map (H, W), int64, of one image from all its views.

    Args:
        views: Logits with the same number of channels, on the CPU.
        size: (H, W) of the image.
        align_corners: Of both resizings.
        decide: (1, C, h, W) sums of scores to (1, h, W) labels.
        score: (1, C, h, W) logits to scores of that shape, in new memory; None decides by the logits, which
            is for a single view.
    """
    height, width = size
    channels = views[0].logits.shape[0]
    rows = max(1, min(MOST_ROWS, STRIP_VALUES // (channels * width)))
    down, across = [], []
    for view in views:
        upside_down, mirrored = FLIPS[view.flip] if view.flip else (False, False)
        (h, w), (mid_h, mid_w), (kept_h, kept_w) = view.logits.shape[1:], view.input_size, view.kept
        down.append(axis_blocks((h, mid_h, kept_h, height), rows, align_corners, upside_down))
        across.append(axis_blocks((w, mid_w, kept_w, width), COLUMNS, align_corners, mirrored))
    labels = torch.empty(height, width, dtype=torch.int64)
    strip = torch.empty(channels, rows, width)
    # torch.mm writes into parts of `strip`; autocast would make half precision of it.
    with torch.autocast("cpu", enabled=False):
        for number, block in enumerate(down[0]):
            total: Tensor | None = None
            out = strip[:, : block.last - block.first]
            if not out.is_contiguous():
                out = torch.empty(out.shape)
            for view, own_down, own_across in zip(views, down, across, strict=True):
                _resized_rows(view.logits, own_down[number], own_across, out)
                if score is None:  # then there is one view
                    total = out[None]
                elif total is None:
                    total = score(out[None])
                else:
                    total += score(out[None])
            labels[block.first : block.last] = decide(total)[0]
    return labels


def _resized_rows(logits: Tensor, rows: Block, columns: Sequence[Block], out: Tensor) -> None:
    """Fill ``out`` (C, rows, W) with these rows of the resized logits (C, h, w)."""
    part = torch.matmul(rows.matrix, logits[:, rows.start : rows.stop])
    part, flat = part.flatten(0, 1), out.flatten(0, 1)
    for block in columns:
        torch.mm(part[:, block.start : block.stop], block.matrix.t(), out=flat[:, block.first : block.last])


@lru_cache(maxsize=128)
def axis_blocks(
    lengths: tuple[int, int, int, int], block: int, align_corners: bool, flipped: bool
) -> tuple[Block, ...]:
    """What the resizings do along one axis, in blocks of ``block`` rows.

    Args:
        lengths: Of the small logits, of the input, of what is kept of it, and of the original image.
        block: Rows per block.
        align_corners: Of both resizings.
        flipped: Turn the outcome around.
    """
    small, middle, kept, final = lengths
    with torch.inference_mode(False), torch.no_grad():
        # The operator itself makes the matrix, out of the unit vectors, so that its weights are the same.
        units = torch.eye(small)[None]
        if middle != small:
            units = F.interpolate(units, middle, mode="linear", align_corners=align_corners)
        units = units[:, :, :kept]
        if final != kept:
            units = F.interpolate(units, final, mode="linear", align_corners=align_corners)
        matrix = units[0].t()
        if flipped:
            matrix = matrix.flip(0)
        blocks = []
        for first in range(0, final, block):
            rows = matrix[first : first + block]
            used = rows.ne(0).any(0).nonzero()[:, 0]
            start, stop = int(used[0]), int(used[-1]) + 1
            blocks.append(Block(first, first + len(rows), start, stop, rows[:, start:stop].contiguous()))
    return tuple(blocks)


def view_of(
    logits: Tensor, input_size: Sequence[int], meta: Mapping[str, Any] | None, flip: str | None
) -> View:
    """The :class:`View` of logits (C, h, w); without ``meta`` it ends at the input's size."""
    size = int(input_size[0]), int(input_size[1])
    kept = size if meta is None else (int(meta["img_shape"][0]), int(meta["img_shape"][1]))
    return View(logits, size, (min(kept[0], size[0]), min(kept[1], size[1])), flip)
