"""Several runs side by side: ranking, score against cost, paired tests, images on which they disagree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mmseg.core.evaluation.bootstrap import Interval, PairedBootstrap, paired_bootstrap
from mmseg.core.evaluation.error_places import DISTANCES

from .facts import Facts, same_test
from .html import Cell, absent, bar, esc, figure, number, percent, section, short, swatch, table
from .pictures import (
    Budget,
    decode,
    error_layer,
    label_layer,
    picture_layer,
    shot_markup,
    viewer_markup,
)
from .svg import Plot

# More layers than this cannot be told apart in one viewer.
MOST_LAYERS = 6
DISAGREEMENTS = 8


def ranking(facts: Sequence[Facts]) -> str:
    """A table with a row per run, best first."""
    header = [
        ("Run", ""),
        ("mIoU", "bar and 95 % interval"),
        ("mIoU %", ""),
        ("95 % interval", "by its lower end"),
        ("mAcc", "in %"),
        ("aAcc", "in %"),
        ("ECE", "expected calibration error, in %"),
        ("Near boundaries", "wrong pixels within 4 pixels of a class boundary, in %"),
        ("Inside", "wrong pixels farther than that, in %"),
        ("GFLOPs", "multiply-adds"),
        ("Params M", ""),
    ]
    rows = []
    for f in sorted(facts, key=lambda f: -f.miou if math.isfinite(f.miou) else 1):
        nan = Interval(math.nan, math.nan, math.nan)
        summary = f.scores.summary if f.scores else {}
        miou = summary.get("mIoU", Interval(f.miou, math.nan, math.nan))
        near, inside = _boundary_rates(f)
        about = f.run.about
        rows.append(
            [
                Cell(
                    f'<i class="key s{f.number % 8}"></i><a href="#{f.prefix}short">{esc(f.run.name)}</a>',
                    f.run.name.lower(),
                    "name",
                ),
                Cell(bar(miou.value, miou.low, miou.high), miou.value, "wide"),
                number(miou.value),
                Cell(f"{percent(miou.low)} – {percent(miou.high)}", miou.low),
                number(summary.get("mAcc", nan).value if f.scores else f.run.scores.get("mAcc", math.nan)),
                number(summary.get("aAcc", nan).value if f.scores else f.run.scores.get("aAcc", math.nan)),
                number(f.calibration.ece if f.calibration else math.nan),
                number(near),
                number(inside),
                _scaled(about.get("macs"), 1e9),
                _scaled(about.get("params"), 1e6),
            ]
        )
    lead = "One row per run, best first. Whether a difference is more than chance is under paired tests."
    return section(
        "ranking", "Ranking", lead, table("The runs by mIoU", header, rows, sorted_by=(2, "descending"))
    )


def _scaled(value: float | None, unit: float) -> Cell:
    return Cell("–", math.nan) if not value else Cell(f"{value / unit:.2f}", value / unit)


def _boundary_rates(facts: Facts) -> tuple[float, float]:
    if facts.run.places is None:
        return math.nan, math.nan
    near = DISTANCES.index(4) + 1
    parts = facts.run.places.distance[:near].sum(0), facts.run.places.distance[near:].sum(0)
    return tuple(float(wrong / pixels) if pixels else math.nan for pixels, wrong in parts)


def efficiency(facts: Sequence[Facts]) -> str:
    """mIoU against multiply-adds; the area of a point stands for the parameters."""
    anchor, title = "efficiency", "Score against cost"
    known = [f for f in facts if f.run.about.get("macs") and math.isfinite(f.miou)]
    if not known:
        reasons = {f.run.missing.get("cost", "not counted") for f in facts}
        return absent(anchor, title, "no run has both a score and a cost: " + "; ".join(sorted(reasons)))
    costs = [f.run.about["macs"] / 1e9 for f in known]
    spans = [_span(f) for f in known]
    low, high = min(s.low for s in spans), max(s.high for s in spans)
    margin = max(0.02, 0.12 * (high - low))
    plot = Plot(
        (min(costs) / 1.7, max(costs) * 1.7),
        (100 * max(0.0, low - margin), 100 * min(1.0, high + margin)),
        "GFLOPs (multiply-adds), logarithmic",
        "mIoU, %",
        width=460,
        height=320,
        log_x=True,
    )
    best, front = -math.inf, []
    for cost, f in sorted(zip(costs, known, strict=True), key=lambda item: (item[0], -item[1].miou)):
        if f.miou > best:
            best = f.miou
            front.append((cost, 100 * f.miou))
    if len(front) > 1:
        plot.line(front, "ideal")
    most = max(f.run.about.get("params") or 1 for f in known)
    taken: list[tuple[float, float, float]] = []
    for cost, f, span in sorted(zip(costs, known, spans, strict=True), key=lambda item: -item[1].miou):
        x = plot.px(cost)
        params = f.run.about.get("params") or 0
        tip = (
            f"{f.run.name}: mIoU {percent(f.miou)} % ({percent(span.low)} – {percent(span.high)}), "
            f"{cost:.2f} GFLOPs, {short(params)} parameters"
        )
        radius = 3 + 6 * math.sqrt(params / most)
        plot.dot(cost, 100 * f.miou, f"s{f.number % 8}", tip, radius)
        low, high = plot.py(100 * span.low), plot.py(100 * span.high)
        plot.body.append(
            f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} '
            f'{high:.1f}h8"/>'
        )
        _label(plot, x, plot.py(100 * f.miou), radius, f.run.name, taken)
    sizes = {tuple(f.run.about.get("cost_size") or ()) for f in known}
    note = "Point: mIoU, its area the parameters; line: 95 % interval; dashed: best score for the cost. "
    if len(sizes) > 1:
        note += "The runs were counted at different sizes; <code>--shape H W</code> counts them at one."
    elif sizes and (size := next(iter(sizes))):
        note += f"Counted at {size[1]} × {size[0]} (width × height)."
    text = "mIoU against multiply-adds. " + " ".join(
        f"{f.run.name}: {percent(f.miou)} % at {cost:.2f} GFLOPs."
        for cost, f in zip(costs, known, strict=True)
    )
    return section(anchor, title, "", figure(plot.draw(text), "mIoU against FLOPs", note, "medium"))


def _label(
    plot: Plot, x: float, y: float, radius: float, name: str, taken: list[tuple[float, float, float]]
) -> None:
    """Write a name beside its point, where it leaves the plot on the other side, and clear of the others."""
    name = name if len(name) <= 34 else name[:33] + "…"
    width = 6.2 * len(name)
    right = x + radius + 4 + width < plot.width - plot.right
    start = x + radius + 4 if right else x - radius - 4 - width
    start = max(2.0, start)
    y += 4
    while any(abs(y - other) < 13 and start < b and start + width > a for a, b, other in taken):
        y += 13
    taken.append((start, start + width, y))
    plot.words(start, y, name, kind="name")


def _span(facts: Facts) -> Interval:
    if facts.scores is None:
        return Interval(facts.miou, facts.miou, facts.miou)
    return facts.scores.summary["mIoU"]


def paired(facts: Sequence[Facts], rounds: int) -> str:
    """A paired bootstrap of every two runs."""
    anchor, title = "paired", "Is the difference real?"
    reason = same_test(facts)
    if reason is not None:
        return absent(anchor, title, f"a paired test needs the same images for all runs, and {reason}")
    found = {
        (a, b): paired_bootstrap(facts[a].run.per_image, facts[b].run.per_image, rounds=rounds)
        for a, b in itertools.combinations(range(len(facts)), 2)
    }
    options = "".join(
        f'<option value="pair-{a}-{b}">{esc(facts[a].run.name)} against {esc(facts[b].run.name)}</option>'
        for a, b in found
    )
    choice = f'<p class="choice"><label>Compare <select data-pairs>{options}</select></label></p>'
    blocks = "".join(_pair(facts[a], facts[b], test, f"pair-{a}-{b}") for (a, b), test in found.items())
    lead = (
        "Both runs are scored on the same images drawn with replacement, so what makes an image hard for "
        "both "
        "cancels out. An interval that does not hold 0 is more than the choice of test images explains. It "
        "says "
        "nothing of another training seed."
    )
    if len(found) > 1:
        lead += f" With {len(found)} pairs, ask for p below {0.05 / len(found):.2g} rather than 0.05."
    return section(anchor, title, lead, choice + blocks)


def _pair(a: Facts, b: Facts, test: PairedBootstrap, anchor: str) -> str:
    miou = test.summary["mIoU"]
    names = esc(a.run.name), esc(b.run.name)
    if miou.low > 0 or miou.high < 0:
        better, worse = names if miou.value > 0 else names[::-1]
        verdict = f"<strong>{better}</strong> is better than {worse}"
    else:
        verdict = "No difference can be told from these images"
    points = percent(miou.value, sign=True)
    sentence = (
        f"{verdict}: {points} points of mIoU, 95 % interval {percent(miou.low, sign=True)} to "
        f"{percent(miou.high, sign=True)}, p {_p(test)}."
    )
    shown = [*test.summary.values(), *test.per_class]
    finite = [abs(v) for i in shown for v in (i.value, i.low, i.high) if math.isfinite(v)]
    reach = max(finite, default=0.0) or 1.0  # where the longest bar ends
    rows = [
        [
            Cell(key, float(k), "name"),
            Cell(_difference(interval, reach), interval.value, "wide"),
            number(interval.value, 2, sign=True),
            Cell(f"{percent(interval.low, sign=True)} to {percent(interval.high, sign=True)}", interval.low),
        ]
        for k, (key, interval) in enumerate(
            [
                *((f"<strong>{esc(key)}</strong>", test.summary[key]) for key in test.summary),
                *(
                    (swatch(rgb) + esc(name), interval)
                    for name, rgb, interval in zip(a.run.classes, a.run.palette, test.per_class, strict=True)
                ),
            ]
        )
    ]
    header = [
        ("Score", "IoU of a class, or a mean"),
        (f"worse {NO_BREAK} better", "bar and 95 % interval"),
        ("Points", f"{a.run.name} minus {b.run.name}"),
        ("95 % interval", "by its lower end"),
    ]
    caption = f"{a.run.name} minus {b.run.name}, in points of percent"
    body = table(caption, header, rows)
    return f'<div class="pair" id="{anchor}"><p class="verdict">{sentence}</p>{body}</div>'


NO_BREAK = "◂ ▸"


def _p(test: PairedBootstrap) -> str:
    value = test.p_values["mIoU"]
    if value <= 2 / (test.rounds + 1):
        return f"≤ {value:.1g}"
    return f"= {value:.2g}" if value < 0.1 else f"= {value:.2f}"


def _difference(interval: Interval, reach: float) -> str:
    if not math.isfinite(interval.value):
        return '<span class="bar" aria-hidden="true"></span>'
    left, right = sorted((0.0, interval.value))
    sure = "" if interval.low <= 0 <= interval.high else " sure"
    kind = ("plus" if interval.value > 0 else "minus") + sure
    whisker = ""
    if interval.high > interval.low:  # NaN is not
        low, width = 50 + 50 * interval.low / reach, 50 * (interval.high - interval.low) / reach
        whisker = f'<b style="left:{low:.2f}%;width:{width:.2f}%"></b>'
    start, length = 50 + 50 * left / reach, 50 * (right - left) / reach
    return (
        f'<span class="bar both" aria-hidden="true"><i class="{kind}" style="margin-left:{start:.2f}%;'
        f'width:{length:.2f}%"></i>{whisker}</span>'
    )


def disagreements(facts: Sequence[Facts], budget: Budget) -> str:
    """The images whose scores differ most between the runs, with every run's prediction as a layer."""
    anchor, title = "disagree", "Where the runs disagree"
    reason = same_test(facts)
    if reason is not None:
        return absent(anchor, title, reason)
    chosen = list(facts[:MOST_LAYERS])
    scores = np.stack([f.image_iou for f in chosen])
    spread = np.nan_to_num(np.ptp(scores, axis=0))
    first = chosen[0].run
    shots = []
    for index in np.argsort(-spread, kind="stable").tolist():
        if len(shots) == DISAGREEMENTS or spread[index] == 0:
            break
        if any(index not in f.run.thumbnails for f in chosen):
            continue
        name, thumb = first.images[index], first.thumbnails[index]
        truth = decode(thumb.truth)
        layers = [
            picture_layer(thumb, name),
            label_layer(truth, first, "truth", "Truth", f"True classes of {name}"),
        ]
        for f in chosen:
            guess = decode(f.run.thumbnails[index].prediction)
            label = f"{f.run.name}, {name}"
            layers.append(
                label_layer(guess, f.run, f"prediction-{f.number}", f.run.name, f"Prediction of {label}")
            )
        for f in chosen:
            guess = decode(f.run.thumbnails[index].prediction)
            layers.append(
                error_layer(
                    truth,
                    guess,
                    f"errors-{f.number}",
                    f"Errors of {f.run.name}",
                    f"Wrong pixels of {f.run.name}, {name}: {percent(1 - f.image_acc[index])} %",
                )
            )
        heading = f"{name}: mIoU " + ", ".join(
            f"{f.run.name} {percent(f.image_iou[index])} %" for f in chosen
        )
        tag = f"{percent(float(spread[index]), 0)} points"
        markup = shot_markup(f"disagree-{index}", heading, tag, layers, truth.shape, [])
        if not budget.take(markup):
            break
        shots.append(markup)
    if not shots:
        return absent(anchor, title, "no image with a kept picture is scored differently")
    lead = "Images whose mIoU differs most between the runs. The left and the right side can be any run."
    if len(facts) > MOST_LAYERS:
        lead += f" The first {MOST_LAYERS} runs are shown."
    return section(anchor, title, lead, viewer_markup(first, "".join(shots), "disagree-viewer"))
