"""Where errors sit: by distance to a boundary, by size of the object, by place in the image."""

from __future__ import annotations

import cv2
import numpy as np

from mmseg.core.evaluation.error_places import DISTANCES, SIZES, ErrorPlaces

from .facts import Facts
from .html import Cell, absent, bar, data_uri, esc, figure, number, percent, section, table


def places(facts: Facts) -> str:
    """Three views on the wrong pixels."""
    run, anchor, title = facts.run, f"{facts.prefix}places", "Where the errors sit"
    if run.places is None:
        return absent(anchor, title, run.missing.get("places", "the results do not say where errors sit"))
    body = _distance(run.places) + _size(run.places) + _frame(run.places)
    return section(anchor, title, "", f'<div class="charts">{body}</div>')


def _distance(found: ErrorPlaces) -> str:
    names = ["touching (1)", *(f"{a + 1} – {b}" if b > a + 1 else f"{b}" for a, b in _pairs(DISTANCES))]
    names.append(f"over {DISTANCES[-1]}")
    pixels, wrong = found.distance.T
    rates = _rates(wrong, pixels)
    rows = [
        [
            Cell(esc(name), float(i)),
            Cell(bar(rates[i], kind="bad", scale=_top(rates)), rates[i], "wide"),
            number(rates[i]),
            number(_share(wrong, i)),
            number(_share(pixels, i)),
        ]
        for i, name in enumerate(names)
    ]
    header = [
        ("Pixels to a boundary", ""),
        ("Wrong", "bar"),
        ("%", "share of these pixels that are wrong"),
        ("Of errors", "share of all wrong pixels, in %"),
        ("Of pixels", "share of all pixels, in %"),
    ]
    return figure(
        table("Errors by distance to the nearest class boundary", header, rows, kind="small"),
        "At boundaries or inside",
        "A high rate only near boundaries means ragged outlines; a high rate inside means whole areas are "
        "confused.",
    )


def _size(found: ErrorPlaces) -> str:
    ends = [f"{100 * s:g} %" for s in SIZES]
    names = [f"under {ends[0]}", *(f"{a} – {b}" for a, b in _pairs(ends)), f"over {ends[-1]}"]
    regions, hits, pixels, wrong = found.size.T
    right = 1 - _rates(wrong, pixels)
    detected = _rates(hits, regions)
    rows = [
        [
            Cell(esc(name), float(i)),
            Cell(bar(right[i]), right[i], "wide"),
            number(right[i]),
            number(detected[i]),
            Cell(f"{int(regions[i]):,}", float(regions[i])),
            number(_share(wrong, i)),
        ]
        for i, name in enumerate(names)
    ]
    header = [
        ("Region, of the image", ""),
        ("Right", "bar"),
        ("%", "share of the regions' pixels that are right"),
        ("Found", "regions of which at least half is right, in %"),
        ("Regions", "connected areas of one class in the masks"),
        ("Of errors", "share of all wrong pixels, in %"),
    ]
    return figure(
        table("Errors by size of the region", header, rows, kind="small"),
        "Small or large objects",
        "A region is a connected area of one class; its size is its share of the image.",
    )


def _frame(found: ErrorPlaces) -> str:
    pixels, wrong = found.grid[..., 0], found.grid[..., 1]
    # Cells that are nearly always ignored, as the hood of a car, would outshine the others by chance.
    rates = np.where(pixels >= 0.05 * pixels.mean(), _rates(wrong, pixels), np.nan)
    top = float(np.nanmax(rates)) if np.isfinite(rates).any() else 0.0
    rows = _rates(wrong.sum(1), pixels.sum(1))
    bars = "".join(
        f'<i style="width:{100 * (rate / (_top(rows))):.1f}%" '
        f'data-tip="{esc(_row_tip(i, rate, len(rows)))}"></i>'
        if np.isfinite(rate)
        else "<i></i>"
        for i, rate in enumerate(rows)
    )
    finite = [i for i in range(len(rows)) if np.isfinite(rows[i])]
    words = "There is no counted pixel."
    if finite:
        worst, best = max(finite, key=lambda i: rows[i]), min(finite, key=lambda i: rows[i])
        words = (
            f"Most errors {_band(worst, len(rows))} of the height ({percent(rows[worst])} % wrong), fewest "
            f"{_band(best, len(rows))} ({percent(rows[best])} %)."
        )
    picture = (
        f'<img src="{_heat(rates, top)}" alt="Share of wrong pixels by place in the image. {esc(words)}">'
        '<div class="rows" role="img" aria-label="Share of wrong pixels per row of the image. '
        f'{esc(words)}">{bars}</div>'
    )
    half = _rates(_halves(wrong), _halves(pixels))
    note = (
        f"{esc(words)} Left: all images laid over each other, full colour is {percent(top)} % wrong; right: "
        "the mean "
        f"of each row. Upper half {percent(half[0])} % wrong, lower half {percent(half[1])} %."
    )
    return figure(f'<div class="frame">{picture}</div>', "Where in the frame", note, "all")


def _halves(grid: np.ndarray) -> np.ndarray:
    middle = len(grid) // 2
    return np.array([grid[:middle].sum(), grid[middle:].sum()])


def _band(row: int, rows: int) -> str:
    return f"at {100 * row / rows:.0f} – {100 * (row + 1) / rows:.0f} %"


def _row_tip(row: int, rate: float, rows: int) -> str:
    return f"{100 * row / rows:.0f} – {100 * (row + 1) / rows:.0f} % from the top: {percent(rate)} % wrong"


def _heat(rates: np.ndarray, top: float) -> str:
    """A picture of one pixel per cell, as opaque as the cell is wrong."""
    alpha = np.nan_to_num(255 * rates / (top or 1.0)).round().astype(np.uint8)
    colour = np.full((*rates.shape, 3), (30, 84, 217), np.uint8)  # BGR
    return data_uri(cv2.imencode(".png", np.dstack([colour, alpha]))[1].tobytes(), "png")


def _rates(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return part / whole


def _share(values: np.ndarray, i: int) -> float:
    return float(values[i] / values.sum()) if values.sum() else float("nan")


def _top(rates: np.ndarray) -> float:
    """The largest rate, where a bar is as long as its field."""
    finite = rates[np.isfinite(rates)]
    return float(finite.max()) if len(finite) and finite.max() > 0 else 1.0


def _pairs(values: tuple | list) -> list[tuple]:
    return list(zip(values[:-1], values[1:], strict=True))
