"""Charts drawn by matplotlib, without a display: curves of runs, and confusion matrices."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmseg.utils.errors import UserError, near_matches

# Told apart by the colour-blind too (Okabe and Ito, "Color Universal Design", 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#a39a00")
_LINES = ("-", "--", ":", "-.")
_MOST_NUMBERS = 30  # classes up to which the cells of a matrix have numbers


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        label: In the legend.
        x, y: Of equal length; where ``y`` is not finite the line is interrupted.
        run: Number of the run, which gives the colour.
        dots: Whether each value has a dot, as for evaluations beside training.
        noisy: Whether smoothing is for this curve; a learning rate is exact.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    run: int = 0
    dots: bool = False
    noisy: bool = True


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Exponential moving average: each value is ``weight`` x the mean so far + (1 - ``weight``) x itself.

    The beginning is not drawn towards zero (the weights are normalised), and values that are not finite
    are left as they are.

    Args:
        values: Any number of them.
        weight: From 0 (as they are) to below 1.

    >>> smoothed([0.0, 3.0], 0.5)
    [0.0, 2.0]
    """
    total, norm, result = 0.0, 0.0, []
    for value in values:
        if not math.isfinite(value):
            result.append(value)
            continue
        total = weight * total + (1 - weight) * value
        norm = weight * norm + (1 - weight)
        result.append(total / norm)
    return result


def draw_curves(
    path: str | os.PathLike[str],
    panels: Mapping[str, Sequence[Curve]],
    *,
    runs: Sequence[str] = (),
    title: str = "",
    x_label: str = "iteration",
    smooth: float = 0.0,
) -> None:
    """Draw one chart per entry of ``panels``, side by side, and write them as an image.

    Args:
        path: The ending gives the format: .png, .pdf, .svg, .jpg.
        panels: Curves by the title of their chart; at least one.
        runs: Names of the runs for the legend below; fewer than two leave it out.
        title: Stands above.
        x_label: Below the axis.
        smooth: See ``smoothed``; what was measured stays as a pale line. Curves with dots are as they are.

    Raises:
        UserError: the ending is of no image format, or the file cannot be written.
    """
    figure = _figure(path)
    columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure.set_size_inches(max(7.0, 5.6 * columns), 3.7 * rows + 0.3 * bool(title) + 0.3 * (len(runs) > 1))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    last = max((x for curves in panels.values() for curve in curves for x in curve.x), default=1)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, (name, curves) in zip(grid, panels.items(), strict=False):
        for curve in curves:
            _draw_curve(axes, curve, smooth)
        axes.set_title(name, fontsize=11)
        axes.set_xlabel(x_label)
        axes.set_xlim(0, 1.03 * max(1, last))  # the same in every chart, that they can be compared
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len({curve.label for curve in curves}) > 1 and len({curve.run for curve in curves}) < len(curves):
            axes.legend(fontsize=8)
    if len(runs) > 1:
        from matplotlib.lines import Line2D

        lines = [Line2D([], [], linewidth=2, **_style(i)) for i in range(len(runs))]
        # A `$` in the name of a folder is no formula.
        labels = [name.replace("$", r"\$") for name in runs]
        figure.legend(lines, labels, loc="outside lower center", ncols=min(len(runs), 4), frameon=False)
    if title:
        figure.suptitle(title)
    _save(figure, path)


def _draw_curve(axes: Any, curve: Curve, smooth: float) -> None:
    style = _style(curve.run)
    values = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    if len(values) == 1:
        (at,) = values
        axes.annotate(
            f"{at[1]:.4g}", at, (-7, 0), textcoords="offset points", ha="right", va="center", fontsize=8
        )
    if curve.dots:
        style |= {"marker": "o", "markersize": 4, "linewidth": 1.2}
        axes.plot(curve.x, curve.y, label=curve.label, **style)
        return
    lonely = {"marker": "o", "markersize": 4} if len(values) == 1 else {}
    if smooth > 0 and not lonely and curve.noisy:
        axes.plot(curve.x, curve.y, linewidth=0.8, alpha=0.3, **style)
        axes.plot(curve.x, smoothed(curve.y, smooth), label=curve.label, linewidth=1.8, **style)
    else:
        axes.plot(curve.x, curve.y, label=curve.label, linewidth=1.5, **style, **lonely)


