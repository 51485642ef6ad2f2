"""The head of a run: what it is, its scores, and what stands out, in sentences."""

from __future__ import annotations

import math
import os

import numpy as np

from mmseg.core.evaluation.bootstrap import Interval
from mmseg.core.evaluation.error_places import DISTANCES

from .facts import Facts
from .html import NONE, esc, percent, section, short


def head(facts: Facts) -> str:
    """The section ``In short``: cards with the main scores and a few findings."""
    cards = "".join(_cards(facts))
    found = "".join(f"<li>{finding}</li>" for finding in findings(facts))
    body = f'<div class="cards">{cards}</div>' + (f'<ul class="findings">{found}</ul>' if found else "")
    return section(f"{facts.prefix}short", "In short", _origin(facts), body)


def _origin(facts: Facts) -> str:
    about = facts.run.about
    parts = [str(about["model"])] if about.get("model") else []
    if about.get("checkpoint"):
        parts.append(os.path.basename(str(about["checkpoint"])))
    if about.get("iterations"):
        parts.append(f"{about['iterations']:,} iterations")
    if facts.run.images:
        parts.append(f"{len(facts.run.images)} images of {about.get('dataset', 'the test set')}")
    if about.get("input_size"):
        height, width = about["input_size"]
        parts.append(f"tested at {width} × {height}")
    if about.get("date"):
        parts.append(f"evaluated {about['date']}")
    return esc(" · ".join(parts))


def _cards(facts: Facts) -> list[str]:
    summary = facts.scores.summary if facts.scores else {}
    cards = []
    for key, words in (
        ("mIoU", "mean IoU of the classes"),
        ("mAcc", "mean recall of the classes"),
        ("aAcc", "of all pixels are right"),
    ):
        value = facts.run.scores.get(key, math.nan)
        interval = summary.get(key, Interval(value, math.nan, math.nan))
        if math.isfinite(interval.value):
            cards.append(_card(key, percent(interval.value), "%", words, _range(interval)))
    if facts.calibration is not None:
        gap = facts.calibration.gap
        words = f"{percent(abs(gap))} points too {'sure' if gap > 0 else 'unsure'} on average"
        cards.append(_card("ECE", percent(facts.calibration.ece), "%", "expected calibration error", words))
    about = facts.run.about
    if about.get("macs"):
        height, width = about["cost_size"]
        cards.append(
            _card(
                "Cost",
                *short(about["macs"]).split(" "),
                f"multiply-adds at {width}\u00a0×\u00a0{height}",
                f"{short(about.get('params'))} parameters",
            )
        )
    return cards


def _card(title: str, value: str, unit: str, words: str, below: str) -> str:
    return (
        f'<div class="kpi"><h3>{esc(title)}</h3><p class="value">{esc(value)}<small>{esc(unit)}</small></p>'
        f"<p>{esc(words)}</p><p class=below>{esc(below)}</p></div>"
    )


