"""What the page to try a model does, without the page: an upload becomes labels, a legend and pictures."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.visualization.overlay import Palette, overlay
from mmseg.visualization.palettes import colour_table

from .inference import inference_segmentor
from .uploads import read_upload


@dataclass(frozen=True)
class Segmented:
    """An image and what a model sees in it.

    Attributes:
        name: Of the file.
        image: (H, W, 3) uint8, BGR.
        labels: (H, W) class indices, of the smallest unsigned type that holds them.
        notes: What was done to an unusual file, in sentences.
        seconds: What the model took, its pre-processing with it.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class LegendRow:
    """A class: its index, name, colour (R, G, B), pixels, and their share of the image from 0 to 1."""

    label: int
    name: str
    colour: tuple[int, int, int]
    pixels: int
    share: float


def segment_upload(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    max_pixels: int = 16_000_000,
) -> Segmented:
    """Read a file that somebody chose and segment it.

    Args:
        model: From ``init_segmentor``.
        path: The file.
        name: How messages and results call it; by default the file's own name.
        max_pixels: Larger images are refused before they are decoded.

    Raises:
        UserError: the file is no image that can be read, is too large, or the model cannot take it.
    """
    name = name or os.path.basename(os.fspath(path))
    image, notes = read_upload(path, name=name, max_pixels=max_pixels)
    height, width = image.shape[:2]
    start = time.perf_counter()
    try:
        (labels,) = inference_segmentor(model, image)
    except (MemoryError, torch.OutOfMemoryError):
        raise UserError(
            f"{name} ({width} x {height}) needs more memory than there is; make it smaller"
        ) from None
    except Exception as error:  # whatever a model does with an odd size; the page must go on
        if not isinstance(error, UserError):
            get_root_logger().warning(f"{name} ({width} x {height}): {type(error).__name__}: {error}")
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"the model cannot segment {name} ({width} x {height}): {reason}") from None
    seconds = time.perf_counter() - start
    small = np.asarray(labels).astype(np.min_scalar_type(int(np.max(labels))))
    return Segmented(name, image, small, tuple(notes), seconds)


def legend_rows(
    labels: np.ndarray, classes: Sequence[str] | None = None, palette: Palette = None
) -> list[LegendRow]:
    """Count the pixels of each class.

    Args:
        labels: (H, W) class indices from 0.
        classes: Names; ``class 3`` where there is none.
        palette: One RGB triple per class; colours that are missing are those of the overlay.

    Returns:
        One row per class, the largest first; those without a pixel at the end, in their own order.
    """
    names = list(classes or ())
    counts = np.bincount(labels.ravel(), minlength=len(names))
    names += [f"class {label}" for label in range(len(names), len(counts))]
    colours = colour_table(palette, len(counts))[:, ::-1]
    rows = [
        LegendRow(label, str(name), tuple(map(int, colours[label])), int(n), int(n) / max(1, labels.size))
        for label, (name, n) in enumerate(zip(names, counts, strict=True))
    ]
    return sorted(rows, key=lambda row: -row.pixels)


def blend(image: np.ndarray, labels: np.ndarray, palette: Palette = None, opacity: float = 0.5) -> np.ndarray:
    """Lay the colours of ``labels`` over ``image`` (BGR); no model is needed. ``opacity`` is from 0 to 1.

    Raises:
        UserError: sizes differ, or ``opacity`` is out of range.
    """
    if opacity == 0:
        return image.copy()
    return overlay(image, labels, palette, opacity=opacity, ignore_index=None)


def legend_html(rows: Sequence[LegendRow]) -> str:
    """Draw :func:`legend_rows` as a table of HTML; absent classes are one line below it."""
    lines = []
    largest = max((row.share for row in rows), default=0) or 1
    for row in rows:
        if not row.pixels:
            continue
        colour = "#{:02x}{:02x}{:02x}".format(*row.colour)
        lines.append(
            f'<tr data-label="{row.label}"><th scope="row">'
            f'<i class="swatch" style="background:{colour}"></i>{html.escape(row.name)}</th>'
            f'<td class="meter" aria-hidden="true"><i style="width:{100 * row.share / largest:.1f}%;'
            f'background:{colour}"></i></td><td class="share">{percent(row.share)}</td></tr>'
        )
    absent = ", ".join(html.escape(row.name) for row in rows if not row.pixels)
    rest = f'<p class="absent">Not in this image: {absent}</p>' if absent else ""
    head = '<caption class="visually-hidden">Classes and their share of the pixels</caption>'
    return f'<table class="legend">{head}<tbody>{"".join(lines)}</tbody></table>{rest}'


def message_html(text: str, kind: str = "note") -> str:
    """A line of the page; ``kind`` is 'note' or 'error', which screen readers announce at once."""
    role = "alert" if kind == "error" else "status"
    return f'<div class="message {kind}" role="{role}">{html.escape(text)}</div>' if text else ""


def summary(result: Segmented) -> str:
    """What the page says of a result: name, size, time, and the notes."""
    height, width = result.labels.shape
    first = f"{result.name}: {width} x {height} pixels, segmented in {result.seconds:.2f} s."
    return " ".join([first, *result.notes])


def percent(share: float) -> str:
    """0.1234 as ``12.3 %``; what would round to nothing is ``< 0.1 %``."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"
