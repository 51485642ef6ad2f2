"""Scores per class and the confusion matrix."""

from __future__ import annotations

import math

import numpy as np

from .facts import Facts
from .html import Cell, absent, bar, esc, number, percent, section, short, swatch, table

# A larger matrix is shown for the classes with the most pixels only.
SHOWN_CLASSES = 40


def class_scores(facts: Facts) -> str:
    """A row per class: a bar with its interval, and the numbers."""
    run, anchor, title = facts.run, f"{facts.prefix}classes", "Scores per class"
    if facts.scores is None:
        found = {key.partition(".")[2]: value for key, value in run.scores.items() if key.startswith("IoU.")}
        if not found:
            return absent(anchor, title, run.missing.get("images", "the results hold no scores per class"))
        header = [("Class", ""), ("IoU", "bar"), ("IoU %", "")]
        rows = [[_name(name, None), Cell(bar(v), v, "wide"), number(v)] for name, v in found.items()]
        return section(anchor, title, NO_INTERVAL, table("IoU per class", header, rows))
    per_class, share = facts.scores.per_class, facts.label_share()
    images = (run.per_image[:, 2] > 0).sum(0)
    header = [
        ("Class", "in the data set's order"),
        ("IoU", "bar and 95 % interval"),
        ("IoU %", "right pixels / pixels that are or were called this class"),
        ("95 % interval", "by its width"),
        ("Recall", "share of the class's pixels that were found, in %"),
        ("Precision", "share of the pixels called this class that are it, in %"),
        ("F1", "of recall and precision, in %"),
        ("Pixels", "share of the counted pixels that are this class, in %"),
        ("Images", "images whose mask has this class"),
    ]
    rows = []
    for i, name in enumerate(run.classes):
        iou = per_class["IoU"][i]
        width = iou.high - iou.low
        rows.append(
            [
                _name(name, run.palette[i], i),
                Cell(bar(iou.value, iou.low, iou.high), iou.value, "wide"),
                number(iou.value),
                Cell(f"{percent(iou.low)} – {percent(iou.high)}", width),
                *(number(per_class[key][i].value) for key in ("Acc", "Precision", "Fscore")),
                Cell(f"{percent(share[i], 2 if share[i] < 0.01 else 1)}", float(share[i])),
                Cell(str(int(images[i])), float(images[i])),
            ]
        )
    lead = (
        "IoU of each class with its 95 % interval over images (the thin line). Click a header to sort; a "
        "class with "
        "few pixels in few images has a wide interval."
    )
    return section(anchor, title, lead, table("Scores per class, in percent", header, rows, kind="classes"))


NO_INTERVAL = "Intervals need counts per image, which this file of scores does not have."


def _name(name: str, rgb: list[int] | None, order: int | None = None) -> Cell:
    shown = (swatch(rgb) if rgb is not None else "") + esc(name)
    return Cell(shown, name.lower() if order is None else float(order), "name")


def confusion(facts: Facts) -> str:
    """The confusion matrix as a table, by rows and by columns, and the largest confusions as a list."""
    run, anchor, title = facts.run, f"{facts.prefix}confusion", "What is taken for what"
    if run.confusion is None:
        return absent(anchor, title, run.missing.get("confusion", "the results hold no confusion matrix"))
    chosen = np.arange(len(run.classes))
    note = ""
    if len(chosen) > SHOWN_CLASSES:
        pixels = run.confusion.sum(0) + run.confusion.sum(1)
        chosen = np.sort(np.argsort(-pixels, kind="stable")[:SHOWN_CLASSES])
        note = f" The {SHOWN_CLASSES} of {len(run.classes)} classes with the most pixels."
    lead = (
        "Rows are the truth, columns the prediction. On the diagonal are right pixels (blue), beside it "
        "errors "
        f"(orange), in percent of the row or of the column.{note}"
    )
    group = f"{facts.prefix}norm"
    choice = (
        '<fieldset class="choice" data-tabs><legend>Percent of</legend>'
        f'<label><input type="radio" name="{group}" value="{group}-truth" checked> the true class '
        "(recall)</label>"
        f'<label><input type="radio" name="{group}" value="{group}-guess"> the predicted class '
        "(precision)</label>"
        "</fieldset>"
    )
    tables = (
        f'<div id="{group}-truth">{_matrix(facts, chosen, by_truth=True)}</div>'
        f'<div id="{group}-guess" class="tab-off">{_matrix(facts, chosen, by_truth=False)}</div>'
    )
    return section(anchor, title, lead, choice + tables + _mistakes(facts))


def _matrix(facts: Facts, chosen: np.ndarray, by_truth: bool) -> str:
    run = facts.run
    totals = run.confusion.sum(1 if by_truth else 0)
    names = [run.classes[i] for i in chosen]
    columns = "".join(
        f'<th scope="col"><span>{swatch(run.palette[i])}{esc(run.classes[i])}</span></th>' for i in chosen
    )
    rows = []
    for t in chosen:
        cells = []
        for p in chosen:
            pixels, total = int(run.confusion[t, p]), int(totals[t if by_truth else p])
            share = pixels / total if total else math.nan
            whole = "" if not math.isfinite(share) or share < 0.005 else f"{100 * share:.0f}"
            kind = ("ok" if t == p else "bad") + (" hi" if share > 0.55 else "")
            tip = f"{run.classes[t]} called {run.classes[p]}: {percent(share, 2)} % ({short(pixels)} pixels)"
            style = f' style="--v:{share:.3f}"' if whole else ""
            cells.append(f'<td class="{kind}"{style} data-tip="{esc(tip)}">{whole}</td>')
        rows.append(
            f'<tr><th scope="row">{swatch(run.palette[t])}{esc(run.classes[t])}</th>{"".join(cells)}</tr>'
        )
    whole = "true" if by_truth else "predicted"
    caption = f"Confusion matrix of {len(names)} classes, in percent of the {whole} class"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}"><table class="matrix">'
        f"<caption>{esc(caption)}</caption><thead><tr><td class=corner>truth ╲ "
        f"prediction</td>{columns}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _mistakes(facts: Facts) -> str:
    run = facts.run
    if not facts.mistakes:
        return '<p class="lead">There is no wrong pixel.</p>'
    errors = sum(item[2] for item in facts.mistakes)
    largest = facts.mistakes[0][2] / errors
    header = [
        ("Truth", ""),
        ("Taken for", ""),
        ("Share of all errors", "bar"),
        ("%", "of all wrong pixels"),
        ("% of the class", "of the true class's pixels"),
        ("Pixels", ""),
    ]
    rows = []
    for truth, guess, pixels in facts.mistakes[:50]:
        share = pixels / errors
        rows.append(
            [
                _name(run.classes[truth], run.palette[truth]),
                _name(run.classes[guess], run.palette[guess]),
                Cell(bar(share, kind="bad", scale=largest), share, "wide"),
                number(share),
                number(pixels / run.confusion[truth].sum()),
                Cell(short(pixels), float(pixels)),
            ]
        )
    caption = "The largest confusions"
    body = table(caption, header, rows, sorted_by=(3, "descending"), limit=8)
    return f"<h3>{caption}</h3>{body}"
