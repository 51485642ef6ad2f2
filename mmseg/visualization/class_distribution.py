"""A bar chart of how many pixels each class has, and of the weights that follow from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmseg.visualization.palettes import colour_table

_MOST_LABELS = 40  # classes whose share is written on their bars
_LONG = 60  # classes from which on the bars lie, one row each


def draw_class_distribution(
    path: str | os.PathLike[str],
    names: Sequence[str],
    pixels: Mapping[str, Sequence[int]],
    palette: Sequence[Sequence[int]] | None = None,
    weights: Sequence[float] | None = None,
    title: str = "Class distribution",
) -> None:
    """Draw the pixels of each class as bars on a logarithmic axis and write them as an image.

    Args:
        path: Image to write (PNG); its folder exists.
        names: Names of the classes (C,).
        pixels: Pixels of each class (C,) by split. The first has bars in the classes' colours with
            their share written on them, the others marks.
        palette: RGB colours (C, 3) of the classes; None draws them.
        weights: Class weights (C,), drawn in a chart of their own below.
        title: Stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws without a display
    from matplotlib.figure import Figure

    count = len(names)
    lying = count > _LONG
    rows = 1 if weights is None else 2
    across = max(7.0, 0.5 * count + 2)
    size = (9.0 * rows, 2 + 0.17 * count) if lying else (across, 4.6 * rows)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(*((1, rows) if lying else (rows, 1)), squeeze=False).ravel()
    colours = colour_table(palette, count)[:count, ::-1] / 255
    _bars(axes[0], names, pixels, colours, lying)
    axes[0].set_title(title)
    if weights is not None:
        _draw(axes[1], np.asarray(weights, float), colours, lying)
        _name(axes[1], names, "class weight", lying)
        _put(axes[1], [f"{w:.3g}" for w in weights], np.asarray(weights, float), lying)
        (axes[1].axvline if lying else axes[1].axhline)(1, color="0.5", linewidth=0.8, linestyle=":")
        axes[1].set_title("Class weights (their mean is 1)")
        (axes[1].set_xlim if lying else axes[1].set_ylim)(0, 1.12 * max(weights))
    figure.savefig(path, dpi=120)


def _bars(
    axes: Any, names: Sequence[str], pixels: Mapping[str, Sequence[int]], colours: np.ndarray, lying: bool
) -> None:
    marks = ("D", "x", "+")
    for number, (split, values) in enumerate(pixels.items()):
        counts = np.asarray(values, float)
        total = max(1.0, counts.sum())
        if number == 0:
            _draw(axes, counts, colours, lying)
            _put(axes, [f"{c / total:.2%}" if c else "never" for c in counts], counts, lying)
        else:
            shown = np.where(counts > 0, counts, np.nan)
            at = np.arange(len(counts))
            points = (shown, at) if lying else (at, shown)
            edge = "white" if number == 1 else "black"
            style = {"color": "black", "markeredgecolor": edge, "markersize": 6, "linestyle": ""}
            axes.plot(*points, marker=marks[(number - 1) % 3], label=split, **style)
    seen = [c for values in pixels.values() for c in values if c > 0]
    if seen:
        (axes.set_xscale if lying else axes.set_yscale)("log")
        (axes.set_xlim if lying else axes.set_ylim)(min(seen) / 3, max(seen) * (10 if len(names) > 12 else 4))
    _name(axes, names, f"pixels ({', '.join(pixels)})" if len(pixels) == 1 else "pixels", lying)
    if len(pixels) > 1:
        from matplotlib.patches import Patch

        first = next(iter(pixels))
        handles, labels = axes.get_legend_handles_labels()
        axes.legend([Patch(facecolor="0.7", edgecolor="0.3"), *handles], [first, *labels])


def _draw(axes: Any, values: np.ndarray, colours: np.ndarray, lying: bool) -> None:
    draw = axes.barh if lying else axes.bar
    draw(np.arange(len(values)), values, color=colours, edgecolor="0.3", linewidth=0.6)


def _put(axes: Any, texts: Sequence[str], values: np.ndarray, lying: bool) -> None:
    from matplotlib.patheffects import withStroke

    if len(texts) > _MOST_LABELS and not lying:
        return
    for i, (text, value) in enumerate(zip(texts, values, strict=True)):
        if value > 0:
            at = (value, i) if lying else (i, value)
            kwargs: dict[str, Any] = {"xytext": (3, 0) if lying else (0, 2), "textcoords": "offset points"}
        else:
            at = (0.01, i) if lying else (i, 0.01)
            kwargs = {"xycoords": axes.get_yaxis_transform() if lying else axes.get_xaxis_transform()}
        kwargs |= {"ha": "left", "va": "center"} if lying else {"ha": "center", "va": "bottom"}
        if not lying and len(texts) > 12:
            kwargs["rotation"] = 90 if len(texts) > 24 else 45
        label = axes.annotate(text, at, fontsize=7, **kwargs)
        label.set_path_effects([withStroke(linewidth=2, foreground="white")])  # legible across the line at 1
        label.set_in_layout(False)  # hundreds would take seconds


def _name(axes: Any, names: Sequence[str], label: str, lying: bool) -> None:
    at = np.arange(len(names))
    if lying:
        axes.set_yticks(at, names, fontsize=7)
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.set_xlabel(label)
        axes.grid(axis="x", alpha=0.3)
    else:
        axes.set_xticks(at, names, rotation=45 if len(names) < 30 else 90, ha="right", fontsize=8)
        axes.set_ylabel(label)
        axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
