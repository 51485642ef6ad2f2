"""Pictures with their label maps: markup that shows all of them, and from which page.js makes a viewer."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmseg.core.evaluation.bootstrap import scores_of_counts
from mmseg.core.evaluation.run_results import RunResults, Thumbnail

from .facts import Facts
from .html import Cell, absent, bar, data_uri, esc, figure, number, percent, section, table
from .svg import Plot

WRONG = (235, 60, 30)  # RGB of wrong pixels
MOST_DOTS = 300  # in the chart of all images
LISTED = 1000  # images in the table at most


@dataclass
class Budget:
    """How many bytes of pictures the page may still take."""

    left: int

    def take(self, markup: str) -> bool:
        """Whether ``markup`` still fits; it is counted if it does."""
        if len(markup) > self.left:
            return False
        self.left -= len(markup)
        return True


def pictures(facts: Facts, images: int, budget: Budget) -> str:
    """The worst and the best images in a viewer, the spread of scores, and a table of all images.

    Args:
        images: How many of the worst and of the best.
        budget: Of the run; what does not fit is left out.
    """
    run, anchor, title = facts.run, f"{facts.prefix}images", "Worst and best images"
    if run.per_image is None:
        return absent(anchor, title, run.missing.get("images", "the results hold no counts per image"))
    if not facts.order:
        return absent(anchor, title, "no mask holds a counted pixel")
    ranked = _worst_and_best(facts.order, images)
    shots, shown = [], []
    for index, place in ranked:
        if index not in run.thumbnails:
            continue
        markup = _shot(facts, index, place)
        if budget.take(markup):
            shots.append((place, markup))
            shown.append(index)
    lead = (
        "Drag the divider, or move it with the arrow keys; choose what lies on either side. Images are "
        "ranked by the "
        "mean IoU over the classes that they hold."
    )
    left_out = len(ranked) - len(shots)
    note = f'<p class="note">{left_out} images are left out to keep the page small.</p>' if left_out else ""
    # Drawn up by rank, whichever order the budget took them in.
    ordered = "".join(markup for _, markup in sorted(shots, key=lambda item: item[0]))
    viewer = viewer_markup(run, ordered, f"{facts.prefix}viewer") if shots else ""
    return section(
        anchor,
        title,
        lead,
        viewer
        + note
        + f'<div class="charts">{_spread(facts)}{_sequence(facts)}</div>'
        + _list(facts, set(shown)),
    )


def viewer_markup(run: RunResults, shots: str, anchor: str) -> str:
    """The list of pictures that becomes a viewer; with the colours by which it names what is pointed at."""
    colours = esc(json.dumps([[n, *rgb] for n, rgb in zip(run.classes, run.palette, strict=True)]))
    return f'<div class="viewer" id="{anchor}" data-classes="{colours}"><ol class="shots">{shots}</ol></div>'


def _worst_and_best(order: Sequence[int], images: int) -> list[tuple[int, int]]:
    """(index, place from the worst), the two ends in turn, so that a small budget takes of both."""
    half = min(images, (len(order) + 1) // 2)
    worst = [(order[i], i) for i in range(half)]
    best = [(order[-1 - i], len(order) - 1 - i) for i in range(min(images, len(order) - half))]
    mixed = [item for pair in zip(worst, best, strict=False) for item in pair]
    return mixed + worst[len(best) :]


def _shot(facts: Facts, index: int, place: int) -> str:
    run = facts.run
    thumb = run.thumbnails[index]
    name = run.images[index]
    truth, guess = decode(thumb.truth), decode(thumb.prediction)
    group = "worst" if place < len(facts.order) / 2 else "best"
    layers = [
        picture_layer(thumb, name),
        label_layer(truth, run, "truth", "Truth", f"True classes of {name}"),
        label_layer(guess, run, "prediction", "Prediction", f"Predicted classes of {name}"),
        error_layer(
            truth,
            guess,
            "errors",
            "Errors",
            f"Wrong pixels of {name}: {percent(1 - facts.image_acc[index])} %",
        ),
    ]
    iou, acc = percent(facts.image_iou[index]), percent(facts.image_acc[index])
    heading = f"{name}: mIoU {iou} %, {acc} % of the pixels right"
    return shot_markup(
        f"{facts.prefix}shot-{index}",
        heading,
        f"{group} {percent(facts.image_iou[index], 0)} %",
        layers,
        truth.shape,
        _classes_of(run.per_image[index]),
    )


def shot_markup(
    anchor: str,
    heading: str,
    tag: str,
    layers: Sequence[str],
    shape: tuple[int, ...],
    classes: Sequence[Sequence[float | None]],
) -> str:
    """One image with its layers; ``tag`` stands on its thumbnail."""
    return (
        f'<li class="shot" id="{anchor}" data-tag="{esc(tag)}" data-w="{shape[1]}" data-h="{shape[0]}" '
        f'data-here="{esc(json.dumps(classes))}"><h4>{esc(heading)}</h4><div '
        f'class="layers">{"".join(layers)}</div></li>'
    )


def _classes_of(counts: np.ndarray) -> list[list[float | None]]:
    """[class, IoU, share of the truth, share of the prediction] of the classes of an image, largest first."""
    iou = scores_of_counts(counts)["IoU"]
    total = max(1, int(counts[2].sum()))
    here = [c for c in np.argsort(-(counts[2] + counts[1]), kind="stable") if counts[1, c] + counts[2, c]]
    return [
        [int(c), round(float(iou[c]), 3), round(counts[2, c] / total, 4), round(counts[1, c] / total, 4)]
        for c in here
    ]


def decode(png: bytes) -> np.ndarray:
    """A label map (H, W) uint8 of a thumbnail."""
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def picture_layer(thumb: Thumbnail, name: str) -> str:
    """The image itself."""
    return _layer("picture", "Picture", data_uri(thumb.picture, "jpeg"), f"Picture {name}")


def label_layer(label: np.ndarray, run: RunResults, key: str, title: str, alt: str) -> str:
    """A label map in the colours of its classes; ignored pixels are transparent."""
    counts = np.bincount(label[label != 255].ravel(), minlength=1)
    largest = [c for c in np.argsort(-counts)[:4] if counts[c] and c < len(run.classes)]
    shares = ", ".join(f"{run.classes[c]} {100 * counts[c] / counts.sum():.0f} %" for c in largest)
    return _layer(key, title, data_uri(_indexed(label, run.palette), "png"), f"{alt}: {shares}")


def error_layer(truth: np.ndarray, guess: np.ndarray, key: str, title: str, alt: str) -> str:
    """Wrong pixels in red, all others transparent."""
    wrong = np.where((truth != guess) & (truth != 255), 0, 255).astype(np.uint8)
    return _layer(key, title, data_uri(_indexed(wrong, [list(WRONG)]), "png"), alt)


def _layer(key: str, title: str, uri: str, alt: str) -> str:
    return (
        f'<figure><img data-layer="{esc(key)}" src="{uri}" alt="{esc(alt)}" decoding="async">'
        f"<figcaption>{esc(title)}</figcaption></figure>"
    )


def _indexed(label: np.ndarray, palette: Sequence[Sequence[int]]) -> bytes:
    """A PNG with a palette, in which 255 is transparent: a fifth of the size of one in full colour."""
    from PIL import Image

    table = np.zeros((256, 3), np.uint8)
    table[: min(len(palette), 256)] = np.asarray(palette, np.uint8)[:256]
    image = Image.fromarray(label, "L")
    image.putpalette(table.ravel().tolist())
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True, transparency=255)
    return stream.getvalue()


def _spread(facts: Facts) -> str:
    """A histogram of the images' scores."""
    values = 100 * facts.image_iou[facts.order]
    ends = _ends(values)
    counts, edges = np.histogram(values, bins=20, range=ends)
    # Room above the highest bar, for the label of the median.
    plot = Plot(ends, (0, 1.2 * max(1, int(counts.max()))), "mIoU of the image, %", "images", height=200)
    inset = (ends[1] - ends[0]) / 250
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            plot.box(
                (low + inset, high - inset),
                (0, int(count)),
                "bin",
                f"{low:.1f} – {high:.1f} %: {count} images",
            )
    median = float(np.median(values))
    plot.line([(median, 0), (median, plot.y[1])], "s1 mark")
    # On the left of the line where the right has no room for it.
    side, anchor = (5, "start") if plot.px(median) < 0.7 * plot.width else (-5, "end")
    plot.words(plot.px(median) + side, plot.top + 10, f"median {median:.1f}", anchor, kind="label")
    span = f"from {values.min():.1f} to {values.max():.1f} %"
    text = f"Histogram of the images' mIoU: median {median:.1f} %, {span}."
    return figure(plot.draw(text), "How the images spread")


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Round ends, multiples of 5, around values in percent."""
    low, high = 5 * math.floor(values.min() / 5), 5 * math.ceil(values.max() / 5)
    return float(low), float(high if high > low else low + 5)


def _sequence(facts: Facts) -> str:
    """The images' scores in the order of the data set, where a bad stretch of a drive shows."""
    run = facts.run
    counted = sorted(facts.order)
    values = 100 * facts.image_iou[counted]
    plot = Plot(
        (0, max(1, len(run.images) - 1)), _ends(values), "image, in the data set's order", "%", height=200
    )
    plot.line(list(zip(counted, values.tolist(), strict=True)), "thin")
    for index in counted[:: math.ceil(len(counted) / MOST_DOTS)]:
        value = 100 * float(facts.image_iou[index])
        plot.dot(index, value, "s0", f"{run.images[index]}: {value:.1f} %", 2)
    text = "mIoU of the images in the data set's order: " + ", ".join(
        f"{run.images[i]} {100 * facts.image_iou[i]:.0f} %" for i in facts.order[:3]
    )
    return figure(plot.draw(text + " are the worst."), "Image by image")


