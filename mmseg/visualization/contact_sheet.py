"""Many small pictures on one sheet, with captions and the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmseg.visualization.layout import (
    FAINT,
    INK,
    PAPER,
    beside,
    fitted,
    lettering,
    mark_ignored,
    put,
    shortened,
)
from mmseg.visualization.overlay import Palette
from mmseg.visualization.palettes import colour_table

_MARGIN = 16
_SIZE = 13  # of the type
_SHEET_WIDTH = 1600  # that as many columns as fit are chosen for


@dataclass(frozen=True)
class Tile:
    """Some pictures that belong together and the lines below them.

    Attributes:
        pictures: BGR uint8 (h, w, 3) each, of any sizes; every tile of a sheet has as many.
        captions: The lines; the first is dark, the others are grey.
    """

    pictures: Sequence[np.ndarray]
    captions: Sequence[str] = ()


@dataclass(frozen=True)
class LegendEntry:
    """A class in the legend.

    Attributes:
        name: Its name.
        colour: RGB; None is the hatching of ignored pixels.
        note: Stands after the name in grey, such as its share.
    """

    name: str
    colour: Sequence[int] | None
    note: str = ""


def contact_sheet(
    tiles: Sequence[Tile],
    *,
    columns: int | None = None,
    pane_width: int = 240,
    title: str = "",
    legend: Sequence[LegendEntry] = (),
) -> np.ndarray:
    """Draw a sheet of tiles.

    Args:
        tiles: At least one.
        columns: Tiles in a row; None takes as many as fit into 1600 pixels.
        pane_width: Width of one picture in pixels; the height follows from the widest shape among them.
        title: Line above.
        legend: Entries below.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    shapes = [p.shape for tile in tiles for p in tile.pictures]
    pane_height = max(24, round(pane_width * min(1.25, max(h / w for h, w, *_ in shapes))))
    tile_width = len(tiles[0].pictures) * (pane_width + 2) - 2
    fit = max(1, (_SHEET_WIDTH - _MARGIN) // (tile_width + _MARGIN))
    columns = max(1, min(columns or fit, len(tiles)))
    width = columns * (tile_width + _MARGIN) + _MARGIN
    drawn = [_draw_tile(tile, pane_width, pane_height, tile_width) for tile in tiles]
    parts = [_row(drawn[i : i + columns], width) for i in range(0, len(drawn), columns)]
    if title:
        line = lettering(shortened(title, width - 2 * _MARGIN, _SIZE + 3), _SIZE + 3)
        parts.insert(0, _row([line], width))
    if legend:
        parts.append(_row([draw_legend(legend, width - 2 * _MARGIN)], width))
    foot = np.full((_MARGIN // 2, width, 3), PAPER, np.uint8)
    return np.concatenate([foot, *parts, foot])


def _draw_tile(tile: Tile, pane_width: int, pane_height: int, width: int) -> np.ndarray:
    panes = [fitted(picture, pane_width, pane_height, (225, 225, 225)) for picture in tile.pictures]
    height = round(1.4 * _SIZE)
    captions = np.full((height * len(tile.captions) + 3, width, 3), PAPER, np.uint8)
    for i, text in enumerate(tile.captions):
        put(captions, lettering(shortened(text, width, _SIZE), _SIZE, FAINT if i else INK), 0, 3 + i * height)
    return np.concatenate([beside(panes), captions])


def _row(drawn: Sequence[np.ndarray], width: int) -> np.ndarray:
    height = max(picture.shape[0] for picture in drawn)
    row = np.full((height + _MARGIN, width, 3), PAPER, np.uint8)
    left = _MARGIN
    for picture in drawn:
        put(row, picture, left, _MARGIN // 2)
        left += picture.shape[1] + _MARGIN
    return row


def draw_legend(entries: Sequence[LegendEntry], width: int) -> np.ndarray:
    """Draw colour fields with names in as many columns as fit: (H, ``width``, 3) uint8 BGR."""
    lines = [_entry(entry, width) for entry in entries]
    widest = max(line.shape[1] for line in lines) + 2 * _SIZE
    columns = max(1, min(len(lines), width // widest))
    rows = -(-len(lines) // columns)
    height = lines[0].shape[0] + 4
    picture = np.full((rows * height, width, 3), PAPER, np.uint8)
    for i, line in enumerate(lines):
        put(picture, line, (i // rows) * widest, (i % rows) * height)
    return picture


def _entry(entry: LegendEntry, width: int) -> np.ndarray:
    height = round(1.4 * _SIZE)
    field = np.full((height, 2 * _SIZE, 3), 160, np.uint8)
    if entry.colour is None:
        field = mark_ignored(field, np.ones(field.shape[:2], bool))
    else:
        field[:] = np.array(entry.colour, np.uint8)[::-1]
    cv2.rectangle(field, (0, 0), (field.shape[1] - 1, height - 1), (150, 150, 150))
    parts = [field, lettering(shortened(" " + entry.name, width / 2, _SIZE), _SIZE)]
    if entry.note:
        parts.append(lettering("  " + entry.note, _SIZE, FAINT))
    return np.concatenate(parts, axis=1)


def class_legend(
    names: Sequence[str], palette: Palette, counts: np.ndarray | None = None, ignored: int = 0
) -> list[LegendEntry]:
    """Legend entries of classes, with their share of the counted pixels, and one of what is ignored.

    Args:
        names: C names.
        palette: RGB colours of the classes; those that are missing are made up.
        counts: (C,) pixels of each class; None leaves the shares out.
        ignored: Pixels of no class; 0 leaves the entry out.
    """
    colours = colour_table(palette, len(names))[: len(names), ::-1].tolist()
    total = 0 if counts is None else int(np.sum(counts)) + ignored
    notes = [""] * len(names) if not total else [share(int(c), total) for c in counts]
    entries = [LegendEntry(str(n), c, s) for n, c, s in zip(names, colours, notes, strict=True)]
    if ignored:
        entries.append(LegendEntry("ignored", None, share(ignored, total)))
    return entries


def share(count: int, total: int) -> str:
    """``count`` of ``total`` in percent, so that little is told from nothing."""
    if not count:
        return "none"
    percent = 100 * count / total
    return f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"
