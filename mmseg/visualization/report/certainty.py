"""Calibration: is the model right as often as it claims?"""

from __future__ import annotations

import math

from .facts import Facts
from .html import Cell, absent, esc, figure, number, percent, section, short, swatch, table
from .svg import Plot, legend


def certainty(facts: Facts) -> str:
    """Reliability curve, histogram of confidence, and the same per predicted class."""
    run, anchor, title = facts.run, f"{facts.prefix}certainty", "How sure it is"
    if facts.calibration is None:
        reason = run.missing.get("calibration", "the results hold no confidences")
        return absent(anchor, title, reason)
    c = facts.calibration
    lead = (
        "Pixels are grouped by the probability that the model gave its own prediction. Were it calibrated, "
        "the bars "
        f"would end on the diagonal. ECE is {percent(c.ece)} %, the largest gap of a bin {percent(c.mce)} "
        "points."
    )
    body = f'<div class="charts">{_reliability(facts)}{_histogram(facts)}</div>{_classes(facts)}'
    return section(anchor, title, esc(lead), body)


def _reliability(facts: Facts) -> str:
    c = facts.calibration
    plot = Plot((0, 100), (0, 100), "confidence, %", "right pixels, %", height=300)
    width = 100 / len(c.count)
    for i, (count, mean, right) in enumerate(zip(c.count, c.confidence, c.accuracy, strict=True)):
        if not count:
            continue
        edges = (i * width + 0.4, (i + 1) * width - 0.4)
        tip = (
            f"confidence {100 * mean:.1f} %: right in {100 * right:.1f} % "
            f"({percent(count / c.count.sum(), 2)} % of the pixels)"
        )
        # Bins with hardly a pixel are drawn pale: their share of right pixels is chance.
        rare = " rare" if count < c.count.sum() / 1000 else ""
        plot.box(edges, (0, 100 * right), f"bin{rare}", tip)
        plot.box(edges, (100 * right, 100 * mean), f"{'sure' if mean > right else 'unsure'}{rare}", tip)
    plot.line([(0, 0), (100, 100)], "ideal")
    text = f"Reliability curve: ECE {percent(c.ece)} %. " + " ".join(
        f"At {100 * m:.0f} % confidence {100 * a:.0f} % are right."
        for n, m, a in zip(c.count, c.confidence, c.accuracy, strict=True)
        if n
    )
    shown = legend(
        [
            ("box bin", "right pixels"),
            ("box sure", "too sure"),
            ("box unsure", "too unsure"),
            ("ideal", "calibrated"),
        ]
    )
    return figure(shown + plot.draw(text), "Reliability curve", "Pale: fewer than one in a thousand pixels.")


def _histogram(facts: Facts) -> str:
    c = facts.calibration
    shares = 100 * c.count / max(1, c.count.sum())
    plot = Plot((0, 100), (0, float(shares.max()) or 1), "confidence, %", "pixels, %", height=300)
    width = 100 / len(shares)
    for i, share in enumerate(shares):
        tip = f"confidence {i * width:.0f} – {(i + 1) * width:.0f} %: {share:.2f} % of the pixels"
        plot.box((i * width + 0.4, (i + 1) * width - 0.4), (0, float(share)), "bin", tip)
    mean = 100 * float((c.count * c.confidence)[c.count > 0].sum() / max(1, c.count.sum()))
    right = mean - 100 * c.gap
    for value, kind in ((right, "s2"), (mean, "s1")):
        plot.line([(value, 0), (value, plot.y[1])], f"{kind} mark")
    shown = legend([("s1", f"mean confidence {mean:.1f} %"), ("s2", f"right pixels {right:.1f} %")])
    text = f"Histogram of confidence: mean {mean:.1f} %, while {right:.1f} % of the pixels are right."
    return figure(shown + plot.draw(text), "How often it is how sure")


def _classes(facts: Facts) -> str:
    header = [
        ("Predicted class", ""),
        ("Pixels", "pixels predicted as this class"),
        ("Confidence", "mean, in %"),
        ("Right", "share of these pixels that are right (precision), in %"),
        ("Too sure by", "confidence minus right, in points"),
        ("ECE", "of these pixels, in %"),
    ]
    rows = []
    for i, (name, c) in enumerate(zip(facts.run.classes, facts.class_calibration, strict=True)):
        total = float(c.count.sum())
        mean = float((c.count * c.confidence)[c.count > 0].sum() / total) if total else math.nan
        rows.append(
            [
                Cell(swatch(facts.run.palette[i]) + esc(name), float(i), "name"),
                Cell(short(total), total),
                number(mean),
                number(mean - c.gap),
                number(c.gap, sign=True),
                number(c.ece),
            ]
        )
    body = table("Calibration of the pixels predicted as each class", header, rows)
    return f"<h3>By predicted class</h3>{body}"