def _style(run: int) -> dict[str, Any]:
    return {"color": COLOURS[run % len(COLOURS)], "linestyle": _LINES[run // len(COLOURS) % len(_LINES)]}


def check_colour_map(name: str) -> None:
    """Check that matplotlib has a colour map.

    Raises:
        UserError: it has none of that name.
    """
    import matplotlib

    if name not in matplotlib.colormaps:
        raise UserError(
            f"matplotlib has no colour map `{name}`{near_matches(name, matplotlib.colormaps)}; "
            "`Blues`, `viridis` and `winter` are some that it has"
        )


def draw_confusion_matrix(
    path: str | os.PathLike[str],
    confusion: np.ndarray,
    class_names: Sequence[str],
    *,
    title: str = "Confusion matrix",
    colours: str = "Blues",
) -> None:
    """Draw a confusion matrix, normalised per true class, and write it as an image.

    Args:
        path: The ending gives the format.
        confusion: (C, C) pixel counts, rows truth, columns prediction.
        class_names: C names.
        title: Stands above.
        colours: Name of a colour map of matplotlib's.

    Raises:
        UserError: no such colour map, or the file cannot be written.
    """
    import matplotlib

    check_colour_map(colours)
    cmap = matplotlib.colormaps[colours].with_extremes(bad="0.85")
    percent = percent_of_truth(confusion)
    count = len(class_names)
    figure = _figure(path)
    side = min(40.0, max(5.5, 0.42 * count if count <= _MOST_NUMBERS else 0.17 * count) + 1.2)
    figure.set_size_inches(side + 1.2, side)
    axes = figure.subplots()
    picture = axes.imshow(percent, cmap=cmap, vmin=0, vmax=100)
    letters = 9 if count <= _MOST_NUMBERS else 6
    axes.set_xticks(
        range(count), class_names, rotation=45 if count <= 30 else 90, ha="right", fontsize=letters
    )
    if count <= 30:
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
    else:
        axes.set_xticks(range(count), class_names, rotation=90, ha="center", fontsize=letters)
    axes.set_yticks(range(count), class_names, fontsize=letters)
    large = max(10.0, side)  # of titles, in points: a large chart is looked at from afar
    axes.set_xlabel("prediction", fontsize=large)
    axes.set_ylabel("truth", fontsize=large)
    if count <= _MOST_NUMBERS:
        for edge in np.arange(1, count) - 0.5:
            axes.axhline(edge, color="white", linewidth=0.8)
            axes.axvline(edge, color="white", linewidth=0.8)
    axes.spines[:].set_visible(False)
    if count <= _MOST_NUMBERS:
        _write_numbers(axes, percent, cmap)
    bar = figure.colorbar(picture, ax=axes, shrink=0.75, aspect=3 * large)
    bar.set_label("% of the pixels of the true class", fontsize=large)
    bar.outline.set_visible(False)
    axes.set_title(title, fontsize=1.2 * large)
    if np.isnan(percent).any():
        figure.supxlabel("grey: the truth has no pixel of the class", fontsize=8, color="0.4")
    _save(figure, path)


def _write_numbers(axes: Any, percent: np.ndarray, cmap: Any) -> None:
    for (row, column), value in np.ndenumerate(percent):
        if not np.isfinite(value) or (value < 0.5 and row != column):
            continue
        red, green, blue, _ = cmap(value / 100)
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        weight = "bold" if row == column else "normal"
        axes.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "0.15",
            fontweight=weight,
        )


def percent_of_truth(confusion: np.ndarray) -> np.ndarray:
    """Divide each row (C,) of pixel counts by its sum, in percent; NaN where a class has no pixel."""
    counts = np.asarray(confusion, np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(100 * counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def _figure(path: str | os.PathLike[str]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws without a display
    from matplotlib.figure import Figure

    if os.path.isdir(path):
        raise UserError(
            f"cannot draw {path}: it is a folder; give the name of a file in it, such as chart.png"
        )
    figure = Figure(layout="constrained")
    known = FigureCanvasAgg(figure).get_supported_filetypes()
    ending = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    if ending not in known:
        raise UserError(f"cannot draw {path}: `.{ending}` is no image format; use .png, .pdf or .svg")
    return figure


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write the file as a whole or not at all."""
    root, ending = os.path.splitext(os.fspath(path))
    temporary = f"{root}.{os.getpid()}.partial{ending}"
    try:
        os.makedirs(os.path.dirname(root) or os.curdir, exist_ok=True)
        figure.savefig(temporary, dpi=130)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write the chart {path}: {error.strerror or error}; give a folder that can be written"
        ) from None
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