def _list(facts: Facts, shown: set[int]) -> str:
    run = facts.run
    wrong = run.per_image[:, 2].sum(1) - run.per_image[:, 0].sum(1)
    errors = max(1, int(wrong.sum()))
    header = [
        ("Rank", "from the worst"),
        ("Image", ""),
        ("mIoU", "bar"),
        ("%", "mean IoU over the classes of the image"),
        ("Right pixels %", ""),
        ("Of errors %", "share of all wrong pixels of the test set"),
    ]
    rows = []
    for place, index in enumerate(facts.order[:LISTED]):
        name = esc(run.images[index])
        link = f'<a href="#{facts.prefix}shot-{index}">{name}</a>' if index in shown else name
        iou = float(facts.image_iou[index])
        rows.append(
            [
                Cell(str(place + 1), float(place)),
                Cell(link, run.images[index].lower(), "name"),
                Cell(bar(iou), iou, "wide"),
                number(iou),
                number(float(facts.image_acc[index])),
                number(float(wrong[index] / errors), 2),
            ]
        )
    rest = f"; the {LISTED} worst are listed" if len(facts.order) > LISTED else ""
    caption = f"All {len(facts.order)} images, worst first{rest}"
    return (
        f"<details><summary>{caption}</summary>"
        f"{table(caption, header, rows, sorted_by=(0, 'ascending'), limit=50)}</details>"
    )