def _range(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return "no interval: no counts per image"
    return f"95\u00a0% interval {percent(interval.low)}\u00a0to\u00a0{percent(interval.high)}"


def findings(facts: Facts) -> list[str]:
    """What stands out, as sentences in HTML."""
    run = facts.run
    if facts.scores is None or run.confusion is None:
        return []
    return [
        text
        for text in (
            _best_and_worst(facts),
            _never_found(facts),
            _largest_mistake(facts),
            _boundary(facts),
            _sureness(facts),
            _hardest_images(facts),
        )
        if text
    ]


def _best_and_worst(facts: Facts) -> str:
    iou = facts.scores.per_class["IoU"]
    known = sorted((i for i in range(len(iou)) if iou[i].value > 0), key=lambda i: -iou[i].value)
    if len(known) < 2:
        return ""
    names = facts.run.classes
    best, worst = known[0], known[-1]
    return (
        f"<strong>{esc(names[best])}</strong> is segmented best (IoU {percent(iou[best].value)} %), "
        f"<strong>{esc(names[worst])}</strong> worst of the classes that are found at all "
        f"({percent(iou[worst].value)} %)."
    )


def _never_found(facts: Facts) -> str:
    counts = facts.run.per_image.sum(0)
    none = [i for i in range(counts.shape[1]) if counts[2, i] and not counts[0, i]]
    if not none:
        return ""
    share = facts.label_share()[none].sum()
    names = ", ".join(f"<strong>{esc(facts.run.classes[i])}</strong>" for i in none)
    verb = "is" if len(none) == 1 else "are"
    number = f"{len(none)} of {counts.shape[1]} classes"
    return f"{names} {verb} never found: {percent(share)} % of the pixels, {number}."


def _largest_mistake(facts: Facts) -> str:
    if not facts.mistakes:
        return ""
    truth, guess, pixels = facts.mistakes[0]
    errors = sum(item[2] for item in facts.mistakes)
    of_class = facts.run.confusion[truth].sum()
    names = facts.run.classes
    return (
        f"The costliest confusion is <strong>{esc(names[truth])}</strong> taken for "
        f"<strong>{esc(names[guess])}</strong>: {percent(pixels / errors)} % of all errors, "
        f"{percent(pixels / of_class)} % of the pixels of {esc(names[truth])}."
    )


def _boundary(facts: Facts) -> str:
    if facts.run.places is None:
        return ""
    pixels, wrong = facts.run.places.distance.T
    near = DISTANCES.index(4) + 1
    if not wrong.sum():
        return ""
    return (
        f"<strong>{percent(wrong[:near].sum() / wrong.sum())} %</strong> of the errors lie within 4 pixels "
        "of a "
        f"class boundary, where {percent(pixels[:near].sum() / pixels.sum())} % of the pixels are."
    )


def _sureness(facts: Facts) -> str:
    if facts.calibration is None:
        return ""
    gap = facts.calibration.gap
    count, confidence = facts.calibration.count, facts.calibration.confidence
    mean = float(np.nansum(count * confidence) / max(1, count.sum()))
    if abs(gap) < 0.02:
        return f"The model is about as sure as it is right ({percent(mean)} % on average)."
    word = "overconfident" if gap > 0 else "underconfident"
    return (
        f"The model is <strong>{word}</strong>: it claims {percent(mean)} % on average and is right in "
        f"{percent(mean - gap)} % of the pixels."
    )


def _hardest_images(facts: Facts) -> str:
    if len(facts.order) < 10:
        return ""
    wrong = (facts.run.per_image[:, 2].sum(1) - facts.run.per_image[:, 0].sum(1)).astype(float)
    ranked = np.sort(wrong)[::-1]
    tenth = max(1, len(ranked) // 10)
    share = ranked[:tenth].sum() / max(1.0, ranked.sum())
    low, high = facts.image_iou[facts.order[0]], facts.image_iou[facts.order[-1]]
    return (
        f"The {tenth} images with the most wrong pixels hold {percent(share)} % of them. Mean IoU per image "
        "goes "
        f"from {percent(low)} to {percent(high)} %."
    )


def provenance(facts: Facts) -> str:
    """The section ``How it was made``: files, versions, and what each number means."""
    run, about = facts.run, facts.run.about
    rows = [
        ("Checkpoint", about.get("checkpoint")),
        ("Config", about.get("config")),
        ("Data set", about.get("dataset") and f"{about['dataset']}, {len(run.images)} images"),
        ("Evaluated", about.get("date") and f"{about['date']} on {about.get('device', NONE)}"),
        ("Took", about.get("seconds") and f"{about['seconds']} s"),
        ("Views per image", about.get("views")),
        ("Trained with", about.get("mmseg_version") and f"version {about['mmseg_version']}"),
        ("PyTorch", about.get("torch")),
        (
            "Bootstrap",
            facts.scores and f"{facts.scores.rounds} resamples of {facts.scores.num_images} images",
        ),
    ]
    facts_list = "".join(f"<dt>{esc(k)}</dt><dd>{esc(v)}</dd>" for k, v in rows if v)
    meanings = "".join(f"<dt>{esc(k)}</dt><dd>{esc(v)}</dd>" for k, v in MEANINGS)
    config = about.get("config_text")
    shown = (
        f"<details><summary>The resolved config</summary><pre tabindex=0>{esc(config)}</pre></details>"
        if config
        else ""
    )
    missing = "".join(
        f"<li>{esc(key)}: {esc(reason)}</li>" for key, reason in sorted(facts.run.missing.items())
    )
    missing = f"<h3>Not in this report</h3><ul>{missing}</ul>" if missing else ""
    return section(
        f"{facts.prefix}made",
        "How it was made",
        "",
        f"<dl>{facts_list}</dl>{missing}<details><summary>What the numbers "
        f"mean</summary><dl>{meanings}</dl></details>{shown}",
    )


MEANINGS = (
    ("IoU", "right pixels of a class / pixels that are it or were called it, over the whole test set"),
    ("mIoU", "mean of the classes' IoU; a class that is neither in a mask nor in a prediction is left out"),
    ("Recall (Acc)", "share of a class's pixels that were called it; mAcc is the mean over classes"),
    ("Precision", "share of the pixels called a class that are it; F1 combines recall and precision"),
    ("aAcc", "share of all counted pixels that are right; ignored pixels count nowhere"),
    (
        "95 % interval",
        "from a bootstrap over images: the test set is drawn anew from its own images, with replacement, and "
        "scored; 95 % of these scores lie inside. It covers the choice of images, not that of the training "
        "seed; frames of one "
        "drive resemble each other, and then it is too narrow",
    ),
    (
        "Paired test",
        "both runs are scored on the same drawn images; p is twice the share of draws in which the "
        "difference has the "
        "other sign",
    ),
    ("mIoU of an image", "mean IoU over the classes that the image or its prediction holds"),
    (
        "ECE",
        "expected calibration error: pixels are put into 15 bins by the probability of their prediction; "
        "mean over "
        "pixels of the distance between a bin's mean probability and its share of right pixels",
    ),
    ("Distance to a boundary", "in pixels of the mask, 1 for a pixel that touches another class"),
    ("Region", "connected pixels of one class in the mask; found when at least half of them are right"),
    ("Cost", "multiply-adds of one forward pass by fvcore's rules, in the operators of MMSegmentation 0.25"),
)
