"""Pieces of HTML: escaped text, numbers, tables, pictures."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

NONE = "–"


def esc(text: Any) -> str:
    """``text`` as it may stand in HTML, also inside quotes."""
    return html.escape(str(text), quote=True)


def percent(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """0.1234 as ``12.3``; a dash for NaN and None."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{100 * value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def short(number: float | None) -> str:
    """A large number as ``1.2 k``, ``3.4 M``, ``5.6 G``."""
    if number is None or not math.isfinite(number):
        return NONE
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.{1 if abs(number) < 100 * size else 0}f} {unit}"
    return f"{number:g}"


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of an image as a ``data:`` address."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def swatch(rgb: Sequence[int]) -> str:
    """A small field in the colour of a class."""
    return f'<i class="swatch" style="background:rgb({",".join(map(str, rgb))})"></i>'


def bar(
    value: float,
    low: float | None = None,
    high: float | None = None,
    kind: str = "",
    scale: float = 1.0,
) -> str:
    """A horizontal bar of ``value / scale``, with a whisker from ``low`` to ``high``; for the eye only."""
    if not math.isfinite(value):
        return '<span class="bar" aria-hidden="true"></span>'
    whisker = ""
    if low is not None and high is not None and high > low:  # NaN is not
        left, width = 100 * low / scale, 100 * (high - low) / scale
        whisker = f'<b style="left:{left:.2f}%;width:{width:.2f}%"></b>'
    fill = f'<i class="{kind}" style="width:{100 * max(0.0, min(1.0, value / scale)):.2f}%"></i>'
    return f'<span class="bar" aria-hidden="true">{fill}{whisker}</span>'


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it shows as HTML, and the value by which it is sorted."""

    html: str
    value: float | str | None = None
    kind: str = "num"


def number(value: float | None, digits: int = 1, sign: bool = False) -> Cell:
    """A share as a cell in percent."""
    return Cell(percent(value, digits, sign), value)


def text(value: Any, kind: str = "") -> Cell:
    """Plain text as a cell."""
    return Cell(esc(value), str(value).lower(), kind)


def table(
    caption: str,
    header: Sequence[tuple[str, str]],
    rows: Iterable[Sequence[Cell]],
    *,
    kind: str = "",
    sorted_by: tuple[int, str] | None = None,
    limit: int | None = None,
) -> str:
    """A table that a click on a header sorts; the first cell of each row is its header.

    Args:
        caption: What the table holds, for those who cannot see it.
        header: Per column its title and what it means (may be empty).
        sorted_by: The column that the rows are sorted by already, and ``ascending`` or ``descending``.
        limit: Rows beyond it are folded away behind a button.
    """
    columns = []
    rows = list(rows)
    for i, (title, meaning) in enumerate(header):
        right = ' class="num"' if rows and i and rows[0][i].kind == "num" else ""
        order = f' aria-sort="{sorted_by[1]}"' if sorted_by and sorted_by[0] == i else ""
        hint = f' title="{esc(meaning)}"' if meaning else ""
        columns.append(f'<th scope="col"{right}{order}><button type="button"{hint}>{title}</button></th>')
    lines = []
    for i, row in enumerate(rows):
        folded = ' class="folded"' if limit is not None and i >= limit else ""
        cells = "".join(_cell(cell, first=k == 0) for k, cell in enumerate(row))
        lines.append(f"<tr{folded}>{cells}</tr>")
    more = ""
    if limit is not None and len(lines) > limit:
        more = f'<button type="button" class="more">Show all {len(lines)} rows</button>'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f'<table class="sortable {kind}"><caption>{esc(caption)}</caption>'
        f"<thead><tr>{''.join(columns)}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>{more}"
    )


def _cell(cell: Cell, first: bool) -> str:
    value = cell.value
    if isinstance(value, float) and not math.isfinite(value):
        value = ""
    if isinstance(value, float):
        value = f"{value:.6g}"
    attribute = "" if value is None else f' data-v="{esc(value)}"'
    kind = f' class="{cell.kind}"' if cell.kind else ""
    return (
        f'<th scope="row"{kind}{attribute}>{cell.html}</th>'
        if first
        else f"<td{kind}{attribute}>{cell.html}</td>"
    )


def section(anchor: str, title: str, lead: str, body: str, wide: bool = True) -> str:
    """A section of the page: ``lead`` is a sentence in HTML that says what is seen."""
    lead = f'<p class="lead">{lead}</p>' if lead else ""
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title" class="{"wide" if wide else ""}">'
        f'<h2 id="{anchor}-title">{esc(title)}</h2>{lead}{body}</section>'
    )


def absent(anchor: str, title: str, reason: str) -> str:
    """The place of a section that is missing, and why."""
    return section(anchor, title, "", f'<p class="absent">Not in this report: {esc(reason)}.</p>')


def figure(body: str, title: str, note: str = "", kind: str = "") -> str:
    """A chart with its title above and a note below, both HTML."""
    note = f'<p class="note">{note}</p>' if note else ""
    return f'<figure class="card {kind}"><figcaption>{title}</figcaption>{body}{note}</figure>'
