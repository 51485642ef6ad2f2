"""Training curves."""

from __future__ import annotations

import math
import re
from typing import Any

from .facts import Facts
from .html import Cell, absent, esc, figure, section, table
from .svg import Plot, legend

# What a chart can hold without becoming a thicket.
MOST_LINES = 6
MOST_DOTS = 60


def curves(facts: Facts) -> str:
    """Loss, learning rate and validation scores against iterations."""
    run, anchor, title = facts.run, f"{facts.prefix}curves", "Training"
    train, val = run.curves.get("train", []), run.curves.get("val", [])
    if not train and not val:
        return absent(anchor, title, run.missing.get("curves", "there is no log of the training"))
    charts = [
        _chart(
            "Loss",
            "loss",
            [
                *((name, _points(train, name)) for name in _losses(train)),
                *((f"validation {name}", _points(val, name)) for name in _losses(val)),
            ],
            from_zero=True,
        ),
        _chart(
            "Scores on the validation set",
            "%",
            # One evaluation is no curve; the sentence above has it.
            [
                (k, p)
                for k in ("mIoU", "mAcc", "aAcc", "mDice", "mFscore")
                if len(p := _points(val, k, 100)) > 1
            ],
        ),
        _chart(
            "Right pixels while training",
            "%",
            [(n, _points(train, n)) for n in _keys(train, r"(^|\.)acc_seg$")],
        ),
        _chart("Learning rate", "learning rate", [("lr", _points(train, "lr"))], from_zero=True),
    ]
    body = f'<div class="charts">{"".join(c for c in charts if c)}</div>{_evaluations(val)}'
    return section(anchor, title, _words(train, val), body)


def _words(train: list[dict[str, Any]], val: list[dict[str, Any]]) -> str:
    words = []
    losses = [r["loss"] for r in train if _is_number(r.get("loss"))]
    if losses:
        words.append(
            f"The loss went from {losses[0]:.3g} to {losses[-1]:.3g} in {train[-1]['iter']:,} iterations."
        )
    scored = [r for r in val if _is_number(r.get("mIoU"))]
    if scored:
        best = max(scored, key=lambda r: r["mIoU"])
        words.append(
            f"The best validation mIoU was {100 * best['mIoU']:.1f} % at iteration {best['iter']:,}."
        )
    return esc(" ".join(words))


def _losses(records: list[dict[str, Any]]) -> list[str]:
    """The total first, then its parts where there are several."""
    names = _keys(records, r"loss")
    parts = [n for n in names if n != "loss"]
    total = ["loss"] if "loss" in names else []
    return total + (parts if len(parts) > 1 or not total else [])


def _keys(records: list[dict[str, Any]], pattern: str) -> list[str]:
    return list(dict.fromkeys(k for r in records for k in r if re.search(pattern, k)))


def _points(records: list[dict[str, Any]], key: str, factor: float = 1) -> list[tuple[float, float]]:
    return [(r["iter"], factor * r[key]) for r in records if _is_number(r.get(key))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _chart(
    title: str, unit: str, series: list[tuple[str, list[tuple[float, float]]]], from_zero: bool = False
) -> str:
    series = [(name, points) for name, points in series if points][:MOST_LINES]
    if not series:
        return ""
    xs = [x for _, points in series for x, _ in points]
    ys = sorted(y for _, points in series for _, y in points)
    low, high = ys[0], ys[-1]
    low = min(0.0, low) if from_zero else low
    if unit == "%":
        low, high = max(0.0, low - 0.1 * (high - low) - 1), min(100.0, high + 0.1 * (high - low) + 1)
    first = 0 if min(xs) < 0.5 * max(xs) or max(xs) == min(xs) else min(xs)
    plot = Plot((first, max(xs)), (low, high if high > low else low + 1), "iteration", unit)
    for k, (name, points) in enumerate(series):
        plot.line(points, f"s{k}")
        step = max(1, math.ceil(len(points) / MOST_DOTS))
        for i in sorted({*range(0, len(points), step), len(points) - 1}):
            x, y = points[i]
            plot.dot(x, y, f"s{k}", f"{name} {y:.4g} at iteration {int(x):,}", 2 if len(points) > 20 else 3)
    ends = "; ".join(f"{name} from {points[0][1]:.4g} to {points[-1][1]:.4g}" for name, points in series)
    shown = legend([(f"s{k}", name) for k, (name, _) in enumerate(series)]) if len(series) > 1 else ""
    return figure(shown + plot.draw(f"{title}: {ends}"), esc(title))


def _evaluations(val: list[dict[str, Any]]) -> str:
    scored = [r for r in val if _is_number(r.get("mIoU"))]
    if len(scored) < 2:
        return ""
    keys = [k for k in ("mIoU", "mAcc", "aAcc") if any(_is_number(r.get(k)) for r in scored)]
    rows = [
        [Cell(f"{r['iter']:,}", float(r["iter"])), *(Cell(f"{100 * r[k]:.2f}", r[k]) for k in keys)]
        for r in scored
        if all(_is_number(r.get(k)) for k in keys)
    ]
    header = [("Iteration", ""), *((k, "in %") for k in keys)]
    body = table("Scores on the validation set by iteration", header, rows, limit=10)
    return f"<details><summary>The evaluations in numbers</summary>{body}</details>"
